//! `cert`: what ACME clients keep, whether it is served, and whether the next renewal will succeed.

use crate::engine::{self, Running, find};
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, Lab, Wish, lab};
use crate::namespace::{Namespace, namespace};
use crate::nginx::nginx;
use crate::nsd;
use crate::server;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// certbot's folder after it was really issued a certificate by pebble, an ACME server for tests.
fn issued() -> Option<TempDir> {
    let (pebble, certbot) = (find("pebble")?, find("certbot")?);
    find("openssl")?;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [port, other, http] = [(); 3].map(|()| server::free_port());
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=pebble",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        &at("key.pem"),
        "-out",
        &at("cert.pem"),
    ]);
    let config = format!(
        r#"{{"pebble":{{"listenAddress":"127.0.0.1:{port}","managementListenAddress":"127.0.0.1:{other}","certificate":"{}","privateKey":"{}","httpPort":{http},"tlsPort":1,"certificateValidityPeriod":7776000}}}}"#,
        at("cert.pem"),
        at("key.pem")
    );
    fs::write(at("pebble.json"), config).expect("a file");
    let _pebble = engine::start(
        Command::new(pebble)
            .args(["-config", &at("pebble.json")])
            .envs([
                ("PEBBLE_VA_ALWAYS_VALID", "1"),
                ("PEBBLE_VA_NOSLEEP", "1"),
                ("PEBBLE_WFE_NONCEREJECT", "0"),
            ]),
    );
    engine::until_open(port);
    let done = Command::new(certbot)
        .args([
            "certonly",
            "--non-interactive",
            "--agree-tos",
            "--register-unsafely-without-email",
        ])
        .args([
            "--server",
            &format!("https://127.0.0.1:{port}/dir"),
            "--config-dir",
            &at("le"),
        ])
        .args([
            "--work-dir",
            &at("w"),
            "--logs-dir",
            &at("l"),
            "--standalone",
        ])
        .args([
            "--http-01-address",
            "127.0.0.1",
            "--http-01-port",
            &http.to_string(),
        ])
        .args(["-d", "shop.example.jp"])
        .env("REQUESTS_CA_BUNDLE", at("cert.pem"))
        .output()
        .expect("certbot");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Some(folder)
}

fn codes(said: &Said) -> (u64, Vec<String>) {
    (said.json()["state"].as_u64().unwrap_or(9), said.codes())
}

#[test]
fn a_real_certbot_lineage_is_read_and_its_neglect_is_told() {
    let Some(folder) = issued() else { return };
    let le = folder.path().join("le");
    let ask = || {
        koshu(&[
            "cert",
            &format!("certbot={}", le.display()),
            "--format",
            "json",
        ])
    };
    assert_eq!(codes(&ask()), (0, vec![]), "{}", ask().out);

    // Somebody put back an old link: what was issued since is never used.
    let live = le.join("live/shop.example.jp/fullchain.pem");
    let archive = le.join("archive/shop.example.jp");
    fs::copy(
        archive.join("fullchain1.pem"),
        archive.join("fullchain2.pem"),
    )
    .expect("a copy");
    let said = ask();
    assert_eq!(codes(&said), (1, vec!["renewal-broken".to_owned()]));
    said.has("live/shop.example.jp still points to number 1, number 2 was issued");
    fs::remove_file(archive.join("fullchain2.pem")).expect("removed");

    // The configuration is gone, and with it every renewal.
    let conf = le.join("renewal/shop.example.jp.conf");
    let text = fs::read_to_string(&conf).expect("a file");
    fs::rename(&conf, le.join("conf")).expect("renamed");
    let said = ask();
    assert_eq!(codes(&said), (1, vec!["renewal-broken".to_owned()]));
    said.has("has no renewal/shop.example.jp.conf");

    // Its own renewal was due at 89 of 90 days left, less than a day ago; then more.
    fs::write(&conf, format!("renew_before_expiry = 90 days\n{text}")).expect("a file");
    assert_eq!(codes(&ask()), (0, vec![]));
    fs::write(&conf, format!("renew_before_expiry = 95 days\n{text}")).expect("a file");
    let said = ask();
    assert_eq!(codes(&said), (1, vec!["renewal-stuck".to_owned()]));
    said.has("shop.example.jp should have been renewed ");

    fs::remove_file(live).expect("removed");
    assert_eq!(codes(&ask()).1[0], "missing");
    fs::remove_dir_all(&le).expect("removed");
    ask().has("no certificate of an ACME client in");
}

