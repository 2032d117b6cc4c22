//! Real Zabbix agents run the exported parameter; a real server with its database and its own importer takes the exported
//! templates, discovers the checks and shows what koshu sends and what an agent fetches.

use crate::engine::{self, Running};
use crate::koshu::{Lists, koshu};
use crate::results::{self, EXPECTED};
use crate::server;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The results without the text of 100 kB, of which an agent's answer has no room for more.
fn small() -> Lists {
    let lists = results::lists();
    let text = fs::read(lists.path().join("hostile")).expect("the text");
    lists.add("hostile", &text[..4000]);
    lists
}

/// A running agent that has the exported parameter.
fn agent(program: &str, folder: &Path, lists: &Lists, more: &str) -> Option<(Running, u16)> {
    let program = engine::find(program)?;
    let port = server::free_port();
    let file = folder.join(format!("{port}.conf"));
    let shown = folder.display();
    let config = format!(
        "PidFile={shown}/{port}.pid\nLogType=file\nLogFile={shown}/{port}.log\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\nHostname=box\nTimeout=3\n{more}{}",
        results::export(lists, &["zabbix", "agent"])
    );
    fs::write(&file, config).expect("a file");
    let running = engine::start(Command::new(program).arg("-c").arg(&file).arg("-f"));
    engine::until_open(port);
    Some((running, port))
}

#[track_caller]
fn fetches(port: u16) {
    let Some(get) = engine::find("zabbix_get") else {
        return;
    };
    let out = Command::new(get)
        .args([
            "-s",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-k",
            "koshu.document",
        ])
        .output()
        .expect("zabbix_get");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|it| panic!("{it}: {text}"));
    assert_eq!(said["state"], 2);
    let checks = said["checks"].as_array().expect("checks");
    assert_eq!(checks.len(), EXPECTED.len() + 1);
    for (it, check) in EXPECTED.iter().zip(checks) {
        assert_eq!(check["state"], it.code);
        assert!(
            it.text
                .ends_with(check["summary"].as_str().unwrap_or("nothing"))
        );
    }
    assert_eq!(checks[1]["perf"]["used"]["value"], 91.0);
}

#[test]
fn both_agents_fetch_the_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let lists = small();
    if let Some((_running, port)) = agent("zabbix_agentd", folder.path(), &lists, "AllowRoot=1\n") {
        fetches(port);
    }
    let socket = format!("ControlSocket={}/socket\n", folder.path().display());
    if let Some((_running, port)) = agent("zabbix_agent2", folder.path(), &lists, &socket) {
        fetches(port);
    }
}

