//! The manual pages, in roff: made here from the code, and committed, because no host wants to make them.

use super::schema::{common, tables};
use super::{Key, about, facts, keys_of};
use crate::check::{TYPES, Type};
use crate::cli;
use crate::deliver::PRESETS;
use crate::export::ENGINES;
use crate::format::FORMATS;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// koshu(1).
fn command() -> String {
    let command = cli::command().disable_help_subcommand(true);
    let man = clap_mangen::Man::new(command.clone())
        .date("")
        .source(concat!("koshu ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page));
    debug_assert!(rendered.is_ok(), "a vector takes everything");
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    let own = |it: &&clap::Command| !it.is_hide_set() && Type::named(it.get_name()).is_none();
    for sub in command.get_subcommands().filter(own) {
        roff.control("SS", [sub.get_name()]);
        if let Some(about) = sub.get_about() {
            roff.text([roman(about.to_string())]);
        }
        let shown = |it: &&clap::Arg| !it.is_hide_set() && it.get_id() != "help";
        for arg in sub.get_arguments().filter(shown) {
            roff.control("TP", []);
            roff.text([bold(usage(arg))]);
            roff.text([roman(help(arg))]);
        }
    }
    let types: Vec<&str> = TYPES.iter().map(|it| it.name).collect();
    roff.control("SS", ["TYPE [TARGET] [KEY=VALUE]…"]);
    roff.text([roman(format!(
        "Run one check without a list. TYPE is one of {}; TARGET is its url, host, path or match; KEY=VALUE are its keys as in a list. A value that begins with [ {{ \" or ' is read as TOML, and so are numbers and booleans where the key wants them; everything else is the string itself. The options are those of run from --format on.",
        types.join(", ")
    ))]);
    let sections: &[(&str, &[&str])] = &[
        (
            "EXIT STATUS",
            &[
                "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, or what --exit says. The worst state counts, in the order OK < WARNING < UNKNOWN < CRITICAL.",
                "A mistake in the list or on the command line, a run that was stopped by a signal and an output that cannot be written are 3.",
            ],
        ),
        (
            "OUTPUT",
            &[
                "Everything is printed on stdout, all at once. The nagios format has at most 255 bytes of text and 1023 with perfdata on the first line, and 4096 in all unless --max-bytes says otherwise; what does not fit is counted.",
                "On a terminal, stderr shows what a run is waiting for; otherwise it stays empty.",
            ],
        ),
        (
            "FILES",
            &[
                "/etc/koshu/*.toml: the lists that are read when -c names none. Hidden files are not. Where /etc/koshu does not exist and has never been run, run checks what discover finds, and its first line says so; a list that is lost is UNKNOWN. See koshu.toml(5).",
                "/var/lib/koshu/history-USER.db, or in $STATE_DIRECTORY, or where USER may not write there, in ~/.local/state/koshu: what USER's runs saw, kept for each list apart; a list is the set of paths that -c names. A run records unless somebody at a terminal called it (stdin or stdout is one); then it only reads, unless --record is given. One that is damaged is set aside there; a file that --state names is left alone.",
                "/var/lib/koshu/shared-root.json: what root has paused and attested, for all users' runs. It is believed while root alone may write it. What another user says holds for that user's runs only.",
            ],
        ),
        (
            "ENVIRONMENT",
            &[
                "SSL_CERT_FILE: root certificates instead of the system's. NO_COLOR: no colours. KOSHU_PROC, KOSHU_SYS: where /proc and /sys of the machine are, for a container that looks at it from inside. KOSHU_PRESET_PASSWORD, KOSHU_PRESET_TOKEN: secrets of destinations, see koshu-engines(7). Variables that a list names as { env = \"NAME\" }.",
            ],
        ),
        (
            "EXAMPLES",
            &[
                "koshu run -c checks.toml",
                "koshu run 'web*' tag:db --format json",
                "koshu cert example.jp left=30d,14d",
                "koshu disk / used=80%,90%",
            ],
        ),
        ("SEE ALSO", &["koshu.toml(5), koshu-engines(7)"]),
    ];
    for (title, lines) in sections {
        roff.control("SH", [*title]);
        for line in *lines {
            roff.control("PP", []);
            roff.text([roman(*line)]);
        }
    }
    format!("{}{}", String::from_utf8_lossy(&page), roff.to_roff())
}

fn usage(arg: &clap::Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names
        .iter()
        .map(|it| it.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}"),
        (None, Some(long)) => format!("--{long} {value}"),
        _ if value.is_empty() => arg.get_id().to_string().to_uppercase(),
        _ => value,
    }
}

/// What an argument is for, with its values and its default.
fn help(arg: &clap::Arg) -> String {
    let mut text = arg.get_help().map(|it| it.to_string()).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|it| it.get_name().to_owned())
        .collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        text.push_str(&format!(" ({})", values.join(", ")));
    }
    if let [default, ..] = arg.get_default_values() {
        text.push_str(&format!(" [default: {}]", default.to_string_lossy()));
    }
    plain(text.trim())
}

