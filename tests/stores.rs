//! `cert` on files: stores of every kind, private keys, patterns and files that may not be read.

use crate::engine;
use crate::koshu::koshu;
use crate::lab::{GOOD, Wish, lab};
use std::fs;
use std::process::Command;

#[test]
fn pkcs12_opens_with_its_password_in_modern_and_old_encryption() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "boxed",
        ..GOOD
    });
    let [cert, key, chain] = ["boxed.pem", "boxed.key", "middle.pem"].map(|it| lab.at(it));
    for (name, words) in [
        ("modern", &[][..]),
        ("old", &["-legacy"]),
        ("open", &["-nokeys"]),
    ] {
        let store = lab.at(&format!("{name}.p12"));
        let common = [
            "pkcs12",
            "-export",
            "-in",
            &cert,
            "-inkey",
            &key,
            "-certfile",
            &chain,
            "-out",
            &store,
            "-passout",
            "pass:Geheim-77",
        ];
        engine::openssl(&[&common[..], words].concat());
        let file = format!("file={store}");
        let said = koshu(&["cert", &file, "password=Geheim-77"]);
        said.has("certificates=2").is("OK");
        let said = koshu(&["cert", &file]);
        said.has("needs its `password`").is("UNKNOWN");
        let said = koshu(&["cert", &file, "password=wrong-one"]);
        said.has("the password does not open").is("UNKNOWN");
        assert!(!said.out.contains("wrong-one"), "{}", said.out);
    }
}

/// Both stores were made with keytool 17: a key pair "own" for 100 years, and a certificate that ended in 2021.
#[test]
fn java_stores_open_without_a_password() {
    for kind in ["jks", "jceks"] {
        let store = format!("{}/tests/fixtures/java.{kind}", env!("CARGO_MANIFEST_DIR"));
        let said = koshu(&["cert", &format!("file={store}")]);
        assert!(
            said.is("CRITICAL").contains("duke expired "),
            "{}",
            said.out
        );
        said.has("certificates=2").has("own key ends in");
    }
}

#[test]
fn private_keys_must_be_those_of_their_certificates() {
    let Some(lab) = lab() else { return };
    for (name, key) in [("one", "ec"), ("two", "ec"), ("three", "rsa:2048")] {
        lab.issue(&Wish { name, key, ..GOOD });
    }
    let check = |cert: &str, key: &str| {
        koshu(&[
            "cert",
            &format!("file={}", lab.at(cert)),
            &format!("key={}", lab.at(key)),
            "--format",
            "json",
        ])
    };
    assert_eq!(check("one.pem", "one.key").codes(), Vec::<String>::new());
    assert_eq!(
        check("three.pem", "three.key").codes(),
        Vec::<String>::new()
    );
    assert_eq!(check("one.pem", "two.key").codes(), ["key-mismatch"]);
    assert_eq!(check("one.pem", "three.key").codes(), ["key-mismatch"]);
    check("one.pem", "one.pem").has("no private key in");
    check("one.pem", "none.key").has("none.key does not exist");
    // In the same file, as haproxy wants it.
    let joined = lab.at("joined.pem");
    let text = |it: &str| fs::read_to_string(lab.at(it)).expect("a file");
    fs::write(&joined, text("one.pem") + &text("one.key")).expect("a file");
    koshu(&["cert", &format!("file={joined}")]).is("OK");
    fs::write(&joined, text("one.pem") + &text("two.key")).expect("a file");
    koshu(&["cert", &format!("file={joined}")]).is("CRITICAL");
    let (_running, address) = lab.serve("one", &[]);
    let said = lab.check(
        address,
        &[
            &format!("file={}", lab.at("one.pem")),
            &format!("key={}", lab.at("two.key")),
            "--format",
            "json",
        ],
    );
    assert_eq!(said.codes(), ["key-mismatch"]);
}

