//! Reads responses as curl does: what is odd but clear reaches the strict parser behind it in plain form.

use crate::model::text;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How much may stand in front of a body, and in how many fields; as much as curl reads.
const HEAD: usize = 300 << 10;
const FIELDS: usize = 5000;
/// How long the line in front of a chunk may be, with its extensions.
const CHUNK_LINE: usize = 16 << 10;

/// The head of a response as it was sent.
#[derive(Debug, Default)]
pub struct Head {
    /// The status line (RFC 9112, section 4).
    pub line: String,
    /// The fields; blanks stand for control characters (RFC 9110, section 5.5), and names that are none are left out.
    pub fields: HeaderMap,
}

/// Why bytes are no response; the text goes on after the peer's name.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    pub code: &'static str,
    pub text: String,
}

fn not_http(text: String) -> Wrong {
    let code = "not-http";
    Wrong { code, text }
}

fn broken(text: &str) -> Wrong {
    let text = format!("answers in broken HTTP: {text}");
    let code = "bad-http";
    Wrong { code, text }
}

/// Where the connection ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// Between responses, or behind a body that says itself where it ends.
    Whole,
    /// Behind a body that ends only where the connection does.
    Unframed,
    /// Within the head, behind so many of its bytes.
    InHead(usize),
    /// Within the body, behind so many of its bytes, of how many if that was said.
    InBody(u64, Option<u64>),
}

/// What comes next (RFC 9112, section 6.3).
#[derive(Debug, PartialEq)]
enum Next {
    Head,
    /// So many bytes of a body, of how many.
    Length(u64, u64),
    ChunkSize,
    ChunkData(u64),
    /// The line end behind a chunk's data.
    ChunkEnd,
    Trailer,
    UntilClosed,
    Nothing,
}

/// Reads one response after another.
#[derive(Debug)]
pub struct Reader {
    next: Next,
    /// What was read of a head or a line that is not whole yet.
    partial: Vec<u8>,
    /// How many bytes of the body came.
    body: u64,
    /// How many bytes of heads and trailers came.
    around: usize,
    /// The head of the final response, once it came.
    pub head: Option<Head>,
}

impl Reader {
    pub fn new() -> Reader {
        Reader {
            next: Next::Head,
            partial: Vec::new(),
            body: 0,
            around: 0,
            head: None,
        }
    }

    /// How many of the next `count` bytes are handed on as they are; none where [`Reader::take`] wants to see them.
    pub fn plain(&mut self, count: usize) -> Option<usize> {
        let count = match &mut self.next {
            Next::UntilClosed => count as u64,
            Next::Length(left, _) => {
                let mine = (*left).min(count as u64);
                *left -= mine;
                mine
            }
            _ => return None,
        };
        self.body += count;
        usize::try_from(count).ok()
    }

