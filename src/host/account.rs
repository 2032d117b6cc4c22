//! Users and groups by name and number, as the system's own tables tell them (passwd(5), group(5)).

use anyhow::{Context, anyhow};
use std::fs;
use std::io;
use std::path::Path;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Name and number of every user or group: both tables have them in the first and third field.
fn table(file: &str) -> io::Result<Vec<(String, u32)>> {
    let bytes = fs::read(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((name, fields.nth(1)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).collect())
}

fn number_in(file: &str, what: &str, name: &str) -> anyhow::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let table = table(file).with_context(|| format!("cannot read {file}"))?;
    let found = table.into_iter().find(|it| it.0 == name);
    found.map(|it| it.1).ok_or_else(|| {
        anyhow!("no {what} {name} in {file}; give the number of {what}s from elsewhere")
    })
}

fn name_in(file: &str, number: u32) -> String {
    let found = table(file).unwrap_or_default().into_iter();
    let name = found.into_iter().find(|it| it.1 == number);
    name.map_or(number.to_string(), |it| it.0)
}

/// The number of a user who is given by name or number.
///
/// # Errors
/// When there is no such user.
pub fn number(user: &str) -> anyhow::Result<u32> {
    number_in(USERS, "user", user)
}

/// The number of a group that is given by name or number.
///
/// # Errors
/// When there is no such group.
pub fn group(group: &str) -> anyhow::Result<u32> {
    number_in(GROUPS, "group", group)
}

/// The name of a user, or the number where the table has none.
pub fn name(user: u32) -> String {
    name_in(USERS, user)
}

/// The name of a group, or the number where the table has none.
pub fn group_name(group: u32) -> String {
    name_in(GROUPS, group)
}

/// Who this process is, by name where the table has it.
pub fn own() -> String {
    name(rustix::process::geteuid().as_raw())
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
