//! `cert`: chains that the TLS library cannot judge by itself, with `openssl verify` as the oracle.

use crate::engine::{self, Running};
use crate::koshu::{Said, command, koshu, said};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// A folder of certificates, each made with openssl as a test wants it.
struct Forge(TempDir);

/// What a certificate should be.
#[derive(Clone, Copy)]
struct Cast<'c> {
    name: &'c str,
    /// The subject; "/CN=NAME" where it is empty.
    subject: &'c str,
    /// "P-256" and the like, "rsa:BITS", "ed25519" or "ed448".
    key: &'c str,
    /// Whose key signs it; its own name for a root.
    by: &'c str,
    /// "-sha256" and the like; empty for Ed448.
    digest: &'c str,
    /// Lines of extensions.
    more: &'c str,
    days: i64,
}

const ROOT: Cast = Cast {
    name: "root",
    subject: "",
    key: "P-256",
    by: "root",
    digest: "-sha256",
    more: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
    days: 3650,
};

const MIDDLE: Cast = Cast {
    name: "middle",
    by: "root",
    days: 1000,
    ..ROOT
};

const LEAF: Cast = Cast {
    name: "leaf",
    by: "middle",
    more: LEAF_LINES,
    days: 90,
    ..ROOT
};

const LEAF_LINES: &str =
    "subjectAltName=IP:127.0.0.1,DNS:shop.example.jp\nextendedKeyUsage=serverAuth\n";

fn forge() -> Option<Forge> {
    engine::find("openssl")?;
    Some(Forge(tempfile::tempdir().expect("a folder")))
}

impl Forge {
    fn at(&self, file: &str) -> String {
        self.0.path().join(file).display().to_string()
    }

    fn cast(&self, cast: &Cast) {
        let Cast { name, by, .. } = *cast;
        let [key, request, cert, lines] =
            ["key", "csr", "pem", "ext"].map(|it| self.at(&format!("{name}.{it}")));
        let [by_cert, by_key] = ["pem", "key"].map(|it| self.at(&format!("{by}.{it}")));
        let kind: Vec<String> = match cast.key.split_once(':') {
            Some(("rsa", bits)) => vec![
                "RSA".into(),
                "-pkeyopt".into(),
                format!("rsa_keygen_bits:{bits}"),
            ],
            _ if cast.key.starts_with("ed") => vec![cast.key.into()],
            _ => vec![
                "EC".into(),
                "-pkeyopt".into(),
                format!("ec_paramgen_curve:{}", cast.key),
            ],
        };
        let kind: Vec<&str> = kind.iter().map(String::as_str).collect();
        engine::openssl(&[&["genpkey", "-out", &key, "-algorithm"], &kind[..]].concat());
        let usual = format!("/CN={name}");
        let subject = match cast.subject {
            "" => usual.as_str(),
            subject => subject,
        };
        engine::openssl(&[
            "req", "-new", "-key", &key, "-subj", subject, "-out", &request,
        ]);
        fs::write(&lines, format!("{}\n", cast.more)).expect("a file");
        let days = cast.days.to_string();
        let serial = format!("{}", 1000 + name.len() * 7 + by.len());
        let mut words = vec!["x509", "-req", "-in", &request, "-days", &days];
        words.extend(["-extfile", &lines, "-out", &cert, "-set_serial", &serial]);
        match name == by {
            true => words.extend(["-signkey", &key]),
            false => words.extend(["-CA", &by_cert, "-CAkey", &by_key]),
        }
        words.extend(Some(cast.digest).filter(|it| !it.is_empty()));
        engine::openssl(&words);
    }

    /// What `openssl verify` says of the leaf, beneath the intermediate and the root.
    fn oracle(&self) -> bool {
        let words = [
            "verify",
            "-purpose",
            "sslserver",
            "-auth_level",
            "0",
            "-policy_check",
            "-policy",
            "2.5.29.32.0",
        ];
        let files = [
            "-no-CApath".to_owned(),
            "-no-CAstore".to_owned(),
            "-CAfile".to_owned(),
            self.at("root.pem"),
            "-untrusted".to_owned(),
            self.at("middle.pem"),
            self.at("leaf.pem"),
        ];
        let done = Command::new("openssl").args(words).args(files).output();
        done.expect("openssl").status.success()
    }

    fn serve(&self, words: &[&str]) -> (Running, SocketAddr) {
        let [cert, key, chain] = ["leaf.pem", "leaf.key", "middle.pem"].map(|it| self.at(it));
        let own = ["-cert", &cert, "-key", &key, "-cert_chain", &chain];
        engine::s_server(&[&own[..], words].concat())
    }

