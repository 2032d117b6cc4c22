//! `cert`: real TLS servers with certificates of every kind, and files.

use crate::engine;
use crate::koshu::koshu;
use crate::lab::{GOOD, Wish, lab};
use crate::server;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

#[test]
fn each_fault_has_its_code_and_no_other() {
    let Some(lab) = lab() else { return };
    let cases: &[(Wish, u64, &[&str])] = &[
        (
            Wish {
                name: "fresh",
                ..GOOD
            },
            0,
            &[],
        ),
        (
            Wish {
                name: "week",
                days: (-1, 6),
                ..GOOD
            },
            0,
            &[],
        ),
        (
            Wish {
                name: "hours-160",
                days: (0, 0),
                hours: (-1, 159),
                ..GOOD
            },
            0,
            &[],
        ),
        (
            Wish {
                name: "days-47",
                days: (-1, 46),
                ..GOOD
            },
            0,
            &[],
        ),
        (
            Wish {
                name: "half-a-day",
                days: (-89, 0),
                hours: (-12, 12),
                ..GOOD
            },
            2,
            &["left"],
        ),
        (
            Wish {
                name: "year",
                days: (-300, 98),
                ..GOOD
            },
            0,
            &[],
        ),
        (
            Wish {
                name: "soon",
                days: (-75, 15),
                ..GOOD
            },
            1,
            &["left"],
        ),
        (
            Wish {
                name: "very-soon",
                days: (-85, 5),
                ..GOOD
            },
            2,
            &["left"],
        ),
        (
            Wish {
                name: "over",
                days: (-90, -1),
                ..GOOD
            },
            2,
            &["expired"],
        ),
        (
            Wish {
                name: "early",
                days: (1, 90),
                ..GOOD
            },
            2,
            &["not-yet-valid"],
        ),
        (
            Wish {
                name: "other",
                names: "DNS:other.example.jp",
                ..GOOD
            },
            2,
            &["name-mismatch"],
        ),
        (
            Wish {
                name: "by-root",
                by: "root",
                ..GOOD
            },
            0,
            &["chain-extra"],
        ),
    ];
    for (wish, state, codes) in cases {
        let (got, found) = lab.codes(wish);
        assert_eq!(
            (got, found.iter().map(String::as_str).collect::<Vec<_>>()),
            (*state, codes.to_vec()),
            "{}",
            wish.name
        );
    }
}

#[test]
fn the_first_line_says_until_when_and_perfdata_graphs_it() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &[]);
    let said = lab.check(address, &[]);
    assert!(said.is("OK").starts_with("good ends in "), "{}", said.out);
    for label in [
        "left=",
        "left_pct=",
        "lifetime=7776001s",
        "chain=",
        "addresses=1",
        "ok=1;;;0;1",
        "time=",
    ] {
        said.has(label);
    }
    said.has("key EC 256, by middle, for shop.example.jp, 127.0.0.1, TLS 1.3")
        .has("sent with it: middle ends in");
    assert!(
        said.out.contains("left=69119") || said.out.contains("left=691"),
        "{}",
        said.out
    );
    assert_eq!(lab.check(address, &["left=90d,1d"]).code, 1);
    assert_eq!(lab.check(address, &["left=95%,90%"]).code, 2);
    assert_eq!(lab.check(address, &["sni=shop.example.jp"]).code, 0);
    assert_eq!(lab.check(address, &["sni=www.example.jp"]).code, 2);
}

#[test]
fn trust_is_judged_by_what_was_sent() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &["-no-chain"]);
    let said = lab.check(address, &["--format", "json"]);
    assert_eq!(said.codes(), ["incomplete-chain"]);
    said.has("the certificate of the issuer \\\"middle\\\" is not sent");
    let (_running, address) = lab.serve("good", &[]);
    let said = koshu(&["cert", &address.to_string(), "--format", "json"]);
    assert_eq!(
        said.codes(),
        ["untrusted"],
        "the system does not know the lab's root"
    );
    let said = koshu(&["cert", &address.to_string(), "grade={untrusted='ok'}"]);
    said.has("note: not trusted").is("OK");
}

