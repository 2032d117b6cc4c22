//! Does this need a human now: groups, needs, ceilings and windows, through the built binary.

use crate::koshu::{Lists, koshu};
use crate::server;

/// A list of checks that are up or down, and more tables.
fn list(up: &[&str], down: &[&str], more: &str) -> Lists {
    let mut text = String::new();
    for name in up {
        text += &format!("[[check]]\nname = '{name}'\ntype = 'uptime'\ntags = ['up']\n");
    }
    for name in down {
        let port = server::closed();
        text += &format!("[[check]]\nname = '{name}'\ntype = 'tcp'\nhost = '{port}'\n");
        if let Some((_, keys)) = more.split_once(&format!("#{name} ")) {
            text += &format!("{}\n", keys.lines().next().unwrap_or_default());
        }
    }
    text += more;
    Lists::new(&text)
}

#[test]
fn what_is_behind_a_cause_is_folded_under_it() {
    let list = list(
        &["web"],
        &["site", "router"],
        "#site needs = ['router']\n#router action = 'power-cycle outlet 7'\n",
    );
    let said = list.run(&[]);
    let line = said.is("CRITICAL");
    assert!(
        line.starts_with("router: ") && line.ends_with("(1 check behind it blocked); 1 OK"),
        "{line}"
    );
    said.has("  do: power-cycle outlet 7\n")
        .has("  blocked: site\n");
    let json = list.run(&["--format", "json"]).json();
    assert_eq!(json["checks"][1]["blocked_by"], "router");
    assert_eq!(json["checks"][2]["blocks"][0], "site");
    // Without its need it is a check like any other.
    list.run(&["site"]).is("CRITICAL");
    list.run(&["--format", "human"]).has("behind it blocked)");
}

#[test]
fn redundancy_that_is_lost_is_told_apart_from_a_service_that_is_down() {
    let group = |up: &str| {
        format!(
            "[[group]]\nname = 'web tier'\nmembers = ['tag:up', 'w3']\nup = '{up}'\naction = 'start w3'\n"
        )
    };
    let warn = list(&["w1", "w2"], &["w3"], &group("3,2"));
    let said = warn.run(&[]);
    assert_eq!(
        said.is("WARNING"),
        "web tier: redundancy lost: 2 of 3 up, down: w3"
    );
    said.has(" web_tier.up=2;3:;2:;0;3")
        .has("  do: start w3")
        .has("CRITICAL - w3: ");
    list(&["w1", "w2"], &["w3"], &group("3,3"))
        .run(&[])
        .has("service down: 2 of 3 up")
        .is("CRITICAL");
    let fine = list(&["w1", "w2"], &["w3"], &group("2,1"));
    fine.run(&[]).is("OK");
    let json = fine.run(&["--format", "json"]).json();
    assert_eq!(json["checks"][2]["member_of"], "web tier");
    assert_eq!(json["checks"][3]["type"], "group");
    assert_eq!(json["state"], 0);
    // The group's name stands for its members, one of them for itself.
    fine.run(&["web tier"]).is("OK");
    fine.run(&["w3"]).is("CRITICAL");
}

/// All formats.
const FORMATS: [&str; 12] = [
    "nagios",
    "human",
    "json",
    "jsonl",
    "prometheus",
    "checkmk",
    "pandora",
    "nsca",
    "zabbix",
    "xymon",
    "junit",
    "tap",
];

/// A check that says this with this exit code.
fn plugin(name: &str, code: u8, text: &str) -> String {
    format!(
        "[[check]]\nname = '{name}'\ntype = 'plugin'\ncommand = ['sh', '-c', 'echo {text}; exit {code}']\n"
    )
}

#[test]
fn a_members_warning_is_not_hidden_by_its_group() {
    let text = plugin("web1", 0, "fine")
        + &plugin("web2", 0, "fine")
        + &plugin("web3", 1, "9 days left")
        + "[[group]]\nname = 'tier'\nmembers = ['web*']\nup = '2,1'\n";
    let flat = Lists::new(&text);
    let said = flat.run(&[]);
    assert_eq!(
        said.is("WARNING"),
        "tier: 3 of 3 up, WARNING: web3 (9 days left)"
    );
    said.has("  WARNING - web3: 9 days left");
    let nested = Lists::new(&(text + "[[group]]\nname = 'all'\nmembers = ['tier']\n"));
    assert!(nested.run(&[]).is("WARNING").contains("web3"));
    for format in FORMATS {
        let said = nested.run(&["--format", format]);
        let named = said.out.contains("web3");
        assert!(named, "{format}: {}", said.out);
    }
    let found = flat.run(&["--format", "json"]).json();
    assert_eq!(found["checks"][3]["findings"][0]["code"], "member-not-ok");
    let explained = koshu(&["explain", "member-not-ok"]);
    explained.has("WARNING").has("types    group");
    assert!(!explained.out.contains("grade ="), "{}", explained.out);
}

