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

/// A mail server that greets with these lines, one after the other with a pause, and refuses who speaks before it has
/// finished, as exim and postfix do.
fn strict_mail(greeting: &'static [&'static str]) -> std::net::SocketAddr {
    server::serve(move |mut stream| {
        for line in greeting {
            let pause = Some(Duration::from_millis(150));
            stream.set_read_timeout(pause).expect("a socket");
            if stream.read(&mut [0; 100]).is_ok_and(|it| it > 0) {
                let _ = stream.write_all(b"554 SMTP synchronization error\r\n");
                return;
            }
            let _ = stream.write_all(line.as_bytes());
        }
        stream.set_read_timeout(None).expect("a socket");
        let mut heard = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut heard) {
            let _ = match &heard[..count] {
                b"QUIT\r\n" => return drop(stream.write_all(b"221 bye\r\n")),
                b"EHLO koshu\r\n" => stream.write_all(b"250-mail\r\n250-SIZE 100\r\n250 HELP\r\n"),
                _ => return drop(stream.write_all(b"500 what?\r\n")),
            };
        }
    })
}

const QUIT: &str =
    r#"dialogue=[{ expect = "^220 " }, { send = "QUIT\r\n" }, { expect = "^221 " }]"#;

#[test]
fn a_server_that_greets_first_is_let_to_finish() {
    for greeting in [
        &["220 mail ESMTP\r\n"][..],
        &["220-mail ESMTP\r\n220 no spam\r\n"],
        &["220-mail ESMTP\r\n", "220-no spam\r\n", "220 ready\r\n"],
        &["220-ma", "il ESMTP\r\n220", " ready\r\n"],
    ] {
        let mail = strict_mail(greeting).to_string();
        assert!(
            koshu(&["tcp", &mail, QUIT])
                .is("OK")
                .ends_with("answers \"221 bye\"")
        );
        // Whoever is content with its first words does not speak into the others.
        let short = r#"dialogue=[{ expect = "220" }, { send = "QUIT\r\n" }, { expect = "221" }]"#;
        koshu(&["tcp", &mail, short]).is("OK");
        koshu(&["tcp", &mail, "expect=^220 ", r#"send="QUIT\r\n""#]).is("OK");
    }
    let mail = strict_mail(&["220 mail\r\n"]).to_string();
    let rude = koshu(&[
        "tcp",
        &mail,
        r#"dialogue=[{ send = "QUIT\r\n" }, { expect = "^220 " }]"#,
    ]);
    assert!(
        rude.is("CRITICAL")
            .contains("554 SMTP synchronization error")
    );
}

#[test]
fn a_dialogue_says_which_step_failed() {
    let mail = strict_mail(&["220 mail\r\n"]).to_string();
    let long = r#"dialogue=[{ expect = "^220 " }, { send = "EHLO koshu\r\n" }, { expect = "SIZE" }, { expect = "^250 HELP$" }, { send = "NOOP\r\n" }, { expect = "^250 " }]"#;
    assert_eq!(
        koshu(&["tcp", &mail, long]).is("CRITICAL"),
        format!("{mail} says \"500 what?\", expected /^250 / (step 6 of 6)")
    );
    let waits = r#"dialogue=[{ expect = "^220 " }, { expect = "^220 " }]"#;
    let said = koshu(&["tcp", &mail, waits, "timeout=600ms"]);
    assert!(said.is("CRITICAL").contains("so far it says \"220 mail\""));
    for bad in [
        "dialogue=[{ send = 'a', expect = 'b' }]",
        "dialogue=[{ say = 'a' }]",
    ] {
        koshu(&["tcp", &mail, bad]).is("UNKNOWN");
    }
    koshu(&["tcp", &mail, "dialogue=[{ send = 'a' }]", "expect=x"]).is("UNKNOWN");
}

#[test]
fn the_shipped_example_works_with_a_real_exim() {
    let Some(exim) = engine::find("exim4") else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        engine::skip("exim takes a configuration from root alone");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display().to_string();
    // It greets in two lines.
    let config = format!(
        "primary_hostname = mail.example.jp\nspool_directory = {at}/spool\nlog_file_path = {at}/%slog\n\
         pid_file_path = {at}/pid\nexim_user = root\nkeep_environment =\n\
         smtp_banner = \"mail.example.jp ESMTP\\nno spam here\"\nacl_smtp_connect = c\n\
         begin acl\nc:\n  accept\n"
    );
    let file = folder.path().join("exim.conf");
    std::fs::write(&file, config).expect("a file");
    let port = server::free_port();
    let mut command = std::process::Command::new(exim);
    command
        .arg("-C")
        .arg(&file)
        .args(["-bdf", "-oX", &format!("127.0.0.1.{port}")]);
    let _running = engine::start(&mut command);
    engine::until_open(port);
    let example = include_str!("../checks/tcp.toml");
    let example = example.replace("mail.example.jp:25", &format!("127.0.0.1:{port}"));
    let said = crate::koshu::Lists::new(&example).run(&[]);
    assert!(
        said.is("OK")
            .contains("answers \"221 mail.example.jp closing connection\""),
        "{}",
        said.out
    );
}

#[test]
fn what_was_seen_is_said_when_a_long_time_is_up() {
    let silent = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        sleep(Duration::from_secs(20));
    });
    // The kernel's own timeouts are the later the longer they are, and then the supervisor says that nothing was seen.
    let said = koshu(&["tcp", &silent.to_string(), "expect=never", "timeout=5s"]);
    assert!(
        said.is("CRITICAL").contains("so far it says \"220 mail\""),
        "{}",
        said.out
    );
}
