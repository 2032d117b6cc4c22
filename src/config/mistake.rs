//! A mistake in a list and how it is told: place, offending text underlined, nearest valid word.

use super::Source;
use crate::model::secret::is_secret_key;
use crate::model::text;
use std::fmt;
use std::ops::Range;

/// One mistake with its place.
#[derive(Debug)]
pub struct Mistake {
    file: String,
    /// Line and column, counted from 1, in characters; `None` where the file itself is the mistake.
    at: Option<(usize, usize)>,
    /// Whether a line stands for a word of the command line.
    of_words: bool,
    pub message: String,
    excerpt: Option<Box<Excerpt>>,
    help: Option<String>,
    /// The valid word that was probably meant.
    pub near: Option<String>,
}

/// The line of a mistake with its place in it.
#[derive(Debug)]
struct Excerpt {
    line: String,
    start: usize,
    width: usize,
}

impl Mistake {
    /// A mistake of the file as a whole.
    pub fn of(file: &str, message: &str) -> Mistake {
        Mistake {
            file: file.to_owned(),
            at: None,
            of_words: false,
            message: text::clean(message),
            excerpt: None,
            help: None,
            near: None,
        }
    }

    /// A mistake at a span of bytes.
    pub fn at(source: &Source, span: Range<usize>, message: &str) -> Mistake {
        let text = source.text.as_str();
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |it| it + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |it| start + it);
        let end = floor(text, span.end).clamp(start, line_end);
        let line = text[..line_start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let message = text::without_userinfo(&text::clean(message));
        // Of an ad-hoc command, the first two lines are not the user's.
        let excerpt = (source.words.is_none() || line > 2).then(|| {
            let span = start - line_start..end - line_start;
            Box::new(Excerpt::new(&text[line_start..line_end], span))
        });
        Mistake {
            at: Some((line, column)),
            of_words: source.words.is_some(),
            excerpt,
            ..Mistake::of(&source.name, &message)
        }
    }

    pub fn help(self, help: &str) -> Mistake {
        Mistake {
            help: Some(help.to_owned()),
            ..self
        }
    }

    /// Proposes the nearest valid word.
    pub fn nearest(self, near: Option<&str>) -> Mistake {
        match near {
            None => self,
            Some(near) => Mistake {
                near: Some(near.to_owned()),
                ..self.help(&format!("did you mean `{near}`?"))
            },
        }
    }

    /// Names the key that the mistake is about, and hides its value when that is secret.
    pub fn key(self, key: &str) -> Mistake {
        let message = match self.message.contains(key) {
            true => self.message,
            false => format!("{key}: {}", self.message),
        };
        Mistake { message, ..self }
    }

    /// `file:line:column`, or the word of the command line.
    pub fn place(&self) -> String {
        match self.at {
            None => self.file.clone(),
            // The first two lines are the header and the type, which no word stands for.
            Some((line, _)) if self.of_words && line > 2 => {
                format!("{}, word {}", self.file, line - 2)
            }
            Some(_) if self.of_words => self.file.clone(),
            Some((line, column)) => format!("{}:{line}:{column}", self.file),
        }
    }
}

fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl Excerpt {
    /// The most characters of a line that are shown.
    const WIDEST: usize = 100;

    /// The line with every string but the faulty one replaced by `…`, and all values of secret keys.
    fn new(line: &str, span: Range<usize>) -> Excerpt {
        let secret_from = secret_value(line);
        let mut shown = String::new();
        let (mut start, mut end) = (None, None);
        let mut quote: Option<char> = None;
        let mut escaped = false;
        for (index, c) in line.char_indices() {
            if index >= span.start && start.is_none() {
                start = Some(shown.chars().count());
            }
            if index >= span.end && end.is_none() {
                end = Some(shown.chars().count());
            }
            let hidden = match secret_from {
                Some(from) if index >= from => true,
                _ => quote.is_some() && !span.contains(&index),
            };
            let closes = quote == Some(c) && !escaped;
            escaped = c == '\\' && quote == Some('"') && !escaped;
            match quote {
                Some(_) if closes => quote = None,
                None if c == '"' || c == '\'' => quote = Some(c),
                _ => (),
            }
            match hidden && !closes {
                true if shown.ends_with('…') => (),
                true => shown.push('…'),
                false => shown.push(if c.is_control() { ' ' } else { c }),
            }
        }
        let count = shown.chars().count();
        let (start, end) = (start.unwrap_or(count), end.unwrap_or(count));
        let shown = text::without_userinfo(&shown.replace('|', "¦"));
        let line: String = shown.chars().take(Excerpt::WIDEST).collect();
        let start = start.min(Excerpt::WIDEST);
        Excerpt {
            width: end
                .min(line.chars().count().max(start))
                .saturating_sub(start)
                .max(1),
            line,
            start,
        }
    }
}

/// Where the value of the first secret key of a line begins.
fn secret_value(line: &str) -> Option<usize> {
    line.match_indices('=').find_map(|(index, _)| {
        let key = line[..index].trim_end().trim_end_matches(['"', '\'']);
        let begin = key
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |it| {
                it + key[it..].chars().next().map_or(1, char::len_utf8)
            });
        is_secret_key(&key[begin..]).then_some(index + 1)
    })
}

impl fmt::Display for Mistake {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        writeln!(to, "{}: {}", self.place(), self.message)?;
        if let (Some(excerpt), Some((line, _))) = (&self.excerpt, self.at) {
            let number = match self.of_words {
                true => String::new(),
                false => line.to_string(),
            };
            let gutter = " ".repeat(number.len());
            writeln!(to, "{gutter} :")?;
            writeln!(to, "{number} : {}", excerpt.line)?;
            let before = text_width(&excerpt.line, excerpt.start);
            let under = "^".repeat(excerpt.width);
            writeln!(to, "{gutter} : {}{under}", " ".repeat(before))?;
        }
        match &self.help {
            Some(help) => writeln!(to, "  = help: {help}"),
            None => Ok(()),
        }
    }
}

/// The columns that the first `count` characters take on a terminal.
fn text_width(line: &str, count: usize) -> usize {
    let head: String = line.chars().take(count).collect();
    unicode_width::UnicodeWidthStr::width(head.as_str())
}

/// All mistakes of a list, told together.
#[derive(Debug)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// The first mistake and the number of others, on one line.
    pub fn headline(&self) -> String {
        let more = self.0.len().saturating_sub(1);
        match (self.0.first(), more) {
            (None, _) => "the list has a mistake".to_owned(),
            (Some(first), more) => {
                let help = first.help.as_ref().map(|it| format!(" ({it})"));
                let text = format!(
                    "{}: {}{}",
                    first.place(),
                    first.message,
                    help.unwrap_or_default()
                );
                match more {
                    0 => text,
                    1 => format!("{text}; 1 more mistake"),
                    _ => format!("{text}; {more} more mistakes"),
                }
            }
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        const MOST: usize = 20;
        for mistake in self.0.iter().take(MOST) {
            write!(to, "{mistake}")?;
        }
        match self.0.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => writeln!(to, "and {more} more mistakes"),
        }
    }
}