    fn check(&self, address: SocketAddr, words: &[&str]) -> Said {
        let ca = format!("ca={}", self.at("root.pem"));
        let all = ["cert", &address.to_string(), &ca, "--format", "json"];
        koshu(&[&all[..], words].concat())
    }
}

/// Words that no message may have: they are Rust, not English.
#[track_caller]
fn no_rust(said: &Said) {
    for word in [
        "Other(",
        "OtherError",
        "Error(",
        "Unsupported",
        "BadDer",
        "InvalidCertificate",
    ] {
        assert!(!said.out.contains(word), "{word}: {}", said.out);
    }
    assert!(
        !said.out.contains("authority is used as a server"),
        "{}",
        said.out
    );
}

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";

#[test]
fn chains_that_the_library_cannot_judge_get_a_true_verdict() {
    let with = |more: &str| format!("{AUTHORITY}{more}");
    let leaf = |more: &str| format!("{LEAF_LINES}{more}");
    // What it is; the root's, the intermediate's and the leaf's own; and what the text must have.
    struct Case {
        what: &'static str,
        root: Cast<'static>,
        middle: (&'static str, &'static str, String),
        leaf: (&'static str, &'static str, String),
        says: &'static str,
    }
    let plain = |what: &'static str| Case {
        what,
        root: ROOT,
        middle: ("P-256", "-sha256", AUTHORITY.to_owned()),
        leaf: ("P-256", "-sha256", LEAF_LINES.to_owned()),
        says: "",
    };
    let cases = [
        Case {
            leaf: (
                "P-256",
                "-sha256",
                leaf("certificatePolicies=critical,1.2.3.4\n"),
            ),
            ..plain("a critical policy")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with("certificatePolicies=critical,2.5.29.32.0\n"),
            ),
            ..plain("a critical policy of the intermediate")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with(
                    "certificatePolicies=1.2.3.4\npolicyConstraints=critical,requireExplicitPolicy:0\n",
                ),
            ),
            leaf: ("P-256", "-sha256", leaf("certificatePolicies=1.2.3.4\n")),
            ..plain("a required policy that is there")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with(
                    "certificatePolicies=1.2.3.4\npolicyConstraints=critical,requireExplicitPolicy:0\n",
                ),
            ),
            says: "no explicit policy",
            ..plain("a required policy that is not there")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with("certificatePolicies=1.2.3.4\ninhibitAnyPolicy=critical,0\n"),
            ),
            leaf: ("P-256", "-sha256", leaf("certificatePolicies=1.2.3.4\n")),
            ..plain("any policy inhibited")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with("nameConstraints=critical,permitted;dirName:here\n[here]\nCN=leaf\n"),
            ),
            ..plain("a directory name that is permitted")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with("nameConstraints=critical,permitted;dirName:here\n[here]\nCN=another\n"),
            ),
            says: "permitted subtree violation",
            ..plain("a directory name that is not permitted")
        },
        Case {
            middle: (
                "P-256",
                "-sha256",
                with("nameConstraints=critical,excluded;dirName:here\n[here]\nCN=leaf\n"),
            ),
            says: "excluded subtree violation",
            ..plain("a directory name that is excluded")
        },
        Case {
            middle: ("P-521", "-sha512", AUTHORITY.to_owned()),
            ..plain("P-521 above")
        },
        Case {
            root: Cast {
                key: "P-521",
                ..ROOT
            },
            ..plain("a root with P-521")
        },
        Case {
            middle: ("ed448", "-sha256", AUTHORITY.to_owned()),
            leaf: ("P-256", "", LEAF_LINES.to_owned()),
            ..plain("Ed448 above")
        },
        Case {
            leaf: ("P-256", "-sha512", LEAF_LINES.to_owned()),
            ..plain("ECDSA of P-256 with SHA-512")
        },
        Case {
            middle: ("rsa:2048", "-sha256", AUTHORITY.to_owned()),
            leaf: ("P-256", "-sha224", LEAF_LINES.to_owned()),
            ..plain("RSA with SHA-224")
        },
        Case {
            root: Cast {
                more: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\ncertificatePolicies=critical,2.5.29.32.0\n",
                ..ROOT
            },
            ..plain("a root with a critical policy")
        },
        Case {
            leaf: (
                "P-256",
                "-sha256",
                leaf("1.2.3.4.5=critical,ASN1:UTF8String:odd\n"),
            ),
            says: "unhandled critical extension",
            ..plain("a critical extension that nobody knows")
        },
    ];
    for case in &cases {
        let Some(forge) = forge() else { return };
        forge.cast(&case.root);
        let (key, digest, more) = &case.middle;
        forge.cast(&Cast {
            key,
            digest,
            more,
            ..MIDDLE
        });
        let (key, digest, more) = &case.leaf;
        forge.cast(&Cast {
            key,
            digest,
            more,
            ..LEAF
        });
        let (_running, address) = forge.serve(&[]);
        let said = forge.check(address, &[]);
        no_rust(&said);
        let trusted = said.codes().is_empty();
        assert_eq!(trusted, forge.oracle(), "{}: {}", case.what, said.out);
        assert_eq!(trusted, case.says.is_empty(), "{}: {}", case.what, said.out);
        said.has(case.says);
        if !trusted {
            assert_eq!(said.codes(), ["untrusted"], "{}: {}", case.what, said.out);
        }
        // A page is asked for where the certificate is trusted, and only there.
        let url = format!("https://{address}/");
        let page = koshu(&["http", &url, &format!("ca={}", forge.at("root.pem"))]);
        assert_eq!(page.code == 0, trusted, "{}: {}", case.what, page.out);
    }
}

