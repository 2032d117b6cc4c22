//! The real agent of Pandora FMS takes koshu's modules into its own XML.

use crate::engine;
use crate::results::{self, EXPECTED};
use std::fs;
use std::process::Command;

#[test]
fn the_agent_has_all_modules_in_its_file() {
    let Some(agent) = engine::find("pandora_agent") else {
        return;
    };
    let lists = results::lists();
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    for name in ["spool", "tmp"] {
        fs::create_dir(at.join(name)).expect("a folder");
    }
    let config = format!(
        "server_ip 127.0.0.1\nserver_path {0}/spool\ntemporal {0}/tmp\nlogfile {0}/log\ninterval 300\nagent_interval 300\ntransfer_mode local\nremote_config 0\nagent_name box\ndebug 0\n{1}",
        at.display(),
        results::export(&lists, &["pandora"])
    );
    fs::write(at.join("pandora_agent.conf"), config).expect("a file");
    let _running = engine::start(Command::new(agent).arg(at));
    let data = || -> Option<String> {
        let files = fs::read_dir(at.join("spool")).ok()?.flatten();
        let mut data = files.filter(|it| it.path().extension().is_some_and(|it| it == "data"));
        fs::read_to_string(data.next()?.path()).ok()
    };
    engine::until("the agent to write its file", || {
        data().is_some_and(|it| it.contains("</agent_data>"))
    });
    let xml = data().expect("a file");
    // A parser that is not ours reads the names, values and texts back.
    let script = "import sys, xml.etree.ElementTree as E\nfor m in E.fromstring(sys.stdin.buffer.read()).iter('module'):\n  print(repr([m.findtext('name'), m.findtext('data'), m.findtext('description') or '', m.findtext('unit') or '']))";
    let Some(python) = engine::find("python3") else {
        return;
    };
    let file = at.join("whole.xml");
    fs::write(&file, &xml).expect("a file");
    let out = Command::new(python)
        .args(["-c", script])
        .stdin(fs::File::open(&file).expect("the file"))
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3");
    let modules = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for it in &EXPECTED {
        let expected = format!("['koshu {}', '{}', '{}", it.name, it.code, it.text);
        assert!(modules.contains(&expected), "no {expected} in {modules}");
    }
    assert!(
        modules.contains("['koshu', '2', 'CRITICAL - broken: no answer"),
        "{modules}"
    );
    assert!(
        modules.contains("['koshu soon | used', '91', '', '%']"),
        "{modules}"
    );
    let hostile = modules
        .lines()
        .find(|it| it.starts_with("['koshu hostile'"));
    assert!(
        hostile.is_some_and(|it| it.contains("]]>") && it.contains("<b>")),
        "{modules}"
    );
    assert!(!modules.contains("['injected"), "{modules}");
}
