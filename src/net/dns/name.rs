//! Domain names as zone files write them (RFC 1035, section 5.1): with any byte inside a label, by `\DDD` or `\X`.

use hickory_proto::rr::{Label, Name};

/// A name as DNS knows it, whole, in lower case. Labels of other scripts become punycode; what host names do not
/// have needs no `\` only where zones have it: `_`, a leading `*`, and the `/` of RFC 2317 between digits.
///
/// # Errors
/// When it is no domain name.
pub fn read(text: &str) -> Result<Name, String> {
    let wrong = || format!("\"{text}\" is not a domain name");
    if text == "." {
        return Ok(Name::root());
    }
    let mut name = Name::root();
    let (mut label, mut is_foreign, mut is_plain) = (Vec::new(), false, true);
    let mut end = |label: &mut Vec<u8>, is_foreign: &mut bool| -> Option<()> {
        let bytes = std::mem::take(label);
        let label = match std::mem::take(is_foreign) {
            true => Label::from_utf8(std::str::from_utf8(&bytes).ok()?).ok()?,
            false => Label::from_raw_bytes(&bytes).ok()?,
        };
        name = std::mem::take(&mut name).append_label(label).ok()?;
        Some(())
    };
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => {
                end(&mut label, &mut is_foreign).ok_or_else(wrong)?;
                continue;
            }
            '\\' => {
                let (byte, left) = escaped(rest.as_str()).ok_or_else(wrong)?;
                label.push(byte);
                rest = left.chars();
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => label.push(next as u8),
            '*' if label.is_empty() => label.push(b'*'),
            '/' if label.last().is_some_and(u8::is_ascii_digit) => {
                is_plain &= rest.as_str().starts_with(|it: char| it.is_ascii_digit());
                label.push(b'/');
            }
            other if !other.is_ascii() && !other.is_whitespace() => {
                is_foreign = true;
                label.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(wrong()),
        }
    }
    if !label.is_empty() {
        // An address with its bits is no name.
        is_plain &= !label.contains(&b'/');
        end(&mut label, &mut is_foreign).ok_or_else(wrong)?;
    }
    if !is_plain || name.is_root() {
        return Err(wrong());
    }
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

/// The byte that a text after a `\` stands for, and what follows it.
pub fn escaped(text: &str) -> Option<(u8, &str)> {
    let digits = text
        .get(..3)
        .filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    match digits {
        Some(digits) => Some((digits.parse().ok()?, &text[3..])),
        None => {
            let byte = *text.as_bytes().first()?;
            let whole = byte.is_ascii_graphic() && !byte.is_ascii_digit();
            whole.then(|| (byte, &text[1..]))
        }
    }
}

/// A name without its last dot, except the root's, so that [`read`] reads it again.
pub fn plain(name: &Name) -> String {
    let mut text = String::new();
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.extend(['\\', char::from(*byte)]);
                }
                byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
                byte => text.push_str(&format!("\\{byte:03}")),
            }
        }
    }
    match text.is_empty() {
        true => ".".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_zones_have_are_read_and_written_alike() {
        for (text, shown) in [
            ("www.Example.jp.", "www.example.jp"),
            ("foo_bar.example.jp", "foo_bar.example.jp"),
            ("_sip._tcp.example.jp", "_sip._tcp.example.jp"),
            ("*.example.jp", "*.example.jp"),
            ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa"),
            (r"a\032b.example.jp", r"a\032b.example.jp"),
            (r"host\.master.example.jp", r"host\.master.example.jp"),
            (r"\065.example.jp", "a.example.jp"),
            ("古酒.jp", "xn--tlq2f.jp"),
            ("古酒。jp", "xn--tlq2f.jp"),
            (".", "."),
        ] {
            let name = read(text).map(|it| plain(&it));
            match text.is_ascii() {
                true => assert_eq!(name.as_deref(), Ok(shown), "{text}"),
                false => {
                    assert!(name.is_ok_and(|it| it.starts_with("xn--") && it.ends_with(".jp")))
                }
            }
        }
        let name = read(r"a\032b.jp").expect("a name");
        assert_eq!(name.iter().next(), Some(&b"a b"[..]));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "..",
            "a..b",
            ".a",
            "a b.jp",
            "https://www.example.jp/",
            "www.example.jp:53",
            "www.example.jp/index",
            "192.0.2.0/24",
            "user@example.jp",
            r"a\300.jp",
            r"a\",
            &"a".repeat(64),
            &"a.".repeat(128),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