/// A text without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// koshu.toml(5).
fn list() -> String {
    let mut roff = Roff::new();
    roff.control(
        "TH",
        [
            "koshu.toml",
            "5",
            "",
            concat!("koshu ", env!("CARGO_PKG_VERSION")),
        ],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman("koshu.toml - the list of checks that koshu(1) runs")]);
    let mut section = |title: &str, paragraphs: &[&str]| {
        roff.control("SH", [title]);
        for paragraph in paragraphs {
            roff.control("PP", []);
            roff.text([roman(*paragraph)]);
        }
    };
    section(
        "DESCRIPTION",
        &[
            "A list is a TOML file. Each [[check]] table is one check; [defaults] holds common keys for all checks of its file, or in a file that holds nothing else, of its folder, [[group]] judges several checks together, [[window]] holds states down for a time. Keys that nobody knows, values of the wrong kind, names used twice and lists that check nothing are refused with file, line and column.",
        ],
    );
    section(
        "VALUES",
        &[
            "Limits are written \"WARN,CRIT\", with one side left out as in \"80%,\", or as a table { warn = …, crit = … }. Each is a Nagios range ([@][start:][end]) or a bare value, which alarms in the metric's bad direction; a list of limits alarms only where all of its members do. Units are us ms s m min h d w, B kB MB GB TB KiB MiB GiB TiB, and % of the whole.",
            "Durations have a unit: \"500ms\", \"10s\", \"2m\". Regular expressions are those of the Rust crate regex: no look-around, no back-references; (?i) ignores case.",
            "Secrets are strings, { env = \"NAME\" } or { file = \"PATH\" }, and are never printed. Relative paths count from the list's folder.",
        ],
    );
    roff.control("SH", ["COMMON KEYS"]);
    page_keys(&mut roff, &keys_of(&common()));
    for (name, table) in tables() {
        roff.control("SH", [format!("TABLE {name}").as_str()]);
        roff.text([roman(plain(
            table["description"].as_str().unwrap_or_default(),
        ))]);
        page_keys(&mut roff, &keys_of(&table));
    }
    for kind in TYPES {
        roff.control("SH", [format!("TYPE {}", kind.name).as_str()]);
        roff.text([roman(plain(&about(kind)))]);
        page_keys(&mut roff, &keys_of(&(kind.schema)().to_value()));
        roff.control("SS", ["Findings"]);
        for code in kind.codes() {
            roff.control("TP", []);
            roff.text([bold(code.code)]);
            roff.text([roman(plain(&format!("{}. {}", code.state, code.meaning)))]);
        }
        roff.control("SS", ["Example"]);
        roff.control("nf", []);
        for line in kind.example.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("koshu(1), koshu-engines(7)")]);
    roff.to_roff()
}