#[test]
fn a_self_signed_certificate_is_trusted_when_it_is_given() {
    let Some(lab) = lab() else { return };
    let [cert, key] = ["self.pem", "self.key"].map(|it| lab.at(it));
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=ilo",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-days",
        "60",
        "-keyout",
        &key,
        "-out",
        &cert,
    ]);
    let (_running, address) = engine::s_server(&["-cert", &cert, "-key", &key]);
    let at = address.to_string();
    let said = koshu(&["cert", &at, "--format", "json"]);
    assert_eq!(said.codes(), ["self-signed"]);
    koshu(&["cert", &at, &format!("ca={cert}")]).is("OK");
}

#[test]
fn both_tls_versions_and_client_certificates_show_the_chain() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    for words in [
        &["-tls1_2"][..],
        &["-tls1_3"],
        &["-Verify", "1"],
        &["-Verify", "1", "-tls1_2"],
    ] {
        let (_running, address) = lab.serve("good", words);
        let said = lab.check(address, &[]);
        said.is("OK");
    }
}

#[test]
fn every_address_of_a_name_is_asked() {
    let Some(lab) = lab() else { return };
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        engine::skip("no IPv6 loopback here");
        return;
    };
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let names = "DNS:localhost";
    lab.issue(&Wish {
        name: "new",
        names,
        days: (-1, 89),
        ..GOOD
    });
    lab.issue(&Wish {
        name: "old",
        names,
        days: (-40, 50),
        ..GOOD
    });
    let start = |name: &str, at: &str| {
        let [cert, key, chain] = [
            format!("{name}.pem"),
            format!("{name}.key"),
            "middle.pem".to_owned(),
        ]
        .map(|it| lab.at(&it));
        engine::start(Command::new("openssl").args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            at,
            "-cert",
            &cert,
            "-key",
            &key,
            "-cert_chain",
            &chain,
        ]))
    };
    let resolves_to_both = fs::read_to_string("/etc/hosts").is_ok_and(|it| {
        it.lines()
            .any(|it| it.starts_with("::1") && it.split_whitespace().any(|it| it == "localhost"))
    });
    if !resolves_to_both {
        engine::skip("localhost has no IPv6 address in /etc/hosts");
        return;
    }
    let _four = start("new", &format!("127.0.0.1:{port}"));
    engine::until_open(port);
    let host = format!("localhost:{port}");
    let ca = format!("ca={}", lab.at("root.pem"));
    let down = koshu(&["cert", &host, &ca]);
    assert!(
        down.is("WARNING")
            .contains(&format!("[::1]:{port} refuses connections")),
        "{}",
        down.out
    );
    down.has("ok=1;;;0;2");
    let _six = start("old", &format!("[::1]:{port}"));
    engine::until("the second server", || {
        std::net::TcpStream::connect(("::1", port)).is_ok()
    });
    let differ = koshu(&["cert", &host, &ca]);
    assert!(
        differ
            .is("WARNING")
            .contains(&format!("[::1]:{port} still serves the old certificate")),
        "{}",
        differ.out
    );
    koshu(&["cert", &host, &ca, "family=ipv4"]).is("OK");
}

#[test]
fn servers_that_speak_no_tls_have_their_own_codes() {
    let hello = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 smtp here\r\n");
    });
    let codes = |address: SocketAddr| {
        koshu(&[
            "cert",
            &address.to_string(),
            "timeout=700ms",
            "--format",
            "json",
        ])
        .codes()
    };
    assert_eq!(codes(hello), ["not-tls"]);
    assert_eq!(codes(server::closed()), ["refused"]);
    assert_eq!(codes(server::black_hole()), ["late"]);
    let broken = codes(server::serve(|mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 2048]);
    }));
    assert!(
        broken == ["closed"] || broken == ["reset"],
        "closed in the middle of the handshake: {broken:?}"
    );
    let alert = server::serve(|mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 2048]);
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 70]);
    });
    let said = koshu(&["cert", &alert.to_string(), "--format", "json"]);
    assert_eq!(said.codes(), ["tls-alert"]);
    said.has("speaks neither TLS 1.2 nor 1.3");
}

