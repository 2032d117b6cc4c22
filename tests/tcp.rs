//! `tcp`: open, refused, silent, answering something else, over TLS.

use crate::engine;
use crate::koshu::koshu;
use crate::server;
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn an_open_port_is_ok_with_its_time() {
    let port = server::black_hole().to_string();
    let said = koshu(&["tcp", &port, "time=1s,3s"]);
    assert!(said.is("OK").starts_with(&format!("{port} is open in ")));
    assert!(
        said.first().contains(" | time=0.") && said.first().ends_with("s;1;3;0"),
        "{}",
        said.first()
    );
}

#[test]
fn refused_and_unknown_names_are_critical() {
    let port = server::closed().to_string();
    assert_eq!(
        koshu(&["tcp", &port]).is("CRITICAL"),
        format!("{port} refuses connections")
    );
    let nowhere = koshu(&["tcp", "no-such-name.invalid:80", "timeout=6s"]);
    // Where no resolver answers, koshu cannot know.
    assert!(
        matches!(nowhere.code, 2 | 3) && nowhere.out.contains("no-such-name.invalid"),
        "{}",
        nowhere.out
    );
}

#[test]
fn an_answer_is_expected_and_quoted() {
    let mail = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 mail | ESMTP\r\n");
        let _ = stream.read(&mut [0; 64]);
    });
    let port = mail.to_string();
    let said = koshu(&["tcp", &port, "expect=^220 ", "send=QUIT\\r\\n"]);
    assert!(said.is("OK").contains("answers \"220 mail ¦ ESMTP\""));
    let said = koshu(&["tcp", &port, "expect=^554", "timeout=300ms"]);
    assert!(
        said.is("CRITICAL")
            .contains("so far it says \"220 mail ¦ ESMTP\"")
    );
}

#[test]
fn what_is_sent_may_have_line_ends() {
    let echo = server::serve(|mut stream| {
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).unwrap_or(0);
        let _ = stream.write_all(format!("{:?}", &buffer[..count]).as_bytes());
    });
    let said = koshu(&[
        "tcp",
        &echo.to_string(),
        "send=\"A\\r\\n\"",
        "expect=\\[65, 13, 10\\]",
    ]);
    said.is("OK");
}

#[test]
fn a_peer_that_hangs_up_says_nothing() {
    let port = server::serve(drop).to_string();
    let said = koshu(&["tcp", &port, "expect=x"]);
    let text = said.is("CRITICAL");
    assert!(
        text.contains("says nothing") || text.contains("broke the connection off"),
        "{text}"
    );
}

#[test]
fn a_drip_of_a_byte_a_time_is_bounded_by_the_deadline() {
    let drip = server::serve(|mut stream| {
        while stream.write_all(b".").is_ok() {
            sleep(Duration::from_millis(50));
        }
    });
    let said = koshu(&["tcp", &drip.to_string(), "expect=never", "timeout=600ms"]);
    assert!(said.is("CRITICAL").contains("no answer in time"));
    assert!(said.took < Duration::from_millis(1600), "{:?}", said.took);
}

#[test]
fn endless_answers_are_not_read_for_ever() {
    let flood = server::serve(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let said = koshu(&["tcp", &flood.to_string(), "expect=never"]);
    assert!(said.is("CRITICAL").contains("more bytes"));
}

#[test]
fn tls_is_spoken_and_verified() {
    if engine::find("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key.pem").display().to_string();
    let cert = folder.path().join("cert.pem").display().to_string();
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        &key,
        "-out",
        &cert,
        "-days",
        "30",
    ]);
    let (_running, address) = engine::s_server(&["-cert", &cert, "-key", &key]);
    let at = address.to_string();
    assert_eq!(
        koshu(&["tcp", &at, "tls=true"]).is("CRITICAL"),
        "the certificate is self-signed"
    );
    koshu(&["tcp", &at, "tls=true", "verify=false"]).is("OK");
    koshu(&["tcp", &at, "tls=true", &format!("ca={cert}")]).is("OK");
    let plain = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 I speak no TLS at all\r\n");
    });
    assert!(
        koshu(&["tcp", &plain.to_string(), "tls=true"])
            .is("CRITICAL")
            .contains("does not speak TLS")
    );
}
