//! Arguments that cannot be read: what was probably meant, in the format that was asked for, and nothing that a terminal obeys.

use crate::koshu::{Lists, koshu};

#[test]
fn options_of_the_classic_plugins_are_translated_into_keys() {
    let cases = [
        (&["http", "http://h/", "-w", "1"][..], "time=1s,3s"),
        (&["disk", "/", "-c", "10%"], "used=80%,90%"),
        (&["tcp", "-H", "h"], "write koshu tcp HOST"),
        (&["tcp", "h", "-p", "80"], "write port=VALUE"),
        (&["disk", "-p", "/"], "write koshu disk PATH"),
        (&["http", "http://h/", "-t", "5"], "write timeout=VALUE"),
        (&["http", "http://h/", "-s", "x"], "write body=VALUE"),
        (&["tcp", "db1.lab", "3306"], "koshu tcp db1.lab:3306"),
        (&["disk", "/srv/a", "/srv/b"], "write a pattern in quotes"),
        (&["status"], "did you mean `koshu run`?"),
        (&["hisory"], "did you mean `koshu history`?"),
        (&["htpp", "http://h/"], "did you mean `koshu http`?"),
        (&["xyzzy"], "koshu --help shows all"),
        (&["checks.toml"], "koshu run -c checks.toml"),
    ];
    for (words, meant) in cases {
        let said = koshu(words);
        assert!(
            said.is("UNKNOWN").contains(meant),
            "{words:?}: {}",
            said.out
        );
        assert!(!said.out.contains("pause"), "{words:?}: {}", said.out);
    }
    let lists = Lists::new("[[check]]\ntype = 'disk'\n");
    koshu(&["run", &lists.file()])
        .has("is no check but a list: koshu run -c ")
        .is("UNKNOWN");
}

#[test]
fn a_usage_error_under_json_is_a_document() {
    for words in [
        &["run", "--format", "json", "--bogus"][..],
        &["run", "--bogus", "--format=json"],
        &["http", "http://h/", "-w", "1", "--format", "json"],
        &["http", "--format=json", "http://h/", "again"],
        &["htpp", "--format", "json"],
    ] {
        let said = koshu(words);
        assert_eq!(said.code, 3, "{words:?}");
        let document = said.json();
        assert_eq!(document["state"], 3);
        assert!(document["error"].is_string(), "{}", said.out);
    }
    koshu(&["run", "--bogus", "--", "--format=json"]).is("UNKNOWN");
}

#[test]
fn what_a_terminal_obeys_is_not_printed_back() {
    let escape = "a\u{1b}[2J\u{7}\u{9b}b\r\u{202e}";
    let list = "[[check]]\nname = \"n\\u001b[1m\"\ntype = 'disk'\ntags = [\"t\\u001b]0;x\\u0007\"]\nhosts = [\"h\\u001b[2J\"]\n[[check]]\ntype = 'disk'\npath = '/x'\n";
    let lists = Lists::new(list);
    let wrong = Lists::new("[[check]]\ntype = \"d\\u001b[2J\"\n'k\u{9b}' = 1\n");
    let file = lists.file();
    for words in [
        &["run", escape][..],
        &["run", "--format", escape],
        &["run", &format!("--{escape}")],
        &["run", "--format", "human", "-c", escape],
        &[escape],
        &["http", "http://h/", escape],
        &["explain", escape],
        &["list", "-c", &file],
        &["validate", "-c", &file],
        &["validate", "-c", &wrong.file()],
        &["run", "--format", "human", "-c", &wrong.file()],
        &["run", "-c", &file, escape, "--format", "human"],
        &["export", escape],
        &["history", "--for", escape],
    ] {
        let said = koshu(words);
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.out.contains(obeyed), "{words:?}: {:?}", said.out);
    }
}
