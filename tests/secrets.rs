//! Planted secrets never come back, whatever goes wrong and in whatever format.

use crate::koshu::{Lists, command, koshu, said};
use crate::server;

const SECRET: &str = "hunter2-7f3a";

#[test]
fn secrets_reach_the_server_and_nobody_else() {
    let echo = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        // "Basic " and base64 of koshu:hunter2-7f3a
        let good = head.contains("Basic a29zaHU6aHVudGVyMi03ZjNh")
            && head.contains("X-Token: hunter2-7f3a");
        let status = if good { "200 OK" } else { "401 No" };
        let _ = std::io::Write::write_all(
            &mut stream,
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
    });
    let lists = Lists::new("");
    lists.add("token", format!("{SECRET}\n").as_bytes());
    let list = format!(
        "[[check]]\ntype = 'http'\nurl = 'http://{echo}/'\nuser = 'koshu'\npassword = {{ env = 'SHOP_PASSWORD' }}\nheaders = {{ X-Token = {{ file = 'token' }} }}\n"
    );
    lists.add("checks.toml", list.as_bytes());
    for format in ["nagios", "human", "json"] {
        let mut run = command(&["run", "-c", &lists.file(), "--format", format]);
        run.env("SHOP_PASSWORD", SECRET);
        let said = said(&mut run);
        assert!(said.out.contains("HTTP 200"), "{}", said.out);
        assert!(!said.out.contains(SECRET), "{}", said.out);
    }
    let unset = lists.run(&[]);
    assert_eq!(
        unset.is("UNKNOWN"),
        "the environment variable SHOP_PASSWORD is not set"
    );
    let missing = list.replace("'token'", "'none'");
    lists.add("checks.toml", missing.as_bytes());
    let mut run = command(&["run", "-c", &lists.file()]);
    run.env("SHOP_PASSWORD", SECRET);
    assert!(
        said(&mut run)
            .is("UNKNOWN")
            .contains("cannot read the secret in")
    );
}

#[test]
fn mistakes_beside_secrets_do_not_show_them() {
    let s = SECRET;
    let lists = [
        format!("[[check]]\ntype = 'http'\nurl = 'http://u:{s}@h:x/'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'ftp://u:{s}@h/'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npasswrd = '{s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npassword = ['{s}']\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npassword = '{s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npassword = {s}\n"),
        format!(
            "[[check]]\ntype = 'http'\nurl = 'http://h/'\nheaders = {{ Authorization = '{s}', 'bad name' = 'x' }}\n"
        ),
        format!(
            "[[check]]\ntype = 'http'\nurl = 'http://h/'\npassword = {{ enw = '{s}' }}\nuser = 'u'\n"
        ),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\npassword = '{s}'\n"),
        format!(
            "check = [{{ type = 'http', url = 'http://h/', user = 'u', password = '{s}', timeuot = '1s' }}]\n"
        ),
        format!(
            "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntoken = \"\"\"\n{s}\n\"\"\"\nlate = 'x'\n"
        ),
    ];
    for list in lists {
        let file = Lists::new(&list);
        for words in [
            &["--format", "nagios"][..],
            &["--format", "human"],
            &["--format", "json"],
        ] {
            let said = file.run(words);
            assert_eq!(said.code, 3, "{list}: {}", said.out);
            assert!(
                !said.out.contains(SECRET) && !said.out.contains("hunter2"),
                "{list}: {}",
                said.out
            );
        }
    }
    let words = ["http", "http://h/", "user=u", &format!("pasword={SECRET}")];
    let said = koshu(&words);
    assert!(!said.out.contains(SECRET), "{}", said.out);
}

#[test]
fn urls_with_passwords_lose_them_in_names_and_texts() {
    let closed = server::closed();
    let url = format!("http://koshu:{SECRET}@{closed}/x?token={SECRET}");
    for format in ["nagios", "human", "json"] {
        let said = koshu(&["http", &url, "--format", format]);
        assert!(!said.out.contains(SECRET), "{}", said.out);
    }
    let name = koshu(&["http", &url, "--format", "json"]).json()["checks"][0]["name"].clone();
    assert_eq!(name, format!("http http://…@{closed}/x"));
    let away = server::page(
        "302 Found",
        &format!("Location: http://koshu:{SECRET}@{closed}/\r\n"),
        "",
    );
    for redirect in ["follow", "warning"] {
        let said = koshu(&[
            "http",
            &format!("http://{away}/"),
            &format!("redirect={redirect}"),
        ]);
        assert!(!said.out.contains(SECRET), "{}", said.out);
    }
}

