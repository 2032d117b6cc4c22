//! A real Nagios 4 runs koshu as an active check and shows state, text and perfdata.

use crate::engine;
use crate::koshu::{Lists, binary};
use crate::server;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The value of a field in one service's block of status.dat.
fn field(status: &str, service: &str, name: &str) -> Option<String> {
    let block = status
        .split("servicestatus {")
        .find(|it| it.contains(&format!("service_description={service}\n")))?;
    let line = block.lines().find_map(|it| {
        it.trim()
            .strip_prefix(&format!("{name}="))
            .map(str::to_owned)
    })?;
    Some(line)
}

fn config(at: &Path) -> String {
    let at = at.display();
    format!(
        "log_file={at}/nagios.log\ncfg_file={at}/objects.cfg\nstatus_file={at}/status.dat\nobject_cache_file={at}/cache\nprecached_object_file={at}/precached\nlock_file={at}/lock\ntemp_file={at}/tmp\ntemp_path={at}\ncheck_result_path={at}/spool\ncommand_file={at}/cmd\nquery_socket={at}/qh\nstate_retention_file={at}/retention\nnagios_user=root\nnagios_group=root\ninterval_length=1\nstatus_update_interval=1\ncheck_result_reaper_frequency=1\nservice_inter_check_delay_method=n\nretain_state_information=0\nenable_notifications=0\ncheck_external_commands=0\nenable_environment_macros=0\nillegal_macro_output_chars=`~$&|'\"<>\n"
    )
}

fn objects(services: &[(&str, String)]) -> String {
    let mut text = String::from(
        "define timeperiod {\n timeperiod_name always\n alias always\n monday 00:00-24:00\n tuesday 00:00-24:00\n wednesday 00:00-24:00\n thursday 00:00-24:00\n friday 00:00-24:00\n saturday 00:00-24:00\n sunday 00:00-24:00\n}\ndefine command {\n command_name nothing\n command_line /bin/true\n}\ndefine contact {\n contact_name me\n host_notification_period always\n service_notification_period always\n host_notification_options n\n service_notification_options n\n host_notification_commands nothing\n service_notification_commands nothing\n}\ndefine host {\n host_name box\n address 127.0.0.1\n max_check_attempts 1\n check_period always\n contacts me\n notification_period always\n}\n",
    );
    for (name, command) in services {
        text.push_str(&format!(
            "define command {{\n command_name run_{name}\n command_line {command}\n}}\ndefine service {{\n host_name box\n service_description {name}\n check_command run_{name}\n max_check_attempts 1\n check_interval 1\n retry_interval 1\n check_period always\n notification_period always\n contacts me\n}}\n"
        ));
    }
    text
}

#[test]
fn a_real_nagios_shows_all_four_states_text_and_perfdata() {
    let Some(program) = engine::find("nagios4") else {
        return;
    };
    let page = server::page("200 OK", "", "古酒");
    let gone = server::page("404 Not Found", "", "");
    let lists = Lists::new(&format!(
        "[[check]]\nname = 'fine'\ntype = 'http'\nurl = 'http://{page}/'\nbody = '古酒'\ntime = '5s,9s'\n[[check]]\nname = 'gone'\ntype = 'http'\nurl = 'http://{gone}/'\n[[check]]\nname = 'dead'\ntype = 'tcp'\nhost = '{}'\naction = 'restart it | now'\n[[check]]\nname = 'blind'\ntype = 'process'\nmatch = 'x'\nuser = 'no-such-user'\n",
        server::closed()
    ));
    let folder = tempfile::tempdir().expect("a folder");
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
    fs::create_dir(folder.path().join("spool")).expect("a folder");
    let file = folder.path().join("nagios.cfg");
    fs::write(&file, config(folder.path())).expect("a file");
    fs::write(folder.path().join("objects.cfg"), objects(&services)).expect("a file");
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
    let status = || fs::read_to_string(folder.path().join("status.dat")).unwrap_or_default();
    engine::until("Nagios to check all services", || {
        let status = status();
        services.iter().all(|(name, _)| {
            field(&status, name, "has_been_checked").as_deref() == Some("1")
                && field(&status, name, "plugin_output").is_some_and(|it| !it.is_empty())
        })
    });
    // One more round, so that nothing is seen half-written.
    std::thread::sleep(Duration::from_millis(1200));
    let status = status();
    let get = |service: &str, name: &str| field(&status, service, name).unwrap_or_default();
    drop(running);
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
