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
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbearer = ['{s}']\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbearer = '{s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbearer '{s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbearer: {s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\n{s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\n'{s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nX-Api-Key = '{s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nX-Api-Key: {s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\n'{s}' = 1\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\n{s} = 1\n"),
        format!(
            "[[check]]\ntype = 'http'\nurl = 'http://h/'\nheaders = {{ X-Api-Key = ['{s}'] }}\n"
        ),
        format!(
            "[[check]]\ntype = 'http'\nurl = 'http://h/'\nheaders = {{ X-Api-Key = '{s}', }} x\n"
        ),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbody = '(' # {s}\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbody = '({s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nbody = \"{s}\\d\"\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\ndata = '''\n{s}\n'' '\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\nlate = 'bearer {s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h/'\ntimeout = '{s}'' '\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'https//u:{s}@h/'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://u:{s}@h:99999/'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://h /?token={s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'ht tp://h/{s}'\n"),
        format!("[[check]]\ntype = 'http'\nurl = 'http://[{s}/'\n"),
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

#[test]
fn what_a_server_gives_back_of_a_secret_is_not_shown() {
    // It tells every request back: head, percent-encoded, as JSON, and cut where a text is long.
    let echo = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let line = |name: &str| {
            let found = head.lines().find_map(|it| it.strip_prefix(name));
            found.unwrap_or_default().to_owned()
        };
        let (bearer, basic) = (
            line("Authorization: Bearer "),
            line("Authorization: Basic "),
        );
        let body = format!(
            "you sent {bearer}{basic} and {}",
            bearer.replace('-', "%2D")
        );
        let reply = format!(
            "HTTP/1.1 500 No {bearer}{basic}\r\nLocation: /hook/{bearer}?x={bearer}\r\nX-Back: {bearer}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = std::io::Write::write_all(&mut stream, reply.as_bytes());
    });
    let moved = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let sent = head.lines().find_map(|it| it.strip_prefix("X-Token: "));
        let sent = sent.unwrap_or_default().to_owned();
        let reply =
            format!("HTTP/1.1 302 Found\r\nLocation: /hook/{sent}/x\r\nContent-Length: 0\r\n\r\n");
        let _ = std::io::Write::write_all(&mut stream, reply.as_bytes());
    });
    let lists = Lists::new("");
    lists.add("secret", format!("{SECRET}\n").as_bytes());
    let list = format!(
        "[[check]]\nname = 'bearer'\ntype = 'http'\nurl = 'http://{echo}/'\nbearer = {{ file = 'secret' }}\nstatus_line = '200'\nbody = 'never there'\n
[[check]]\nname = 'basic'\ntype = 'http'\nurl = 'http://{echo}/'\nuser = 'koshu'\npassword = {{ env = 'SHOP_PASSWORD' }}\n
[[check]]\nname = 'moved'\ntype = 'http'\nurl = 'http://{moved}/'\nheaders = {{ X-Token = '{SECRET}' }}\n
[[check]]\nname = 'plugin'\ntype = 'plugin'\nshell = true\ncommand = 'echo \"$TOKEN is wrong for $SITE\"; exit 2'\nenv = {{ TOKEN = {{ env = 'SHOP_PASSWORD' }}, SITE = {{ env = 'SHOP_SITE' }} }}\n"
    );
    lists.add("checks.toml", list.as_bytes());
    for format in [
        "nagios",
        "human",
        "json",
        "jsonl",
        "tap",
        "junit",
        "prometheus",
    ] {
        let mut run = command(&[
            "run",
            "-c",
            &lists.file(),
            "--format",
            format,
            "--exit",
            "state",
        ]);
        run.env("SHOP_PASSWORD", SECRET)
            .env("SHOP_SITE", "shop-front");
        let said = said(&mut run);
        assert_eq!(said.code, 2, "{}", said.out);
        for part in [SECRET, "hunter2", "a29zaHU6aHVudGVyMi03ZjNh"] {
            assert!(!said.out.contains(part), "{format}: {}", said.out);
        }
        if format == "nagios" {
            said.has("… is wrong for shop-front");
        }
    }
}

#[test]
fn names_labels_and_numbers_are_not_hidden() {
    let lists = Lists::new(
        "[[check]]\nname = 'web-12345678'\ntype = 'plugin'\nshell = true\ncommand = 'echo \"$TOKEN | web-12345678=12345678\"'\nenv = { TOKEN = { env = 'A_TOKEN' }, X_TOKEN = { env = 'B_TOKEN' } }\n",
    );
    let mut run = command(&["run", "-c", &lists.file(), "--format", "json"]);
    run.env("A_TOKEN", "web-12345678")
        .env("B_TOKEN", "12345678");
    let document = said(&mut run).json();
    let check = &document["checks"][0];
    assert_eq!(check["name"], "web-12345678");
    assert_eq!(check["perf"]["web-12345678"]["value"], 12_345_678.0);
    assert_eq!(check["summary"], "…");
}

#[test]
fn a_destination_that_gives_its_token_back_does_not_make_it_known() {
    let refusing = server::serve(|mut stream| {
        let head = server::head(&mut stream);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = format!("no such hook: {path}");
        let reply = format!(
            "HTTP/1.1 404 Gone\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = std::io::Write::write_all(&mut stream, reply.as_bytes());
    });
    let lists = Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n");
    let to = format!("webhook+http://{refusing}/services/{{token}}");
    let mut run = command(&["run", "-c", &lists.file(), "--to", &to]);
    run.env("KOSHU_WEBHOOK_TOKEN", "T0/B1+hunter2-7f3a");
    let said = said(&mut run);
    said.is("WARNING");
    said.has("no such hook: /services");
    for part in ["hunter2", "T0/B1", "T0%2FB1", "B1%2B"] {
        assert!(!said.out.contains(part), "{}", said.out);
    }
}

#[test]
fn validate_warns_of_secrets_that_are_too_short_to_be_hidden() {
    let lists =
        Lists::new("[[check]]\ntype = 'http'\nurl = 'http://h/'\nuser = 'u'\npassword = 'abc'\n");
    let said = koshu(&["validate", "-c", &lists.file()]);
    said.has("`password` is shorter than 6 bytes");
    assert!(!said.out.contains("abc"), "{}", said.out);
}