#[test]
fn validate_warns_of_secrets_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let lists = Lists::new(&format!(
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npassword = '{SECRET}'\n"
    ));
    let mode = |mode: u32| {
        std::fs::set_permissions(lists.file(), std::fs::Permissions::from_mode(mode))
            .expect("chmod")
    };
    mode(0o644);
    let said = koshu(&["validate", "-c", &lists.file()]);
    said.has("warning: ").has("`password` is written out");
    assert_eq!(said.code, 0);
    assert!(!said.out.contains(SECRET));
    mode(0o600);
    assert!(
        !koshu(&["validate", "-c", &lists.file()])
            .out
            .contains("warning")
    );
}

/// Every place where http and cert take a secret, with servers that refuse, break off, redirect or answer well.
#[test]
fn no_format_shows_what_pages_proxies_and_stores_are_opened_with() {
    let Some(lab) = crate::lab::lab() else { return };
    lab.issue(&crate::lab::GOOD);
    let key = std::fs::read_to_string(lab.at("good.key")).expect("a key");
    let key_line = key.lines().nth(1).expect("a line of the key").to_owned();
    let store = lab.at("store.p12");
    let pass = format!("pass:{SECRET}");
    crate::engine::openssl(&[
        "pkcs12",
        "-export",
        "-in",
        &lab.at("good.pem"),
        "-inkey",
        &lab.at("good.key"),
        "-out",
        &store,
        "-passout",
        &pass,
    ]);
    let fine = server::page("200 OK", "", "fine");
    let no = server::page("407 Proxy Authentication Required", "", "no");
    let broken = server::serve(drop);
    let away = server::page(
        "302 Found",
        &format!("Location: http://u:{SECRET}@127.0.0.1:1/\r\n"),
        "",
    );
    let (_tls, tls) = lab.serve("good", &[]);
    let s = SECRET;
    let mut list = String::new();
    let mut add = |keys: String| list.push_str(&format!("[[check]]\n{keys}\n"));
    for (number, server) in [fine, no, broken, away].into_iter().enumerate() {
        add(format!(
            "name = 'bearer {number}'\ntype = 'http'\nurl = 'http://{server}/'\nbearer = '{s}'"
        ));
        add(format!(
            "name = 'proxy {number}'\ntype = 'http'\nurl = 'http://koshu:{s}@h.invalid/'\nproxy = 'http://{server}'\nproxy_user = 'u'\nproxy_password = '{s}'"
        ));
        add(format!(
            "name = 'tunnel {number}'\ntype = 'http'\nurl = 'https://h.invalid/'\nproxy = 'http://u:{s}@{server}'"
        ));
        add(format!(
            "type = 'http'\nurl = 'http://koshu:{s}@{server}/?q'\nheaders = {{ X-Key = '{s}\\u0001' }}"
        ));
    }
    for key in [lab.at("good.key"), store.clone()] {
        add(format!(
            "name = 'client {key}'\ntype = 'http'\nurl = 'https://{tls}/'\nca = '{}'\nclient_cert = '{}'\nclient_key = '{key}'",
            lab.at("root.pem"),
            lab.at("good.pem"),
        ));
    }
    for (name, password) in [("right", s.to_owned()), ("wrong", format!("not {s}"))] {
        add(format!(
            "name = 'store {name}'\ntype = 'cert'\nfile = '{store}'\npassword = '{password}'"
        ));
        add(format!(
            "name = 'key {name}'\ntype = 'cert'\nfile = '{}'\nkey = '{}'\npassword = '{password}'",
            lab.at("good.pem"),
            lab.at("good.key"),
        ));
    }
    let lists = Lists::new(&list.replace("\\u0001", "x"));
    for format in ["nagios", "human", "json"] {
        for words in [&["run", "-c"][..], &["list", "-c"], &["validate", "-c"]] {
            let file = lists.file();
            let mut words = [words, &[&file]].concat();
            if words[0] == "run" {
                words.extend(["--format", format, "--max-bytes", "1000000"]);
            }
            let said = koshu(&words);
            assert!(
                !said.out.contains(SECRET),
                "{format} {words:?}: {}",
                said.out
            );
            assert!(!said.out.contains(&key_line), "{format}: {}", said.out);
            assert!(
                !said.out.contains("aHVudGVyMi03ZjNh"),
                "{format}: {}",
                said.out
            );
        }
    }
    let said = lists.run(&["--format", "json"]);
    let states: Vec<(String, i64)> = said.json()["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|it| {
            (
                it["name"].as_str().unwrap_or_default().to_owned(),
                it["state"].as_i64().unwrap_or(9),
            )
        })
        .collect();
    let state = |name: &str| states.iter().find(|it| it.0 == name).map(|it| it.1);
    assert_eq!(state("bearer 0"), Some(0));
    assert_eq!(state("proxy 0"), Some(0));
    assert_eq!(state("store right"), Some(0));
    assert_eq!(state("store wrong"), Some(3));
}