#[test]
fn without_openssl_what_cannot_be_judged_is_unknown_with_its_reason() {
    let Some(forge) = forge() else { return };
    forge.cast(&ROOT);
    forge.cast(&MIDDLE);
    forge.cast(&Cast {
        more: "subjectAltName=IP:127.0.0.1\ncertificatePolicies=critical,1.2.3.4\n",
        ..LEAF
    });
    let (_running, address) = forge.serve(&[]);
    let ca = format!("ca={}", forge.at("root.pem"));
    for words in [
        ["cert", &address.to_string(), &ca],
        ["http", &format!("https://{address}/"), &ca],
    ] {
        let mut command = command(&words);
        command.env("PATH", forge.at(""));
        let said = said(&mut command);
        no_rust(&said);
        said.has("leaf has the critical extension certificatePolicies")
            .has("there is no openssl here")
            .is("UNKNOWN");
    }
}

#[test]
fn an_issuer_that_may_not_sign_certificates_is_critical() {
    for (root, middle) in [
        (
            "keyUsage=critical,keyCertSign\n",
            "keyUsage=critical,digitalSignature,cRLSign\n",
        ),
        (
            "keyUsage=critical,digitalSignature\n",
            "keyUsage=critical,keyCertSign\n",
        ),
    ] {
        let Some(forge) = forge() else { return };
        let more = |it: &str| format!("basicConstraints=critical,CA:TRUE\n{it}");
        forge.cast(&Cast {
            more: &more(root),
            ..ROOT
        });
        forge.cast(&Cast {
            more: &more(middle),
            ..MIDDLE
        });
        forge.cast(&LEAF);
        let (_running, address) = forge.serve(&[]);
        let said = forge.check(address, &[]);
        assert_eq!(said.codes(), ["untrusted"], "{}", said.out);
        assert_eq!(said.json()["state"], 2);
        said.has("may not sign certificates").has("keyCertSign");
        assert!(!forge.oracle());
        let url = format!("https://{address}/");
        koshu(&["http", &url, &format!("ca={}", forge.at("root.pem"))]).is("CRITICAL");
    }
}

#[test]
fn a_way_past_an_issuer_that_may_not_sign_is_taken() {
    let Some(forge) = forge() else { return };
    forge.cast(&ROOT);
    forge.cast(&MIDDLE);
    forge.cast(&LEAF);
    // The same name and key once more, without the right to sign.
    let lines = forge.at("twin.ext");
    fs::write(
        &lines,
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n",
    )
    .expect("a file");
    let [request, root, root_key, twin] =
        ["middle.csr", "root.pem", "root.key", "twin.pem"].map(|it| forge.at(it));
    engine::openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &root,
        "-CAkey",
        &root_key,
        "-days",
        "900",
        "-set_serial",
        "77",
        "-extfile",
        &lines,
        "-out",
        &twin,
    ]);
    let text = |it: &str| fs::read_to_string(forge.at(it)).expect("a file");
    fs::write(
        forge.at("middle.pem"),
        text("twin.pem") + &text("middle.pem"),
    )
    .expect("a file");
    let (_running, address) = forge.serve(&[]);
    let said = forge.check(address, &[]);
    assert!(
        !said.codes().iter().any(|it| it == "untrusted"),
        "{}",
        said.out
    );
}

