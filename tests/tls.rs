//! `http`, `tcp` and `cert` with servers whose TLS is old, odd or broken.

use crate::engine;
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, Lab, Wish, lab};
use crate::server;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

/// A lab with an RSA certificate, for suites that need one.
fn with_rsa() -> Option<Lab> {
    let lab = lab()?;
    lab.issue(&Wish {
        name: "old",
        key: "rsa:2048",
        ..GOOD
    });
    Some(lab)
}

/// The same server, asked as a page and as a port.
fn both(lab: &Lab, address: SocketAddr, words: &[&str]) -> [Said; 2] {
    let ca = format!("ca={}", lab.at("root.pem"));
    let [url, host] = [format!("https://{address}/"), address.to_string()];
    let json = ["--format", "json"];
    [
        koshu(&[&["http", &url, &ca], words, &json].concat()),
        koshu(&[&["tcp", &host, "tls=true", &ca], words, &json].concat()),
    ]
}

#[test]
fn servers_that_speak_only_old_tls_are_unknown_with_version_and_suite() {
    let Some(lab) = with_rsa() else { return };
    let cases: &[(&[&str], &str)] = &[
        (
            &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
            "TLS 1.2 with TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        (
            &["-tls1_2", "-cipher", "AES256-GCM-SHA384"],
            "TLS 1.2 with TLS_RSA_WITH_AES_256_GCM_SHA384",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"],
            "TLS 1.2 with TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        ),
        (
            &["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
            "TLS 1.2 with TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        ),
        (
            &["-tls1_2", "-cipher", "DHE-RSA-CAMELLIA128-SHA"],
            "TLS 1.2 with TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA",
        ),
        (
            &["-tls1_2", "-cipher", "AES128-CCM8"],
            "TLS 1.2 with TLS_RSA_WITH_AES_128_CCM_8",
        ),
        (
            &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
            "TLS 1.0 with TLS_",
        ),
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            "TLS 1.1 with TLS_",
        ),
        (
            &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE"],
            "TLS 1.2 with TLS_ECDHE_RSA",
        ),
        (&["-tls1_3", "-groups", "P-521"], "TLS 1.3 with TLS13_"),
    ];
    for (words, spoken) in cases {
        let (_running, address) = lab.serve("old", words);
        for said in both(&lab, address, &[]) {
            assert_eq!(said.codes(), ["tls-too-old"], "{words:?}: {}", said.out);
            assert_eq!(said.json()["state"], 3, "{words:?}: {}", said.out);
            said.has(spoken);
        }
    }
}

#[test]
fn a_key_on_p_521_is_too_much_for_us_and_no_fault_of_the_server() {
    let Some(lab) = lab() else { return };
    let [key, cert] = ["big.key", "big.pem"].map(|it| lab.at(it));
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-521",
        "-nodes",
        "-subj",
        "/CN=big",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        &key,
        "-out",
        &cert,
    ]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (_running, address) = engine::s_server(&["-cert", &cert, "-key", &key, version]);
        for said in both(&lab, address, &[]) {
            assert_eq!(said.codes(), ["tls-too-old"], "{version}: {}", said.out);
            said.has("with parameters that koshu does not have");
        }
        let host = address.to_string();
        let said = koshu(&["cert", &host, &format!("ca={cert}"), "--format", "json"]);
        match version {
            // Up to TLS 1.2 the certificate is read in the clear.
            "-tls1_2" => {
                assert_eq!(said.codes(), ["old-tls"], "{}", said.out);
                said.has("EC 521");
            }
            _ => {
                assert_eq!(said.codes(), ["tls-too-old"], "{}", said.out);
                let ca = format!("ca={cert}");
                let said = koshu(&["cert", &host, &ca, "legacy=true"]);
                let line = said.is("OK");
                assert!(line.ends_with("TLS 1.3 by the host's openssl"), "{line}");
            }
        }
    }
}

