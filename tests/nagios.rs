//! A real Nagios 4 runs koshu as an active check, and takes its results through its spool and its command pipe.

use crate::engine::{self, Running};
use crate::koshu::{Lists, binary};
use crate::results::{self, EXPECTED};
use crate::server;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A running Nagios with its folder.
pub struct Nagios {
    folder: TempDir,
    _running: Running,
}

/// Its configuration, in which a unit of time is a second.
fn config(at: &Path) -> String {
    let at = at.display();
    format!(
        "log_file={at}/nagios.log\ncfg_file={at}/objects.cfg\nstatus_file={at}/status.dat\nobject_cache_file={at}/cache\nprecached_object_file={at}/precached\nlock_file={at}/lock\ntemp_file={at}/tmp\ntemp_path={at}\ncheck_result_path={at}/spool\ncommand_file={at}/cmd\nquery_socket={at}/qh\nstate_retention_file={at}/retention\nnagios_user=root\nnagios_group=root\ninterval_length=1\nstatus_update_interval=1\ncheck_result_reaper_frequency=1\nservice_inter_check_delay_method=n\nretain_state_information=0\nenable_notifications=0\ncheck_external_commands=1\ncheck_service_freshness=1\nservice_freshness_check_interval=1\nadditional_freshness_latency=0\nenable_environment_macros=0\nillegal_macro_output_chars=`~$&|'\"<>\n"
    )
}

/// What every service needs.
pub const BASE: &str = "define timeperiod {\n timeperiod_name always\n alias always\n monday 00:00-24:00\n tuesday 00:00-24:00\n wednesday 00:00-24:00\n thursday 00:00-24:00\n friday 00:00-24:00\n saturday 00:00-24:00\n sunday 00:00-24:00\n}\ndefine command {\n command_name nothing\n command_line /bin/true\n}\ndefine contact {\n contact_name me\n host_notification_period always\n service_notification_period always\n host_notification_options n\n service_notification_options n\n host_notification_commands nothing\n service_notification_commands nothing\n}\ndefine host {\n host_name box\n address 127.0.0.1\n max_check_attempts 1\n check_period always\n contacts me\n notification_period always\n}\ndefine service {\n name generic-service\n host_name box\n max_check_attempts 1\n check_interval 1\n retry_interval 1\n check_period always\n notification_period always\n contacts me\n register 0\n}\n";

fn active(services: &[(&str, String)]) -> String {
    let services = services.iter().map(|(name, command)| {
        format!(
            "define command {{\n command_name run_{name}\n command_line {command}\n}}\ndefine service {{\n use generic-service\n service_description {name}\n check_command run_{name}\n}}\n"
        )
    });
    services.collect()
}

/// Services that only take results; `more` stands in each of them.
pub fn passive(names: &[&str], more: &str) -> String {
    let services = names.iter().map(|name| {
        format!(
            "define service {{\n use generic-service\n service_description {name}\n active_checks_enabled 0\n passive_checks_enabled 1\n check_command nothing\n{more}}}\n"
        )
    });
    services.collect()
}

impl Nagios {
    /// Starts it with these objects; None where there is none.
    pub fn start(objects: &str) -> Option<Nagios> {
        let program = engine::find("nagios4")?;
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("spool")).expect("a folder");
        let file = folder.path().join("nagios.cfg");
        fs::write(&file, config(folder.path())).expect("a file");
        fs::write(
            folder.path().join("objects.cfg"),
            format!("{BASE}{objects}"),
        )
        .expect("a file");
        let verified = Command::new(&program)
            .arg("-v")
            .arg(&file)
            .output()
            .expect("nagios4");
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
        let running = engine::start(Command::new(&program).arg(&file));
        let nagios = Nagios {
            folder,
            _running: running,
        };
        engine::until("Nagios to be up", || nagios.path("qh").exists());
        // Who comes before it reads its pipe is told that nobody does.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        engine::until("Nagios to read its pipe", || {
            let mut pipe = fs::OpenOptions::new();
            let pipe = pipe.write(true).custom_flags(nonblocking);
            pipe.open(nagios.path("cmd")).is_ok()
        });
        Some(nagios)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn status(&self) -> String {
        fs::read_to_string(self.path("status.dat")).unwrap_or_default()
    }

    /// The value of a field in one service's block of status.dat.
    pub fn field(&self, service: &str, name: &str) -> String {
        let status = self.status();
        let block = status
            .split("servicestatus {")
            .find(|it| it.contains(&format!("service_description={service}\n")));
        let line = block.unwrap_or_default().lines().find_map(|it| {
            it.trim()
                .strip_prefix(&format!("{name}="))
                .map(str::to_owned)
        });
        line.unwrap_or_default()
    }

    /// Waits until all services have a result.
    #[track_caller]
    pub fn wait(&self, services: &[&str]) {
        engine::until("Nagios to have all results", || {
            services.iter().all(|name| {
                self.field(name, "has_been_checked") == "1"
                    && !self.field(name, "plugin_output").is_empty()
            })
        });
    }

    /// Holds the services of [`results::lists`] to what was delivered.
    #[track_caller]
    pub fn shows(&self, whole: bool) {
        self.wait(&NAMES);
        for it in &EXPECTED {
            let get = |field: &str| self.field(it.name, field);
            assert_eq!(get("current_state"), it.code.to_string(), "{}", it.name);
            // Nagios writes a colon for every semicolon.
            assert_eq!(get("plugin_output"), it.text.replace(';', ":"));
            assert_eq!(get("performance_data"), it.perfdata, "{}", it.name);
            assert_eq!(get("long_plugin_output"), it.detail, "{}", it.name);
        }
        assert_eq!(self.field("koshu", "current_state"), "2");
        let text = self.field("koshu", "plugin_output");
        assert!(text.starts_with("CRITICAL - broken: no answer"), "{text}");
        assert_eq!(self.field("hostile", "current_state"), "2");
        let text = self.field("hostile", "plugin_output");
        assert!(text.starts_with(results::HOSTILE), "{text}");
        let long = self.field("hostile", "long_plugin_output");
        assert!(long.contains("\\nline 3 of a text"), "{long}");
        if whole {
            assert!(
                long.ends_with("line 1999 of a text of 100 kB, all of it, to the end")
                    || long.contains("more lines"),
                "{long}"
            );
        } else {
            assert!(long.contains(" more lines"), "{long}");
        }
        let status = self.status();
        assert_eq!(status.matches("servicestatus {").count(), NAMES.len());
        let log = fs::read_to_string(self.path("nagios.log")).unwrap_or_default();
        // It writes down what it is told; of an unknown service it would say that it is none.
        assert!(!log.contains("'injected'"), "{log}");
    }
}

