//! `http`: what the list can ask for and expect of a page, tried on servers that tell what they were sent.

use crate::engine::{self, find};
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, Wish, lab};
use crate::namespace::namespace;
use crate::nginx::nginx;
use crate::server;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

fn http(address: SocketAddr, words: &[&str]) -> Said {
    let url = format!("http://{address}/");
    koshu(&[&["http", &url], words].concat())
}

/// Answers with the head of the request as its body.
fn mirror() -> SocketAddr {
    server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        );
    })
}

#[test]
fn status_lines_are_expected_as_they_were_sent() {
    let teapot = || server::page("418 I'm a teapot", "", "");
    http(teapot(), &["status_line=418 I.m a teapot$"]).is("OK");
    let said = http(teapot(), &["status_line=^HTTP/1.1 200"]);
    assert_eq!(
        said.is("CRITICAL"),
        "/^HTTP/1.1 200/ is not found in the status line \"HTTP/1.1 418 I'm a teapot\""
    );
}

#[test]
fn conditions_can_be_literal_inverted_case_insensitive_and_across_lines() {
    let page = || server::page("200 OK", "X-Cache: HIT\r\n", "Fatal\nERROR (1+1)");
    for good in [
        "body={text='(1+1)'}",
        "body={text='fatal', ignore_case=true}",
        "body={regex='Fatal.ERROR', linespan=true}",
        "body={text='warning', not=true}",
        "body=['Fatal', {text='ERROR'}]",
        "header={X-Cache={text='hit', ignore_case=true}}",
        "header={X-Cache={text='MISS', not=true}}",
        "header={X-Other={regex='.', not=true}}",
    ] {
        http(page(), &[good]).is("OK");
    }
    for (bad, line) in [
        ("body={text='1.1'}", "\"1.1\" is not found in the body"),
        ("body={text='fatal'}", "\"fatal\" is not found in the body"),
        ("body=Fatal.ERROR", "/Fatal.ERROR/ is not found in the body"),
        (
            "body={regex='err.r', ignore_case=true, not=true}",
            "\"ERROR\" is found in the body",
        ),
        ("body_not=['x', 'ERR']", "\"ERR\" is found in the body"),
        (
            "header={X-Cache={text='HIT', not=true}}",
            "header X-Cache is \"HIT\", expected not \"HIT\"",
        ),
    ] {
        assert_eq!(http(page(), &[bad]).is("CRITICAL"), line);
    }
}

#[test]
fn fields_of_json_are_expected_and_graphed() {
    let page = || {
        let body = r#"{"status":"up","queue":{"length":250},"nodes":[{"ok":true}]}"#;
        server::page("200 OK", "Content-Type: application/json\r\n", body)
    };
    http(
        page(),
        &["json={status='up', 'nodes.0.ok'=true, '/queue/length'=250}"],
    )
    .is("OK");
    let said = http(page(), &["json={'queue.length'={warn='100', crit='1000'}}"]);
    assert_eq!(said.is("WARNING"), "queue.length is 250");
    said.has(" json_queue_length=250;100;1000");
    let said = http(page(), &["json={'queue.length'='100,1000'}"]);
    assert_eq!(said.is("WARNING"), "queue.length is 250");
    said.has(" json_queue_length=250;100;1000");
    http(page(), &["json={'queue.length'='50,100'}"]).is("CRITICAL");
    http(page(), &["json={'queue.length'='1,2,3'}"])
        .has("more than two limits")
        .is("UNKNOWN");
    assert_eq!(
        http(page(), &["json={status='down'}"]).is("CRITICAL"),
        "status is \"up\", expected \"down\""
    );
    assert_eq!(
        http(page(), &["json={gone=1}"]).is("CRITICAL"),
        "gone is not in the JSON document"
    );
    let said = http(server::page("200 OK", "", "<html>"), &["json={a=1}"]);
    assert!(
        said.is("CRITICAL")
            .starts_with("the body is no JSON document")
    );
    http(page(), &["json={a={}}"]).is("UNKNOWN");
}

