//! `cert`, deeper: old protocols, weak and badly built chains, many addresses, and files that were not deployed.

use crate::engine::{self, Running};
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, Lab, Wish, lab};
use crate::server;
use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, SystemTime};

fn codes(said: &Said) -> (u64, Vec<String>) {
    (said.json()["state"].as_u64().unwrap_or(9), said.codes())
}

#[track_caller]
fn expect(said: &Said, state: u64, expected: &[&str]) {
    let (got, found) = codes(said);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!((got, &found[..]), (state, expected), "{}", said.out);
}

const JSON: [&str; 2] = ["--format", "json"];

#[test]
fn old_tls_is_read_without_relaxing_anything() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "old",
        key: "rsa:2048",
        ..GOOD
    });
    for (version, name) in [("-tls1", "TLS 1.0"), ("-tls1_1", "TLS 1.1")] {
        let (_running, address) = lab.serve("old", &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let said = lab.check(address, &JSON);
        expect(&said, 0, &["old-tls"]);
        said.has(&format!("{name}, read without proof of key"));
        let said = lab.check(address, &["min_tls=1.2", "--format", "json"]);
        expect(&said, 1, &["old-tls"]);
        let said = lab.check(address, &["min_tls=1.2", "legacy=true"]);
        said.is("OK");
        said.has("read without proof of key");
    }
    let (_running, address) = lab.serve("old", &["-tls1_3"]);
    expect(
        &lab.check(address, &["min_tls=1.3", "--format", "json"]),
        0,
        &[],
    );
    let (_running, address) = lab.serve("old", &["-tls1_2"]);
    let said = lab.check(address, &["min_tls=1.3", "--format", "json"]);
    expect(&said, 1, &["old-tls"]);
    // Only suites that no library of today accepts.
    let (_running, address) = lab.serve("old", &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]);
    let said = lab.check(address, &JSON);
    expect(&said, 0, &["old-tls"]);
    said.has("TLS 1.2, read without proof of key");
}

#[test]
fn servers_that_choke_on_new_hellos_are_asked_in_older_ones() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let der = lab.at("good.der");
    engine::openssl(&[
        "x509",
        "-in",
        &lab.at("good.pem"),
        "-outform",
        "DER",
        "-out",
        &der,
    ]);
    let leaf = fs::read(&der).expect("a certificate");
    // An SSL 3.0 stack of old: it resets every connection whose hello has extensions or asks for more.
    let address = server::serve(move |mut stream| {
        let mut hello = [0; 1024];
        let _ = stream.read(&mut hello);
        if hello[9..11] != [3, 0] {
            return;
        }
        let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
        let list = sized(&sized(&sized(&leaf)));
        let messages = [&[2, 0, 0, 4, 3, 0, 0, 0, 11][..], &list].concat();
        let length = (messages.len() as u16).to_be_bytes();
        let _ = stream.write_all(&[&[22, 3, 0][..], &length, &messages].concat());
    });
    let said = lab.check(address, &["legacy=true", "--format", "json"]);
    expect(&said, 0, &["incomplete-chain", "old-tls"]);
    said.has("SSL 3.0, read without proof of key");
}

#[test]
fn weak_chains_have_exact_codes() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "rsa-root",
        names: "",
        days: (-100, 1000),
        by: "root",
        key: "rsa:2048",
        ..GOOD
    });
    let weak = ["-cipher", "ALL:@SECLEVEL=0"];
    // Signed with SHA-1 by an RSA and by an EC authority.
    lab.issue(&Wish {
        name: "sha1",
        by: "rsa-root",
        digest: "sha1",
        ..GOOD
    });
    let chain = lab.at("rsa-root.pem");
    let [cert, key] = ["sha1.pem", "sha1.key"].map(|it| lab.at(it));
    let words = ["-cert", &cert, "-key", &key, "-cert_chain", &chain];
    let (_running, address) = engine::s_server(&[&words[..], &weak].concat());
    expect(&lab.check(address, &JSON), 2, &["weak-signature"]);
    let page = koshu(&[
        "http",
        &format!("https://{address}/"),
        &format!("ca={}", lab.at("root.pem")),
    ]);
    assert!(
        page.is("CRITICAL").contains("is signed with"),
        "{}",
        page.out
    );
    lab.issue(&Wish {
        name: "sha1-ec",
        digest: "sha1",
        ..GOOD
    });
    let (_running, address) = lab.serve("sha1-ec", &weak);
    expect(&lab.check(address, &JSON), 2, &["weak-signature"]);
    lab.issue(&Wish {
        name: "short",
        key: "rsa:1024",
        ..GOOD
    });
    let (_running, address) = lab.serve("short", &weak);
    expect(&lab.check(address, &JSON), 1, &["weak-key"]);
    expect(
        &lab.check(address, &["legacy=true", "--format", "json"]),
        0,
        &["weak-key"],
    );
}