/// The services of [`results::lists`].
pub const NAMES: [&str; 6] = ["koshu", "fine", "soon", "broken", "blind", "hostile"];

#[test]
fn a_real_nagios_shows_all_four_states_text_and_perfdata() {
    let page = server::page("200 OK", "", "古酒");
    let gone = server::page("404 Not Found", "", "");
    let lists = Lists::new(&format!(
        "[[check]]\nname = 'fine'\ntype = 'http'\nurl = 'http://{page}/'\nbody = '古酒'\ntime = '5s,9s'\n[[check]]\nname = 'gone'\ntype = 'http'\nurl = 'http://{gone}/'\n[[check]]\nname = 'dead'\ntype = 'tcp'\nhost = '{}'\naction = 'restart it | now'\n[[check]]\nname = 'blind'\ntype = 'process'\nmatch = 'x'\nuser = 'no-such-user'\n",
        server::closed()
    ));
    let run = |names: &str| format!("{} run -c {} {names}", binary().display(), lists.file());
    let services = [
        ("fine", run("fine")),
        ("gone", run("gone")),
        ("dead", run("dead")),
        ("blind", run("blind")),
        ("all", run("")),
        (
            "mistake",
            format!("{} run -c /no/such/list.toml", binary().display()),
        ),
    ];
    let Some(nagios) = Nagios::start(&active(&services)) else {
        return;
    };
    let names: Vec<&str> = services.iter().map(|it| it.0).collect();
    nagios.wait(&names);
    // One more round, so that nothing is seen half-written.
    std::thread::sleep(Duration::from_millis(1200));
    let get = |service: &str, name: &str| nagios.field(service, name);
    assert_eq!(get("fine", "current_state"), "0");
    assert!(
        get("fine", "plugin_output").starts_with("OK - HTTP 200 OK, 6 B in "),
        "{}",
        get("fine", "plugin_output")
    );
    assert!(
        get("fine", "performance_data").starts_with("time=0.0")
            && get("fine", "performance_data").contains("s;5;9;0 size=6B;;;0"),
        "{}",
        get("fine", "performance_data")
    );
    assert_eq!(get("gone", "current_state"), "1");
    assert_eq!(get("gone", "plugin_output"), "WARNING - HTTP 404 Not Found");
    assert_eq!(get("dead", "current_state"), "2");
    assert!(get("dead", "plugin_output").ends_with("refuses connections"));
    assert!(get("dead", "long_plugin_output").starts_with("do: restart it ¦ now"));
    assert_eq!(get("dead", "performance_data"), "");
    assert_eq!(get("blind", "current_state"), "3");
    assert!(get("blind", "plugin_output").starts_with("UNKNOWN - no user no-such-user"));
    assert_eq!(get("all", "current_state"), "2");
    assert!(
        get("all", "plugin_output").starts_with("CRITICAL - dead: "),
        "{}",
        get("all", "plugin_output")
    );
    assert!(
        get("all", "plugin_output")
            .ends_with("refuses connections: 1 UNKNOWN: blind: 1 WARNING: gone: 1 OK")
            || get("all", "plugin_output")
                .ends_with("refuses connections; 1 UNKNOWN: blind; 1 WARNING: gone; 1 OK"),
        "{}",
        get("all", "plugin_output")
    );
    assert!(get("all", "performance_data").contains("fine.time=0."));
    assert_eq!(get("mistake", "current_state"), "3");
    assert!(get("mistake", "plugin_output").contains("/no/such/list.toml: cannot be read"));
}

