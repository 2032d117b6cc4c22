//! `http`: where redirects lead, what goes along with them, and what of them is shown.

use crate::koshu::{Lists, Said, koshu};
use crate::lab::{GOOD, lab};
use crate::server;
use std::io::Write;
use std::net::SocketAddr;

fn http(address: SocketAddr, words: &[&str]) -> Said {
    koshu(&[&["http", &format!("http://{address}/")], words].concat())
}

fn redirect(status: u16, to: &str) -> SocketAddr {
    server::page(
        &format!("{status} Away"),
        &format!("Location: {to}\r\n"),
        "",
    )
}

/// Answers with the head of the request as its body.
fn mirror() -> SocketAddr {
    server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let length = head.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}"
        );
    })
}

#[test]
fn what_is_no_secret_goes_to_where_a_page_redirects() {
    let mirror = mirror();
    let first = redirect(302, &format!("http://{mirror}/"));
    let headers = "headers={User-Agent='old device', Accept='text/html', X-Probe='7', X-Api-Key='k', Host='shop.example.jp', Cookie='c=1', X-Placed={env='HOME'}}";
    http(
        first,
        &[
            headers,
            "bearer=abc",
            "body=['\\nUser-Agent: old device\\r', '\\nAccept: text/html\\r', '\\nX-Probe: 7\\r']",
            "body_not=['(?i)authorization', 'X-Api-Key', 'Cookie', 'X-Placed', 'shop.example.jp']",
        ],
    )
    .is("OK");
    // On the same server all of it goes along.
    let same = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let _ = match head.starts_with("GET /there") {
            true => {
                let length = head.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}"
                )
            }
            false => write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
            ),
        };
    });
    let all = "body=['X-Api-Key: k', 'Cookie: c=1', 'X-Placed: /', 'Host: shop.example.jp', 'Bearer abc']";
    http(same, &[headers, "bearer=abc", all]).is("OK");
}

#[test]
fn a_body_is_not_sent_to_another_server() {
    for status in [307, 308] {
        let mirror = mirror();
        let first = redirect(status, &format!("http://{mirror}/in?token=hunter2"));
        let said = http(first, &["data=password=x", "--format", "json"]);
        assert_eq!(said.codes(), ["redirect"]);
        assert_eq!(said.json()["state"], 2);
        said.has(&format!("HTTP {status} redirects to http://{mirror}/in?…, another server: the body is not sent there"));
        // Without a body there is nothing to keep back.
        http(first, &["body=^GET /in"]).is("OK");
        http(first, &["method=DELETE", "body=^DELETE /in"]).is("OK");
    }
    for status in [301, 302, 303] {
        let mirror = mirror();
        let first = redirect(status, &format!("http://{mirror}/"));
        let words = [
            "data=password=x",
            "headers={Content-Type='text/x', X-A='b'}",
        ];
        let none = ["body=['^GET / ', 'X-A: b']", "body_not=(?i)content-"];
        http(first, &[&words[..], &none[..]].concat()).is("OK");
    }
    // On the same server the body is sent again.
    let same = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let status = match head.contains(" /there ") {
            true => "200 OK",
            false => "307 There\r\nLocation: /there",
        };
        let kept = head.contains("Content-Length: 3") || head.contains("content-length: 3");
        let body = if kept { "kept" } else { "lost" };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\n{body}"
        );
    });
    http(same, &["data=abc", "body=kept"]).is("OK");
}

#[test]
fn redirects_out_of_tls_are_warned_of() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let plain = server::page("200 OK", "", "here");
    let answer = format!("HTTP/1.0 302 Found\r\nLocation: http://{plain}/?token=hunter2\r\n\r\n");
    let url = format!("https://{}/away", lab.answer(&answer, "goodbye"));
    let ca = lab.at("root.pem");
    let ca = format!("ca={ca}");
    let ask = |words: &[&str]| koshu(&[&["http", &url, &ca], words].concat());
    let said = ask(&["body=here"]);
    assert_eq!(
        said.is("WARNING"),
        format!("{url} redirects to http://{plain}/?…, which is not encrypted")
    );
    assert_eq!(ask(&["--format", "json"]).codes(), ["insecure-redirect"]);
    ask(&["grade={insecure-redirect='ok'}", "body=here"]).is("OK");
    ask(&["redirect=ok"]).is("WARNING");
}