#[test]
fn purposes_and_lengths_are_judged() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "mail-only",
        // Overrides the lab's own line.
        more: "",
        ..GOOD
    });
    // A certificate without serverAuth.
    let extensions = lab.at("mail-only.ext");
    let lines = fs::read_to_string(&extensions).expect("a file");
    fs::write(&extensions, lines.replace("serverAuth", "emailProtection")).expect("a file");
    let [request, out, by, by_key] =
        ["mail-only.csr", "mail-only.pem", "middle.pem", "middle.key"].map(|it| lab.at(it));
    engine::openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &by,
        "-CAkey",
        &by_key,
        "-CAcreateserial",
        "-days",
        "80",
        "-extfile",
        &extensions,
        "-out",
        &out,
    ]);
    let (_running, address) = lab.serve("mail-only", &[]);
    let said = lab.check(address, &JSON);
    expect(&said, 2, &["untrusted"]);
    said.has("not for servers");
    expect(
        &lab.check(address, &["legacy=true", "--format", "json"]),
        0,
        &["untrusted"],
    );
    // One with the policy of public authorities that lives for longer than they may.
    lab.issue(&Wish {
        name: "too-long",
        days: (-10, 290),
        more: "certificatePolicies=2.23.140.1.2.1\n",
        ..GOOD
    });
    let (_running, address) = lab.serve("too-long", &[]);
    let mut command = crate::koshu::command(&["cert", &address.to_string(), "--format", "json"]);
    command.env("SSL_CERT_FILE", lab.at("root.pem"));
    expect(&crate::koshu::said(&mut command), 1, &["too-long"]);
    expect(&lab.check(address, &JSON), 0, &[]);
}

#[test]
fn badly_built_chains_are_told_from_broken_ones() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    lab.issue(&Wish {
        name: "middle2",
        names: "",
        by: "middle",
        ..GOOD
    });
    lab.issue(&Wish {
        name: "deep",
        by: "middle2",
        ..GOOD
    });
    lab.issue(&Wish {
        name: "gone",
        names: "",
        days: (-900, -100),
        by: "root",
        ..GOOD
    });
    let serve = |leaf: &str, others: &[&str]| {
        let joined: String = others
            .iter()
            .map(|it| fs::read_to_string(lab.at(&format!("{it}.pem"))).expect("a file"))
            .collect();
        let chain = lab.at("joined.pem");
        fs::write(&chain, joined).expect("a file");
        let [cert, key] = ["pem", "key"].map(|it| lab.at(&format!("{leaf}.{it}")));
        engine::s_server(&["-cert", &cert, "-key", &key, "-cert_chain", &chain])
    };
    for (leaf, others, state, expected) in [
        ("deep", &["middle2", "middle"][..], 0, &[][..]),
        ("deep", &["middle", "middle2"], 0, &["chain-order"]),
        ("deep", &["middle2"], 2, &["untrusted"]),
        ("good", &["middle", "root"], 0, &[]),
        ("good", &["middle", "middle2"], 0, &["chain-extra"]),
        ("good", &["middle", "gone"], 1, &["chain-expired-extra"]),
        (
            "good",
            &["middle2"],
            2,
            &["incomplete-chain", "chain-extra"],
        ),
    ] {
        let (_running, address) = serve(leaf, others);
        expect(&lab.check(address, &JSON), state, expected);
    }
    // An intermediate that has expired, and one that will soon.
    for (name, days, expected) in [
        ("dead", (-900, -1), "expired"),
        ("dying", (-900, 8), "left"),
    ] {
        lab.issue(&Wish {
            name,
            names: "",
            days,
            by: "root",
            ..GOOD
        });
        let leaf = format!("under-{name}");
        lab.issue(&Wish {
            name: &leaf,
            by: name,
            ..GOOD
        });
        let (_running, address) = serve(&leaf, &[name]);
        let said = lab.check(address, &JSON);
        expect(&said, 2, &[expected]);
        assert!(
            said.out.contains(&format!("{name} e")),
            "names it: {}",
            said.out
        );
    }
}

#[test]
fn expectations_of_issuer_names_and_pin_are_checked() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &[]);
    for (words, expected) in [
        (&["issuer=middle", "names=shop.example.jp"][..], &[][..]),
        (&["issuer=Let's Encrypt"], &["issuer"]),
        (&["names=['shop.example.jp', 'pay.example.jp']"], &["names"]),
        (&["sni=shop.example.jp"], &[]),
        (&["sni=other.example.jp"], &["name-mismatch"]),
    ] {
        let said = lab.check(address, &[words, &JSON].concat());
        expect(&said, if expected.is_empty() { 0 } else { 2 }, expected);
    }
    let wrong = format!("pin={}", "ab".repeat(32));
    let said = lab.check(address, &[&wrong, "--format", "json"]);
    expect(&said, 2, &["pin"]);
    // What it says is what can be pinned, in openssl's own writing too.
    let out = Command::new("openssl")
        .args([
            "x509",
            "-in",
            &lab.at("good.pem"),
            "-noout",
            "-fingerprint",
            "-sha256",
        ])
        .output()
        .expect("openssl");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (_, print) = text.trim().split_once('=').expect("a fingerprint");
    let pin = format!("pin=['{}', '{print}']", "ab".repeat(32));
    expect(&lab.check(address, &[&pin, "--format", "json"]), 0, &[]);
}

