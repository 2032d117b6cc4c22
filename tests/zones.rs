//! IPv6 addresses in brackets and of one network interface, in every type that connects to one.

use crate::engine;
use crate::koshu::koshu;
use crate::lab::{GOOD, Wish, lab};
use crate::namespace::namespace;
use crate::nginx::nginx;
use std::net::TcpListener;
use std::path::Path;

#[test]
fn addresses_of_one_interface_are_reached() {
    let Some(own) = namespace(&["fe80::1/64"], "", &["fe80::1%lo"]) else {
        return;
    };
    let server = "server { listen [::]:8080; location / { return 200 $http_host; } }";
    let at = own.path().display().to_string();
    let Some(_nginx) = nginx(&at, server, |it| own.command(it)) else {
        return;
    };
    for url in ["http://[fe80::1%25lo]:8080/", "http://[fe80::1%lo]:8080/x"] {
        // The zone is nobody else's business.
        own.koshu(&["http", url, "body=^.fe80::1.:8080$"]).is("OK");
        own.koshu(&["http", url, "addresses=all"]).is("OK");
    }
    let zoned = "address=[fe80::1%lo]:8080";
    own.koshu(&["http", "http://shop.example.jp/", zoned])
        .is("OK");
    for (host, port) in [
        ("[fe80::1%lo]:8080", None),
        ("fe80::1%lo", Some("port=8080")),
        ("[fe80::1%1]", Some("port=8080")),
    ] {
        let words: Vec<&str> = ["tcp", host].into_iter().chain(port).collect();
        own.koshu(&words).is("OK");
    }
    let said = own.koshu(&["ping", "fe80::1%lo", "count=1"]);
    assert!(
        said.is("OK").starts_with("fe80::1%lo answers"),
        "{}",
        said.out
    );
    own.koshu(&["ping", "[fe80::1%lo]", "count=1"]).is("OK");
    // Nothing answers there, but it is asked at the address that was meant.
    for via in ["via=fe80::1%lo", "via=[fe80::1%lo]:53", "via=system"] {
        let said = own.koshu(&["dns", "h.example", via, "record=A", "timeout=2s"]);
        assert!(said.out.contains("[fe80::1%1]:53"), "{}", said.out);
    }
    for words in [
        &["tcp", "[fe80::1%eth9]:80"][..],
        &["http", "http://[fe80::1%25eth9]/"],
        &["ntp", "fe80::1%eth9"],
        &["cert", "[fe80::1%eth9]:443"],
        &["cert", "h.example", "addresses=['fe80::1%eth9']"],
        &["dns", "h.example", "via=fe80::1%eth9", "record=A"],
    ] {
        own.koshu(words)
            .has("no network interface eth9")
            .is("UNKNOWN");
    }
}

#[test]
fn certificates_are_read_and_judged_at_addresses_of_one_interface() {
    let Some(own) = namespace(&["fe80::1/64"], "", &[]) else {
        return;
    };
    let Some(lab) = lab() else { return };
    lab.issue(&Wish {
        names: "DNS:shop.example.jp,IP:fe80::1",
        ..GOOD
    });
    let [cert, key, chain, ca] =
        ["good.pem", "good.key", "middle.pem", "root.pem"].map(|it| lab.at(it));
    let mut server = own.command(Path::new("openssl"));
    server.args(["s_server", "-quiet", "-www", "-6", "-accept", "8443"]);
    server.args(["-cert", &cert, "-key", &key, "-cert_chain", &chain]);
    let _running = engine::start(&mut server);
    let ca = format!("ca={ca}");
    let open = || own.koshu(&["tcp", "[fe80::1%lo]:8443"]).code == 0;
    engine::until("a server", open);
    own.koshu(&["cert", "[fe80::1%lo]:8443", &ca]).is("OK");
    let at = "addresses=['fe80::1%lo']";
    own.koshu(&["cert", "shop.example.jp:8443", at, &ca])
        .is("OK");
    own.koshu(&["tcp", "[fe80::1%lo]:8443", "tls=true", &ca])
        .is("OK");
    own.koshu(&["http", "https://[fe80::1%25lo]:8443/", &ca])
        .is("OK");
}

#[test]
fn a_target_in_brackets_is_an_address_and_no_list() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        engine::skip("no IPv6 loopback here");
        return;
    };
    let port = listener.local_addr().expect("bound").port();
    koshu(&["tcp", &format!("[::1]:{port}")]).is("OK");
    koshu(&["tcp", "[::1]", &format!("port={port}")]).is("OK");
    koshu(&["tcp", &format!("host=[::1]:{port}")]).is("OK");
    koshu(&["ping", "[::1]", "count=1"]).is("OK");
    koshu(&["ping", "['::1', '127.0.0.1']", "count=1"]).is("OK");
    koshu(&["port", &format!("[::1]:{port}")]).is("OK");
    // The reverse name is asked for, of whoever answers.
    koshu(&["dns", "[::1]", "via=[::1]:1"]).has("[::1]:1 refuses connections");
}

#[test]
fn a_socket_for_ipv6_alone_does_not_listen_on_ipv4() {
    let Some(own) = namespace(&[], "", &[]) else {
        return;
    };
    let serve = |name: &str, listen: &str| {
        let at = own.path().join(name);
        std::fs::create_dir(&at).expect("a folder");
        let server = format!("server {{ listen {listen}; }}");
        nginx(&at.display().to_string(), &server, |it| own.command(it))
    };
    let alone = serve("alone", "[::]:8080 ipv6only=on");
    let both = serve("both", "[::]:8081 ipv6only=off");
    if alone.is_none() || both.is_none() {
        return;
    }
    for bad in ["127.0.0.1:8080", "0.0.0.0:8080"] {
        let said = own.koshu(&["port", bad]);
        assert_eq!(
            said.is("CRITICAL"),
            format!("nothing listens on tcp {bad} ([::]:8080 takes no IPv4)")
        );
    }
    for good in [
        "[::1]:8080",
        "[::]:8080",
        "8080",
        "127.0.0.1:8081",
        "[::1]:8081",
        "0.0.0.0:8081",
    ] {
        own.koshu(&["port", good]).is("OK");
    }
    // What a list forbids on IPv4 is not there.
    own.koshu(&["port", "forbid=0.0.0.0:8080"]).is("OK");
    own.koshu(&["port", "forbid=0.0.0.0:8081"]).is("CRITICAL");
}