/// koshu-engines(7).
fn engines() -> String {
    let mut roff = Roff::new();
    let source = concat!("koshu ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["koshu-engines", "7", "", source]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "koshu-engines - how koshu(1) plugs into other monitoring systems",
    )]);
    let paragraph = |roff: &mut Roff, text: &str| {
        roff.control("PP", []);
        roff.text([roman(plain(text))]);
    };
    let terms = |roff: &mut Roff, rows: &mut dyn Iterator<Item = (&str, &str)>| {
        for (word, text) in rows {
            roff.control("TP", []);
            roff.text([bold(word)]);
            roff.text([roman(plain(text))]);
        }
    };
    roff.control("SH", ["DESCRIPTION"]);
    for text in [
        "A run has results. A format writes them (--format), a destination is where they go besides stdout (--to, or a [[to]] table of koshu.toml(5)), and koshu export ENGINE [PART] prints another system's own configuration for a list: one service for all checks, with --each one for each.",
        "A passive result belongs to a host and a service. The host is this machine's host name unless --host, or host= of the destination, says otherwise. The service is the check's name; a service named koshu is the summary of the run. What says nothing because something that it needs is down is UNKNOWN there, and its text names the cause.",
        "Every text is one line without control characters and without |, in UTF-8; what would not fit is left out in whole lines and counted. Each format escapes what its reader would take for its own.",
    ] {
        paragraph(&mut roff, text);
    }
    roff.control("SH", ["FORMATS"]);
    terms(&mut roff, &mut FORMATS.iter().map(|it| (it.name, it.about)));
    roff.control("SH", ["DESTINATIONS"]);
    let schemes = [
        (
            "file:PATH",
            "A file that is replaced at once, in the format of the run or of &format=.",
        ),
        (
            "nagios:PATH",
            "Nagios' check_result_path, a folder, or its command_file, a pipe; a pipe that nobody reads is not waited for.",
        ),
        (
            "tcp://HOST[:PORT]",
            "A message in the format of the run or of &format=, as Xymon takes it (port 1984); the other side has to read it to its end and hang up.",
        ),
        (
            "zabbix://HOST[:PORT]",
            "Zabbix' trapper (port 10051), 250 values at a time; values that are not taken are counted.",
        ),
        (
            "PRESET+https://…",
            "A program that takes results over HTTP, or http. The certificate is checked against the system's roots or those of ca.",
        ),
    ];
    terms(&mut roff, &mut schemes.into_iter());
    roff.control("SS", ["Presets"]);
    terms(&mut roff, &mut PRESETS.iter().map(|it| (it.name, it.about)));
    for text in [
        "Behind a question mark stand host=, on=change (only what has changed since the run before; all of it when something could not be delivered then), timeout= (default 5s), format=, ttl= and ca=; what else stands there is sent on.",
        "Secrets never stand in a URL or on a command line: they are password and token of [[to]], as { env = \"NAME\" } or { file = \"PATH\" }, or the variables KOSHU_PRESET_PASSWORD and KOSHU_PRESET_TOKEN, as KOSHU_ICINGA2_PASSWORD. Where a URL itself is the secret, as of many webhooks, {token} stands for it there.",
        "All destinations are served at once, before stdout is written, and each has its own deadline within that of the run: checks leave a fifth of the run's time for it, at most 5 s. What a check says never changes by it. What was not delivered is a result of its own, koshu-delivery, a WARNING that counts in the report.",
    ] {
        paragraph(&mut roff, text);
    }
    for engine in ENGINES {
        roff.control("SH", [engine.title.to_uppercase().as_str()]);
        for text in engine.set_up {
            paragraph(&mut roff, text);
        }
        let facts = facts(engine);
        terms(
            &mut roff,
            &mut facts.iter().map(|(word, it)| (*word, it.as_str())),
        );
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("koshu(1), koshu.toml(5)")]);
    roff.to_roff()
}

fn page_keys(roff: &mut Roff, keys: &[Key]) {
    for key in keys {
        let need = if key.required { ", required" } else { "" };
        roff.control("TP", []);
        let head: [Inline; 2] = [bold(&key.name), roman(format!(" ({}{need})", key.kind))];
        roff.text(head);
        roff.text([roman(plain(&key.meaning))]);
    }
}

/// Each page and its text.
fn pages() -> [(&'static str, String); 3] {
    [
        ("koshu.1", command()),
        ("koshu.toml.5", list()),
        ("koshu-engines.7", engines()),
    ]
}

#[test]
fn committed_manual_pages_are_not_stale() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    for (name, page) in pages() {
        let file = folder.join(name);
        if std::env::var_os("KOSHU_WRITE_MAN").is_some() {
            std::fs::write(&file, &page).expect("a page");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == page,
            "stale: KOSHU_WRITE_MAN=1 cargo test committed_manual_pages"
        );
    }
}