/// Servers of these certificates on one port of 127.0.0.2, .3 and so on.
fn farm(lab: &Lab, names: &[&str]) -> (Vec<Running>, u16, String) {
    let port = server::free_port();
    let mut running = Vec::new();
    let mut addresses = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let address = format!("127.0.0.{}", index + 2);
        addresses.push(format!("'{address}'"));
        if name.is_empty() {
            continue;
        }
        let [cert, key] = ["pem", "key"].map(|it| lab.at(&format!("{name}.{it}")));
        let at = format!("{address}:{port}");
        running.push(engine::start(Command::new("openssl").args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &at,
            "-cert",
            &cert,
            "-key",
            &key,
            "-cert_chain",
            &lab.at("middle.pem"),
        ])));
        engine::until("a server", || std::net::TcpStream::connect(&at).is_ok());
    }
    (
        running,
        port,
        format!("addresses=[{}]", addresses.join(", ")),
    )
}

#[test]
fn one_bad_address_of_three_is_named() {
    let Some(lab) = lab() else { return };
    for (name, days) in [
        ("new", (-1, 89)),
        ("stale", (-40, 50)),
        ("ending", (-88, 2)),
    ] {
        lab.issue(&Wish { name, days, ..GOOD });
    }
    let check = |names: &[&str], words: &[&str]| {
        let (_running, port, addresses) = farm(&lab, names);
        let host = format!("shop.example.jp:{port}");
        let ca = format!("ca={}", lab.at("root.pem"));
        koshu(&[&["cert", &host, &ca, &addresses], words].concat())
    };
    let said = check(&["new", "new", "new"], &JSON);
    expect(&said, 0, &[]);
    let said = check(&["new", "stale", "new"], &JSON);
    expect(&said, 1, &["addresses-differ"]);
    said.has("127.0.0.3:")
        .has("still serves the old certificate");
    let said = check(&["new", "ending", "new"], &JSON);
    expect(&said, 2, &["left", "addresses-differ"]);
    let said = check(&["new", "", "new"], &JSON);
    expect(&said, 1, &["addresses-down"]);
    said.has("127.0.0.3:").has("refuses connections");
    let said = check(&["", "", ""], &JSON);
    expect(&said, 2, &["addresses-down"]);
    for address in ["127.0.0.2:", "127.0.0.3:", "127.0.0.4:"] {
        said.has(address);
    }
    // The rows of a terminal: one for each address.
    let said = check(&["new", "stale", "new"], &[]);
    for row in ["127.0.0.2:", "127.0.0.3:", "127.0.0.4:"] {
        assert!(
            said.out
                .lines()
                .any(|it| it.contains(row) && it.contains("life gone ")),
            "{}",
            said.out
        );
    }
}

#[test]
fn one_silent_address_is_named_and_no_timeout_of_the_check() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let (_running, address) = lab.serve("good", &[]);
    // A listener whose queue is full swallows connections in silence.
    let listener = std::net::TcpListener::bind(("127.0.0.9", address.port())).expect("a port");
    let silent = std::thread::spawn(move || {
        let held = listener.accept();
        std::thread::sleep(Duration::from_secs(4));
        drop(held);
    });
    let said = koshu(&[
        "cert",
        &format!("shop.example.jp:{}", address.port()),
        &format!("ca={}", lab.at("root.pem")),
        "addresses=['127.0.0.1', '127.0.0.9']",
        "timeout=2s",
        "--format",
        "json",
    ]);
    expect(&said, 1, &["addresses-down"]);
    assert!(said.took < Duration::from_secs(4));
    drop(silent);
}