#[test]
fn requests_have_the_headers_bodies_and_versions_of_the_list() {
    http(
        mirror(),
        &[
            "headers={X-One='1', User-Agent='old device'}",
            "body=['\\nX-One: 1\\r', '\\nUser-Agent: old device\\r', '^GET / HTTP/1.1']",
        ],
    )
    .is("OK");
    http(mirror(), &["version=1.0", "body=^GET / HTTP/1.0\\r"]).is("OK");
    http(
        mirror(),
        &["bearer=abc.def", "body=\\nAuthorization: Bearer abc.def\\r"],
    )
    .is("OK");
    http(mirror(), &["method=OPTIONS", "body=^OPTIONS / HTTP/1.1\\r"]).is("OK");
    http(
        mirror(),
        &["method=PROPFIND", "data=<x/>", "body=^PROPFIND / "],
    )
    .is("OK");
}

#[test]
fn documents_grow_old() {
    let date = |ago: &str| {
        let out = Command::new("date")
            .args(["-u", "-d", ago, "+%a, %d %b %Y %H:%M:%S GMT"])
            .env("LC_ALL", "C")
            .output()
            .expect("date");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let aged = |ago: &str| {
        let headers = format!("Last-Modified: {}\r\n", date(ago));
        http(server::page("200 OK", &headers, ""), &["age=1h,1d"])
    };
    aged("10 minutes ago").is("OK");
    assert_eq!(
        aged("3 hours ago").is("WARNING"),
        "the document was modified 3 h ago"
    );
    aged("2 days ago")
        .has("age=172800s;3600;86400")
        .is("CRITICAL");
    let said = http(server::page("200 OK", "", ""), &["age=1h,1d"]);
    assert_eq!(
        said.is("CRITICAL"),
        "the document does not say when it was last modified"
    );
}

#[test]
fn cookies_go_along_with_redirects() {
    let address = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let answer = match head.contains("Cookie: session=42") {
            true => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome".to_owned(),
            false => "HTTP/1.1 302 Found\r\nSet-Cookie: session=42; Path=/\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    // It sends back to itself, and is no circle because of the cookie.
    http(address, &["body=welcome"]).is("OK");
}

#[test]
fn cookies_do_not_go_to_strangers() {
    let stranger = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let status = if head.contains("Cookie") {
            "500 Leak"
        } else {
            "200 OK"
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let other = format!("localhost:{}", stranger.port());
    let headers = format!("Set-Cookie: a=1; Path=/\r\nLocation: http://{other}/\r\n");
    http(server::page("302 Found", &headers, ""), &["family=ipv4"]).is("OK");
}

#[test]
fn redirects_have_a_depth_and_can_stick_to_the_address() {
    let deep = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let depth = head.matches('x').count();
        let path = "x".repeat(depth + 1);
        let _ = write!(
            stream,
            "HTTP/1.1 301 Moved\r\nLocation: /{path}\r\nContent-Length: 0\r\n\r\n"
        );
    });
    let said = http(deep, &["redirects=3"]);
    assert!(
        said.is("CRITICAL")
            .starts_with("redirects more than 3 times"),
        "{}",
        said.out
    );
    http(deep, &["redirects=3", "redirect=ok"]).is("UNKNOWN");

    // The name of the second page exists nowhere: only who sticks to the address finds it.
    let page = server::page("200 OK", "", "here");
    let there = format!("Location: http://other.invalid:{}/\r\n", page.port());
    let first = || server::page("302 Found", &there, "");
    http(first(), &["redirect=sticky", "body=here"]).is("OK");
    assert!(
        http(first(), &[])
            .is("CRITICAL")
            .contains("other.invalid does not exist")
    );
    let same_port = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let answer: &[u8] = match head.contains("other.invalid") {
            true => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false => {
                b"HTTP/1.1 302 Found\r\nLocation: http://other.invalid:1/\r\nContent-Length: 0\r\n\r\n"
            }
        };
        let _ = stream.write_all(answer);
    });
    http(same_port, &["redirect=stickyport"]).is("OK");
    http(same_port, &["redirect=sticky"]).is("CRITICAL");
}

