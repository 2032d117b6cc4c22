//! A real Icinga 2 runs exported services here and on an agent, and takes results through its API from a user that may
//! do nothing else.

use crate::engine::{self, Running};
use crate::koshu::{Lists, Said, command, said};
use crate::results::{self, EXPECTED};
use crate::server;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A node of Icinga with its folder.
struct Node {
    name: &'static str,
    port: u16,
    folder: TempDir,
    running: Option<Running>,
}

/// A certificate authority and the certificates of both nodes, made once for all tests.
fn pki() -> &'static Path {
    static PKI: OnceLock<TempDir> = OnceLock::new();
    let folder = PKI.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        icinga(folder.path(), &["pki", "new-ca"], &[]);
        for name in [MASTER, "agent"] {
            let (key, csr, cert) = (
                at(&format!("{name}.key")),
                at(&format!("{name}.csr")),
                at(&format!("{name}.crt")),
            );
            let new = ["--cn", name, "--key", &key, "--csr", &csr];
            icinga(folder.path(), &["pki", "new-cert"], &new);
            let sign = ["--csr", csr.as_str(), "--cert", &cert];
            icinga(folder.path(), &["pki", "sign-csr"], &sign);
        }
        folder
    });
    folder.path()
}

/// A command of Icinga that keeps all of it in one folder.
fn program(at: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(engine::find("icinga2").unwrap_or_default());
    command.args(words);
    for (name, folder) in [
        ("DataDir", ""),
        ("LogDir", "log"),
        ("CacheDir", "cache"),
        ("SpoolDir", "spool"),
        ("InitRunDir", "run"),
        ("ConfigDir", "etc"),
    ] {
        let folder = at.join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        command.args(["-D", &format!("{name}={}", folder.display())]);
    }
    let user = if rustix::process::geteuid().is_root() {
        "root"
    } else {
        "nagios"
    };
    for name in ["RunAsUser", "RunAsGroup"] {
        command.args(["-D", &format!("{name}={user}")]);
    }
    command
}

