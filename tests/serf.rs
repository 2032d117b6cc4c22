//! Two real Serf members answer a query with what koshu says.

use crate::engine;
use crate::results;
use crate::server;
use std::process::Command;

#[test]
fn a_query_of_two_members_has_two_answers() {
    let Some(serf) = engine::find("serf") else {
        return;
    };
    let lists = results::lists();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("koshu.json");
    std::fs::write(&file, results::export(&lists, &["serf"])).expect("a file");
    let ports = [server::free_port(), server::free_port()];
    let doors = [server::free_port(), server::free_port()];
    let member = |number: usize| {
        let mut command = Command::new(&serf);
        command
            .args(["agent", "-node", &format!("n{number}")])
            .args(["-bind", &format!("127.0.0.1:{}", ports[number])])
            .args(["-rpc-addr", &format!("127.0.0.1:{}", doors[number])])
            .arg(format!("-config-file={}", file.display()));
        if number > 0 {
            command.args(["-join", &format!("127.0.0.1:{}", ports[0])]);
        }
        command
    };
    let _first = engine::start(&mut member(0));
    engine::until_open(doors[0]);
    let _second = engine::start(&mut member(1));
    engine::until_open(doors[1]);
    let door = format!("-rpc-addr=127.0.0.1:{}", doors[0]);
    let ask = |words: &[&str]| {
        let out = Command::new(&serf)
            .arg(words[0])
            .arg(&door)
            .args(&words[1..])
            .output()
            .expect("serf");
        String::from_utf8(out.stdout).expect("UTF-8")
    };
    engine::until("both to be members", || {
        ask(&["members"]).matches(" alive").count() == 2
    });
    let answer = ask(&["query", "-format=json", "-timeout=5s", "koshu"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    for member in ["n0", "n1"] {
        let text = answer["Responses"][member].as_str().unwrap_or_default();
        assert!(
            text.starts_with("CRITICAL - broken: no answer"),
            "{answer:#}"
        );
        assert!(
            text.contains("古酒") || text.contains(" more lines"),
            "{text}"
        );
        assert!(text.contains("rta=0.25s"), "perfdata is whole: {text}");
        assert!(text.len() <= 1024);
    }
}