#[test]
fn a_post_becomes_a_get_where_the_server_says_see_other() {
    let address = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let answer = match head.starts_with("POST / ") {
            true => "HTTP/1.1 303 See Other\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n",
            false if head.starts_with("GET /done ") && !head.contains("Content-Length") => {
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            false => "HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\n",
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    http(address, &["data=abc"]).is("OK");
}

#[test]
fn unix_sockets_are_asked_like_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let good = head.starts_with("GET /_ping HTTP/1.1") && head.contains("Host: docker");
            let status = if good { "200 OK" } else { "400 Bad" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nOK");
        }
    });
    let address = format!("address=unix:{}", path.display());
    koshu(&["http", "http://docker/_ping", &address, "body=^OK$"]).is("OK");
    let gone = format!("address=unix:{}/gone", folder.path().display());
    let said = koshu(&["http", "http://docker/_ping", &gone]);
    assert!(
        said.is("CRITICAL").contains("does not exist"),
        "{}",
        said.out
    );
}

#[test]
fn a_proxy_line_says_for_whom_it_is() {
    let address = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let from = stream.peer_addr().map(|it| it.port()).unwrap_or_default();
        let to = stream.local_addr().map(|it| it.port()).unwrap_or_default();
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\nGET / HTTP/1.1\r\n");
        let status = if head.starts_with(&line) {
            "200 OK"
        } else {
            "400 Bad"
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    http(address, &["proxy_line=true"]).is("OK");
    http(address, &[]).is("WARNING");
}

#[test]
fn phases_are_measured_and_limited() {
    let slow = || {
        server::serve(|mut stream| {
            server::head(&mut stream);
            thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
            // Longer than what is asserted, because koshu may hear of the first byte late.
            thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(b"b");
        })
    };
    let said = http(slow(), &["phases={first_byte='100ms,5s', transfer='10s,'}"]);
    assert!(
        said.is("WARNING").starts_with("first byte took "),
        "{}",
        said.out
    );
    let value = |label: &str| -> f64 {
        let found = said
            .first()
            .split(' ')
            .find_map(|it| it.strip_prefix(label));
        let found = found.unwrap_or_else(|| panic!("no {label} in {}", said.first()));
        let number = found.split('s').next().unwrap_or_default();
        number.parse().expect("a number")
    };
    let parts = ["resolve=", "connect=", "first_byte=", "transfer="].map(value);
    // What the server waits is in the phase in which it waits; a machine under load may add to any of them.
    assert!(parts[2] >= 0.3 && parts[3] >= 0.1, "{parts:?}");
    assert!(parts[0] < parts[2] && parts[1] < parts[2], "{parts:?}");
    let sum: f64 = parts.iter().sum();
    let time = value("time=");
    assert!(sum <= time, "{parts:?} of {time}");
}

#[test]
fn compressed_pages_are_read_and_bombs_end_at_the_limit() {
    let Some(_) = find("gzip") else { return };
    let zip = |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page");
        fs::write(&file, bytes).expect("a file");
        let out = Command::new("gzip").arg("-9c").arg(&file).output();
        out.expect("gzip").stdout
    };
    let serve = |body: Vec<u8>| {
        server::serve(move |mut stream| {
            let head = server::head(&mut stream);
            let asked = head.contains("Accept-Encoding: gzip, deflate");
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Asked: {asked}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body);
        })
    };
    let page = zip("add to cart ".repeat(1000).as_bytes());
    let said = http(
        serve(page),
        &[
            "compressed=true",
            "body=add to cart",
            "header={X-Asked='true'}",
        ],
    );
    assert!(said.is("OK").contains("11.7 KiB"), "{}", said.out);
    let bomb = zip(&vec![0; 200 << 20]);
    let said = http(serve(bomb), &["body=needle"]);
    assert!(
        said.is("CRITICAL")
            .contains("not found in the first 4.0 MiB"),
        "{}",
        said.out
    );
}

#[test]
fn sizes_above_the_usual_are_read_when_they_are_asked_for() {
    let big = || {
        server::serve(|mut stream| {
            server::head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6291456\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; 6 << 20]);
        })
    };
    http(big(), &["size=~:10MiB,"])
        .has("size=6291456B")
        .is("OK");
    let said = http(big(), &["size=~:5MiB,"]);
    assert_eq!(said.is("WARNING"), "the body has more than 5.0 MiB");
    assert!(
        http(big(), &["size=~:1GiB,"])
            .is("UNKNOWN")
            .contains("at most 64 MiB of a body are read")
    );
}