#[test]
fn files_are_found_in_folders_below() {
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        name: "deep",
        ..GOOD
    });
    let folder = lab.at("a/b/c");
    fs::create_dir_all(&folder).expect("folders");
    fs::copy(lab.at("deep.pem"), format!("{folder}/x.crt")).expect("a copy");
    koshu(&["cert", &format!("file={}/**/*.crt", lab.at(""))])
        .has("a/b/c/x.crt")
        .is("OK");
    // OpenSSL's own writing of a trusted certificate.
    let trusted = lab.at("trusted.pem");
    engine::openssl(&[
        "x509",
        "-in",
        &lab.at("deep.pem"),
        "-addtrust",
        "serverAuth",
        "-trustout",
        "-out",
        &trusted,
    ]);
    koshu(&["cert", &format!("file={trusted}")]).is("OK");
}

#[test]
fn files_of_others_are_unknown_with_the_name_of_the_user() {
    let Some(lab) = lab() else { return };
    if !rustix::process::geteuid().is_root() || engine::find("setpriv").is_none() {
        engine::skip("only root can become another user");
        return;
    }
    lab.issue(&Wish {
        name: "closed",
        ..GOOD
    });
    let file = lab.at("closed.pem");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    let (_running, address) = lab.serve("closed", &[]);
    let folder = lab.at("");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a mode");
    // The binary where another user may start it.
    let koshu = lab.at("koshu");
    fs::copy(crate::koshu::binary(), &koshu).expect("a copy");
    let out = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            &koshu,
            "cert",
            &address.to_string(),
        ])
        .args([
            &format!("file={file}"),
            &format!("ca={}", lab.at("root.pem")),
        ])
        .output()
        .expect("setpriv");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.contains(&format!("cannot read {file} as user")),
        "{text}"
    );
    assert!(
        text.contains("closed ends in"),
        "what is served is seen: {text}"
    );
    assert_eq!(out.status.code(), Some(3), "{text}");
}

/// A certificate for 90 days that ended yesterday, and one that is fine.
fn old_and_good(lab: &crate::lab::Lab) {
    lab.issue(&Wish {
        name: "over",
        days: (-90, -1),
        ..GOOD
    });
    lab.issue(&GOOD);
}

#[test]
fn one_unreadable_file_neither_hides_nor_is_hidden_by_the_others() {
    let Some(lab) = lab() else { return };
    old_and_good(&lab);
    fs::write(lab.at("junk.pem"), "hello").expect("a file");
    let check = |files: &[&str]| {
        let files: Vec<String> = files.iter().map(|it| format!("'{}'", lab.at(it))).collect();
        let file = format!("file=[{}]", files.join(", "));
        koshu(&["cert", &file, "--format", "json"])
    };
    assert_eq!(check(&["good.pem", "junk.pem"]).codes(), ["unknown"]);
    let said = check(&["junk.pem", "over.pem"]);
    assert_eq!(said.codes(), ["expired", "unknown"]);
    assert_eq!(said.json()["state"], 2);
    // Links that lead nowhere fit a pattern, too.
    fs::create_dir(lab.at("live")).expect("a folder");
    for (link, to) in [("a.pem", "../good.pem"), ("b.pem", "../none.pem")] {
        std::os::unix::fs::symlink(to, lab.at(&format!("live/{link}"))).expect("a link");
    }
    assert_eq!(check(&["live/*.pem"]).codes(), ["missing"]);
}

