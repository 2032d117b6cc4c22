//! A real Ohai keeps koshu's document as an attribute.

use crate::engine;
use crate::results::{self, EXPECTED};
use std::process::Command;

#[test]
fn the_exported_plugin_runs_in_a_real_ohai() {
    let Some(ohai) = engine::find("ohai") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let lists = results::lists();
    let plugin = results::export(&lists, &["ohai"]);
    std::fs::write(folder.path().join("koshu.rb"), plugin).expect("a file");
    let out = Command::new(ohai)
        .arg("-d")
        .arg(folder.path())
        .arg("koshu")
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("ohai");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    let said: serde_json::Value = serde_json::from_str(&text)
        .unwrap_or_else(|it| panic!("{it}: {text} {}", String::from_utf8_lossy(&out.stderr)));
    let checks = said["checks"].as_array().expect("checks");
    assert_eq!(checks.len(), EXPECTED.len() + 1, "{text}");
    for (it, check) in EXPECTED.iter().zip(checks) {
        assert_eq!(check["name"], it.name);
        assert_eq!(check["state"], it.code);
        assert!(
            it.text
                .ends_with(check["summary"].as_str().unwrap_or("nothing"))
        );
    }
    assert_eq!(said["state"], 2, "{text}");
}
