//! Where lists are found: what is lost is never OK, and what stands in for it is said first.

use crate::koshu::{Lists, koshu};
use crate::namespace;
use std::path::Path;

const OK: &str = "[[check]]\\nname = 'up'\\ntype = 'uptime'\\n";

/// What a script prints, one line for each run, where /etc and /var/lib are its own and there is no /etc/koshu.
fn with_etc(script: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "cp -a /etc $1/etc && mkdir -p $1/lib && mount --bind $1/etc /etc && mount --bind $1/lib /var/lib || exit 99; rm -rf /etc/koshu; \
         unset STATE_DIRECTORY; run() {{ $KOSHU run \"$@\" --deadline 20s < /dev/null | head -n 1; }}; list() {{ printf \"{OK}\"; }}; {script}"
    );
    let text = namespace::mounting(&script, folder.path())?;
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn a_folder_without_a_list_is_never_ok() {
    let Some(lines) = with_etc(
        "mkdir /etc/koshu; run; list > /etc/koshu/web.conf; run; rm /etc/koshu/web.conf; \
         mkdir /etc/koshu/sites; list > /etc/koshu/sites/web.toml; run; rm -r /etc/koshu/sites; \
         list > /etc/koshu/.web.toml; run; rm -r /etc/koshu; ln -s /nowhere /etc/koshu; run; rm /etc/koshu; \
         list > /etc/koshu; run",
    ) else {
        return;
    };
    let says = [
        "no *.toml file in this directory, so nothing would be checked",
        "web.conf is no list by its name",
        "those in its folder sites are not read",
        ".web.toml is hidden, and not read",
        "/etc/koshu: cannot be read",
        "up ",
    ];
    assert_eq!(lines.len(), says.len(), "{lines:#?}");
    for (line, says) in lines.iter().zip(says) {
        let word = if says == "up " { "OK - " } else { "UNKNOWN - " };
        assert!(line.starts_with(word) && line.contains(says), "{line}");
    }
}

#[test]
fn a_list_that_is_lost_is_unknown_and_discovery_says_so_first() {
    let Some(lines) = with_etc(
        "run; list > /tmp/koshu-lost-$$.toml; run -c /tmp/koshu-lost-$$.toml; rm /tmp/koshu-lost-$$.toml; \
         $KOSHU uptime > /dev/null < /dev/null; run; \
         mkdir /etc/koshu; list > /etc/koshu/web.toml; run; rm -r /etc/koshu; run; run --state none; \
         $KOSHU validate | head -n 1; $KOSHU export nagios | head -n 1; \
         rm -r /var/lib/koshu; $KOSHU export nagios | head -n 1",
    ) else {
        return;
    };
    let instead =
        "there is no list in /etc/koshu, so what koshu discover finds on this host was checked";
    for (number, says) in [
        (0, instead),
        (2, instead),
        (3, "OK - up "),
        (
            4,
            "UNKNOWN - /etc/koshu: the list is gone: it was last run on 20",
        ),
        (5, instead),
        (6, "UNKNOWN - /etc/koshu: the list is gone"),
        (7, "UNKNOWN - /etc/koshu: the list is gone"),
        (8, "UNKNOWN - there is no list in /etc/koshu; write one"),
    ] {
        let line = lines.get(number).map(String::as_str).unwrap_or_default();
        assert!(line.contains(says), "{number}: {lines:#?}");
    }
    assert!(lines[1].starts_with("OK - up "), "{lines:#?}");
}

