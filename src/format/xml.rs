//! Text inside XML and HTML.

/// Text without markup, and without the characters that no XML document may have (XML 1.0, section 2.2).
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => (),
            _ => safe.push(c),
        }
    }
    safe
}