#[test]
fn a_server_that_refuses_for_another_reason_stays_critical() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    for words in [
        &["-Verify", "1", "-verify_return_error", "-tls1_2"][..],
        &["-Verify", "1", "-verify_return_error"],
    ] {
        let (_running, address) = lab.serve("good", words);
        let [page, _] = both(&lab, address, &[]);
        assert_eq!(page.codes(), ["tls-alert"], "{}", page.out);
        assert_eq!(page.json()["state"], 2, "{}", page.out);
    }
    // One that says no to every hello, and one that hangs up on each.
    for bytes in [&[21, 3, 3, 0, 2, 2, 40][..], &[]] {
        let address = server::serve(move |mut stream| {
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(bytes);
        });
        for said in both(&lab, address, &[]) {
            assert_eq!(said.json()["state"], 2, "{}", said.out);
        }
    }
}

/// A way to a server on which `first` is said before everything else.
fn speaking_first(server: SocketAddr, first: &'static [u8]) -> SocketAddr {
    server::serve(move |mut client| {
        let Ok(mut server) = TcpStream::connect(server) else {
            return;
        };
        let (mut from, mut to) = (
            client.try_clone().expect("a socket"),
            server.try_clone().expect("a socket"),
        );
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = client.write_all(first);
        let _ = std::io::copy(&mut server, &mut client);
    })
}

#[test]
fn a_warning_before_the_server_hello_is_no_error() {
    let Some(lab) = with_rsa() else { return };
    // unrecognized_name as a warning (RFC 6066, section 3).
    const WARNING: &[u8] = &[21, 3, 1, 0, 2, 1, 112];
    let (_running, address) = lab.serve("old", &["-tls1_2"]);
    let warned = speaking_first(address, WARNING);
    for said in both(&lab, warned, &[]) {
        assert_eq!(said.codes(), Vec::<String>::new(), "{}", said.out);
    }
    assert_eq!(
        lab.check(warned, &["--format", "json"]).codes(),
        Vec::<String>::new()
    );
    let (_running, address) = lab.serve("old", &["-tls1_2", "-cipher", "AES128-SHA"]);
    let warned = speaking_first(address, WARNING);
    for said in both(&lab, warned, &[]) {
        assert_eq!(said.codes(), ["tls-too-old"], "{}", said.out);
    }
    let said = lab.check(warned, &["--format", "json"]);
    assert_eq!(said.codes(), ["old-tls"], "{}", said.out);
}

#[test]
fn certificate_lists_whose_lengths_contradict_each_other_are_a_broken_protocol() {
    let Some(lab) = lab() else { return };
    for suite in [[0, 0x35u8], [0xc0, 0x2f]] {
        for version in [1, 3] {
            let address = server::serve(move |mut stream| {
                let _ = stream.read(&mut [0; 4096]);
                let mut hello = vec![2, 0, 0, 38, 3, version];
                hello.extend([7; 32]);
                hello.extend([0, suite[0], suite[1], 0]);
                // A list of 5 bytes that says it has one certificate of 9.
                let list = [11, 0, 0, 8, 0, 0, 5, 0, 0, 9, 1, 2];
                let length = (hello.len() + list.len()) as u8;
                let _ = stream.write_all(&[22, 3, version, 0, length]);
                let _ = stream.write_all(&[&hello[..], &list].concat());
                let _ = stream.read(&mut [0; 4096]);
            });
            let said = lab.check(address, &["--format", "json"]);
            assert_eq!(said.codes(), ["protocol"], "{}", said.out);
            assert_eq!(said.json()["state"], 2);
            for said in both(&lab, address, &[]) {
                assert_ne!(said.codes(), ["not-tls"], "{}", said.out);
            }
        }
    }
}