#[test]
fn a_certificate_that_begins_in_four_minutes_is_fine_and_one_in_a_day_never_expired() {
    // Clocks of two machines differ by minutes: what has just been issued elsewhere is valid.
    let Some(forge) = forge() else { return };
    forge.cast(&ROOT);
    forge.cast(&MIDDLE);
    for (name, minutes, codes) in [
        ("leaf", 4, &[][..]),
        ("leaf", 6, &["not-yet-valid"]),
        ("middle", 4, &[]),
        ("middle", 60, &["not-yet-valid"]),
    ] {
        forge.cast(&MIDDLE);
        forge.cast(&LEAF);
        let by = if name == "leaf" { "middle" } else { "root" };
        let date = |more: &str| {
            let out = Command::new("date")
                .args(["-u", "-d", more, "+%Y%m%d%H%M%SZ"])
                .output();
            String::from_utf8_lossy(&out.expect("date").stdout)
                .trim()
                .to_owned()
        };
        let at = |it: &str| forge.at(it);
        let [config, index] = [at("ca.cnf"), at("index")];
        fs::write(&index, "").expect("a file");
        fs::write(&config, format!(
            "[ca]\ndefault_ca=x\n[x]\ndatabase={index}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n",
            at("")
        )).expect("a file");
        engine::openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            &config,
            "-cert",
            &at(&format!("{by}.pem")),
            "-keyfile",
            &at(&format!("{by}.key")),
            "-in",
            &at(&format!("{name}.csr")),
            "-out",
            &at(&format!("{name}.pem")),
            "-startdate",
            &date(&format!("{minutes} minutes")),
            "-enddate",
            &date("80 days"),
            "-extfile",
            &at(&format!("{name}.ext")),
        ]);
        let (_running, address) = forge.serve(&[]);
        let said = forge.check(address, &[]);
        assert_eq!(said.codes(), codes, "{name} in {minutes} min: {}", said.out);
    }
}

#[test]
fn a_certificate_without_a_subject_has_a_name_in_the_line() {
    let Some(forge) = forge() else { return };
    forge.cast(&ROOT);
    forge.cast(&MIDDLE);
    forge.cast(&Cast {
        subject: "/",
        ..LEAF
    });
    let (_running, address) = forge.serve(&[]);
    let said = forge.check(address, &[]);
    assert_eq!(said.codes(), Vec::<String>::new(), "{}", said.out);
    said.has("shop.example.jp ends in ");
    // Neither subject nor names.
    forge.cast(&Cast {
        subject: "/",
        more: "basicConstraints=CA:FALSE\n",
        ..LEAF
    });
    let (_running, address) = forge.serve(&[]);
    let said = forge.check(address, &[]);
    assert_eq!(said.codes(), ["name-mismatch"], "{}", said.out);
    said.has("the certificate with the serial number");
    let said = koshu(&["cert", &format!("file={}", forge.at("leaf.pem"))]);
    assert!(
        said.is("OK")
            .starts_with("the certificate with the serial number "),
        "{}",
        said.out
    );
}

#[test]
fn a_root_that_has_ended_is_no_note() {
    let Some(forge) = forge() else { return };
    forge.cast(&Cast { days: -1, ..ROOT });
    forge.cast(&MIDDLE);
    forge.cast(&LEAF);
    let (_running, address) = forge.serve(&[]);
    let said = forge.check(address, &[]);
    assert_eq!(said.codes(), ["expired"], "{}", said.out);
    said.has("root expired ");
    assert!(!forge.oracle());
}

#[test]
fn what_a_root_says_of_itself_counts() {
    for (more, says) in [
        (
            "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n",
            "path length",
        ),
        ("basicConstraints=critical,CA:FALSE\n", "basic constraints"),
        (
            "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=clientAuth\n",
            "extended key usage",
        ),
    ] {
        let Some(forge) = forge() else { return };
        forge.cast(&Cast { more, ..ROOT });
        forge.cast(&MIDDLE);
        forge.cast(&LEAF);
        assert!(!forge.oracle(), "{more}");
        let (_running, address) = forge.serve(&[]);
        let said = forge.check(address, &[]);
        assert_eq!(said.codes(), ["untrusted"], "{}", said.out);
        said.has("root").has(says);
    }
}

#[test]
fn a_short_key_above_is_no_wrong_signature() {
    // The library has no RSA of 1024 bits with SHA-384.
    let Some(forge) = forge() else { return };
    forge.cast(&ROOT);
    forge.cast(&Cast {
        key: "rsa:1024",
        ..MIDDLE
    });
    forge.cast(&Cast {
        digest: "-sha384",
        ..LEAF
    });
    assert!(forge.oracle());
    let (_running, address) = forge.serve(&["-cipher", "ALL:@SECLEVEL=0"]);
    let said = forge.check(address, &[]);
    assert_eq!(said.codes(), ["weak-key"], "{}", said.out);
}
