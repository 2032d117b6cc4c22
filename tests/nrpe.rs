//! A real NRPE runs exported commands, and check_nrpe shows states, text and perfdata.

use crate::engine::{self, Running};
use crate::koshu::Lists;
use crate::nagios::{NAMES, Nagios};
use crate::results::{self, EXPECTED};
use crate::server;
use std::path::PathBuf;
use std::process::Command;

struct Nrpe {
    client: PathBuf,
    port: u16,
    _folder: tempfile::TempDir,
    _running: Running,
}

impl Nrpe {
    fn start(commands: &str) -> Option<Nrpe> {
        let (program, client) = (engine::find("nrpe")?, engine::find("check_nrpe")?);
        let folder = tempfile::tempdir().expect("a folder");
        let port = server::free_port();
        let file = folder.path().join("nrpe.cfg");
        let config = format!(
            "server_address=127.0.0.1\nserver_port={port}\nnrpe_user=nobody\nnrpe_group=nogroup\nallowed_hosts=127.0.0.1\ndisable_syslog=1\nlog_file={0}/log\npid_file={0}/pid\ncommand_timeout=20\n{commands}",
            folder.path().display()
        );
        std::fs::write(&file, config).expect("a file");
        let running = engine::start(Command::new(program).arg("-c").arg(&file).arg("-f"));
        engine::until_open(port);
        Some(Nrpe {
            client,
            port,
            _folder: folder,
            _running: running,
        })
    }

    /// Exit code and output of check_nrpe.
    fn ask(&self, command: &str, more: &[&str]) -> (i32, String) {
        let port = self.port.to_string();
        let out = Command::new(&self.client)
            .args(["-H", "127.0.0.1", "-p", &port, "-c", command, "-t", "20"])
            .args(more)
            .output()
            .expect("check_nrpe");
        let text = String::from_utf8(out.stdout).expect("UTF-8");
        (out.status.code().unwrap_or(-1), text)
    }
}

#[test]
fn exported_commands_run_in_a_real_nrpe() {
    let lists = results::lists();
    let commands = results::export(&lists, &["nrpe", "commands", "--each"]);
    let whole = results::export(&lists, &["nrpe", "commands"]);
    let Some(nrpe) = Nrpe::start(&format!("{commands}{whole}")) else {
        return;
    };
    for it in &EXPECTED {
        let (code, text) = nrpe.ask(&format!("koshu_{}", it.name), &[]);
        assert_eq!(code, i32::from(it.code), "{text}");
        let first = text.lines().next().unwrap_or_default().replace(" | ", "|");
        let perfdata = match it.perfdata {
            "" => String::new(),
            perfdata => format!("|{perfdata}"),
        };
        assert_eq!(first, format!("{}{perfdata}", it.text));
        assert!(text.contains(it.detail), "{text}");
    }
    let (code, text) = nrpe.ask("koshu_hostile", &[]);
    assert_eq!(code, 2);
    assert!(
        text.starts_with(results::HOSTILE) && text.contains(" more lines"),
        "{text}"
    );
    let (code, text) = nrpe.ask("koshu", &[]);
    assert_eq!(code, 2);
    assert!(text.starts_with("CRITICAL - broken: no answer"), "{text}");
    // The first line of whatever koshu says fits into version 2 of the protocol.
    let (code, text) = nrpe.ask("koshu", &["-2"]);
    assert_eq!(code, 2);
    let first = text.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("CRITICAL - broken") && first.contains("rta=0.25s"),
        "{text}"
    );
}

#[test]
fn an_awkward_name_reaches_koshu_through_nrpe_and_its_shell() {
    let lists = results::awkward();
    let commands = results::export(&lists, &["nrpe", "commands", "--each"]);
    let Some(nrpe) = Nrpe::start(&commands) else {
        return;
    };
    let (code, text) = nrpe.ask("koshu_awkward", &[]);
    assert_eq!((code, text.as_str()), (0, "OK - reached\n"));
}

#[test]
fn exported_services_of_a_real_nagios_ask_nrpe() {
    let lists = results::lists();
    let commands = results::export(&lists, &["nrpe", "commands", "--each"]);
    let Some(nrpe) = Nrpe::start(&commands) else {
        return;
    };
    let ask = format!(
        "define command {{\n command_name check_nrpe\n command_line {} -H 127.0.0.1 -p {} -c $ARG1$\n}}\n",
        nrpe.client.display(),
        nrpe.port
    );
    let services = results::export(&lists, &["nrpe", "services", "--each", "--host", "box"]);
    let Some(nagios) = Nagios::start(&format!("{ask}{services}")) else {
        return;
    };
    nagios.wait(&NAMES[1..]);
    for it in &EXPECTED {
        assert_eq!(nagios.field(it.name, "current_state"), it.code.to_string());
        assert_eq!(nagios.field(it.name, "plugin_output"), it.text);
        assert_eq!(nagios.field(it.name, "performance_data"), it.perfdata);
    }
}

#[test]
fn the_exported_commands_end_before_check_nrpe_gives_up() {
    let hole = server::black_hole();
    let lists = Lists::new(&format!(
        "[[check]]\nname = 'hole'\ntype = 'http'\nurl = 'http://{hole}/'\ntimeout = '30s'\n"
    ));
    let commands = results::export(&lists, &["nrpe", "commands"]);
    let Some(nrpe) = Nrpe::start(&commands.replace("9s", "1s")) else {
        return;
    };
    let (code, text) = nrpe.ask("koshu", &[]);
    assert_eq!(code, 3, "{text}");
    assert!(text.starts_with("UNKNOWN - "), "{text}");
}