/// tinyproxy, with and without a password.
fn tinyproxy(lines: &str) -> Option<(engine::Running, u16, tempfile::TempDir)> {
    let program = find("tinyproxy")?;
    let folder = tempfile::tempdir().expect("a folder");
    let port = server::free_port();
    let file = folder.path().join("conf");
    let config = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\nPidFile \"{0}/pid\"\nLogFile \"{0}/log\"\nViaProxyName \"lab\"\n{lines}\n",
        folder.path().display()
    );
    fs::write(&file, config).expect("a file");
    let running = engine::start(Command::new(program).arg("-d").arg("-c").arg(&file));
    engine::until_open(port);
    Some((running, port, folder))
}

#[test]
fn a_real_proxy_forwards_and_tunnels() {
    let Some((_proxy, port, _folder)) = tinyproxy("") else {
        return;
    };
    let Some(lab) = lab() else { return };
    let proxy = format!("proxy=http://127.0.0.1:{port}");
    let said = http(mirror(), &[&proxy, "body=(?i)via: 1.1 lab"]);
    said.is("OK");
    said.has(&format!("answered by 127.0.0.1:{port}"));
    lab.issue(&GOOD);
    let (_server, address) = lab.serve("good", &[]);
    let ca = format!("ca={}", lab.at("root.pem"));
    let url = format!("https://{address}/");
    koshu(&["http", &url, &proxy, &ca, "body=s_server", "cert=14d,7d"])
        .has(" cert=")
        .is("OK");
    let closed = format!("https://{}/", server::closed());
    let said = koshu(&["http", &closed, &proxy]);
    assert!(
        said.is("CRITICAL").contains("opens no tunnel"),
        "{}",
        said.out
    );
}

#[test]
fn a_proxy_that_wants_a_password_gets_it() {
    let Some((_proxy, port, _folder)) = tinyproxy("BasicAuth koshu hush-hush") else {
        return;
    };
    let bare = format!("proxy=http://127.0.0.1:{port}");
    let login = format!("proxy=http://koshu:hush-hush@127.0.0.1:{port}");
    let target = mirror();
    assert!(
        http(target, &[&bare])
            .is("WARNING")
            .starts_with("HTTP 407 Proxy Authentication Required")
    );
    http(target, &[&login]).is("OK");
    http(
        target,
        &[&bare, "proxy_user=koshu", "proxy_password=hush-hush"],
    )
    .is("OK");
    let plain = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 mail.example.jp ESMTP\r\n");
        thread::sleep(Duration::from_secs(5));
    });
    let tunnel = format!("https://{plain}/");
    let said = koshu(&["http", &tunnel, &bare]);
    assert!(
        said.is("CRITICAL").contains("opens no tunnel"),
        "{}",
        said.out
    );
    let said = koshu(&["http", &tunnel, &login]);
    assert!(
        said.is("CRITICAL").contains("does not speak TLS"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("hush-hush"));
}

