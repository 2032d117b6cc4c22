//! Content codings of a body (RFC 9110, section 8.4.1), undone up to a limit.

use crate::model::text;
use encoding_rs::Encoding;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;
use ureq::http::header::{self, HeaderMap, HeaderName};

/// A body without its codings.
#[derive(Debug, Default, PartialEq)]
pub struct Plain {
    pub body: Vec<u8>,
    /// Whether it has more than `limit` bytes.
    pub more: bool,
    /// Whether a sum behind it says that nothing is missing.
    pub summed: bool,
    /// Which coding is none.
    pub note: Option<String>,
}

/// Undoes the codings of a body; of a `partial` one the beginning is good enough.
///
/// # Errors
/// Which coding is unknown or damaged.
pub fn decode(
    headers: &HeaderMap,
    body: Vec<u8>,
    partial: bool,
    limit: u64,
) -> Result<Plain, String> {
    let mut plain = Plain {
        body,
        ..Plain::default()
    };
    // The last one was applied last, those of the transfer after all others (RFC 9112, section 7).
    let codings = [header::CONTENT_ENCODING, header::TRANSFER_ENCODING];
    let codings: Vec<String> = codings.iter().flat_map(|it| named(headers, it)).collect();
    for coding in codings.iter().rev() {
        if plain.body.is_empty() {
            break;
        }
        let decoded = match coding.as_str() {
            "gzip" | "x-gzip" => bounded(MultiGzDecoder::new(&plain.body[..]), limit),
            // Some servers send what is meant by the name, others what it says.
            "deflate" => bounded(ZlibDecoder::new(&plain.body[..]), limit)
                .or_else(|_| bounded(DeflateDecoder::new(&plain.body[..]), limit)),
            other if COMPRESSIONS.contains(&other) || !is_text(&plain.body) && !is_none(other) => {
                return Err(format!(
                    "the body is compressed with {coding}, which is unknown here"
                ));
            }
            _ => {
                let coding = text::excerpt(coding, 40);
                plain.note = Some(format!(
                    "the body says that it is coded as \"{coding}\", and is plain"
                ));
                continue;
            }
        };
        let (bytes, more, summed) = match decoded {
            Ok((bytes, more)) => (bytes, more, !more),
            Err(begin) if partial && !begin.is_empty() => (begin, false, false),
            Err(_) => return Err(format!("the body is not the {coding} that it says it is")),
        };
        plain.body = bytes;
        plain.more |= more;
        plain.summed = summed;
    }
    Ok(plain)
}

/// The codings that a header names, without those that change nothing.
fn named(headers: &HeaderMap, header: &HeaderName) -> Vec<String> {
    let values = headers.get_all(header).iter();
    let values = values.map(|it| String::from_utf8_lossy(it.as_bytes()).to_ascii_lowercase());
    let all = values.flat_map(|it| {
        let codings = it.split(',').map(|it| it.trim().to_owned());
        codings.collect::<Vec<_>>()
    });
    all.filter(|it| !matches!(it.as_str(), "" | "identity" | "chunked"))
        .collect()
}

/// Codings that compress, and that nothing here undoes (IANA, HTTP Content Coding Registry).
const COMPRESSIONS: [&str; 9] = [
    "br",
    "compress",
    "x-compress",
    "dcb",
    "dcz",
    "exi",
    "pack200-gzip",
    "zstd",
    "bzip2",
];

/// Whether a coding is no coding: what servers write who take the header for another one.
fn is_none(coding: &str) -> bool {
    let none = ["none", "7bit", "8bit", "binary", "aws-chunked"];
    none.contains(&coding) || Encoding::for_label(coding.as_bytes()).is_some()
}

/// Whether bytes are plain text in some charset: what is compressed has control characters soon.
fn is_text(body: &[u8]) -> bool {
    let is_odd = |it: &u8| it.is_ascii_control() && !it.is_ascii_whitespace() && *it != 0x1b;
    !body.iter().take(4096).any(is_odd)
}

/// At most so many bytes and whether there are more; what came before the damage, if it is damaged.
fn bounded(from: impl Read, limit: u64) -> Result<(Vec<u8>, bool), Vec<u8>> {
    let mut bytes = Vec::new();
    match from.take(limit + 1).read_to_end(&mut bytes) {
        Ok(_) => {
            let more = bytes.len() as u64 > limit;
            bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok((bytes, more))
        }
        Err(_) => Err(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn headers(coding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", coding.parse().expect("a value"));
        headers
    }

    #[test]
    fn gzip_and_both_kinds_of_deflate_are_undone() {
        let text = b"add to cart".repeat(20);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        for encoder in [&mut gzip as &mut dyn Write, &mut zlib, &mut raw] {
            encoder.write_all(&text).expect("memory");
        }
        for (coding, bytes) in [
            ("gzip", gzip.finish()),
            ("deflate", zlib.finish()),
            ("deflate", raw.finish()),
            ("identity", Ok(text.clone())),
        ] {
            let decoded = decode(&headers(coding), bytes.expect("memory"), false, 1 << 20);
            let plain = decoded.expect(coding);
            assert_eq!((plain.body, plain.more), (text.clone(), false), "{coding}");
            assert_eq!(plain.summed, coding != "identity");
        }
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![0; 10 << 20]).expect("memory");
        let bytes = gzip.finish().expect("memory");
        let plain = decode(&headers("gzip"), bytes, false, 1000).expect("gzip");
        assert_eq!((plain.body.len(), plain.more), (1000, true));
    }

    #[test]
    fn damaged_and_unknown_codings_are_told() {
        assert!(decode(&headers("gzip"), b"hello".to_vec(), false, 10).is_err());
        assert!(decode(&headers("br"), b"hello".to_vec(), false, 10).is_err());
        let empty = decode(&headers("br"), vec![], false, 10);
        assert_eq!(empty, Ok(Plain::default()));
    }

    #[test]
    fn codings_of_the_transfer_are_undone_like_those_of_the_page() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"hello").expect("memory");
        let mut headers = HeaderMap::new();
        headers.insert(
            "transfer-encoding",
            "gzip, chunked".parse().expect("a value"),
        );
        let plain = decode(&headers, gzip.finish().expect("memory"), false, 100);
        assert_eq!(plain.expect("gzip").body, b"hello");
    }

    #[test]
    fn names_that_are_no_codings_change_nothing() {
        for coding in ["utf-8", "none", "8bit", "aws-chunked", "foo", "Shift_JIS"] {
            let plain = decode(&headers(coding), b"hello".to_vec(), false, 10).expect(coding);
            assert_eq!(plain.body, b"hello");
            assert!(plain.note.is_some_and(|it| it.contains("is plain")));
        }
        let packed = b"\x04\x22\x4d\x18\x64\x40\xa7".to_vec();
        assert!(decode(&headers("lz4"), packed.clone(), false, 10).is_err());
        assert!(decode(&headers("none"), packed, false, 10).is_ok());
    }
}