/// A namespace in which shop.example.jp is 127.0.0.1 and serves a certificate of the lab on port 443.
fn shop(lab: &Lab, name: &str) -> Option<(Namespace, Running)> {
    let hosts = "127.0.0.1 shop.example.jp\n127.0.0.9 mail.example.jp\n";
    let own = namespace(&[], hosts, &["127.0.0.1"])?;
    let at = own.path().display().to_string();
    let servers = format!(
        "server {{ listen 127.0.0.1:443 ssl; ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 \"{{}}\"; }} }}",
        lab.at(&format!("{name}.pem")),
        lab.at(&format!("{name}.key"))
    );
    let running = nginx(&at, &servers, |it| own.command(it))?;
    Some((own, running))
}

/// A folder of certbot with one lineage.
fn lineage(lab: &Lab, name: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("renewal")).expect("a folder");
    let conf = format!(
        "version = 2.1.0\nrenew_before_expiry = 1 day\nfullchain = {}\nprivkey = {}\n{more}\n",
        lab.at(&format!("{name}.pem")),
        lab.at(&format!("{name}.key"))
    );
    fs::write(folder.path().join("renewal/shop.conf"), conf).expect("a file");
    folder
}

#[test]
fn a_renewed_lineage_that_this_machine_does_not_serve_is_told() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "old",
        days: (-60, 30),
        ..GOOD
    });
    lab.issue(&Wish {
        name: "new",
        ..GOOD
    });
    let Some((own, _nginx)) = shop(&lab, "old") else {
        return;
    };
    let old = fs::File::open(lab.at("new.pem")).expect("a file");
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 86_400))
        .expect("a time");
    let folder = lineage(&lab, "new", "");
    let certbot = format!("certbot={}", folder.path().display());
    let said = own.koshu(&["cert", &certbot]);
    let line = said.is("WARNING");
    assert!(
        line.contains(
            "was renewed on disk 3 d ago, 127.0.0.1:443 still serves the one that ends in"
        ),
        "{line}"
    );
    let folder = lineage(&lab, "old", "");
    let certbot = format!("certbot={}", folder.path().display());
    let said = own.koshu(&["cert", &certbot, "left=1d,1h"]);
    said.is("OK");
    assert!(!said.out.contains("does not serve"), "{}", said.out);
    // A name that is another machine's is not looked at.
    lab.issue(&Wish {
        name: "mail",
        names: "DNS:mail.example.com",
        ..GOOD
    });
    let folder = lineage(&lab, "mail", "");
    let certbot = format!("certbot={}", folder.path().display());
    own.koshu(&["cert", &certbot]).is("OK");
}

/// A CA's directory and its word on a renewal, over https on 127.0.0.1:14000 of a namespace.
fn authority(lab: &Lab, own: &Namespace, window: &str) -> Option<Running> {
    lab.issue(&Wish {
        name: "ca",
        names: "IP:127.0.0.1",
        ..GOOD
    });
    let chain = fs::read_to_string(lab.at("ca.pem")).expect("a file")
        + &fs::read_to_string(lab.at("middle.pem")).expect("a file");
    fs::write(lab.at("ca-chain.pem"), chain).expect("a file");
    let at = own.path().join("ca");
    fs::create_dir_all(&at).expect("a folder");
    let servers = format!(
        "server {{ listen 127.0.0.1:14000 ssl; ssl_certificate {}; ssl_certificate_key {};
        location = /dir {{ return 200 '{{\"renewalInfo\":\"https://127.0.0.1:14000/ari\",\"meta\":{{\"caaIdentities\":[\"ca.example\"]}}}}'; }}
        location ~ ^/ari/[-_A-Za-z0-9]+[.][-_A-Za-z0-9]+$ {{ return 200 '{window}'; }} }}",
        lab.at("ca-chain.pem"),
        lab.at("ca.key")
    );
    nginx(&at.display().to_string(), &servers, |it| own.command(it))
}