#[test]
fn a_ceiling_wakes_nobody() {
    let list = list(
        &[],
        &["a", "b"],
        "#a at_most = 'warning'\n#b at_most = 'ok'\n",
    );
    let said = list.run(&[]);
    assert!(said.is("WARNING").starts_with("a: "), "{}", said.out);
    let json = list.run(&["--format", "json"]).json();
    assert_eq!(
        (
            json["checks"][0]["state"].as_u64(),
            json["checks"][0]["raw_state"].as_u64()
        ),
        (Some(1), Some(2))
    );
}

#[test]
fn in_a_window_a_check_still_runs_and_says_so() {
    let always = "[[window]]\nname = 'move'\nfrom = '2026-01-01 00:00'\nuntil = '2099-01-01 00:00'\nmatch = 'a'\n";
    let list = list(&["b"], &["a"], always);
    let said = list.run(&[]);
    assert!(said.is("OK").ends_with("; 1 tolerated: a"), "{}", said.out);
    said.has("OK - a: in maintenance until 2099-01-01 00:00 (move): ")
        .has(" refuses connections");
    let other = "[[window]]\nname = 'move'\nwhen = '00:00-24:00'\nzone = 'Asia/Tokyo'\nmatch = ['tag:up']\n";
    list_with(other).run(&[]).is("CRITICAL");
}

fn list_with(more: &str) -> Lists {
    list(&["b"], &["a"], more)
}

#[test]
fn what_hangs_together_wrongly_is_refused_with_its_place() {
    let cases = [
        (
            "#a needs = ['bb']\n",
            "no check or group has this name (did you mean `b`?)",
        ),
        ("#a needs = ['a']\n", "a loop: a → a"),
        (
            "#a needs = ['g']\n[[group]]\nname = 'g'\nmembers = ['a']\n",
            "a loop: a → g → a",
        ),
        (
            "[[group]]\nname = 'g'\nmembers = ['x*']\n",
            "no check or group has this name",
        ),
        (
            "[[group]]\nname = 'g'\nmembers = []\n",
            "a group without members is never up",
        ),
        ("[[group]]\nname = 'g'\nmembers = ['g']\n", "a loop: g → g"),
        (
            "[[group]]\nname = 'a'\nmembers = ['b']\n",
            "another check or group has this name already",
        ),
        (
            "[[group]]\nname = 'g'\nmembers = ['a', 'b']\nup = '3,1'\n",
            "there are 2 members, so never so many are up",
        ),
        (
            "[[group]]\nname = 'g'\nmember = ['b']\n",
            "did you mean `members`?",
        ),
        (
            "[[window]]\nname = 'w'\n",
            "expected `when`, or `hours`, or `from` and `until`",
        ),
        (
            "[[window]]\nname = 'w'\nwhen = 'Sunn 01:00-02:00'\n",
            "is no day of the week",
        ),
        (
            "[[window]]\nname = 'w'\nwhen = '01:00-02:00'\nzone = 'Asia/Tokio'\n",
            "did you mean \"Asia/Tokyo\"?",
        ),
        (
            "[[window]]\nname = 'w'\nwhen = '01:00-02:00'\nmatch = 'tag:none'\n",
            "no check has a tag that matches",
        ),
        (
            "[[window]]\nname = 'w'\nfrom = '2026-01-02 00:00'\nuntil = '2026-01-01 00:00'\n",
            "it ends before it begins",
        ),
        (
            "[window]\nname = 'w'\n",
            "write [[window]] with two brackets",
        ),
    ];
    for (more, message) in cases {
        let said = list_with(more).run(&[]);
        assert!(said.out.contains(message), "{more}: {}", said.out);
        said.is("UNKNOWN");
        said.has("checks.toml:");
    }
}

#[test]
fn the_manual_has_groups_and_windows() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man/koshu.toml.5");
    let text = std::fs::read_to_string(page).expect("the page");
    let text = text.replace("\\_", "_");
    for word in [
        "TABLE group",
        "TABLE window",
        "TABLE history",
        "members",
        "at_most",
        "needs",
        "confirm",
    ] {
        assert!(text.contains(word), "{word}");
    }
    let schema = koshu(&["schema"]).out;
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert!(
        schema["properties"]["group"].is_object() && schema["properties"]["window"].is_object()
    );
}
