//! Content codings of a body (RFC 9110, section 8.4.1), undone up to a limit.

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;
use ureq::http::HeaderMap;

/// The body without its codings, and whether it has more than `limit` bytes.
///
/// # Errors
/// Which coding is unknown or damaged.
pub fn decode(
    headers: &HeaderMap,
    body: Vec<u8>,
    cut: bool,
    limit: u64,
) -> Result<(Vec<u8>, bool), String> {
    let codings = headers.get_all("content-encoding").iter();
    let codings: Vec<String> = codings
        .flat_map(|it| {
            String::from_utf8_lossy(it.as_bytes())
                .split(',')
                .map(|it| it.trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        })
        .filter(|it| !it.is_empty() && it != "identity")
        .collect();
    let (mut body, mut cut) = (body, cut);
    // The last one was applied last.
    for coding in codings.iter().rev() {
        if body.is_empty() {
            break;
        }
        let decoded = match coding.as_str() {
            "gzip" | "x-gzip" => bounded(MultiGzDecoder::new(&body[..]), limit),
            // Some servers send what is meant by the name, others what it says.
            "deflate" => bounded(ZlibDecoder::new(&body[..]), limit)
                .or_else(|_| bounded(DeflateDecoder::new(&body[..]), limit)),
            _ => {
                return Err(format!(
                    "the body is compressed with {coding}, which is unknown here"
                ));
            }
        };
        let (bytes, more) = match decoded {
            Ok(decoded) => decoded,
            // Of a body that was cut off the beginning is good enough.
            Err(partial) if cut && !partial.is_empty() => (partial, true),
            Err(_) => return Err(format!("the body is not the {coding} that it says it is")),
        };
        body = bytes;
        cut |= more;
    }
    Ok((body, cut))
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
            assert_eq!(decoded, Ok((text.clone(), false)), "{coding}");
        }
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![0; 10 << 20]).expect("memory");
        let bytes = gzip.finish().expect("memory");
        let (body, cut) = decode(&headers("gzip"), bytes, false, 1000).expect("gzip");
        assert_eq!((body.len(), cut), (1000, true));
    }

    #[test]
    fn damaged_and_unknown_codings_are_told() {
        assert!(decode(&headers("gzip"), b"hello".to_vec(), false, 10).is_err());
        assert!(decode(&headers("br"), b"hello".to_vec(), false, 10).is_err());
        assert_eq!(
            decode(&headers("br"), vec![], false, 10),
            Ok((vec![], false))
        );
    }
}