#[test]
fn a_name_that_is_no_utf_8_is_found_by_a_pattern() {
    use std::os::unix::ffi::OsStrExt;
    let Some(lab) = lab() else { return };
    old_and_good(&lab);
    let folder = std::path::PathBuf::from(lab.at("odd"));
    fs::create_dir(&folder).expect("a folder");
    let odd = |bytes: &[u8]| folder.join(std::ffi::OsStr::from_bytes(bytes));
    fs::copy(lab.at("good.pem"), folder.join("a.pem")).expect("a copy");
    fs::copy(lab.at("over.pem"), odd(b"caf\xe9.pem")).expect("a copy");
    fs::create_dir(odd(b"\xff")).expect("a folder");
    fs::copy(lab.at("good.pem"), odd(b"\xff/c.pem")).expect("a copy");
    let said = koshu(&["cert", &format!("file={}/**/*.pem", folder.display())]);
    said.has("certificates=3").is("CRITICAL");
    // What looks like a pattern elsewhere is a name here.
    fs::create_dir(lab.at("[2026]")).expect("a folder");
    fs::copy(lab.at("good.pem"), lab.at("[2026]/x.pem")).expect("a copy");
    koshu(&["cert", &format!("file={}/[2026]/*.pem", lab.at(""))]).is("OK");
    koshu(&["cert", &format!("file={}/[2026]/x.pem", lab.at(""))]).is("OK");
}

#[test]
fn a_bundle_with_one_damaged_block_is_not_silently_shorter() {
    let Some(lab) = lab() else { return };
    old_and_good(&lab);
    let text = |it: &str| fs::read_to_string(lab.at(it)).expect("a file");
    let (good, over) = (text("good.pem"), text("over.pem"));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let indented = over.replace("-----BEGIN", "  -----BEGIN");
    let four = over.replace("-----BEGIN", "----BEGIN");
    let seven = "-----BEGIN PKCS7-----\nMAsGCSqGSIb3DQEHAg==\n-----END PKCS7-----\n".to_owned();
    let bundle = lab.at("bundle.pem");
    for (what, text, state, codes) in [
        (
            "damaged first",
            junk.to_owned() + &good,
            3,
            &["unknown"][..],
        ),
        (
            "damaged before an old one",
            good.clone() + junk + &over,
            2,
            &["expired", "unknown"],
        ),
        (
            "cut off",
            good.clone() + &over[..over.len() / 2],
            3,
            &["unknown"],
        ),
        ("indented", good.clone() + &indented, 3, &["unknown"]),
        (
            "behind a byte order mark",
            format!("\u{feff}{over}{good}"),
            3,
            &["unknown"],
        ),
        ("four dashes", good.clone() + &four, 3, &["unknown"]),
        ("another kind", good.clone() + &seven, 3, &["unknown"]),
        (
            "comments",
            format!("Subject: caf\u{e9}\n{good}# the end\n"),
            0,
            &[],
        ),
    ] {
        fs::write(&bundle, text).expect("a file");
        let said = koshu(&["cert", &format!("file={bundle}"), "--format", "json"]);
        assert_eq!(said.codes(), codes, "{what}: {}", said.out);
        assert_eq!(said.json()["state"], state, "{what}: {}", said.out);
    }
    // Several in DER, one behind the other.
    let der = |name: &str| {
        let [pem, der] = ["pem", "der"].map(|it| lab.at(&format!("{name}.{it}")));
        engine::openssl(&["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        fs::read(der).expect("a file")
    };
    fs::write(&bundle, [der("good"), der("over")].concat()).expect("a file");
    koshu(&["cert", &format!("file={bundle}")])
        .has("certificates=2")
        .is("CRITICAL");
    fs::write(&bundle, [der("good"), b"\x30\x03abc".to_vec()].concat()).expect("a file");
    koshu(&["cert", &format!("file={bundle}")]).is("UNKNOWN");
}

#[test]
fn damage_is_told_in_words_and_not_in_the_librarys_own() {
    let Some(lab) = lab() else { return };
    lab.issue(&GOOD);
    let [pem, der] = ["good.pem", "good.der"].map(|it| lab.at(it));
    engine::openssl(&["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
    let good = fs::read(&der).expect("a file");
    for at in 0..good.len().min(120) {
        let mut bytes = good.clone();
        bytes[at] = bytes[at].wrapping_add(1);
        fs::write(&der, &bytes[..good.len() - at % 3]).expect("a file");
        let said = koshu(&["cert", &format!("file={der}")]);
        for word in ["Tag(", "Some(", "nom error", "BER"] {
            assert!(!said.out.contains(word), "byte {at}: {}", said.out);
        }
    }
}