#[test]
fn tls_has_bounds_a_name_and_a_certificate_of_ours() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let ca = format!("ca={}", lab.at("root.pem"));
    let ask = |address: SocketAddr, words: &[&str]| {
        let url = format!("https://{address}/");
        koshu(&[&["http", &url, &ca], words].concat())
    };
    let (_only_12, address) = lab.serve("good", &["-tls1_2"]);
    ask(address, &["max_tls=1.2"]).is("OK");
    assert!(
        ask(address, &["min_tls=1.3"])
            .is("CRITICAL")
            .contains("ProtocolVersion")
    );
    let (_both, address) = lab.serve("good", &[]);
    ask(address, &["max_tls=1.2", "body=TLSv1.2"]).is("OK");
    ask(address, &["min_tls=1.3", "body=TLSv1.3"]).is("OK");
    ask(address, &["sni=shop.example.jp"]).is("OK");
    assert!(
        ask(address, &["sni=other.example.jp"])
            .is("CRITICAL")
            .contains("not for other.example.jp")
    );
    ask(address, &["max_tls=1.1"]).is("UNKNOWN");
    ask(address, &["min_tls=1.3", "max_tls=1.2"]).is("UNKNOWN");

    for (name, more) in [("client", "extendedKeyUsage=clientAuth"), ("server", "")] {
        lab.issue(&Wish { name, more, ..GOOD });
    }
    let root = lab.at("root.pem");
    let middle = lab.at("middle.pem");
    let (_strict, address) = lab.serve(
        "good",
        &["-Verify", "2", "-CAfile", &root, "-verify_return_error"],
    );
    let identity = |name: &str| {
        let chain = lab.at(&format!("{name}-chain.pem"));
        let own = fs::read_to_string(lab.at(&format!("{name}.pem"))).expect("a file");
        let above = fs::read_to_string(&middle).expect("a file");
        fs::write(&chain, own + &above).expect("a file");
        let key = lab.at(&format!("{name}.key"));
        [format!("client_cert={chain}"), format!("client_key={key}")]
    };
    let [cert, key] = identity("client");
    ask(address, &[&cert, &key]).is("OK");
    let [wrong, its_key] = identity("server");
    assert!(
        ask(address, &[&wrong, &its_key])
            .is("CRITICAL")
            .contains("does not accept our client certificate")
    );
    let said = ask(address, &[]);
    assert!(
        said.is("CRITICAL").contains("client certificate"),
        "{}",
        said.out
    );
    ask(address, &[&cert])
        .has("no private key of the client")
        .is("UNKNOWN");
    ask(address, &[&key])
        .has("needs its `client_cert`")
        .is("UNKNOWN");
}

#[test]
fn the_certificate_rides_on_the_same_request() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        days: (-80, 10),
        ..GOOD
    });
    let ca = format!("ca={}", lab.at("root.pem"));
    let (_server, address) = lab.serve("good", &[]);
    let url = format!("https://{address}/");
    let said = koshu(&["http", &url, &ca, "cert=14d,7d", "body=nothing like it"]);
    let line = said.is("CRITICAL");
    assert!(
        line.starts_with("/nothing like it/ is not found")
            // Ten days, or a moment less on a slow machine.
            && (line.contains("good ends in 10 d") || line.contains("good ends in 9 d 23 h")),
        "both verdicts: {line}"
    );
    koshu(&["http", &url, &ca, "cert=9%,5%"]).is("OK");
    let said = http(mirror(), &["cert=14d,7d"]);
    assert!(said.is("CRITICAL").contains("without TLS"));
}

#[test]
fn every_address_is_asked_and_the_one_that_differs_is_named() {
    let hosts = "127.0.0.1 web.lab\n127.0.0.2 web.lab\n127.0.0.3 web.lab\n";
    let Some(own) = namespace(&[], hosts, &[]) else {
        return;
    };
    let port = 8080;
    let serve = |ip: &str, status: &str| {
        let at = own.path().join(ip);
        fs::create_dir(&at).expect("a folder");
        let server = format!("server {{ listen {ip}:{port}; location / {{ return {status}; }} }}");
        nginx(&at.display().to_string(), &server, |it| own.command(it))
    };
    let _good = [serve("127.0.0.1", "200"), serve("127.0.0.2", "200")];
    let url = format!("http://web.lab:{port}/");
    let ask = |words: &[&str]| own.koshu(&[&["http", &url], words].concat());
    let said = ask(&["addresses=all"]);
    assert_eq!(
        said.is("WARNING"),
        format!("127.0.0.3:{port} refuses connections")
    );
    said.has("addresses=3;;;0").has("ok=2;;;0;3");
    ask(&[]).is("OK");
    let _bad = serve("127.0.0.3", "503");
    let said = ask(&["addresses=all"]);
    let line = said.is("CRITICAL");
    assert!(
        line.contains(&format!(
            "HTTP 503 Service Unavailable (at 127.0.0.3:{port})"
        )),
        "{line}"
    );
    assert!(line.contains("where others answer HTTP 200 OK"), "{line}");
}
