//! `cert` beside check_ssl_cert, the classic for certificates: the same verdict, or a reason why not.

use crate::engine::find;
use crate::lab::{GOOD, Wish, lab};
use std::process::Command;

const STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// A certificate, how it is served, what koshu says with limits of 20 and 15 days, and where check_ssl_cert says
/// something else, what and why.
type Case = (
    Wish<'static>,
    &'static [&'static str],
    &'static str,
    Option<(&'static str, &'static str)>,
);

#[test]
fn verdicts_are_those_of_check_ssl_cert_or_better_for_a_reason() {
    let Some(program) = find("check_ssl_cert") else {
        return;
    };
    let Some(lab) = lab() else { return };
    let cases: &[Case] = &[
        (
            Wish {
                name: "good",
                ..GOOD
            },
            &[],
            "OK",
            None,
        ),
        (
            Wish {
                name: "year",
                days: (-300, 100),
                ..GOOD
            },
            &[],
            "OK",
            Some((
                "CRITICAL",
                "it holds private authorities to the 397 days that browsers allow public ones",
            )),
        ),
        (
            Wish {
                name: "soon",
                days: (-70, 18),
                ..GOOD
            },
            &[],
            "WARNING",
            None,
        ),
        (
            Wish {
                name: "sooner",
                days: (-80, 10),
                ..GOOD
            },
            &[],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "over",
                days: (-90, -1),
                ..GOOD
            },
            &[],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "early",
                days: (1, 90),
                ..GOOD
            },
            &[],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "other",
                names: "DNS:other.example.jp",
                ..GOOD
            },
            &[],
            "CRITICAL",
            Some(("OK", "it does not compare addresses with the certificate")),
        ),
        (
            Wish {
                name: "address",
                names: "IP:127.0.0.1",
                ..GOOD
            },
            &[],
            "OK",
            None,
        ),
        (
            Wish {
                name: "bare",
                ..GOOD
            },
            &["-no-chain"],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "sha1",
                digest: "sha1",
                ..GOOD
            },
            &["-cipher", "ALL:@SECLEVEL=0"],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "rsa1024",
                key: "rsa:1024",
                ..GOOD
            },
            &["-cipher", "ALL:@SECLEVEL=0"],
            "WARNING",
            Some((
                "CRITICAL",
                "OpenSSL refuses short keys; a server with one still serves whom it served",
            )),
        ),
        (
            Wish {
                name: "client-only",
                more: "extendedKeyUsage=clientAuth",
                ..GOOD
            },
            &[],
            "CRITICAL",
            None,
        ),
        (
            Wish {
                name: "long",
                days: (-10, 1000),
                ..GOOD
            },
            &[],
            "OK",
            Some((
                "CRITICAL",
                "it holds private authorities to the 397 days that browsers allow public ones",
            )),
        ),
        (
            Wish {
                name: "v13",
                ..GOOD
            },
            &["-tls1_3"],
            "OK",
            None,
        ),
        (
            Wish {
                name: "v10",
                key: "rsa:2048",
                ..GOOD
            },
            &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
            "OK",
            Some((
                "CRITICAL",
                "OpenSSL refuses TLS 1.0; the certificate is read without it",
            )),
        ),
        (
            Wish {
                name: "asks",
                ..GOOD
            },
            &["-verify", "1"],
            "OK",
            None,
        ),
    ];
    for (wish, words, ours, difference) in cases {
        lab.issue(wish);
        let (_running, address) = lab.serve(wish.name, words);
        let said = lab.check(address, &["left=20d,15d"]);
        let theirs = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-r", &lab.at("root.pem"), "-w", "20", "-c", "15"])
            .args(["--ignore-sct", "--ignore-ocsp", "--temp", &lab.at("")])
            .output()
            .expect("check_ssl_cert");
        let their_state = theirs
            .status
            .code()
            .and_then(|it| STATES.get(usize::try_from(it).ok()?));
        let out = String::from_utf8_lossy(&theirs.stdout);
        said.is(ours);
        let (expected, why) = difference.unwrap_or((ours, "both say the same"));
        assert_eq!(their_state, Some(&expected), "{}: {why}: {out}", wish.name);
    }
}
