//! Users by name and number, as /etc/passwd tells them (passwd(5)).

use anyhow::{Context, anyhow};
use std::fs;
use std::io;
use std::path::Path;

/// Name and number of every user.
fn table() -> io::Result<Vec<(String, u32)>> {
    let bytes = fs::read("/etc/passwd")?;
    let text = String::from_utf8_lossy(&bytes);
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((name, fields.nth(1)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).collect())
}

/// The number of a user who is given by name or number.
///
/// # Errors
/// When there is no such user.
pub fn number(user: &str) -> anyhow::Result<u32> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let table = table().context("cannot read /etc/passwd")?;
    let found = table.into_iter().find(|it| it.0 == user);
    found.map(|it| it.1).ok_or_else(|| {
        anyhow!("no user {user} in /etc/passwd; give the number of users from elsewhere")
    })
}

/// Who this process is, by name where the table has it.
pub fn own() -> String {
    let own = rustix::process::geteuid().as_raw();
    let found = table().unwrap_or_default().into_iter();
    let name = found.into_iter().find(|it| it.1 == own);
    name.map_or(own.to_string(), |it| it.0)
}

/// What is said of a file or folder that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow!(
        "cannot read {} as user {}: {}",
        path.display(),
        own(),
        crate::net::plain(error)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(number("root").expect("everybody has one"), 0);
        assert_eq!(number("12").expect("a number"), 12);
        assert!(number("no such user").is_err());
        assert!(!own().is_empty());
    }
}
