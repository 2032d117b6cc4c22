//! `http`: answers that are odd, cut off, or in another charset; what curl reads, koshu reads.

use crate::engine::find;
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, lab};
use crate::server;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;

fn http(address: SocketAddr, words: &[&str]) -> Said {
    koshu(&[&["http", &format!("http://{address}/")], words].concat())
}

/// A response with a head as given, and the body "hi".
fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi").into_bytes()
}

fn chunks(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

/// Status and size that curl sees; nothing where it refuses the answer.
fn by_curl(address: SocketAddr) -> Option<(String, String)> {
    let out = Command::new("curl")
        .args(["-sS", "-m", "5", "-o", "/dev/null", "--noproxy", "*"])
        .args(["-w", "%{http_code} %{size_download}"])
        .arg(format!("http://{address}/"))
        .output()
        .expect("curl");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (status, size) = text.split_once(' ').expect("two words");
    (out.status.success()).then(|| (status.to_owned(), size.to_owned()))
}

#[test]
fn odd_answers_are_read_as_curl_reads_them() {
    let many: String = (0..256).map(|it| format!("X-{it}: y\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "y".repeat(60 << 10));
    let status = |line: &str| format!("{line}\r\nContent-Length: 2\r\n\r\nhi").into_bytes();
    let odd: &[(&str, Vec<u8>)] = &[
        ("two blanks", status("HTTP/1.1  200")),
        ("lower case", status("http/1.1 200 ok")),
        ("no reason", status("HTTP/1.1 200")),
        ("glued reason", status("HTTP/1.1 200OK")),
        ("version 2", status("HTTP/2 200")),
        ("256 fields", head(&many)),
        ("60 KiB", head(&large)),
        ("folded", head("X-A: b\r\n  c\r\n\td\r\n")),
        ("blank before the colon", head("X-A : b\r\n")),
        ("odd name", head("X A@(b): c\r\n")),
        ("no name", head(": c\r\n")),
        ("control characters", head("Set-Cookie: a=\x01b\x7f\r\n")),
        ("a CR of its own", head("X-A: b\rX-B: c\r\n")),
        ("LF alone", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi".to_vec()),
        ("LF in chunks", chunks("2\nhi\n0\n\n")),
        ("LF in some chunks", chunks("1\r\nh\n1\ni\r\n0\r\n\n")),
        ("trailer", chunks("2;a=b\r\nhi\r\n000\r\nX: y\r\n\r\n")),
        ("chunks in 1.0", [&b"HTTP/1.0"[..], &chunks("2\r\nhi\r\n0\r\n\r\n")[8..]].concat()),
        ("interim answers with fields", [
            &b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"[..],
            &head(""),
        ].concat()),
        ("more than was said", [&head("")[..], b" there"].concat()),
        ("a number and more", b"HTTP/1.1 200 OK\r\nContent-Length: 2 B\r\n\r\nhi".to_vec()),
    ];
    let has_curl = find("curl").is_some();
    for (what, bytes) in odd {
        let address = server::fixed(bytes.clone());
        http(address, &["body=^hi$", "size=2B:2B,"]).is("OK");
        if has_curl {
            let seen = by_curl(address);
            assert_eq!(seen, Some(("200".into(), "2".into())), "{what}");
        }
    }
    // Folded and cleaned, fields can be expected.
    let folded = server::fixed(head("X-A: b\r\n  c\r\nSet-Cookie: a=\x01b\r\n"));
    http(folded, &["header={X-A='^b c$', Set-Cookie='^a= b$'}"]).is("OK");
}

#[test]
fn answers_that_nobody_can_read_say_what_is_wrong() {
    let extensions = chunks(&format!("2;{}\r\nhi\r\n0\r\n\r\n", "x".repeat(100_000)));
    let broken: &[(&[u8], &str, &str)] = &[
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "not-http",
            "it begins with \"SSH-2.0-OpenSSH_9.2\"",
        ),
        (
            b"220 mail ESMTP\r\n",
            "not-http",
            "it begins with \"220 mail ESMTP\"",
        ),
        (
            b"<html>hi</html>",
            "not-http",
            "it begins with \"<html>hi</html>\"",
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            "not-http",
            "it speaks TLS, write https://",
        ),
        (
            b"HTTP/9.9 x\r\n\r\n",
            "not-http",
            "a version of HTTP that was not asked for",
        ),
        (
            b"HTTP/1.1 20 OK\r\n\r\n",
            "bad-http",
            "there is no status in \"HTTP/1.1 20 OK\"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "bad-http",
            "\"nonsense\" is no header",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "bad-http",
            "a header has a NUL",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "bad-http",
            "Content-Length is \"-5\"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
            "bad-http",
            "is given twice, and differs",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "bad-http",
            "\"zz\" is no size of a chunk",
        ),
        (
            &extensions,
            "bad-http",
            "the line before a chunk has more than 16 KiB",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX: y\r\n",
            "closed",
            "closed the connection within its headers, after 23 bytes",
        ),
    ];
    for (bytes, code, text) in broken {
        // Kept open: it is known at once.
        let bytes = bytes.to_vec();
        let said = http(server::fixed(bytes), &["--format", "json"]);
        assert_eq!(said.codes(), [*code], "{}", said.out);
        assert_eq!(said.json()["state"], 2);
        let summary = said.json()["checks"][0]["summary"].clone();
        assert!(
            summary.as_str().is_some_and(|it| it.contains(text)),
            "{summary}"
        );
    }
}

#[test]
fn a_service_that_greets_and_waits_is_known_at_once() {
    let ssh = server::serve(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-x\r\n");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.read(&mut [0; 4096]);
    });
    let said = http(ssh, &["timeout=30s"]);
    assert!(said.is("CRITICAL").contains("does not answer in HTTP"));
    assert!(said.took.as_secs() < 10);
}

/// Answers with these bytes, and breaks the connection off behind them.
fn reset_after(bytes: &str) -> SocketAddr {
    let bytes = bytes.to_owned();
    server::serve(move |mut stream| {
        // Who closes with something unread resets the connection.
        let _ = stream.read(&mut [0; 1]);
        let _ = stream.write_all(bytes.as_bytes());
    })
}

#[test]
fn a_page_that_is_cut_off_is_critical_and_says_after_how_much() {
    for (address, line) in [
        (
            reset_after("HTTP/1.1 200 OK\r\n\r\n<html>half"),
            "the page is cut off after 10 bytes: WHO broke the connection off",
        ),
        (
            reset_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
            "the page is cut off after 5 of 100 bytes: WHO broke the connection off",
        ),
        (
            server::fixed("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
            "the page is cut off after 5 of 100 bytes: WHO closed the connection",
        ),
        (
            server::fixed(chunks("5\r\nshort\r\n")),
            "the page is cut off after 5 bytes: WHO closed the connection",
        ),
        (
            server::fixed(chunks("ff\r\nshort")),
            "the page is cut off after 5 bytes: WHO closed the connection",
        ),
    ] {
        let said = http(address, &[]);
        assert_eq!(
            said.is("CRITICAL"),
            line.replace("WHO", &address.to_string())
        );
        let said = http(address, &["--format", "json"]);
        assert_eq!(said.codes(), ["cut-off"]);
        // What came is looked at all the same, and what did not is not there.
        http(address, &["grade={cut-off='ok'}", "body=(short|half)$"]).is("OK");
        http(address, &["grade={cut-off='ok'}", "body=</html>"]).is("CRITICAL");
        http(address, &["grade={cut-off='ok'}", "body_not=(short|half)"]).is("CRITICAL");
    }
    // A document that shows its own end was not cut off by what came behind it.
    for whole in ["<html>hi</html>\n", "{\"n\": 12}"] {
        http(reset_after(&format!("HTTP/1.1 200 OK\r\n\r\n{whole}")), &[]).is("OK");
    }
    http(reset_after("HTTP/1.1 200 OK\r\n\r\n12"), &[]).is("CRITICAL");
    // A page that ends with its connection, and that is closed as it should.
    http(server::fixed("HTTP/1.1 200 OK\r\n\r\n<html>half"), &[]).is("OK");
}

#[test]
fn a_compressed_page_that_is_cut_off_is_no_damaged_page() {
    let gzip = "\u{1f}";
    let address = server::fixed(format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n{gzip}"
    ));
    let said = http(address, &[]);
    assert!(
        said.is("CRITICAL")
            .starts_with("the page is cut off after 1 of 100 bytes")
    );
}

#[test]
fn tls_that_ends_without_close_notify_is_told_where_the_page_does_not_show_its_end() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let ca = format!("ca={}", lab.at("root.pem"));
    let ask = |address: SocketAddr, words: &[&str]| {
        koshu(&[&["http", &format!("https://{address}/"), &ca], words].concat())
    };
    let half = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf a te";
    let said = ask(lab.answer(half, ""), &[]);
    assert!(
        said.is("WARNING")
            .starts_with("the page may be cut off after 9 B"),
        "{}",
        said.out
    );
    let said = ask(lab.answer(half, ""), &["--format", "json"]);
    assert_eq!(said.codes(), ["no-close-notify"]);
    ask(
        lab.answer(half, ""),
        &["grade={no-close-notify='critical'}"],
    )
    .is("CRITICAL");
    ask(lab.answer(half, "goodbye"), &[]).is("OK");
    for whole in [
        "HTTP/1.1 200 OK\r\n\r\n<p>hi</p></HTML>\n<!-- made in 3 ms -->\n",
        "HTTP/1.1 200 OK\r\n\r\n{\"ok\": true}\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        ask(lab.answer(whole, ""), &[]).is("OK");
    }
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi";
    let said = ask(lab.answer(short, ""), &["--format", "json"]);
    assert_eq!(said.codes(), ["cut-off"]);
}

/// A page with a body that is not UTF-8.
fn page(content_type: &str, body: &[u8]) -> SocketAddr {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    server::fixed([head.as_bytes(), body].concat())
}

#[test]
fn keywords_are_found_in_pages_of_other_charsets() {
    // 障害 as five standards write it, and "é" in Latin-1.
    let sjis = b"\x8f\xe1\x8aQ";
    for (content_type, body) in [
        ("text/html; charset=Shift_JIS", &sjis[..]),
        ("text/html; charset=\"windows-31j\"", sjis),
        ("text/html; charset=EUC-JP", b"\xbe\xe3\xb3\xb2"),
        ("text/html; charset=iso-2022-jp", b"\x1b$B>c32\x1b(B"),
        ("text/html", b"<meta charset=\"shift_jis\">\x8f\xe1\x8aQ"),
        ("text/html", b"\xff\xfe\x9c\x96\xb3\x5b"),
        ("text/html; charset=utf-8", "障害".as_bytes()),
        // Declared wrongly by a server that says the same of all pages.
        ("text/html; charset=iso-8859-1", "障害".as_bytes()),
        ("text/html", "障害".as_bytes()),
    ] {
        let address = page(content_type, body);
        http(address, &["body=障害"]).is("OK");
        let said = http(address, &["body_not=障害"]);
        assert_eq!(
            said.is("CRITICAL"),
            "\"障害\" is found in the body",
            "{content_type}"
        );
        http(address, &["body=正常"]).is("CRITICAL");
        http(address, &["body_not=正常"]).is("OK");
    }
    let latin = page("text/plain; charset=ISO-8859-1", b"caf\xe9");
    http(latin, &["body=^café$"]).is("OK");
    http(latin, &["body_not=é"]).is("CRITICAL");
    // Undeclared, it is bytes.
    http(page("text/plain", b"caf\xe9"), &["body=(?-u:caf\\xe9)"]).is("OK");
    http(page("text/plain; charset=klingon", b"hi"), &["body=hi"])
        .has("the charset \"klingon\" is unknown here")
        .is("OK");
}

#[test]
fn json_with_a_byte_order_mark_is_json() {
    for body in [
        &b"\xef\xbb\xbf{\"status\":\"up\"}"[..],
        b"\xff\xfe{\0\"\0s\0t\0a\0t\0u\0s\0\"\0:\0\"\0u\0p\0\"\0}\0",
        b"{\"status\":\"up\"}",
    ] {
        let address = page("application/json", body);
        http(address, &["json={status='up'}"]).is("OK");
        http(address, &["json={status='down'}"]).is("CRITICAL");
    }
}

#[test]
fn codings_that_are_none_are_noted_and_read() {
    for coding in ["utf-8", "none", "8bit", "aws-chunked", "UTF8", "x-unknown"] {
        let address = server::page(
            "200 OK",
            &format!("Content-Encoding: {coding}\r\n"),
            "hello",
        );
        http(address, &["body=^hello$", "body_not=bye"])
            .has(&format!(
                "says that it is coded as \"{}\"",
                coding.to_lowercase()
            ))
            .is("OK");
        http(address, &["body_not=hello"]).is("CRITICAL");
    }
    for coding in ["br", "zstd"] {
        let address = server::page(
            "200 OK",
            &format!("Content-Encoding: {coding}\r\n"),
            "\x0b\x02",
        );
        http(address, &["body_not=x"]).is("CRITICAL");
        http(address, &[]).is("OK");
    }
}

#[test]
fn long_urls_and_tokens_are_sent() {
    let mirror = server::serve(|mut stream| {
        let size = server::head(&mut stream).len();
        let body = format!("{size}");
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    });
    for size in [8 << 10, 20 << 10, 60 << 10] {
        let url = format!("http://{mirror}/{}", "x".repeat(size));
        koshu(&["http", &url, &format!("body=^{}", &size.to_string()[..1])]).is("OK");
        let token = format!("bearer={}", "t".repeat(size));
        http(mirror, &[&token, "body=^\\d{4,5}$"]).is("OK");
    }
}