#[track_caller]
fn icinga(at: &Path, words: &[&str], more: &[&str]) {
    let out = program(at, words).args(more).output().expect("icinga2");
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// What every test's master has: the checker, the API and a user for reading back.
fn config(name: &str, port: u16) -> String {
    format!(
        "const NodeName = \"{name}\"\nconst ZoneName = \"{name}\"\nobject IcingaApplication \"app\" {{ }}\nobject CheckerComponent \"checker\" {{ }}\nobject ApiUser \"reader\" {{ password = \"reader\", permissions = [ \"*\" ] }}\nobject ApiListener \"api\" {{ bind_host = \"127.0.0.1\", bind_port = {port}, accept_commands = true }}\nobject CheckCommand \"up\" {{ command = [ \"/bin/true\" ] }}\n"
    )
}

impl Node {
    fn new(name: &'static str) -> Option<Node> {
        engine::find("icinga2")?;
        let folder = tempfile::tempdir().expect("a folder");
        let certs = folder.path().join("certs");
        fs::create_dir(&certs).expect("a folder");
        for (from, to) in [
            ("ca/ca.crt".to_owned(), "ca.crt".to_owned()),
            (format!("{name}.crt"), format!("{name}.crt")),
            (format!("{name}.key"), format!("{name}.key")),
        ] {
            fs::copy(pki().join(from), certs.join(to)).expect("a copy");
        }
        Some(Node {
            name,
            port: server::free_port(),
            folder,
            running: None,
        })
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("certs/ca.crt")
    }

    /// Starts it with these objects besides its own, and asserts that Icinga's own checker likes them.
    #[track_caller]
    fn start(&mut self, objects: &str) {
        let file = self.folder.path().join("icinga2.conf");
        let text = format!("{}{objects}", config(self.name, self.port));
        fs::write(&file, text).expect("a file");
        let at = self.folder.path();
        let file = file.display().to_string();
        icinga(at, &["daemon", "-C", "-c", &file], &[]);
        let running = engine::start(&mut program(at, &["daemon", "-c", &file]));
        self.running = Some(running);
        engine::until_open(self.port);
    }

    /// What the API says of all services.
    fn services(&self) -> Vec<Value> {
        let url = format!(
            "https://127.0.0.1:{}/v1/objects/services?attrs=name&attrs=state&attrs=last_check_result",
            self.port
        );
        let out = Command::new("curl")
            .args(["-sk", "-u", "reader:reader", &url])
            .output()
            .expect("curl");
        let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        let services = said["results"].as_array().cloned().unwrap_or_default();
        services.into_iter().map(|it| it["attrs"].clone()).collect()
    }

    fn service(&self, name: &str) -> Value {
        let found = self.services().into_iter().find(|it| it["name"] == name);
        found.unwrap_or_default()
    }

    /// Holds the services of [`results::lists`] to what they should show.
    #[track_caller]
    fn shows(&self, source: &str) {
        engine::until("Icinga to have all results", || {
            let services = self.services();
            services.len() >= EXPECTED.len()
                && services
                    .iter()
                    .all(|it| it["name"] == "other" || it["last_check_result"].is_object())
        });
        for it in &EXPECTED {
            let service = self.service(it.name);
            assert_eq!(service["state"], f64::from(it.code), "{service:#}");
            let result = &service["last_check_result"];
            let output = result["output"].as_str().unwrap_or_default();
            assert_eq!(output.lines().next().map(str::trim), Some(it.text));
            assert!(output.contains(it.detail), "{output}");
            let perfdata: Vec<&str> = result["performance_data"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(perfdata.join(" "), it.perfdata);
            assert_eq!(result["check_source"], source);
        }
        let hostile = self.service("hostile");
        assert_eq!(hostile["state"], 2.0);
        let output = hostile["last_check_result"]["output"]
            .as_str()
            .unwrap_or_default();
        assert!(output.starts_with(results::HOSTILE), "{output}");
    }
}

/// The name of the node, and of its certificate.
const MASTER: &str = "localhost";

const BOX: &str = "object Endpoint \"localhost\" { }\nobject Zone \"localhost\" { endpoints = [ \"localhost\" ] }\nobject Host \"box\" { check_command = \"up\", check_interval = 1s }\n";

/// Exported services that are checked at once.
fn soon(text: &str) -> String {
    text.replace("= 1m", "= 1s").replace("= 30s", "= 1s")
}

#[test]
fn exported_services_run_in_a_real_icinga() {
    let Some(mut master) = Node::new(MASTER) else {
        return;
    };
    let lists = results::lists();
    let each = results::export(&lists, &["icinga2", "active", "--each", "--host", "box"]);
    master.start(&format!("{BOX}{}", soon(&each)));
    master.shows(MASTER);
    let mut master = Node::new(MASTER).expect("it is there");
    let whole = results::export(&lists, &["icinga2", "active", "--host", "box"]);
    master.start(&format!("{BOX}{}", soon(&whole)));
    engine::until("a result", || master.service("koshu")["state"] == 2.0);
}

#[test]
fn names_with_quotes_and_dollars_reach_koshu_as_they_are() {
    let Some(mut master) = Node::new(MASTER) else {
        return;
    };
    let lists = Lists::new(
        "[[check]]\nname = \"it's \\\"$x$\\\" 古酒 \\\\n\"\ntype = 'file'\npath = '/'\n",
    );
    let each = results::export(&lists, &["icinga2", "active", "--each", "--host", "box"]);
    master.start(&format!("{BOX}{}", soon(&each)));
    engine::until("a result", || {
        master.service("it's \"$x$\" 古酒 \\n")["state"] == 0.0
    });
}

/// The exported services for results, for a master that is started already.
fn passive(lists: &Lists) -> String {
    let passive = results::export(lists, &["icinga2", "passive", "--host", "box"]);
    format!("{BOX}{}", passive.replace("CHANGE ME", "pa ss\\\"word"))
}

fn deliver(lists: &Lists, to: &str) -> Said {
    said(
        command(&["run", "-c", &lists.file(), "--host", "box", "--to", to])
            .env("KOSHU_ICINGA2_PASSWORD", "pa ss\"word"),
    )
}

#[test]
fn results_go_through_the_api_with_the_exported_user() {
    let Some(mut master) = Node::new(MASTER) else {
        return;
    };
    let lists = results::lists();
    let other = "object CheckCommand \"nothing\" { command = [ \"/bin/true\" ] }\napply Service \"other\" { check_command = \"nothing\", enable_active_checks = false, assign where true }\n";
    master.start(&format!("{}{other}", passive(&lists)));
    let to = format!(
        "icinga2+https://koshu@127.0.0.1:{}?ca={}",
        master.port,
        master.ca().display()
    );
    // The certificate is for localhost, so that it must not be taken for 127.0.0.1.
    let wrong = deliver(&lists, &to);
    wrong.is("CRITICAL");
    wrong
        .has("koshu-delivery")
        .has("the certificate is for localhost");
    let to = to.replace("127.0.0.1", "localhost");
    let one = Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n");
    let strange = deliver(&one, to.split("?ca=").next().unwrap_or_default());
    let told = strange.is("WARNING");
    assert!(
        told.contains("which this machine does not trust") || told.contains("no root"),
        "{told}"
    );
    let fine = deliver(&lists, &to);
    assert!(!fine.out.contains("koshu-delivery"), "{}", fine.out);
    let mut services = master.services();
    services.retain(|it| it["name"] == "other");
    assert!(services[0]["last_check_result"].is_null(), "{services:?}");
    master.shows("box");
    let summary = master.service("koshu");
    assert_eq!(summary["state"], 2.0);
    // A service that is none of its business is not there for it.
    let stranger = Lists::new("[[check]]\nname = 'other'\ntype = 'file'\npath = '/'\n");
    let said = deliver(&stranger, &to);
    said.has("1 of 2 results were refused, the first of them other: Icinga knows no such host and service");
}

#[test]
fn a_wrong_password_is_told_once() {
    let Some(mut master) = Node::new(MASTER) else {
        return;
    };
    let lists = results::lists();
    master.start(&passive(&lists));
    let to = format!(
        "icinga2+https://nobody@localhost:{}?ca={}",
        master.port,
        master.ca().display()
    );
    let lists = Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n");
    let said = deliver(&lists, &to);
    let told = said.is("WARNING");
    assert!(
        told.starts_with("koshu-delivery: icinga2 localhost:") && told.contains("HTTP 401"),
        "{told}"
    );
    assert!(!said.out.contains("pa ss"), "{}", said.out);
}

#[test]
fn an_agent_runs_its_own_list_for_its_master() {
    let (Some(mut master), Some(mut agent)) = (Node::new(MASTER), Node::new("agent")) else {
        return;
    };
    let lists = results::lists();
    let exported = results::export(&lists, &["icinga2", "agent", "--each", "--host", "agent"]);
    // Of its own zone the master is called localhost here, and the agent listens on loopback.
    let objects = soon(&exported)
        .replace("\"master\"", "\"localhost\"")
        .replace(
            "host = \"agent\"\n}",
            &format!("host = \"127.0.0.1\"\n  port = {}\n}}", agent.port),
        );
    let zone = "object Endpoint \"localhost\" { }\nobject Zone \"localhost\" { endpoints = [ \"localhost\" ] }\n";
    let host = "object Host \"agent\" { check_command = \"up\", check_interval = 1s, zone = \"localhost\" }\n";
    let command = exported
        .split("object CheckCommand")
        .nth(1)
        .and_then(|it| it.split("apply Service").next())
        .expect("a command");
    let own = "object Endpoint \"agent\" { }\nobject Zone \"agent\" { endpoints = [ \"agent\" ], parent = \"localhost\" }\n";
    agent.start(&format!("{zone}{own}object CheckCommand{command}"));
    master.start(&format!("{zone}{host}{objects}"));
    engine::until_within(Duration::from_secs(40), "the agent to answer", || {
        master.service("fine")["last_check_result"]["check_source"] == "agent"
    });
    master.shows("agent");
}