#[test]
fn legacy_goes_through_the_hosts_openssl_and_says_so() {
    let Some(lab) = with_rsa() else { return };
    for (words, version) in [
        (&["-tls1_2", "-cipher", "AES128-SHA"][..], "TLS 1.2"),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES256-SHA256"], "TLS 1.2"),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "TLS 1.0"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS 1.1"),
        (&["-tls1_3", "-groups", "P-521"], "TLS 1.3"),
    ] {
        let (_running, address) = lab.serve("old", words);
        for said in both(&lab, address, &["legacy=true"]) {
            assert_eq!(
                said.codes(),
                Vec::<String>::new(),
                "{words:?}: {}",
                said.out
            );
            assert_eq!(said.json()["state"], 0, "{}", said.out);
            said.has(&format!("{version} by the host's openssl"));
        }
        let url = format!("https://{address}/");
        let ca = format!("ca={}", lab.at("root.pem"));
        let page = koshu(&["http", &url, &ca, "legacy=true", "body=Ciphers supported"]);
        page.is("OK");
        let host = address.to_string();
        let port = koshu(&[
            "tcp",
            &host,
            "tls=true",
            &ca,
            "legacy=true",
            r#"send="GET / HTTP/1.0\r\n\r\n""#,
            "expect=200 ok",
        ]);
        assert!(
            port.is("OK").contains("answers \"HTTP/1.0 200 ok"),
            "{}",
            port.out
        );
    }
    // A server that is not too old is spoken to by koshu itself.
    let (_running, address) = lab.serve("old", &[]);
    for said in both(&lab, address, &["legacy=true"]) {
        assert_eq!(said.json()["state"], 0, "{}", said.out);
        assert!(!said.out.contains("openssl"), "{}", said.out);
    }
}

#[test]
fn legacy_judges_the_certificate_by_our_rules() {
    let Some(lab) = lab() else { return };
    let old = ["-tls1_2", "-cipher", "AES128-SHA"];
    for (name, days, names, code) in [
        ("over", (-90, -1), GOOD.names, "expired"),
        ("other", (-1, 80), "DNS:other.example.jp", "name-mismatch"),
    ] {
        lab.issue(&Wish {
            name,
            days,
            names,
            key: "rsa:2048",
            ..GOOD
        });
        let (_running, address) = lab.serve(name, &old);
        for said in both(&lab, address, &["legacy=true"]) {
            assert_eq!(said.codes(), [code], "{}", said.out);
            assert_eq!(said.json()["state"], 2, "{}", said.out);
        }
        // Whatever the certificate is, where nobody verifies it.
        let url = format!("https://{address}/");
        koshu(&["http", &url, "verify=false", "legacy=true"]).is("OK");
    }
}

#[test]
fn nothing_is_sent_to_a_server_that_shows_another_certificate_the_second_time() {
    let Some(lab) = with_rsa() else { return };
    lab.issue(&Wish {
        name: "other",
        key: "rsa:2048",
        ..GOOD
    });
    let old = ["-tls1_2", "-cipher", "AES128-SHA"];
    let (_one, one) = lab.serve("old", &old);
    let (_two, two) = lab.serve("other", &old);
    // The plain reader's and the first of openssl's see one, then comes the other.
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let address = server::serve(move |mut client| {
        let seen = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let server = if seen < 3 { one } else { two };
        let Ok(mut server) = TcpStream::connect(server) else {
            return;
        };
        let (mut from, mut to) = (
            client.try_clone().expect("a socket"),
            server.try_clone().expect("a socket"),
        );
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
    });
    let url = format!("https://{address}/");
    let ca = format!("ca={}", lab.at("root.pem"));
    let said = koshu(&["http", &url, &ca, "legacy=true"]);
    said.has("another certificate than before").is("UNKNOWN");
}

#[test]
fn legacy_without_openssl_is_unknown_and_says_so() {
    let Some(lab) = with_rsa() else { return };
    let (_running, address) = lab.serve("old", &["-tls1_2", "-cipher", "AES128-SHA"]);
    let url = format!("https://{address}/");
    let mut command = crate::koshu::command(&["http", &url, "legacy=true"]);
    command.env("PATH", lab.at(""));
    let said = crate::koshu::said(&mut command);
    said.has("there is no openssl here")
        .has("TLS 1.2 with")
        .is("UNKNOWN");
}