#[test]
fn results_in_the_spool_of_a_real_nagios() {
    let Some(nagios) = Nagios::start(&passive(&NAMES, "")) else {
        return;
    };
    let to = format!("nagios:{}?host=box", nagios.path("spool").display());
    results::lists().run(&["--to", &to]).is("CRITICAL");
    nagios.shows(true);
    let left = fs::read_dir(nagios.path("spool"))
        .expect("a folder")
        .count();
    assert_eq!(left, 0, "Nagios has taken all of it");
}

#[test]
fn results_in_the_command_pipe_of_a_real_nagios() {
    let Some(nagios) = Nagios::start(&passive(&NAMES, "")) else {
        return;
    };
    let lists = results::lists();
    let to = format!("nagios:{}", nagios.path("cmd").display());
    lists.run(&["--host", "box", "--to", &to]).is("CRITICAL");
    nagios.shows(false);
}

#[test]
fn a_pipe_that_nobody_reads_is_told_and_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("cmd");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let to = format!("nagios:{}", pipe.display());
    let said = results::lists().run(&["fine", "--to", &to]);
    assert!(
        said.is("WARNING").contains("nobody reads") && said.took < Duration::from_secs(2),
        "{said:?}"
    );
}

#[test]
fn nagios_notices_that_koshu_has_stopped() {
    let stale = "check_freshness 1\n freshness_threshold 2\n";
    let more = format!(
        "define command {{\n command_name stale\n command_line /bin/sh -c 'echo \"CRITICAL - no result of koshu\" && exit 2'\n}}\n{}",
        passive(&["koshu"], stale).replace("nothing", "stale")
    );
    let Some(nagios) = Nagios::start(&more) else {
        return;
    };
    let to = format!("nagios:{}?host=box", nagios.path("spool").display());
    results::lists().run(&["fine", "--to", &to]).is("OK");
    engine::until("the result of koshu", || {
        nagios.field("koshu", "plugin_output").starts_with("OK - ")
    });
    engine::until("Nagios to miss the next one", || {
        nagios.field("koshu", "plugin_output") == "CRITICAL - no result of koshu"
    });
}

/// The text of a service that may have come from a check of its own.
#[track_caller]
fn shows_exported(nagios: &Nagios) {
    nagios.wait(&NAMES[1..]);
    for it in &EXPECTED {
        let get = |field: &str| nagios.field(it.name, field);
        assert_eq!(get("current_state"), it.code.to_string(), "{}", it.name);
        assert_eq!(get("plugin_output"), it.text);
        assert_eq!(get("performance_data"), it.perfdata);
    }
    assert_eq!(nagios.field("hostile", "current_state"), "2");
}

#[test]
fn exported_services_run_in_a_real_nagios() {
    let lists = results::lists();
    let objects = results::export(&lists, &["nagios", "active", "--each", "--host", "box"]);
    let Some(nagios) = Nagios::start(&objects) else {
        return;
    };
    shows_exported(&nagios);
    drop(nagios);
    let whole = results::export(&lists, &["nagios", "active", "--host", "box"]);
    let Some(nagios) = Nagios::start(&whole) else {
        return;
    };
    nagios.wait(&["koshu"]);
    assert_eq!(nagios.field("koshu", "current_state"), "2");
    assert!(
        nagios
            .field("koshu", "performance_data")
            .contains("fine.time=0.5s;1;2;0")
    );
}

#[test]
fn an_awkward_name_reaches_koshu_through_nagios_and_its_shell() {
    let lists = results::awkward();
    let objects = results::export(&lists, &["nagios", "active", "--each", "--host", "box"]);
    let Some(nagios) = Nagios::start(&objects) else {
        return;
    };
    // Nagios has no service that is called just so.
    let name = "it_s _100__ of _HOME_ \\n _id_ __id_ _ more";
    nagios.wait(&[name]);
    assert_eq!(nagios.field(name, "plugin_output"), "OK - reached");
    drop(nagios);
    let objects = results::export(&lists, &["nagios", "passive", "--host", "box"]);
    let Some(nagios) = Nagios::start(&objects) else {
        return;
    };
    let to = format!("nagios:{}?host=box", nagios.path("spool").display());
    lists.run(&["--to", &to]).is("OK");
    nagios.wait(&[name, "koshu"]);
    assert_eq!(nagios.field(name, "plugin_output"), "OK - reached");
}

#[test]
fn exported_passive_services_take_results_and_notice_when_none_come() {
    let lists = results::lists();
    let objects = results::export(&lists, &["nagios", "passive", "--host", "box"]);
    let objects = objects.replace("freshness_threshold     900", "freshness_threshold     3");
    let Some(nagios) = Nagios::start(&objects) else {
        return;
    };
    let to = format!("nagios:{}?host=box", nagios.path("spool").display());
    lists.run(&["--to", &to]).is("CRITICAL");
    nagios.shows(true);
    engine::until("Nagios to miss the next results", || {
        nagios
            .field("fine", "plugin_output")
            .starts_with("UNKNOWN: no result of koshu")
    });
}
