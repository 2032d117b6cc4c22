//! `http`: against a real nginx, and against servers that misbehave.

use crate::engine::{self, Running, find};
use crate::koshu::{Said, koshu};
use crate::server;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

fn http(address: SocketAddr, words: &[&str]) -> Said {
    let url = format!("http://{address}/");
    koshu(&[&["http", &url], words].concat())
}

/// A real nginx with a page, redirects, a password, and TLS.
struct Nginx {
    _running: Running,
    folder: TempDir,
    plain: u16,
    tls: u16,
}

fn nginx() -> Option<Nginx> {
    let program = find("nginx")?;
    find("openssl")?;
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display().to_string();
    let (plain, tls) = (server::free_port(), server::free_port());
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:shop.example.jp,IP:127.0.0.1",
        "-keyout",
        &format!("{at}/key.pem"),
        "-out",
        &format!("{at}/cert.pem"),
        "-days",
        "90",
    ]);
    fs::create_dir(folder.path().join("www")).expect("a folder");
    fs::write(
        folder.path().join("www/index.html"),
        "<title>古酒 | shop</title>\nadd to cart\n",
    )
    .expect("a page");
    // "koshu:secret" as crypt(3) of plain text.
    fs::write(folder.path().join("passwd"), "koshu:{PLAIN}secret\n").expect("a file");
    let config = format!(
        "daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;
        events {{ }}
        http {{
            access_log {at}/access.log; root {at}/www; client_body_temp_path {at}/b; proxy_temp_path {at}/p;
            fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
            server {{
                listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
                ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;
                add_header X-Host $host; add_header X-Method $request_method;
                location /moved {{ return 301 /index.html; }}
                location /away {{ return 302 http://127.0.0.1:{plain}/index.html; }}
                location /loop {{ return 302 /loop; }}
                location /broken {{ return 503; }}
                location /secret {{ auth_basic x; auth_basic_user_file {at}/passwd; try_files /index.html =404; }}
                location /post {{ return 200 \"$request_method $content_type $content_length\"; }}
                location /gzip {{ gzip on; gzip_min_length 1; gzip_types *; try_files /index.html =404; }}
            }}
        }}"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config).expect("a file");
    let running = engine::start(
        Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file),
    );
    engine::until_open(plain);
    engine::until_open(tls);
    Some(Nginx {
        _running: running,
        folder,
        plain,
        tls,
    })
}

impl Nginx {
    fn get(&self, path: &str, words: &[&str]) -> Said {
        let url = format!("http://127.0.0.1:{}{path}", self.plain);
        koshu(&[&["http", &url], words].concat())
    }

    fn get_tls(&self, words: &[&str]) -> Said {
        let url = format!("https://127.0.0.1:{}/", self.tls);
        koshu(&[&["http", &url], words].concat())
    }

    fn ca(&self) -> String {
        format!("ca={}", self.folder.path().join("cert.pem").display())
    }
}

#[test]
fn a_real_nginx_is_judged_by_status_headers_and_body() {
    let Some(nginx) = nginx() else { return };
    let said = nginx.get(
        "/",
        &[
            "body=add to cart",
            "time=5s,9s",
            "header={Content-Type='^text/html'}",
        ],
    );
    assert!(
        said.is("OK").starts_with("HTTP 200 OK, 41 B in "),
        "{}",
        said.out
    );
    assert!(
        said.first().contains(" | time=0.") && said.first().contains("size=41B;;;0"),
        "{}",
        said.first()
    );
    assert_eq!(nginx.get("/none", &[]).is("WARNING"), "HTTP 404 Not Found");
    assert_eq!(
        nginx.get("/broken", &[]).is("CRITICAL"),
        "HTTP 503 Service Unavailable"
    );
    nginx.get("/none", &["status=404"]).is("OK");
    nginx.get("/", &["status=[404, '5xx']"]).is("CRITICAL");
    assert!(
        nginx
            .get("/", &["body=sold out"])
            .is("CRITICAL")
            .contains("/sold out/ is not found")
    );
    assert!(
        nginx
            .get("/", &["body_not=title.*shop"])
            .is("CRITICAL")
            .contains("title>古酒 ¦ shop")
    );
    assert!(
        nginx
            .get("/", &["header={X-None='.'}"])
            .is("CRITICAL")
            .contains("X-None is missing")
    );
    nginx.get("/", &["size=1B:10B,"]).is("WARNING");
}

#[test]
fn requests_are_as_the_list_says() {
    let Some(nginx) = nginx() else { return };
    nginx
        .get(
            "/post",
            &[
                "data=a=b&c",
                "body=^POST application/x-www-form-urlencoded 5$",
            ],
        )
        .is("OK");
    nginx
        .get(
            "/post",
            &[
                "method=PUT",
                "data=abc",
                "headers={Content-Type='text/plain'}",
                "body=^PUT text/plain 3$",
            ],
        )
        .is("OK");
    nginx
        .get("/", &["method=HEAD", "header={X-Method='^HEAD$'}"])
        .is("OK");
    nginx
        .get(
            "/",
            &[
                "headers={Host='other.example.jp'}",
                "header={X-Host='^other.example.jp$'}",
            ],
        )
        .is("OK");
    nginx.get("/secret", &[]).is("WARNING");
    nginx
        .get("/secret", &["user=koshu", "password=secret"])
        .is("OK");
    nginx
        .get("/secret", &["user=koshu", "password=wrong"])
        .is("WARNING");
    let url = format!("http://koshu:secret@127.0.0.1:{}/secret", nginx.plain);
    let said = koshu(&["http", &url, "--format", "json"]);
    assert_eq!(said.json()["checks"][0]["state"], 0);
    assert!(!said.out.contains("koshu:secret"), "{}", said.out);
}

#[test]
fn redirects_are_followed_and_said() {
    let Some(nginx) = nginx() else { return };
    let said = nginx.get("/moved", &["body=add to cart"]);
    assert!(said.is("OK").contains(&format!(
        "redirected to http://127.0.0.1:{}/index.html",
        nginx.plain
    )));
    nginx.get("/away", &["body=add to cart"]).is("OK");
    nginx.get("/moved", &["redirect=ok"]).is("OK");
    assert!(
        nginx
            .get("/moved", &["redirect=warning"])
            .is("WARNING")
            .contains("301 Moved Permanently, redirects to")
    );
    nginx.get("/moved", &["redirect=critical"]).is("CRITICAL");
    nginx.get("/moved", &["status=301"]).is("OK");
    assert!(
        nginx
            .get("/loop", &[])
            .is("CRITICAL")
            .contains("in a circle")
    );
    let nowhere = server::page("302 Found", "", "");
    assert!(
        http(nowhere, &[])
            .is("CRITICAL")
            .contains("without a Location")
    );
}

#[test]
fn tls_is_verified_unless_it_is_switched_off_and_said() {
    let Some(nginx) = nginx() else { return };
    assert_eq!(
        nginx.get_tls(&[]).is("CRITICAL"),
        "the certificate is self-signed"
    );
    nginx
        .get_tls(&["verify=false"])
        .has("the certificate was not verified")
        .is("OK");
    nginx.get_tls(&[&nginx.ca(), "body=add to cart"]).is("OK");
    nginx
        .get_tls(&["grade={self-signed='warning'}"])
        .is("WARNING");
    let address = format!("address=127.0.0.1:{}", nginx.tls);
    let by_name = koshu(&[
        "http",
        "https://shop.example.jp/",
        &address,
        &nginx.ca(),
        "header={X-Host='^shop.example.jp$'}",
    ]);
    by_name.is("OK");
    let wrong = koshu(&["http", "https://other.example.jp/", &address, &nginx.ca()]);
    assert!(
        wrong
            .is("CRITICAL")
            .contains("is for shop.example.jp, 127.0.0.1, not for other.example.jp")
    );
    let plain = koshu(&[
        "http",
        &format!("https://127.0.0.1:{}/", nginx.plain),
        "verify=false",
    ]);
    assert!(
        plain.is("CRITICAL").contains("does not speak TLS"),
        "{}",
        plain.out
    );
}

#[test]
fn a_cached_or_compressed_answer_is_not_asked_for() {
    let Some(nginx) = nginx() else { return };
    nginx.get("/gzip", &["body=add to cart"]).is("OK");
}

#[test]
fn chunked_bodies_end_where_they_end() {
    let chunked = server::serve(|mut stream| {
        server::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n");
        // Kept open: the answer is whole all the same.
        sleep(Duration::from_secs(30));
    });
    let said = http(chunked, &["body=^hello world$"]);
    assert!(said.is("OK").contains("11 B"));
    assert!(said.took < Duration::from_secs(5));
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let address = server::fixed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert!(
        http(address, &["method=POST", "data=x"])
            .is("OK")
            .starts_with("HTTP 204")
    );
}

#[test]
fn bodies_without_end_are_cut_with_a_clear_message() {
    let endless = server::serve(|mut stream| {
        server::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let said = http(endless, &["body=needle"]);
    assert!(
        said.is("CRITICAL")
            .contains("is not found in the first 4.0 MiB")
    );
    http(endless, &[])
        .has("only the first 4.0 MiB were read")
        .is("OK");
}

#[test]
fn what_only_says_that_it_is_compressed_is_told_where_it_matters() {
    let no_gzip = || {
        server::page(
            "200 OK",
            "Content-Encoding: gzip\r\n",
            "\u{1f}not really gzip",
        )
    };
    http(no_gzip(), &[]).is("OK");
    assert_eq!(
        http(no_gzip(), &["body=gzip"]).is("CRITICAL"),
        "the body is not the gzip that it says it is"
    );
}

#[test]
fn a_drip_feed_is_bounded_by_the_deadline() {
    let drip = server::serve(|mut stream| {
        server::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            sleep(Duration::from_millis(100));
        }
    });
    let said = http(drip, &["timeout=700ms"]);
    assert!(
        said.is("CRITICAL")
            .contains("no answer in time, reading the body"),
        "{}",
        said.out
    );
    assert!(said.took < Duration::from_millis(1700));
}

#[test]
fn ten_thousand_headers_are_refused_not_read_for_ever() {
    let headers: String = (0..10_000).map(|it| format!("X-{it}: y\r\n")).collect();
    let said = http(server::page("200 OK", &headers, ""), &[]);
    said.is("CRITICAL");
}

#[test]
fn what_is_no_http_is_critical() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/9.9 x\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    ] {
        let said = http(server::fixed(bytes), &["timeout=2s"]);
        said.is("CRITICAL");
    }
}

#[test]
fn a_body_that_breaks_off_is_critical() {
    let short = server::fixed("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    let said = http(short, &[]);
    assert!(said.is("CRITICAL").contains("closed"), "{}", said.out);
    let silent = server::serve(drop);
    http(silent, &[]).is("CRITICAL");
}

#[test]
fn bytes_that_are_not_utf8_are_quoted_as_text() {
    let address =
        server::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\xff\xfe|\x00bad\x07".to_vec());
    let said = http(address, &["body_not=(?s-u).+bad"]);
    assert!(said.is("CRITICAL").contains("¦"), "{}", said.out);
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let status = if head.to_lowercase().contains("authorization") || head.contains("X-Token") {
            "500 Leak"
        } else {
            "200 OK"
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let first = server::page("302 Found", &format!("Location: http://{other}/\r\n"), "");
    http(first, &["user=u", "password=p", "headers={X-Token='t'}"]).is("OK");
}

#[test]
fn ipv6_literals_and_families_are_honoured() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        engine::skip("no IPv6 loopback here");
        return;
    };
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = server::head(&mut stream);
            let good = head.contains(&format!("host: [::1]:{port}"))
                || head.contains(&format!("Host: [::1]:{port}"));
            let status = if good { "200 OK" } else { "400 Bad Host" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    koshu(&["http", &format!("http://[::1]:{port}/")]).is("OK");
    let none = koshu(&["http", &format!("http://[::1]:{port}/"), "family=ipv4"]);
    assert!(none.is("CRITICAL").contains("has no IPv4 address"));
}
