//! Runs the built binary and holds it to what it promises on every path.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What one run said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub took: Duration,
}

impl Said {
    /// The first line.
    pub fn first(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }

    /// Asserts exit code and state word together, and returns the first line's text.
    #[track_caller]
    pub fn is(&self, word: &str) -> &str {
        let code = ["OK", "WARNING", "CRITICAL", "UNKNOWN"]
            .iter()
            .position(|it| *it == word);
        assert_eq!(Some(self.code as usize), code, "{}", self.out);
        let text = self.first().strip_prefix(&format!("{word} - "));
        text.unwrap_or_else(|| panic!("not {word}: {}", self.out))
            .split(" | ")
            .next()
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn has(&self, text: &str) -> &Said {
        assert!(self.out.contains(text), "no {text:?} in: {}", self.out);
        self
    }

    /// The document of `--format json`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|it| panic!("{it}: {}", self.out))
    }

    /// The codes of all findings of the only check.
    pub fn codes(&self) -> Vec<String> {
        let findings = self.json()["checks"][0]["findings"].clone();
        let findings = findings.as_array().cloned().unwrap_or_default();
        let code = |it: &serde_json::Value| it["code"].as_str().unwrap_or_default().to_owned();
        findings.iter().map(code).collect()
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("koshu").to_path_buf()
}

pub fn command(words: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(binary());
    command
        .args(words)
        .env_remove("KOSHU")
        // No test sees what another one did: without --state there is no history here.
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .timeout(Duration::from_secs(60));
    command
}

/// Runs it, and asserts that it keeps to 0-3, stays silent on stderr and ends its output whole.
#[track_caller]
pub fn koshu(words: &[&str]) -> Said {
    said(&mut command(words))
}

#[track_caller]
pub fn said(command: &mut assert_cmd::Command) -> Said {
    let begin = Instant::now();
    let output = command.output().expect("koshu starts");
    let out = String::from_utf8(output.stdout).expect("koshu speaks UTF-8");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(err, "", "stderr stays empty");
    let code = output.status.code().expect("koshu is not killed");
    assert!((0..=3).contains(&code), "exit code {code}");
    assert!(out.ends_with('\n'), "the output is whole: {out:?}");
    let is_plugin = ["OK -", "WARNING -", "CRITICAL -", "UNKNOWN -"]
        .iter()
        .any(|it| out.starts_with(it));
    assert!(
        out.matches('|').count() <= 1 || !is_plugin,
        "one | at most: {out}"
    );
    Said {
        code,
        out,
        took: begin.elapsed(),
    }
}

/// A folder with lists.
pub struct Lists(TempDir);

impl Lists {
    pub fn new(text: &str) -> Lists {
        let folder = Lists(tempfile::tempdir().expect("a folder"));
        folder.add("checks.toml", text.as_bytes());
        folder
    }

    pub fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self) -> String {
        self.0.path().join("checks.toml").display().to_string()
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Said {
        let file = self.file();
        koshu(&[&["run", "-c", &file], words].concat())
    }
}
