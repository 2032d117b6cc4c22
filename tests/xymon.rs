//! A real Xymon takes koshu's messages: through its own sender, its client's launcher and TCP.

use crate::engine::{self, Running};
use crate::koshu::binary;
use crate::results::{self, EXPECTED};
use crate::server;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct Xymon {
    client: PathBuf,
    port: u16,
    folder: TempDir,
    _running: Running,
}

impl Xymon {
    fn start() -> Option<Xymon> {
        let (program, client) = (engine::find("xymond")?, engine::find("xymon")?);
        if !rustix::process::geteuid().is_root() {
            engine::skip("xymond runs as another user, which only root can make it");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let port = server::free_port();
        // xymond gives up root.
        let everybody = fs::Permissions::from_mode(0o777);
        for name in ["tmp", "var/acks", "var/hist", "var/histlogs", "run", "log"] {
            fs::create_dir_all(at.join(name)).expect("a folder");
            for open in [at.join(name), at.join("var"), at.to_owned()] {
                // What is not there yet comes later.
                let _ = fs::set_permissions(open, everybody.clone());
            }
        }
        let shown = at.display();
        fs::write(at.join("hosts.cfg"), "127.0.0.1 box.lab #\n").expect("a file");
        let env = format!(
            "XYMONHOME=\"{shown}\"\nXYMONSERVERROOT=\"{shown}\"\nXYMONSERVERLOGS=\"{shown}/log\"\nXYMONTMP=\"{shown}/tmp\"\nXYMONVAR=\"{shown}/var\"\nXYMONRUNDIR=\"{shown}/run\"\nHOSTSCFG=\"{shown}/hosts.cfg\"\nXYMONDPORT=\"{port}\"\nXYMONSERVERHOSTNAME=\"box.lab\"\nMACHINE=\"box,lab\"\nFQDN=\"TRUE\"\nSTATUSLIFETIME=\"30\"\n"
        );
        fs::write(at.join("env.cfg"), env).expect("a file");
        let running = engine::start(
            Command::new("setpriv")
                .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"])
                .arg(program)
                .arg("--no-daemon")
                .arg(format!("--env={shown}/env.cfg"))
                .arg(format!("--listen=127.0.0.1:{port}"))
                .arg(format!("--hosts={shown}/hosts.cfg"))
                .arg(format!("--pidfile={shown}/run/pid"))
                .arg("--ghosts=log"),
        );
        engine::until_open(port);
        Some(Xymon {
            client,
            port,
            folder,
            _running: running,
        })
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn ask(&self, message: &str) -> String {
        let out = Command::new(&self.client)
            .args([&self.address(), message])
            .output()
            .expect("xymon");
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    /// The board: a line for each test with its colour and when it turns purple, without Xymon's own two.
    fn board(&self) -> Vec<String> {
        let board = self.ask("xymondboard fields=hostname,testname,color,validtime,line1");
        let own = |it: &&str| it.contains("|info|") || it.contains("|trends|");
        let board = board.lines().filter(|it| !own(it));
        board.map(str::to_owned).collect()
    }

    #[track_caller]
    fn shows(&self) {
        engine::until("Xymon to have all results", || self.board().len() == 6);
        let board = self.board();
        for it in &EXPECTED {
            let colour = ["green", "yellow", "red", "clear"][usize::from(it.code)];
            let line = board
                .iter()
                .find(|line| line.contains(&format!("|{}|", it.name)));
            let line = line.unwrap_or_else(|| panic!("no {} in {board:?}", it.name));
            assert!(
                line.starts_with(&format!("box.lab|{}|{colour}|", it.name)),
                "{line}"
            );
            assert!(line.contains(it.text), "{line}");
            let log = self.ask(&format!("xymondlog box.lab.{}", it.name));
            assert!(log.contains(it.detail), "{log}");
        }
        let fine = self.ask("xymondlog box.lab.fine");
        assert!(fine.contains("\ntime : 0.5\n"), "{fine}");
        let hostile = self.ask("xymondlog box.lab.hostile");
        assert!(
            hostile.contains("\nline 1999 of a text") || hostile.contains("more lines"),
            "{hostile}"
        );
        assert!(
            hostile.contains("&lt;b&gt;") && !hostile.contains("<b>"),
            "{hostile}"
        );
        let summary = board.iter().find(|it| it.contains("|koshu|"));
        assert!(summary.is_some_and(|it| it.contains("|red|")), "{board:?}");
        assert_eq!(self.ask("ghostlist"), "", "no other host was named");
    }
}

#[test]
fn the_combo_message_goes_through_xymons_own_sender() {
    let Some(xymon) = Xymon::start() else {
        return;
    };
    let said = results::lists().run(&["--format", "xymon", "--host", "box.lab"]);
    let mut sender = Command::new(&xymon.client);
    let done = engine::fed(sender.args([&xymon.address(), "@"]), &said.out);
    assert!(done.status.success());
    xymon.shows();
}

#[test]
fn results_go_to_xymon_over_tcp_and_say_how_long_they_hold() {
    let Some(xymon) = Xymon::start() else {
        return;
    };
    let to = format!("tcp://{}?host=box.lab&ttl=2h&format=xymon", xymon.address());
    results::lists().run(&["--to", &to]).is("CRITICAL");
    xymon.shows();
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    for line in xymon.board() {
        let until: u64 = line
            .split('|')
            .nth(3)
            .and_then(|it| it.parse().ok())
            .expect("a time");
        let left = Duration::from_secs(until - now).as_secs_f64() / 3600.0;
        assert!((1.9..2.1).contains(&left), "{left} h: {line}");
    }
}

#[test]
fn a_thousand_results_fit_into_one_message() {
    let Some(xymon) = Xymon::start() else {
        return;
    };
    let checks: String = (0..1000)
        .map(|it| format!("[[check]]\nname = 'check{it}'\ntype = 'file'\npath = '/'\n"))
        .collect();
    let to = format!("tcp://{}?host=box.lab&format=xymon", xymon.address());
    crate::koshu::Lists::new(&checks)
        .run(&["--to", &to])
        .is("OK");
    engine::until("all results", || xymon.board().len() == 1001);
}

#[test]
fn the_exported_extension_runs_under_xymons_launcher() {
    let (Some(launcher), Some(xymon)) = (engine::find("xymonlaunch"), Xymon::start()) else {
        return;
    };
    let lists = results::lists();
    let at = xymon.at();
    fs::create_dir(at.join("ext")).expect("a folder");
    let script = at.join("ext/koshu.sh");
    fs::write(&script, results::export(&lists, &["xymon", "script"])).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("made to run");
    fs::create_dir(at.join("etc")).expect("a folder");
    let env = format!(
        "XYMONCLIENTHOME=\"{0}\"\nXYMONCLIENTLOGS=\"{0}/log\"\nXYMONTMP=\"{0}/tmp\"\nXYMON=\"{1}\"\nXYMSRV=\"{2}\"\nMACHINEDOTS=\"box.lab\"\nMACHINE=\"box,lab\"\n",
        at.display(),
        xymon.client.display(),
        xymon.address()
    );
    fs::write(at.join("etc/xymonclient.cfg"), env).expect("a file");
    let launch = results::export(&lists, &["xymon", "launch"]);
    assert!(binary().exists());
    fs::write(at.join("launch.cfg"), launch).expect("a file");
    let _running = engine::start(
        Command::new(launcher)
            .arg("--no-daemon")
            .arg(format!("--config={}", at.join("launch.cfg").display()))
            .arg(format!(
                "--env={}",
                at.join("etc/xymonclient.cfg").display()
            ))
            .arg(format!("--log={}", at.join("log/launch.log").display()))
            .env("XYMONCLIENTHOME", at)
            .env("XYMONCLIENTLOGS", at.join("log")),
    );
    xymon.shows();
}