#[test]
fn hidden_files_are_no_lists() {
    let lists = Lists::new("[[check]]\nname = 'up'\ntype = 'uptime'\n");
    lists.add(".draft.toml", b"what an editor left");
    std::os::unix::fs::symlink("anna@host.1234", lists.path().join(".#checks.toml"))
        .expect("a link");
    let folder = lists.path().display().to_string();
    koshu(&["run", "-c", &folder]).is("OK");
    // One that is named is meant.
    let hidden = lists.path().join(".draft.toml");
    koshu(&["run", "-c", &hidden.display().to_string()]).is("UNKNOWN");
    // A link to nothing that is not hidden is a list that is lost.
    std::os::unix::fs::symlink(Path::new("/nowhere"), lists.path().join("b.toml")).expect("a link");
    koshu(&["run", "-c", &folder])
        .has("b.toml: cannot be read")
        .is("UNKNOWN");
}

/// A folder with these files, and what `list` or `run` says of it.
fn folder(files: &[(&str, &str)]) -> (Lists, String) {
    let lists = Lists::new("[[check]]\nname = 'a'\ntype = 'uptime'\n");
    for (name, text) in files {
        lists.add(name, text.as_bytes());
    }
    let folder = lists.path().display().to_string();
    (lists, folder)
}

#[test]
fn a_file_of_defaults_serves_all_files_of_its_folder() {
    let (lists, folder) = folder(&[
        (
            "zz-defaults.toml",
            "# for all\n[defaults]\ntags = ['common']\ntimeout = '3s'\ngrade = { unknown = 'warning' }\n",
        ),
        (
            "b.toml",
            "[defaults]\ntags = ['own']\n[[check]]\nname = 'b'\ntype = 'uptime'\n[[check]]\nname = 'c'\ntype = 'uptime'\ntags = ['mine']\n",
        ),
    ]);
    let row = |listed: &str, name: &str| {
        let row = listed.lines().find(|it| it.starts_with(name));
        let words = row.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let listed = koshu(&["list", "-c", &folder]).out;
    assert_eq!(row(&listed, "a "), "a uptime 3 s common", "{listed}");
    assert_eq!(row(&listed, "b "), "b uptime 3 s own", "{listed}");
    assert_eq!(row(&listed, "c "), "c uptime 3 s mine", "{listed}");
    koshu(&["validate", "-c", &folder]).has("3 checks");
    // Files that are named one by one are of the same folder, too.
    let named = |name: &str| lists.path().join(name).display().to_string();
    let twisted = format!(
        "{folder}/../{}/zz-defaults.toml",
        lists.path().file_name().expect("a name").display()
    );
    let listed = koshu(&["list", "-c", &named("b.toml"), "-c", &twisted]).out;
    assert_eq!(row(&listed, "b "), "b uptime 3 s own", "{listed}");
    // Alone it checks nothing.
    koshu(&["run", "-c", &named("zz-defaults.toml")])
        .has("no [[check]]")
        .is("UNKNOWN");
}

#[test]
fn defaults_that_serve_nothing_are_refused() {
    for (name, text, says) in [
        (
            "d2.toml",
            "[defaults]\nlate = 'warning'\n",
            "d2.toml:1:2: the files of this folder have their defaults from ",
        ),
        ("e.toml", "# to be written\n", "e.toml: holds nothing"),
        ("e.toml", "", "e.toml: holds nothing"),
        ("e.toml", "[defaults]\n", "e.toml: holds nothing"),
        (
            "e.toml",
            "[defaults]\nlate = 'warning'\n[[window]]\nname = 'w'\nwhen = 'Sun 02:00-04:00'\n",
            "e.toml:1:2: these are for the checks of this file, and it has none",
        ),
        (
            "e.toml",
            "[defaults]\ntimeuot = '1s'\n",
            "did you mean `timeout`?",
        ),
    ] {
        let (_lists, folder) = folder(&[
            (
                "d1.toml",
                if name == "d2.toml" {
                    "[defaults]\ntimeout = '3s'\n"
                } else {
                    "[[check]]\nname = 'd'\ntype = 'uptime'\n"
                },
            ),
            (name, text),
        ]);
        koshu(&["run", "-c", &folder]).has(says).is("UNKNOWN");
        assert_eq!(koshu(&["validate", "-c", &folder]).code, 3);
    }
}