/// A Zabbix server, its database and its frontend; they stop in this order.
struct Server {
    port: u16,
    web: u16,
    token: Value,
    _server: Running,
    _frontend: Running,
    _database: Running,
    _folder: TempDir,
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let out = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The rows without which neither server nor frontend start; thousands of templates are not among them.
const TABLES: &str = "^INSERT INTO (config|role|role_rule|users|usrgrp|users_groups|hstgrp|globalmacro|regexps|expressions|module) ";

impl Server {
    fn start() -> Option<Server> {
        let program = engine::find("zabbix_server")?;
        let (initdb, postgres) = (engine::find("initdb")?, engine::find("postgres")?);
        let (psql, php) = (engine::find("psql")?, engine::find("php")?);
        let sql = engine::file("/usr/share/zabbix-server-pgsql/schema.sql.gz")?;
        let pages = engine::file("/usr/local/share/zabbix/api_jsonrpc.php")?;
        if !rustix::process::geteuid().is_root() {
            engine::skip("the database runs as another user, which only root can make it");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        run(Command::new("chown").arg("postgres").arg(folder.path()));
        let data = at("data");
        run(engine::as_user("postgres", &initdb).args([
            "-D",
            &data,
            "-A",
            "trust",
            "-U",
            "zabbix",
            "--no-sync",
        ]));
        let [base, port, web] = [(); 3].map(|()| server::free_port());
        let database = engine::start(
            engine::as_user("postgres", &postgres)
                .args(["-D", &data, "-h", "127.0.0.1", "-p", &base.to_string()])
                .args([
                    "-k",
                    &at(""),
                    "-c",
                    "fsync=off",
                    "-c",
                    "synchronous_commit=off",
                ]),
        );
        let ask = |sql: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!(
                "set -e; {sql} | {} -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p {base} -U zabbix \"$1\" >/dev/null",
                psql.display()
            ), "sh"]);
            command
        };
        engine::until("the database to be up", || {
            let up = ask("echo 'SELECT 1'")
                .arg("postgres")
                .stderr(Stdio::null())
                .status();
            up.is_ok_and(|it| it.success())
        });
        run(ask("echo 'CREATE DATABASE zabbix'").arg("postgres"));
        run(ask(&format!("zcat {}", sql.display())).arg("zabbix"));
        let rows = sql.with_file_name("data.sql.gz");
        run(ask(&format!("zcat {} | grep -aE '{TABLES}'", rows.display())).arg("zabbix"));
        // The frontend wants its configuration in /etc; a copy of it can have it elsewhere.
        let pages = pages.with_file_name("");
        let copy = at("pages");
        fs::create_dir(&copy).expect("a folder");
        for part in [
            "api_jsonrpc.php",
            "include",
            "vendor",
            "app",
            "conf",
            "modules",
            "locale",
        ] {
            run(Command::new("cp")
                .arg("-r")
                .arg(pages.join(part))
                .arg(&copy));
        }
        let config = format!("{copy}/include/classes/core/CConfigFile.php");
        let text = fs::read_to_string(&config).expect("a file");
        let text = text.replace(
            "'/etc/zabbix/zabbix.conf.php'",
            &format!("'{}'", at("zabbix.conf.php")),
        );
        fs::write(config, text).expect("a file");
        let settings = format!(
            "<?php $DB['TYPE']='POSTGRESQL';$DB['SERVER']='127.0.0.1';$DB['PORT']='{base}';$DB['DATABASE']='zabbix';$DB['USER']='zabbix';$DB['PASSWORD']='';$DB['SCHEMA']='';$DB['ENCRYPTION']=false;$DB['KEY_FILE']='';$DB['CERT_FILE']='';$DB['CA_FILE']='';$DB['VERIFY_HOST']=false;$DB['CIPHER_LIST']='';$DB['VAULT_URL']='';$DB['VAULT_DB_PATH']='';$DB['VAULT_TOKEN']='';$DB['DOUBLE_IEEE754']=true;$ZBX_SERVER_NAME='';$IMAGE_FORMAT_DEFAULT=IMAGE_FORMAT_PNG;"
        );
        fs::write(at("zabbix.conf.php"), settings).expect("a file");
        let frontend = engine::start(
            Command::new(php)
                .args(["-S", &format!("127.0.0.1:{web}")])
                .current_dir(&copy),
        );
        engine::until_open(web);
        let config = format!(
            "DBHost=127.0.0.1\nDBPort={base}\nDBName=zabbix\nDBUser=zabbix\nListenIP=127.0.0.1\nListenPort={port}\nSocketDir={0}\nLogFile={0}/server.log\nPidFile={0}/server.pid\nAllowRoot=1\nTimeout=4\nCacheUpdateFrequency=1\nStartPollers=2\nStartPollersUnreachable=1\nStartTrappers=2\nStartPreprocessors=1\nStartLLDProcessors=1\nStartPingers=0\nStartDiscoverers=0\nStartHTTPPollers=0\nHousekeepingFrequency=0\nStartTimers=1\nStartEscalators=1\nStartAlerters=1\n",
            folder.path().display()
        );
        fs::write(at("server.conf"), config).expect("a file");
        let started = engine::start(Command::new(program).args(["-f", "-c", &at("server.conf")]));
        engine::until_open(port);
        let mut server = Server {
            port,
            web,
            token: Value::Null,
            _server: started,
            _frontend: frontend,
            _database: database,
            _folder: folder,
        };
        server.token = server.api(
            "user.login",
            json!({ "username": "Admin", "password": "zabbix" }),
        );
        Some(server)
    }

    /// The result of a call of Zabbix' API.
    #[track_caller]
    fn api(&self, method: &str, params: Value) -> Value {
        let mut call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        if !self.token.is_null() {
            call["auth"] = self.token.clone();
        }
        let url = format!("http://127.0.0.1:{}/api_jsonrpc.php", self.web);
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-H",
            "Content-Type: application/json-rpc",
            "-d",
            "@-",
            &url,
        ]);
        let out = engine::fed(&mut curl, &call.to_string());
        let said: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|it| panic!("{it}: {}", String::from_utf8_lossy(&out.stdout)));
        assert!(said["error"].is_null(), "{method}: {:#}", said["error"]);
        said["result"].clone()
    }

    #[track_caller]
    fn import(&self, template: &str) {
        let all = json!({ "createMissing": true, "updateExisting": true });
        let rules = json!({
            "groups": { "createMissing": true },
            "templates": all, "items": all, "discoveryRules": all, "triggers": all, "valueMaps": all,
        });
        let done = self.api(
            "configuration.import",
            json!({ "format": "json", "rules": rules, "source": template }),
        );
        assert_eq!(done, true);
    }

    /// Creates a host with a template; a port is that of its agent.
    #[track_caller]
    fn host(&self, name: &str, template: &str, port: Option<u16>) {
        let found = self.api(
            "template.get",
            json!({ "filter": { "host": [template] }, "output": [] }),
        );
        let interfaces: Vec<Value> = port
            .into_iter()
            .map(|it| json!({ "type": 1, "main": 1, "useip": 1, "ip": "127.0.0.1", "dns": "", "port": it.to_string() }))
            .collect();
        self.api(
            "host.create",
            json!({
                "host": name,
                "groups": [{ "groupid": "2" }],
                "interfaces": interfaces,
                "templates": [{ "templateid": found[0]["templateid"] }],
            }),
        );
    }

    /// Key and last value of every item of a host.
    fn values(&self, host: &str) -> Vec<(String, String)> {
        let found = self.api(
            "item.get",
            json!({ "host": host, "output": ["key_", "lastvalue"] }),
        );
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let items = found.as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|it| (text(&it["key_"]), text(&it["lastvalue"])))
            .collect()
    }

    #[track_caller]
    fn shows(&self, host: &str, word: bool) {
        let value = |key: &str| -> Option<String> {
            let values = self.values(host).into_iter();
            values.filter(|it| it.0 == key).map(|it| it.1).next()
        };
        engine::until_within(
            Duration::from_secs(60),
            "Zabbix to have the last value",
            || {
                value("koshu.metric[soon,used]").as_deref() == Some("91")
                    && value("koshu.text[hostile]").is_some_and(|it| !it.is_empty())
            },
        );
        for it in &EXPECTED {
            let state = value(&format!("koshu.state[{}]", it.name));
            assert_eq!(state, Some(it.code.to_string()), "{}", it.name);
            let text = value(&format!("koshu.text[{}]", it.name)).unwrap_or_default();
            let expected = it.text.split_once(" - ").map_or("", |it| it.1);
            match word {
                true => assert_eq!(text.lines().next(), Some(it.text)),
                false => assert_eq!(text, expected),
            }
        }
        assert_eq!(value("koshu.state[koshu]").as_deref(), Some("2"));
        assert_eq!(value("koshu.metric[broken,rta]").as_deref(), Some("0.25"));
        assert_eq!(value("koshu.metric[fine,time]").as_deref(), Some("0.5"));
        let hostile = value("koshu.text[hostile]").unwrap_or_default();
        assert!(
            hostile.contains("evil ]]> 'q' \"d\" $(id) `id`"),
            "{hostile}"
        );
        assert!(!self.values(host).iter().any(|it| it.0.contains("injected")));
        engine::until_within(Duration::from_secs(20), "the trigger to fire", || {
            let fired = self.api(
                "trigger.get",
                json!({ "host": host, "output": ["description"], "filter": { "value": 1 } }),
            );
            fired[0]["description"] == "koshu: CRITICAL"
        });
    }
}

