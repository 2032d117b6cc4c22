//! Text from outside made harmless, once, where it enters the model.

/// One line without control characters, direction marks or `|`, runs of blanks folded to one.
///
/// `|` would start perfdata (Nagios plugin guidelines, "Plugin Output"), so it becomes `¦`.
pub fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => line.push('¦'),
            _ if c.is_whitespace() || c.is_control() => {
                if !line.ends_with(' ') && !line.is_empty() {
                    line.push(' ');
                }
            }
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => (),
            _ => line.push(c),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Text without what only a terminal or an editor understands: colours and other escape sequences (ECMA-48, sections
/// 5.3 to 5.6), and byte order marks. A sequence that does not end takes nothing else with it than its line.
pub fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let control = match c {
            '\u{1b}' => rest.next_if(char::is_ascii_graphic),
            // ESC and a letter in one character.
            '\u{90}'..='\u{9f}' => char::from_u32(u32::from(c) - 0x40),
            '\u{feff}' => None,
            _ => {
                plain.push(c);
                continue;
            }
        };
        match control {
            // A control sequence: parameters, and a last letter.
            Some('[') => {
                while rest.next_if(|it| (' '..='?').contains(it)).is_some() {}
                rest.next_if(|it| ('@'..='~').contains(it));
            }
            // A command to the operating system or device: text, and BEL or ST.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                let mut last = ' ';
                while let Some(it) = rest.next_if(|it| *it != '\n') {
                    if matches!(it, '\u{7}' | '\u{9c}') || (last, it) == ('\u{1b}', '\\') {
                        break;
                    }
                    last = it;
                }
            }
            // A choice of characters: what of, and which.
            Some(' '..='/') => {
                while rest.next_if(|it| (' '..='/').contains(it)).is_some() {}
                rest.next_if(char::is_ascii_graphic);
            }
            _ => (),
        }
    }
    plain
}

/// The first `most` characters of foreign text on one line, with what was left out counted.
pub fn excerpt(text: &str, most: usize) -> String {
    let line = clean(text);
    match line.char_indices().nth(most) {
        None => line,
        Some((end, _)) => format!(
            "{}… ({} more bytes)",
            line[..end].trim_end(),
            line.len() - end
        ),
    }
}

/// At most `most` bytes of a line, ended at a word with `…` where something was left out.
pub fn fit(line: &str, most: usize) -> String {
    if line.len() <= most {
        return line.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let end = match line[..end].rfind(' ') {
        Some(word) if word > end / 2 => word,
        _ => end,
    };
    format!("{}…", line[..end].trim_end_matches([' ', ',', ';', ':']))
}

/// A URL without its user information (RFC 3986, section 3.2.1), which may hold a password.
pub fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after
            .find(|c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace())
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(userinfo) => {
                shown.push_str("…@");
                &after[userinfo + 1..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_can_start_perfdata_or_a_new_line() {
        assert_eq!(clean("a|b\r\nc\0d\te\u{202e}f  "), "a¦b c d ef");
        assert_eq!(clean("\n\n  x"), "x");
        assert_eq!(clean("古酒 は"), "古酒 は");
    }

    #[test]
    fn what_does_not_fit_is_counted_or_marked() {
        assert_eq!(excerpt("abcdef", 4), "abcd… (2 more bytes)");
        assert_eq!(fit("one two three", 12), "one two…");
        assert_eq!(fit("ああああ", 7), "あ…");
        assert_eq!(fit("short", 12), "short");
    }

    #[test]
    fn passwords_in_urls_are_never_shown() {
        assert_eq!(
            without_userinfo("see https://u:p@ss@h/x?y=a@b"),
            "see https://…@h/x?y=a@b"
        );
        assert_eq!(without_userinfo("http://h/a@b"), "http://h/a@b");
        assert_eq!(
            without_userinfo("http://a:b@c/ https://d:e@f"),
            "http://…@c/ https://…@f"
        );
    }
}
