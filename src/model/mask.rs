//! Secrets that foreign text gives back: a server that echoes a token, a page that names the path of its webhook.

use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashMap;
use std::ops::Range;

/// A shorter value is too common to be told from other text.
pub const LEAST: usize = 6;

/// What stands for what is not shown, and where text was cut.
const CUT: &str = "…";

/// The longest secret that is looked for where text was cut within it, in bytes.
const LONGEST_CUT: usize = 4096;

/// Replaces secrets by `…`, written as they are, percent-encoded (RFC 3986, section 2.1) or as JSON; also the part of one that
/// is left where text was cut.
pub struct Mask {
    whole: AhoCorasick,
    secrets: Vec<String>,
    /// The secrets that begin, and that end, with these bytes.
    heads: HashMap<[u8; LEAST], Vec<usize>>,
    tails: HashMap<[u8; LEAST], Vec<usize>>,
}

impl Mask {
    /// None where there is nothing to hide: shorter values than [`LEAST`] are none.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Option<Mask> {
        let mut all: Vec<String> = Vec::new();
        for secret in secrets {
            let json = serde_json::Value::from(secret).to_string();
            let forms = [
                secret.to_owned(),
                super::text::clean(secret),
                json.trim_matches('"').to_owned(),
            ];
            all.extend(forms.into_iter().filter(|it| it.len() >= LEAST));
        }
        all.sort();
        all.dedup();
        if all.is_empty() {
            return None;
        }
        let mut finds = AhoCorasick::builder();
        let whole = finds.match_kind(MatchKind::LeftmostLongest).build(&all);
        let mut heads: HashMap<_, Vec<usize>> = HashMap::new();
        let mut tails: HashMap<_, Vec<usize>> = HashMap::new();
        for (number, secret) in all.iter().enumerate() {
            let bytes = secret.as_bytes();
            if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
                heads.entry(*head).or_default().push(number);
                tails.entry(*tail).or_default().push(number);
            }
        }
        Some(Mask {
            whole: whole.ok()?,
            secrets: all,
            heads,
            tails,
        })
    }

    /// The text without secrets; None where it has none.
    pub fn hide(&self, text: &str) -> Option<String> {
        let mut found = self.find(text.as_bytes());
        if text.contains('%') {
            let (decoded, starts) = decoded(text);
            let plain = self.find(&decoded).into_iter();
            found.extend(plain.map(|it| starts[it.start]..starts[it.end]));
        }
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|it| it.start);
        let mut hidden = String::with_capacity(text.len());
        let mut end = 0;
        for span in found {
            // Half a character would be no text.
            let start = text.floor_char_boundary(span.start);
            if start >= end {
                hidden.push_str(&text[end..start]);
                if !hidden.ends_with(CUT) {
                    hidden.push_str(CUT);
                }
            }
            end = end.max(text.ceil_char_boundary(span.end));
        }
        let rest = &text[end..];
        let rest = rest.strip_prefix(CUT).unwrap_or(rest);
        Some(hidden + rest)
    }

    /// Where secrets are, whole or cut.
    fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let whole = self.whole.find_iter(bytes).map(|it| it.range());
        let mut found: Vec<Range<usize>> = whole.collect();
        let cuts = bytes.windows(CUT.len()).enumerate();
        for (cut, _) in cuts.filter(|(_, it)| *it == CUT.as_bytes()) {
            let first = cut.saturating_sub(LONGEST_CUT);
            let before = (first..cut).find(|start| {
                let part = &bytes[*start..cut];
                self.any(&self.heads, part.first_chunk(), |it| it.starts_with(part))
            });
            found.extend(before.map(|start| start..cut));
            let begin = cut + CUT.len();
            let last = bytes.len().min(begin + LONGEST_CUT);
            let after = (begin..=last).rev().find(|end| {
                let part = &bytes[begin..*end];
                self.any(&self.tails, part.last_chunk(), |it| it.ends_with(part))
            });
            found.extend(after.map(|end| begin..end));
        }
        found
    }

    fn any(
        &self,
        index: &HashMap<[u8; LEAST], Vec<usize>>,
        key: Option<&[u8; LEAST]>,
        fits: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let numbers = key.and_then(|it| index.get(it)).into_iter().flatten();
        let mut secrets = numbers.map(|it| self.secrets[*it].as_bytes());
        secrets.any(fits)
    }
}

/// The text with its percent-encoding undone, and where each byte of it, and its end, was.
fn decoded(text: &str) -> (Vec<u8>, Vec<usize>) {
    let bytes = text.as_bytes();
    let (mut decoded, mut starts) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let digits = digits.filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        let byte = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        starts.push(at);
        at += if byte.is_some() { 3 } else { 1 };
    }
    starts.push(at);
    (decoded, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask::new(["s3cret/+ö|x", "hunter2-7f3a", "short"]).expect("a mask")
    }

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        let mask = mask();
        for (text, hidden) in [
            ("it says hunter2-7f3a!", "it says …!"),
            ("hunter2-7f3ahunter2-7f3a", "…"),
            ("/hook/s3cret%2f%2B%C3%B6%7cx?x=%zz%", "/hook/…?x=%zz%"),
            ("%68unter2%2D7f3a", "…"),
            ("cleaned s3cret/+ö¦x", "cleaned …"),
            (
                "the body is abc hunter2-… (90 more bytes)",
                "the body is abc … (90 more bytes)",
            ),
            ("…er2-7f3a, and more", "…, and more"),
            ("\"a\": \"hunter2-7f3a\"", "\"a\": \"…\""),
        ] {
            assert_eq!(mask.hide(text).as_deref(), Some(hidden), "{text}");
        }
        for text in [
            "hunter2",
            "hunter2-7f3",
            "short",
            "",
            "%",
            "a…b",
            "100% hunte…",
        ] {
            assert_eq!(mask.hide(text), None, "{text}");
        }
        assert!(Mask::new(["short", ""]).is_none());
    }

    #[test]
    fn a_secret_with_quotes_is_hidden_in_json_too() {
        let mask = Mask::new(["a\"b\\c-long"]).expect("a mask");
        assert_eq!(
            mask.hide(r#"{"x":"a\"b\\c-long"}"#).as_deref(),
            Some(r#"{"x":"…"}"#)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it_and_nothing_whole_is_left(before in ".{0,20}", after in ".{0,20}") {
            let mask = mask();
            let text = format!("{before}hunter2-7f3a{after}");
            let hidden = mask.hide(&text).expect("a secret");
            proptest::prop_assert!(!hidden.contains("hunter2-7f3a"));
            let _ = mask.hide(&format!("{before}%{after}…{before}"));
        }
    }
}