#[test]
fn legacy_ends_at_the_deadline_and_leaves_nothing_behind() {
    let Some(lab) = with_rsa() else { return };
    let (_running, address) = lab.serve("old", &["-tls1_2", "-cipher", "AES128-SHA"]);
    let at = address.to_string();
    let ca = format!("ca={}", lab.at("root.pem"));
    let said = koshu(&[
        "tcp",
        &at,
        "tls=true",
        &ca,
        "legacy=true",
        "expect=hello",
        "timeout=1s",
    ]);
    said.has("no answer in time").is("CRITICAL");
    assert!(said.took < std::time::Duration::from_secs(3));
    let clients = std::process::Command::new("pgrep")
        .args(["-f", &format!("s_client -connect {at}")])
        .output();
    assert_eq!(String::from_utf8_lossy(&clients.expect("pgrep").stdout), "");
}

#[test]
fn names_in_other_scripts_are_asked_for_and_found_in_the_certificate() {
    let Some(lab) = lab() else { return };
    let punycode = "xn--wgv71a119e.example.jp";
    lab.issue(&GOOD);
    lab.issue(&Wish {
        name: "idn",
        names: &format!("DNS:{punycode}"),
        ..GOOD
    });
    // Shown only to whoever asks for that name.
    let [cert, key] = ["idn.pem", "idn.key"].map(|it| lab.at(it));
    let (_running, address) = lab.serve(
        "good",
        &[
            "-servername",
            punycode,
            "-cert2",
            &cert,
            "-key2",
            &key,
            "-tls1_3",
        ],
    );
    let ca = format!("ca={}", lab.at("root.pem"));
    let host = format!("日本語.example.jp:{}", address.port());
    let at = "addresses=['127.0.0.1']";
    let said = koshu(&[
        "cert",
        &host,
        &ca,
        at,
        "names=日本語.example.jp",
        "--format",
        "json",
    ]);
    let codes = said.codes();
    assert!(
        !codes
            .iter()
            .any(|it| it == "name-mismatch" || it == "names"),
        "{}",
        said.out
    );
    said.has("idn ends in");
    let other = koshu(&[
        "cert",
        &address.to_string(),
        &ca,
        "sni=日本語.example.jp",
        "--format",
        "json",
    ]);
    other.has("idn ends in");
    let wrong = koshu(&[
        "cert",
        &host,
        &ca,
        at,
        "sni=別.example.jp",
        "--format",
        "json",
    ]);
    assert!(
        wrong.codes().iter().any(|it| it == "name-mismatch"),
        "{}",
        wrong.out
    );
    wrong.has("not for 別.example.jp");
}

#[test]
fn a_short_key_is_too_much_for_us_and_its_proof_not_called_wrong() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "short",
        key: "rsa:1024",
        ..GOOD
    });
    let (_running, address) = lab.serve("short", &["-cipher", "ALL:@SECLEVEL=0", "-tls1_2"]);
    for said in both(&lab, address, &[]) {
        assert_eq!(said.codes(), ["tls-too-old"], "{}", said.out);
        said.has("RSA 1024");
    }
    for said in both(&lab, address, &["legacy=true"]) {
        assert_eq!(said.json()["state"], 0, "{}", said.out);
        said.has("TLS 1.2 by the host's openssl");
    }
}

#[test]
fn a_certificate_that_cannot_be_read_does_not_hide_the_others_of_its_chain() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "over",
        days: (-90, -1),
        ..GOOD
    });
    let der = |name: &str| {
        let [pem, der] = ["pem", "der"].map(|it| lab.at(&format!("{name}.{it}")));
        engine::openssl(&["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        std::fs::read(der).expect("a file")
    };
    let (leaf, middle) = (der("over"), der("middle"));
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let list = [sized(&leaf), sized(b"\x30\x03abc"), sized(&middle)].concat();
    let address = server::serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x35, 0]].concat();
        let certificate = [&[11][..], &sized(&sized(&list))].concat();
        let messages = [hello, certificate].concat();
        let length = (messages.len() as u16).to_be_bytes();
        let _ = stream.write_all(&[&[22, 3, 1][..], &length, &messages].concat());
        let _ = stream.read(&mut [0; 4096]);
    });
    let said = lab.check(address, &["--format", "json"]);
    assert_eq!(
        said.codes(),
        ["expired", "old-tls", "unknown"],
        "{}",
        said.out
    );
    said.has("certificate 2 of the chain cannot be read");
}