    /// Reads bytes, and writes what they mean in plain form.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn take(&mut self, mut bytes: &[u8], to: &mut Vec<u8>) -> Result<(), Wrong> {
        while !bytes.is_empty() {
            let used = match &mut self.next {
                Next::Head => self.take_head(bytes, to)?,
                Next::ChunkSize | Next::ChunkEnd | Next::Trailer => self.take_line(bytes, to)?,
                Next::ChunkData(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX);
                    let count = count.min(bytes.len());
                    *left -= count as u64;
                    self.body += count as u64;
                    if *left == 0 {
                        self.next = Next::ChunkEnd;
                    }
                    to.extend_from_slice(format!("{count:x}\r\n").as_bytes());
                    to.extend_from_slice(&bytes[..count]);
                    to.extend_from_slice(b"\r\n");
                    count
                }
                Next::Length(..) | Next::UntilClosed => {
                    let count = self.plain(bytes.len()).unwrap_or_default();
                    to.extend_from_slice(&bytes[..count]);
                    // What is more than was said is nobody's.
                    bytes.len()
                }
                Next::Nothing => bytes.len(),
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// What it means that the connection ends here.
    pub fn end(&self) -> End {
        match self.next {
            Next::Head if self.partial.is_empty() => End::Whole,
            Next::Head => End::InHead(self.partial.len()),
            Next::Length(0, _) | Next::Trailer | Next::Nothing => End::Whole,
            Next::Length(_, all) => End::InBody(self.body, Some(all)),
            Next::ChunkSize | Next::ChunkData(_) | Next::ChunkEnd => End::InBody(self.body, None),
            Next::UntilClosed => End::Unframed,
        }
    }

    /// How many bytes of the body came so far, where it has begun.
    pub fn in_body(&self) -> Option<u64> {
        (self.next != Next::Head).then_some(self.body)
    }

    fn take_head(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<usize, Wrong> {
        let known = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let begin = self.partial.iter().position(|it| !it.is_ascii_whitespace());
        let Some(begin) = begin else {
            return self.bounded(bytes.len());
        };
        let head = &self.partial[begin..];
        let same = head.iter().zip(b"HTTP/");
        if !same
            .clone()
            .all(|(it, wanted)| it.eq_ignore_ascii_case(wanted))
        {
            return Err(not_http(format!("does not answer in HTTP: {}", seen(head))));
        }
        // The head ends at an empty line, whether lines end in CRLF or LF.
        let from = known.saturating_sub(2).max(begin);
        let end = (from..self.partial.len()).find_map(|at| match &self.partial[at..] {
            [b'\n', b'\r', b'\n', ..] => Some(at + 3),
            [b'\n', b'\n', ..] => Some(at + 2),
            _ => None,
        });
        let Some(end) = end else {
            return self.bounded(bytes.len());
        };
        self.bounded(end - known)?;
        let whole = std::mem::take(&mut self.partial);
        self.read_head(&whole[begin..end], to)?;
        Ok(end - known)
    }

    fn bounded(&mut self, more: usize) -> Result<usize, Wrong> {
        self.around += more;
        match self.around > HEAD {
            true => Err(broken("its headers have more than 300 KiB")),
            false => Ok(more),
        }
    }

    fn read_head(&mut self, head: &[u8], to: &mut Vec<u8>) -> Result<(), Wrong> {
        let mut lines = head
            .split(|it| *it == b'\n')
            .map(|it| it.strip_suffix(b"\r").unwrap_or(it));
        let line = String::from_utf8_lossy(lines.next().unwrap_or_default());
        let line = line.trim_end().to_owned();
        let (version, status) = status_line(&text::clean(&line))?;
        let fields = fields(lines)?;
        if (100..200).contains(&status) && status != 101 {
            // It only informs; of its fields none is needed.
            to.extend_from_slice(format!("HTTP/1.1 {status} \r\n\r\n").as_bytes());
            return Ok(());
        }
        let has = |name: HeaderName, token: &str| {
            let all = fields.get_all(name).into_iter();
            all.map(|it| String::from_utf8_lossy(it.as_bytes()))
                .any(|it| {
                    it.split(',')
                        .any(|it| it.trim().eq_ignore_ascii_case(token))
                })
        };
        let mut plain = format!("HTTP/1.1 {status} \r\n");
        self.next = match (has(header::TRANSFER_ENCODING, "chunked"), length(&fields)?) {
            (true, _) => {
                plain.push_str("Transfer-Encoding: chunked\r\n");
                Next::ChunkSize
            }
            (false, Some(length)) => {
                plain.push_str(&format!("Content-Length: {length}\r\n"));
                Next::Length(length, length)
            }
            (false, None) => Next::UntilClosed,
        };
        let stays = version > 10 || has(header::CONNECTION, "keep-alive");
        if has(header::CONNECTION, "close") || !stays {
            plain.push_str("Connection: close\r\n");
        }
        plain.push_str("\r\n");
        to.extend_from_slice(plain.as_bytes());
        self.head = Some(Head { line, fields });
        Ok(())
    }

    /// Reads up to a line's end, and the line when it is whole (RFC 9112, section 7.1).
    fn take_line(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<usize, Wrong> {
        let end = bytes.iter().position(|it| *it == b'\n');
        let used = end.map_or(bytes.len(), |it| it + 1);
        self.partial.extend_from_slice(&bytes[..used]);
        if self.next == Next::Trailer {
            self.bounded(used)?;
        } else if self.partial.len() > CHUNK_LINE {
            return Err(broken("the line before a chunk has more than 16 KiB"));
        }
        if end.is_none() {
            return Ok(used);
        }
        let line = std::mem::take(&mut self.partial);
        let line = line.trim_ascii();
        self.next = match self.next {
            Next::ChunkEnd if line.is_empty() => Next::ChunkSize,
            Next::ChunkEnd => return Err(broken("a chunk is longer than it says")),
            Next::Trailer if line.is_empty() => Next::Nothing,
            Next::Trailer => Next::Trailer,
            _ => match chunk_size(line)? {
                0 => {
                    to.extend_from_slice(b"0\r\n\r\n");
                    Next::Trailer
                }
                size => Next::ChunkData(size),
            },
        };
        Ok(used)
    }
}

/// How something begins that is no HTTP.
fn seen(bytes: &[u8]) -> String {
    match bytes {
        // A record of TLS: handshake or alert (RFC 8446, section 5.1).
        [0x15 | 0x16, 3, ..] => "it speaks TLS, write https://".to_owned(),
        _ => {
            let line = bytes.split(|it| *it == b'\n').next().unwrap_or_default();
            let line = text::excerpt(&String::from_utf8_lossy(line), 60);
            format!("it begins with \"{line}\"")
        }
    }
}

/// The version, as 11 for 1.1, and the status of a line such as `HTTP/1.1 200 OK`.
fn status_line(line: &str) -> Result<(u8, u16), Wrong> {
    let shown = || text::excerpt(line, 60);
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    let version = match version.as_bytes().get(5..).unwrap_or_default() {
        b"1.0" => 10,
        [b'1', b'.', minor] if minor.is_ascii_digit() => 11,
        b"2" | b"2.0" => 20,
        _ => {
            let text = "answers in a version of HTTP that was not asked for";
            return Err(not_http(format!("{text}: \"{}\"", shown())));
        }
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest[..digits].parse::<u16>() {
        Ok(status) if digits == 3 && status >= 100 => Ok((version, status)),
        _ => Err(broken(&format!("there is no status in \"{}\"", shown()))),
    }
}

/// The fields of a head, those that were folded on one line (RFC 9112, section 5.2).
fn fields<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Result<HeaderMap, Wrong> {
    let mut whole: Vec<Vec<u8>> = Vec::new();
    for line in lines.filter(|it| !it.is_empty()) {
        if line.contains(&0) {
            return Err(broken("a header has a NUL"));
        }
        match (line[0], whole.last_mut()) {
            (b' ' | b'\t', Some(before)) => {
                before.push(b' ');
                before.extend_from_slice(line.trim_ascii());
            }
            _ => whole.push(line.to_vec()),
        }
        if whole.len() > FIELDS {
            return Err(broken(&format!("there are more than {FIELDS} headers")));
        }
    }
    let mut fields = HeaderMap::new();
    for mut line in whole {
        let Some(colon) = line.iter().position(|it| *it == b':') else {
            let shown = text::excerpt(&String::from_utf8_lossy(&line), 60);
            return Err(broken(&format!("\"{shown}\" is no header")));
        };
        for byte in line.iter_mut().filter(|it| it.is_ascii_control()) {
            *byte = b' ';
        }
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    Ok(fields)
}

/// How long the body is, where the head says so (RFC 9110, section 8.6).
fn length(fields: &HeaderMap) -> Result<Option<u64>, Wrong> {
    let mut lengths = Vec::new();
    for value in fields.get_all(header::CONTENT_LENGTH) {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        for one in value.split(',') {
            let digits = one.trim().trim_start_matches('+');
            let end = digits
                .find(|it: char| !it.is_ascii_digit())
                .unwrap_or(digits.len());
            match &digits[..end] {
                "" => {
                    let shown = text::excerpt(&value, 60);
                    return Err(broken(&format!("Content-Length is \"{shown}\"")));
                }
                // What cannot be counted ends with the connection.
                digits => lengths.push(digits.parse::<u64>().ok()),
            }
        }
    }
    lengths.dedup();
    match lengths[..] {
        [] => Ok(None),
        [one] => Ok(one),
        _ => Err(broken("Content-Length is given twice, and differs")),
    }
}

/// The size in front of a chunk; extensions mean nothing here.
fn chunk_size(line: &[u8]) -> Result<u64, Wrong> {
    let digits = line.iter().take_while(|it| it.is_ascii_hexdigit()).count();
    let text = String::from_utf8_lossy(&line[..digits]);
    u64::from_str_radix(&text, 16).map_err(|_| {
        let shown = text::excerpt(&String::from_utf8_lossy(line), 60);
        broken(&format!("\"{shown}\" is no size of a chunk"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on, however the bytes come in.
    fn read(bytes: &[u8]) -> Result<(String, Reader), Wrong> {
        let mut whole = Vec::new();
        let mut reader = Reader::new();
        reader.take(bytes, &mut whole)?;
        let mut by_byte = Vec::new();
        let mut other = Reader::new();
        for byte in bytes.chunks(1) {
            other.take(byte, &mut by_byte)?;
        }
        let body = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.replace("1\r\nh\r\n1\r\ni\r\n", "2\r\nhi\r\n")
        };
        assert_eq!(body(&whole), body(&by_byte));
        assert_eq!(reader.end(), other.end());
        Ok((body(&whole), reader))
    }

    fn fields_of(text: &str) -> HeaderMap {
        let (_, reader) = read(format!("HTTP/1.1 200 OK\r\n{text}\r\n").as_bytes()).expect("read");
        reader.head.expect("a head").fields
    }

    #[test]
    fn odd_status_lines_are_read() {
        for line in [
            "HTTP/1.1  200",
            "http/1.1 200 ok",
            "HTTP/1.1 200OK",
            "HTTP/2 200",
            "\r\n HTTP/1.1\t200 OK",
        ] {
            let (plain, reader) = read(format!("{line}\n\nhi").as_bytes()).expect("a response");
            assert_eq!(plain, "HTTP/1.1 200 \r\n\r\nhi", "{line}");
            assert_eq!(reader.end(), End::Unframed);
        }
        for line in [
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099",
            "HTTP/1.1",
        ] {
            let wrong = read(format!("{line}\n\n").as_bytes()).expect_err(line);
            assert_eq!(wrong.code, "bad-http", "{line}");
        }
        for line in [
            "HTTP/9.9 x",
            "SSH-2.0",
            "<html>",
            "ICY 200 OK",
            "\x15\x03\x01",
        ] {
            let wrong = read(format!("{line}\n\n").as_bytes()).expect_err(line);
            assert_eq!(wrong.code, "not-http", "{line}");
        }
    }

    #[test]
    fn odd_fields_are_read() {
        let fields =
            fields_of("X-A : b\r\n\t c\r\nodd (name): x\r\n: y\r\nSet-Cookie: a=\x01b\rc\r\n");
        assert_eq!(fields.len(), 2);
        assert_eq!(fields["x-a"], "b c");
        assert_eq!(fields["set-cookie"], "a= b c");
        for bad in ["nonsense\r\n", "X: a\0b\r\n", "Content-Length: -2\r\n"] {
            let wrong = read(format!("HTTP/1.1 200 OK\r\n{bad}\r\n").as_bytes());
            assert_eq!(wrong.expect_err(bad).code, "bad-http");
        }
    }

    #[test]
    fn chunks_are_read_whatever_their_lines_end_in() {
        for body in [
            "2\nhi\n0\n\n",
            "2 ;a=b\r\nhi\n0;z\r\nX: y\r\n\r\n",
            "0002\r\nhi\r\n0\r\n",
        ] {
            let text = format!("HTTP/1.0 200 OK\nTransfer-Encoding: Chunked\n\n{body}");
            let (plain, reader) = read(text.as_bytes()).expect(body);
            assert!(plain.ends_with("\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), "{plain:?}");
            assert_eq!(reader.end(), End::Whole);
        }
        let long = format!("2;{}\r\nhi\r\n0\r\n\r\n", "x".repeat(100_000));
        for bad in ["zz\r\n", "2\r\nhi!\r\n0\r\n\r\n", &long] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{bad}");
            assert_eq!(read(text.as_bytes()).expect_err("broken").code, "bad-http");
        }
    }

    #[test]
    fn where_a_connection_ends_is_known() {
        for (text, end) in [
            ("", End::Whole),
            ("HTTP/1.1 200 OK\r\n", End::InHead(17)),
            ("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi!", End::Whole),
            (
                "HTTP/1.1 200 OK\nContent-Length: 3\n\nhi",
                End::InBody(2, Some(3)),
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhi\n",
                End::InBody(2, None),
            ),
            ("HTTP/1.1 200 OK\n\nhi", End::Unframed),
        ] {
            let (_, reader) = read(text.as_bytes()).expect(text);
            assert_eq!(reader.end(), end, "{text}");
        }
    }

    #[test]
    fn heads_have_bounds() {
        let long = format!("X: {}\r\n", "y".repeat(65_000));
        assert_eq!(fields_of(&long)["x"].len(), 65_000);
        let many: String = (0..400).map(|it| format!("X-{it}: y\r\n")).collect();
        assert_eq!(fields_of(&many).len(), 400);
        let mut reader = Reader::new();
        let mut to = Vec::new();
        assert!(reader.take(b"HTTP/1.1 200 OK\r\n", &mut to).is_ok());
        let more = [b'x'; 4096];
        let refused = (0..100).find_map(|_| reader.take(&more, &mut to).err());
        assert!(refused.is_some() && to.is_empty());
    }
}