#[test]
fn a_real_server_discovers_and_shows_what_it_is_sent_and_what_it_fetches() {
    let Some(zabbix) = Server::start() else {
        return;
    };
    let lists = small();
    zabbix.import(&results::export(&lists, &["zabbix", "trapper"]));
    let by_agent = results::export(&lists, &["zabbix", "template"]);
    zabbix.import(&by_agent.replace("\"delay\": \"1m\"", "\"delay\": \"1s\""));
    // A second import of the same changes nothing, and is none of something else.
    zabbix.import(&results::export(&lists, &["zabbix", "trapper"]));
    zabbix.host("box", "koshu by Zabbix trapper", None);
    let folder = tempfile::tempdir().expect("a folder");
    let agent = agent("zabbix_agentd", folder.path(), &lists, "AllowRoot=1\n");
    let Some((_agent, port)) = agent else {
        return;
    };
    zabbix.host("agent", "koshu by Zabbix agent", Some(port));
    let to = format!("zabbix://127.0.0.1:{}?host=box", zabbix.port);
    let deliver = |to: &str| lists.run(&["--to", to]);
    // The host is known after a second, what is discovered after another.
    let first = deliver(&to);
    assert!(
        first
            .is("CRITICAL")
            .contains("2 WARNING: soon, koshu-delivery"),
        "{}",
        first.out
    );
    engine::until_within(Duration::from_secs(30), "all values to be taken", || {
        std::thread::sleep(Duration::from_millis(300));
        !deliver(&to).out.contains("koshu-delivery")
    });
    zabbix.shows("box", true);
    zabbix.shows("agent", false);
    // The stock sender takes the same.
    if let Some(sender) = engine::find("zabbix_sender") {
        let file = lists.file();
        let lines = koshu(&["run", "-c", &file, "--format", "zabbix", "--host", "box"]);
        let mut sender = Command::new(sender);
        let port = zabbix.port.to_string();
        sender.args(["-z", "127.0.0.1", "-p", &port, "-T", "-i", "-"]);
        let out = engine::fed(&mut sender, &lines.out);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && said.contains("failed: 0"), "{said}");
        zabbix.shows("box", true);
    }
    // A host that Zabbix does not know.
    let said = deliver(&to.replace("box", "stranger"));
    said.has("koshu-delivery");
    let all = koshu(&[
        "run",
        "-c",
        &lists.file(),
        "fine",
        "--to",
        &to.replace("box", "stranger"),
    ]);
    assert!(
        all.is("WARNING")
            .contains("values were not taken: is stranger a host there"),
        "{}",
        all.out
    );
}
