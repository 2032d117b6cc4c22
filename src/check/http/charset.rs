//! The text of a page, by the charset that it declares.

use crate::model::text::excerpt;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8};
use std::borrow::Cow;
use ureq::http::{HeaderMap, header};

/// A body as conditions look at it.
#[derive(Debug)]
pub struct Text<'b> {
    /// The ways to read it, the likeliest first: more than one where its charset is in doubt.
    pub ways: Vec<Cow<'b, [u8]>>,
    /// Which charset is unknown.
    pub note: Option<String>,
}

/// How much of a page is searched for its charset; browsers look at 1024 bytes.
const HEAD: usize = 4096;

impl<'b> Text<'b> {
    /// Bytes of which nobody asks what they say.
    pub fn of_bytes(body: &'b [u8]) -> Text<'b> {
        Text {
            ways: vec![Cow::Borrowed(body)],
            note: None,
        }
    }
}

/// Reads a body by its byte order mark, its header, or what it says itself, in this order (WHATWG, "Encoding", "decode");
/// else its bytes are taken as they are.
pub fn read<'b>(headers: &HeaderMap, body: &'b [u8]) -> Text<'b> {
    let plain = |body: &'b [u8], note| Text {
        ways: vec![Cow::Borrowed(body)],
        note,
    };
    if let Some((charset, mark)) = Encoding::for_bom(body) {
        return decoded(charset, &body[mark..]);
    }
    let Some(label) = of_header(headers).or_else(|| of_page(&body[..body.len().min(HEAD)])) else {
        return plain(body, None);
    };
    match by_label(&label) {
        Some(charset) => decoded(charset, body),
        None => {
            let label = excerpt(&label, 40);
            let note =
                format!("the charset \"{label}\" is unknown here, the page is taken as bytes");
            plain(body, Some(note))
        }
    }
}

fn decoded<'b>(charset: &'static Encoding, body: &'b [u8]) -> Text<'b> {
    let mut ways = vec![Cow::Borrowed(body)];
    if charset != UTF_8 {
        let (text, had_errors) = charset.decode_without_bom_handling(body);
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        // Many a server says Latin-1 of all its pages, whatever they are; and any bytes are some UTF-16.
        let in_doubt = had_errors
            || charset.output_encoding() != charset
            || !body.is_ascii() && std::str::from_utf8(body).is_ok();
        ways.truncate(usize::from(in_doubt));
        ways.insert(0, text);
    }
    Text { ways, note: None }
}

/// The charset that a label means; people write more than the labels of the standard.
fn by_label(label: &str) -> Option<&'static Encoding> {
    let label = label.to_ascii_lowercase();
    let known = match label.as_str() {
        "cp932" | "ms-932" => "shift_jis",
        "eucjp" | "euc_jp" => "euc-jp",
        "latin-1" => "latin1",
        other => other,
    };
    let charset = Encoding::for_label(known.as_bytes())
        .or_else(|| Encoding::for_label(known.replace('_', "-").as_bytes()));
    charset.filter(|it| *it != REPLACEMENT)
}

/// `Content-Type: text/html; charset=Shift_JIS` (RFC 9110, section 8.3).
fn of_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    value.split(';').skip(1).find_map(|it| {
        let (name, label) = it.split_once('=')?;
        let label = label.trim().trim_matches(['"', '\'']).trim();
        let is_it = name.trim().eq_ignore_ascii_case("charset") && !label.is_empty();
        is_it.then(|| label.to_owned())
    })
}

/// `<meta charset="…">`, `<meta http-equiv=… content="…; charset=…">` or `<?xml … encoding="…"?>`.
fn of_page(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let label = |tag: &str, key: &str| {
        let (_, rest) = tag.split_once(key)?;
        let rest = rest.trim_start().strip_prefix('=')?;
        let rest = rest.trim_start_matches(|it: char| it.is_whitespace() || "\"'".contains(it));
        let end = rest.find(|it: char| it.is_whitespace() || "\"';/>?".contains(it));
        let label = &rest[..end.unwrap_or(rest.len())];
        (!label.is_empty()).then(|| label.to_owned())
    };
    let tag = |text: &str| text[..text.find('>').unwrap_or(text.len())].to_owned();
    if head.trim_start().starts_with("<?xml") {
        return label(&tag(&head), "encoding");
    }
    let metas = head.match_indices("<meta");
    let found = metas.filter_map(|(at, _)| label(&tag(&head[at..]), "charset"));
    // What could be read so far is not UTF-16 (WHATWG, "HTML", section 13.2.3.2).
    found.map(|it| it.replace("utf-16", "utf-8")).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(content_type: &str, body: &[u8]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().expect("a value"));
        let text = read(&headers, body);
        let shown = |it: &Cow<[u8]>| String::from_utf8_lossy(it).into_owned();
        text.ways.iter().map(shown).collect()
    }

    #[test]
    fn pages_are_read_by_the_charset_that_they_declare() {
        let sjis = b"\x8c\xc3\x8e\xf0";
        assert_eq!(ways("text/html; charset=Shift_JIS", sjis), ["古酒"]);
        assert_eq!(ways("text/html; Charset=\"Windows-31J\"", sjis), ["古酒"]);
        assert_eq!(ways("text/html;charset=cp932; x=y", sjis), ["古酒"]);
        assert_eq!(
            ways("text/plain; charset=EUC-JP", b"\xb8\xc5\xbc\xf2"),
            ["古酒"]
        );
        let jis = b"\x1b$B8E<r\x1b(B";
        assert_eq!(ways("text/plain; charset=iso-2022-jp", jis), ["古酒"]);
        assert_eq!(ways("text/plain; charset=latin1", b"caf\xe9"), ["café"]);
        for meta in [
            "<meta charset=shift_jis>",
            "<META http-equiv=content-type CONTENT='text/html; charset=Shift_JIS'>",
            "<meta name=x><meta charset = \"Shift_JIS\" />",
            "<?xml version='1.0' encoding='Shift_JIS'?>",
        ] {
            let page = [meta.as_bytes(), sjis].concat();
            assert_eq!(ways("text/html", &page), [format!("{meta}古酒")]);
        }
    }

    #[test]
    fn byte_order_marks_say_it_first_and_are_no_text() {
        assert_eq!(
            ways("text/plain; charset=latin1", b"\xef\xbb\xbf\xe5\x8f\xa4"),
            ["古"]
        );
        assert_eq!(ways("text/plain", b"\xff\xfe\xe4\x53")[0], "古");
        assert_eq!(ways("text/plain", b"\xfe\xff\x53\xe4")[0], "古");
    }

    #[test]
    fn where_the_charset_is_in_doubt_bytes_are_looked_at_too() {
        assert_eq!(
            ways("text/html; charset=iso-8859-1", "古".as_bytes()).len(),
            2
        );
        assert_eq!(
            ways("text/html; charset=Shift_JIS", b"\x8c\xff\xff").len(),
            2
        );
        assert_eq!(ways("text/html; charset=Shift_JIS", b"abc"), ["abc"]);
        assert_eq!(ways("text/html", b"\x8c\xc3"), ["\u{fffd}\u{fffd}"]);
        let unknown = read(
            &[(
                header::CONTENT_TYPE,
                "text/html; charset=klingon".parse().expect("a value"),
            )]
            .into_iter()
            .collect(),
            b"abc",
        )
        .note;
        assert!(unknown.is_some_and(|it| it.contains("\"klingon\" is unknown")));
    }
}