/// nsd for example.jp with these lines, which is also the only resolver of a namespace.
fn zone(own: &Namespace, lines: &str) -> Option<Running> {
    let lines = nsd::apex("example.jp.", "127.0.0.1") + lines;
    nsd::serve(own, "127.0.0.1", "example.jp", &lines)
}

const LATER: &str =
    r#"{"suggestedWindow":{"start":"2099-01-01T00:00:00Z","end":"2099-01-03T00:00:00Z"}}"#;
const PAST: &str = r#"{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-03T00:00:00Z"},"explanationURL":"https://ca.example/incident"}"#;

#[test]
fn what_the_next_renewal_needs_is_looked_at() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let Some((own, _nginx)) = shop(&lab, "good") else {
        return;
    };
    let server = "[renewalparams]\nserver = https://127.0.0.1:14000/dir\nauthenticator = webroot";
    let folder = lineage(&lab, "good", server);
    let certbot = format!("certbot={}", folder.path().display());
    let ca = format!("ca={}", lab.at("root.pem"));
    let ask = |more: &[&str]| {
        let said = own.koshu(
            &[
                &["cert", &certbot, &ca, "renewal=true", "--format", "json"],
                more,
            ]
            .concat(),
        );
        let (state, codes) = codes(&said);
        (state, codes.join(" "), said)
    };

    // Nobody listens on port 80, no resolver, no CA: each is said, and only what is known to be wrong counts.
    let (state, found, said) = ask(&[]);
    assert_eq!((state, &*found), (1, "port-80"), "{}", said.out);
    said.has("the challenge of shop.example.jp will fail: 127.0.0.1:80 refuses connections");
    said.has("no renewal information of the CA: 127.0.0.1:14000 refuses connections");
    said.has("CAA is not judged");

    let web = own.path().join("web");
    fs::create_dir(&web).expect("a folder");
    let _web = nginx(
        &web.display().to_string(),
        "server { listen 127.0.0.1:80; }",
        |it| own.command(it),
    );
    let _ca = authority(&lab, &own, LATER);
    let _zone = zone(
        &own,
        "@ IN CAA 0 issue \"ca.example\"\nshop IN A 127.0.0.1\n_acme-challenge.shop IN TXT x",
    );
    let (state, found, said) = ask(&[]);
    assert_eq!((state, &*found), (0, ""), "{}", said.out);
    said.has("the CA suggests to renew it 2099-01-01 to 2099-01-03");
    assert_eq!(ask(&["challenge=dns-01"]).0, 0);
}

#[test]
fn renewals_that_the_ca_or_caa_will_not_grant_are_critical() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let Some((own, _nginx)) = shop(&lab, "good") else {
        return;
    };
    let _ca = authority(&lab, &own, PAST);
    let _zone = zone(
        &own,
        "@ IN CAA 0 issue \"other.example\"\nshop IN A 127.0.0.1\n",
    );
    let said = own.koshu(&[
        "cert",
        "shop.example.jp",
        &format!("ca={}", lab.at("root.pem")),
        &format!("file={}", lab.at("good.pem")),
        "renewal=true",
        "directory=https://127.0.0.1:14000/dir",
        "challenge=tls-alpn-01",
        "grade={incomplete-chain='ok'}",
        "--format",
        "json",
    ]);
    let (state, found) = codes(&said);
    assert_eq!(
        (state, found.join(" ").as_str()),
        (2, "incomplete-chain renewal-overdue renewal-notice caa"),
        "{}",
        said.out
    );
    said.has("see https://ca.example/incident");
    said.has("CAA at example.jp allows only \\\"other.example\\\", not ca.example");
}

