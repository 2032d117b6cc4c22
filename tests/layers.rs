//! The architecture: modules look strictly downward, and what only `main` may do nobody else does.

use std::fs;
use std::path::{Path, PathBuf};

/// Top to bottom; modules of one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["discover", "past"],
    &["round"],
    &["cli", "manual"],
    &["config", "dropin", "export", "runner"],
    &["triage", "history"],
    &["plan"],
    &["deliver"],
    &["check"],
    &["host", "start"],
    &["net", "format"],
    &["model"],
    &["bounded", "heap"],
];

/// Words and the files that may have them.
const RESERVED: &[(&str, &[&str])] = &[
    ("println!", &["main.rs"]),
    ("eprintln!", &["main.rs"]),
    ("process::exit", &["main.rs"]),
    ("std::env::", &["main.rs"]),
    ("io::stdout", &["main.rs", "start.rs"]),
    ("io::stderr", &["main.rs"]),
    ("SystemTime::now", &["main.rs"]),
    ("clap::", &["main.rs", "cli.rs", "manual"]),
    ("toml::", &["config", "check/mod.rs"]),
    ("ureq::", &["net/agent.rs", "net/lenient.rs", "check/http"]),
    ("unsafe ", &["heap.rs"]),
    ("unsafe(", &["start.rs"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("src").flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                // Unit tests may reach further than the code that they test.
                path if path.ends_with("tests.rs") => (),
                path => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src");
            let text = fs::read_to_string(path).expect("a source");
            // Unit tests may reach further than the code that they test.
            let code = text
                .split("\n#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default();
            (name.display().to_string(), code.to_owned())
        })
        .collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|it| it.contains(&module))
}

/// What a file does that its place does not allow.
fn violations(file: &str, code: &str) -> Vec<String> {
    let own = file
        .trim_end_matches(".rs")
        .split('/')
        .next()
        .unwrap_or_default();
    let mut wrong = Vec::new();
    let Some(height) = layer(own) else {
        return vec![format!("{file} belongs to no layer")];
    };
    for part in code.split("crate::").skip(1) {
        let end = part
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(part.len());
        let other = &part[..end];
        if part.starts_with('{') {
            wrong.push(format!("{file}: one `use crate::` line per module"));
        } else if other != own {
            match layer(other) {
                Some(depth) if depth > height => (),
                Some(_) => wrong.push(format!("{file}: {own} must not know {other}")),
                None => wrong.push(format!("{file}: {other} belongs to no layer")),
            }
        }
    }
    for (word, allowed) in RESERVED {
        let code = code.lines().filter(|it| !it.trim_start().starts_with("//"));
        let uses = code.filter(|it| it.contains(word)).count();
        if uses > 0 && !allowed.iter().any(|it| file.starts_with(it)) {
            wrong.push(format!("{file}: {word} is not for this file"));
        }
    }
    wrong
}

#[test]
fn modules_look_strictly_downward() {
    let sources = sources();
    assert!(sources.len() > 30, "the sources were found");
    let wrong: Vec<String> = sources
        .iter()
        .flat_map(|(file, code)| violations(file, code))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("check/tcp.rs", "use crate::runner::Orders;"),
        ("model/state.rs", "use crate::net::Fault;"),
        ("format/json.rs", "fn f() { println!(\"x\") }"),
        ("check/http.rs", "let home = std::env::var(\"HOME\");"),
        ("triage/mod.rs", "let now = SystemTime::now();"),
        ("plan.rs", "use crate::{check, model};"),
        ("stray.rs", ""),
    ];
    for (file, code) in planted {
        assert_eq!(violations(file, code).len(), 1, "{file}");
    }
    assert!(violations("check/tcp.rs", "use crate::net::Fault;").is_empty());
}