#[test]
fn the_final_url_is_expected() {
    let page = server::page("200 OK", "", "");
    let first = redirect(302, &format!("http://{page}/login?from=shop"));
    http(first, &["final_url=/login\\?from=shop$"]).is("OK");
    let said = http(first, &["final_url=^https://"]);
    assert_eq!(
        said.is("CRITICAL"),
        format!("the final URL is http://{page}/login?…, expected /^https:///")
    );
    let said = http(
        first,
        &["final_url={text='/login', not=true}", "--format", "json"],
    );
    assert_eq!(said.codes(), ["final-url"]);
    // Without a redirect it is the URL itself.
    http(page, &["final_url=/$"]).is("OK");
    http(page, &["final_url=/$", "redirect=ok"]).is("UNKNOWN");
}

#[test]
fn queries_of_redirect_targets_are_never_shown() {
    let page = server::page("200 OK", "", "");
    let token = "token=hunter2";
    let to = format!("http://{page}/a?{token}#{token}");
    let lists: Vec<(&str, SocketAddr, &[&str])> = vec![
        ("followed", redirect(302, &to), &[]),
        ("told", redirect(302, &to), &["redirect=warning"]),
        (
            "expected",
            redirect(302, &to),
            &["status=302", "header={Location='^/here$'}"],
        ),
        ("circle", redirect(302, &format!("/?{token}")), &[]),
        ("no URL", redirect(302, &format!("http://[x/?{token}")), &[]),
        ("not ours", redirect(302, &format!("ftp://h/?{token}")), &[]),
        ("body", redirect(307, &to), &["data=x"]),
        ("elsewhere", redirect(302, &to), &["final_url=^https"]),
        ("too many", redirect(302, &to), &["redirects=0"]),
    ];
    for (what, address, words) in lists {
        for format in ["human", "nagios", "json", "junit", "prometheus", "tap"] {
            let said = http(address, &[words, &["--format", format]].concat());
            assert!(
                !said.out.contains("hunter2"),
                "{what} in {format}: {}",
                said.out
            );
        }
    }
    // Nor does history keep them.
    let first = redirect(302, &to);
    let lists = Lists::new(&format!(
        "[[check]]\ntype = \"http\"\nurl = \"http://{first}/\"\n"
    ));
    let state = lists.path().join("history").display().to_string();
    lists.run(&["--state", &state]).is("OK");
    let bytes = std::fs::read_dir(lists.path()).expect("a folder").flatten();
    for file in bytes {
        let bytes = std::fs::read(file.path()).expect("a file");
        let found = bytes.windows(7).any(|it| it == b"hunter2");
        assert!(!found, "{}", file.path().display());
    }
}

#[test]
fn proxies_of_the_environment_are_ignored() {
    let page = server::page("200 OK", "", "here");
    let url = format!("http://{page}/");
    let nowhere = format!("http://{}", server::closed());
    let mut command = crate::koshu::command(&["http", &url, "body=here"]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &nowhere);
    }
    crate::koshu::said(&mut command).is("OK");
    koshu(&["explain", "http"]).has("HTTP_PROXY, HTTPS_PROXY and other variables are ignored");
}

#[test]
fn schemes_are_written_in_either_case() {
    let page = server::page("200 OK", "", "here");
    koshu(&["http", &format!("HTTP://{page}/"), "body=here"]).is("OK");
    let first = redirect(302, &format!("Http://{page}/"));
    http(first, &["body=here"]).is("OK");
}