#[test]
fn caa_is_asked_at_every_server_past_all_caches() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    // The address of a.root-servers.net, on which a root of our own answers.
    let hosts = "127.0.0.1 shop.example.jp\n";
    let Some(own) = namespace(&["198.41.0.4/32"], hosts, &["127.0.0.7"]) else {
        return;
    };
    let root = ". IN SOA a.root-servers.net. x. 1 3600 900 1209600 60\n. IN NS a.root-servers.net.\na.root-servers.net. IN A 198.41.0.4\njp. IN NS ns.jp.\nns.jp. IN A 127.0.0.2\n";
    let root = nsd::serve(&own, "198.41.0.4", ".", &format!("$TTL 60\n{root}"));
    let jp = nsd::apex("jp.", "127.0.0.2")
        + "example IN NS ns.example\nexample IN NS ns2.example\nns.example IN A 127.0.0.3\nns2.example IN A 127.0.0.4\n";
    let jp = nsd::serve(&own, "127.0.0.2", "jp", &jp);
    let example = nsd::apex("example.jp.", "127.0.0.3")
        + "@ IN NS ns2\nns2 IN A 127.0.0.4\nshop IN A 127.0.0.1\n";
    let allowed = example.clone() + "@ IN CAA 0 issue \"ca.example\"\n";
    let one = nsd::serve(&own, "127.0.0.3", "example.jp", &allowed);
    let _running = (root, jp, one);
    let _ca = authority(&lab, &own, LATER);
    let file = format!("file={}", lab.at("good.pem"));
    let ca = format!("ca={}", lab.at("root.pem"));
    let ask = || {
        let words = [
            "cert",
            &file,
            &ca,
            "renewal=true",
            "resolve=authoritative",
            "challenge=tls-alpn-01",
        ];
        let directory = "directory=https://127.0.0.1:14000/dir";
        own.koshu(&[&words[..], &[directory, "--format", "json"]].concat())
    };
    {
        let _two = nsd::serve(&own, "127.0.0.4", "example.jp", &allowed);
        let said = ask();
        assert_eq!(codes(&said), (0, vec![]), "{}", said.out);
    }
    let _two = nsd::serve(
        &own,
        "127.0.0.4",
        "example.jp",
        &(example + "@ IN CAA 0 issue \";\"\n"),
    );
    let said = ask();
    assert_eq!(codes(&said), (2, vec!["caa".to_owned()]), "{}", said.out);
    said.has("answer differently");
}

#[test]
fn one_unreadable_lineage_does_not_hide_the_others() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    lab.issue(&Wish {
        name: "over",
        days: (-90, -1),
        ..GOOD
    });
    let folder = tempfile::tempdir().expect("a folder");
    let at = |it: &str| folder.path().join(it);
    for (name, conf) in [("good", &b"authenticator = \xff\n"[..]), ("over", b"")] {
        fs::create_dir_all(at("renewal")).expect("a folder");
        fs::create_dir_all(at(&format!("live/{name}"))).expect("a folder");
        fs::write(at(&format!("renewal/{name}.conf")), conf).expect("a file");
        let pem = at(&format!("live/{name}/fullchain.pem"));
        fs::copy(lab.at(&format!("{name}.pem")), pem).expect("a copy");
    }
    let certbot = format!("certbot={}", folder.path().display());
    let said = koshu(&["cert", &certbot, "--format", "json"]);
    let codes = said.codes();
    for code in ["expired", "unknown"] {
        assert!(codes.iter().any(|it| it == code), "{}", said.out);
    }
    said.has("first of 2 certificates").has("renewal/good.conf");
}

#[test]
fn folders_and_their_words_stand_alone() {
    koshu(&["cert", "certbot=/x", "host=h"])
        .has("stands alone")
        .is("UNKNOWN");
    koshu(&["cert", "certbot=/x", "lego=/y"])
        .has("stands alone")
        .is("UNKNOWN");
    koshu(&["cert", "h", "challenge=dns-01"])
        .has("means nothing without `renewal = true`")
        .is("UNKNOWN");
    koshu(&["cert", "h", "renewal=true", "directory=ftp://x"])
        .has("an ACME directory is an https:// URL")
        .is("UNKNOWN");
    koshu(&["cert", "lego=/no/such/folder"])
        .has("no certificate of an ACME client in /no/such/folder")
        .is("UNKNOWN");
}
