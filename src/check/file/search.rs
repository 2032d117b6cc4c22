//! What is looked for in the lines of files, and what was found.

use crate::model::pattern::Pattern;
use crate::model::text;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// How many bad lines are shown.
pub const SHOWN: usize = 5;

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Search<'p> {
    pub contains: Option<&'p Pattern>,
    pub bad: Option<&'p Pattern>,
}

/// What was found in one log, with all that belongs to it.
#[derive(Debug, Default)]
pub struct Found {
    pub contains: bool,
    pub bad: u64,
    /// The last bad lines, each with the file in which it stands, newest last.
    pub last: VecDeque<(PathBuf, String)>,
}

impl Search<'_> {
    /// Looks through whole lines of a file.
    ///
    /// # Errors
    /// When a pattern is too large to be built.
    pub fn feed(&self, lines: &[u8], path: &Path, found: &mut Found) -> anyhow::Result<()> {
        if let Some(pattern) = self.contains {
            found.contains = found.contains || pattern.finds(lines)?;
        }
        if let Some(pattern) = self.bad {
            let pattern = pattern.regex()?;
            for line in lines.split(|it| *it == b'\n') {
                if pattern.is_match(line) {
                    found.bad += 1;
                    let line = text::excerpt(&String::from_utf8_lossy(line), 160);
                    found.last.push_back((path.to_owned(), line));
                    if found.last.len() > SHOWN {
                        found.last.pop_front();
                    }
                }
            }
        }
        Ok(())
    }
}