#[test]
fn a_renewed_file_that_is_not_served_is_told() {
    let Some(lab) = lab() else { return };
    for (name, days) in [
        ("old", (-80, 20)),
        ("renewed", (-1, 89)),
        ("ending", (-88, 2)),
    ] {
        lab.issue(&Wish { name, days, ..GOOD });
    }
    let age = |name: &str, hours: u64| {
        let file = fs::File::options()
            .append(true)
            .open(lab.at(name))
            .expect("a file");
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_modified(then).expect("a time");
    };
    let file = |name: &str| format!("file={}", lab.at(name));
    let (_running, address) = lab.serve("old", &[]);
    let check = |words: &[&str]| lab.check(address, &[words, &JSON].concat());
    let left = "left=10%,5%";
    expect(&check(&[left, &file("old.pem")]), 0, &[]);
    age("renewed.pem", 72);
    let said = check(&[left, &file("renewed.pem")]);
    expect(&said, 1, &["not-deployed"]);
    said.has("was renewed on disk 3 d ago")
        .has("still serves the one that ends in");
    age("renewed.pem", 0);
    expect(&check(&[left, &file("renewed.pem")]), 0, &[]);
    let (_running, address) = lab.serve("renewed", &[]);
    let check = |words: &[&str]| lab.check(address, &[words, &JSON].concat());
    let said = check(&[&file("old.pem")]);
    expect(&said, 1, &["served-newer"]);
    expect(&check(&["file=/no/such.pem"]), 2, &["missing"]);
    // Served below its own limit of CRITICAL.
    age("renewed.pem", 72);
    let (_running, address) = lab.serve("ending", &[]);
    let said = lab.check(address, &[&file("renewed.pem"), "--format", "json"]);
    expect(&said, 2, &["left", "not-deployed"]);
}

#[test]
fn nginx_heals_after_its_reload() {
    let Some(nginx) = engine::find("nginx") else {
        return;
    };
    let Some(lab) = lab() else { return };
    for (name, days) in [("first", (-80, 30)), ("second", (-1, 89))] {
        lab.issue(&Wish { name, days, ..GOOD });
    }
    let port = server::free_port();
    let live = lab.at("live.pem");
    let bundle = |name: &str| {
        [name, "middle"]
            .map(|it| fs::read_to_string(lab.at(&format!("{it}.pem"))).expect("a file"))
            .concat()
    };
    // Both share a key, as renewals with --reuse-key do.
    fs::copy(lab.at("second.key"), lab.at("live.key")).expect("a key");
    let [request, first] = ["second.csr", "first.pem"].map(|it| lab.at(it));
    engine::openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &lab.at("middle.pem"),
        "-CAkey",
        &lab.at("middle.key"),
        "-CAcreateserial",
        "-days",
        "60",
        "-extfile",
        &lab.at("second.ext"),
        "-out",
        &first,
    ]);
    lab.issue(&Wish {
        name: "later",
        days: (1, 99),
        ..GOOD
    });
    fs::write(&live, bundle("first")).expect("a file");
    let config = lab.at("nginx.conf");
    let text = format!(
        "daemon off; pid {pid}; error_log /dev/null; events {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {live}; ssl_certificate_key {key}; }} }}\n",
        pid = lab.at("nginx.pid"),
        key = lab.at("live.key"),
    );
    fs::write(&config, text).expect("a file");
    let start = engine::start(Command::new(&nginx).args(["-c", &config]));
    engine::until_open(port);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let file = format!("file={live}");
    let check = || lab.check(address, &[&file, "--format", "json"]);
    expect(&check(), 0, &[]);
    // Renewed: the same key, a certificate that begins later.
    std::thread::sleep(Duration::from_millis(1100));
    engine::openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &lab.at("middle.pem"),
        "-CAkey",
        &lab.at("middle.key"),
        "-CAcreateserial",
        "-days",
        "90",
        "-extfile",
        &lab.at("second.ext"),
        "-out",
        &first,
    ]);
    fs::write(&live, bundle("first")).expect("a file");
    let then = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let opened = fs::File::options()
        .append(true)
        .open(&live)
        .expect("a file");
    opened.set_modified(then).expect("a time");
    expect(&check(), 1, &["not-deployed"]);
    let _ = Command::new(&nginx)
        .args(["-c", &config, "-s", "reload"])
        .output();
    engine::until("the new certificate", || codes(&check()) == (0, vec![]));
    drop(start);
}

#[test]
fn rsa_and_ecdsa_of_one_server_are_both_seen() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "ec",
        days: (-1, 89),
        ..GOOD
    });
    lab.issue(&Wish {
        name: "rsa",
        key: "rsa:2048",
        days: (-88, 2),
        ..GOOD
    });
    let [cert, key] = ["rsa.pem", "rsa.key"].map(|it| lab.at(it));
    let chain = lab.at("middle.pem");
    let both = ["-dcert", &cert, "-dkey", &key, "-dcert_chain", &chain];
    let (_running, address) = lab.serve("ec", &both);
    // Asked as usual, the dying one stays unseen.
    expect(&lab.check(address, &JSON), 0, &[]);
    let said = lab.check(address, &["keys=both", "--format", "json"]);
    expect(&said, 2, &["left"]);
    said.has("rsa ends in");
    let (_running, address) = lab.serve("ec", &[]);
    let said = lab.check(address, &["keys=both"]);
    said.is("OK");
    said.has("has no RSA certificate");
}