#[test]
fn files_are_read_in_pem_and_der() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "file",
        days: (-10, 80),
        ..GOOD
    });
    lab.issue(&Wish {
        name: "dying",
        days: (-89, 1),
        ..GOOD
    });
    let [pem, dying, der] = ["file.pem", "dying.pem", "file.der"].map(|it| lab.at(it));
    engine::openssl(&["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
    let check = |words: &[&str]| koshu(&[&["cert"], words].concat());
    assert!(
        check(&[&format!("file={pem}")])
            .is("OK")
            .starts_with("file ends in ")
    );
    check(&[&format!("file={der}")]).is("OK");
    assert!(
        check(&[&format!("file={dying}")])
            .is("CRITICAL")
            .contains("dying ends in")
    );
    let both = check(&[&format!("file=['{pem}', '{dying}']")]);
    both.has("dying.pem").has("certificates=2").is("CRITICAL");
    check(&[&format!("file={}/*.der", lab.at(""))]).is("OK");
    check(&[&format!("file={}/*.none", lab.at(""))])
        .has("no file matches")
        .is("UNKNOWN");
    check(&["file=/no/such.pem"])
        .has("/no/such.pem does not exist")
        .is("CRITICAL");
    let junk = lab.at("junk.pem");
    fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .expect("a file");
    check(&[&format!("file={junk}")])
        .has("PEM block 1")
        .is("UNKNOWN");
    fs::write(&junk, "hello").expect("a file");
    check(&[&format!("file={junk}")])
        .has("no certificate in it")
        .is("UNKNOWN");
}

#[test]
fn relative_files_count_from_the_lists_folder() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "beside",
        ..GOOD
    });
    let list = PathBuf::from(lab.at("list.toml"));
    fs::write(&list, "[[check]]\ntype = 'cert'\nfile = 'beside.pem'\n").expect("a file");
    koshu(&["run", "-c", &list.display().to_string()]).is("OK");
}

#[test]
fn a_machine_without_roots_is_unknown_not_a_bad_certificate() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &[]);
    let mut command = crate::koshu::command(&["cert", &address.to_string()]);
    command.env("SSL_CERT_FILE", "/no/such/bundle.pem");
    let said = crate::koshu::said(&mut command);
    said.has("cannot read the roots in /no/such/bundle.pem")
        .is("UNKNOWN");
    let mut command = crate::koshu::command(&["cert", &address.to_string()]);
    command.env("SSL_CERT_FILE", lab.at("root.pem"));
    crate::koshu::said(&mut command).is("OK");
}

#[test]
fn pages_are_not_asked_for_over_a_bad_certificate() {
    let Some(lab) = lab() else { return };
    let ca = format!("ca={}", lab.at("root.pem"));
    for (wish, said) in [
        (
            Wish {
                name: "page-over",
                days: (-90, -1),
                ..GOOD
            },
            "page-over expired ",
        ),
        (
            Wish {
                name: "page-early",
                days: (2, 90),
                ..GOOD
            },
            "page-early is not valid for ",
        ),
        (
            Wish {
                name: "page-other",
                names: "DNS:other.example.jp",
                ..GOOD
            },
            "not for 127.0.0.1",
        ),
    ] {
        lab.issue(&wish);
        let (_running, address) = lab.serve(wish.name, &[]);
        let url = format!("https://{address}/");
        let bad = koshu(&["http", &url, &ca]);
        assert!(bad.is("CRITICAL").contains(said), "{}", bad.out);
        koshu(&["http", &url, "verify=false"]).is("OK");
    }
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &[]);
    koshu(&["http", &format!("https://{address}/"), &ca]).is("OK");
}
