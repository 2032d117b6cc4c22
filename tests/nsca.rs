//! NSCA's and NSCA-ng's own clients hand koshu's records to a real Nagios.

use crate::engine::{self, Running};
use crate::nagios::{NAMES, Nagios, passive};
use crate::results;
use crate::server;
use std::path::Path;
use std::process::Command;

/// Pipes what `koshu run --format nsca` prints into a client.
fn send(client: &mut Command) {
    let said = results::lists().run(&["--format", "nsca", "--host", "box"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let done = engine::fed(client, &said.out);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

fn config(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
fn a_real_nsca_hands_all_results_to_nagios() {
    let (Some(program), Some(client)) = (engine::find("nsca"), engine::find("send_nsca")) else {
        return;
    };
    let Some(nagios) = Nagios::start(&passive(&NAMES, "")) else {
        return;
    };
    let (folder, port) = (nagios.path("."), server::free_port());
    let server = format!(
        "server_address=127.0.0.1\nserver_port={port}\nnsca_user=root\nnsca_group=root\ncommand_file={}\npassword=secret\ndecryption_method=1\nmax_packet_age=30\npid_file={}\n",
        nagios.path("cmd").display(),
        nagios.path("nsca.pid").display()
    );
    let server = config(&folder, "nsca.cfg", &server);
    let own = config(
        &folder,
        "send.cfg",
        "password=secret\nencryption_method=1\n",
    );
    let _running: Running = engine::start(Command::new(program).arg("-c").arg(server).arg("-f"));
    engine::until_open(port);
    send(
        Command::new(client)
            .args(["-H", "127.0.0.1", "-p", &port.to_string(), "-c"])
            .arg(own),
    );
    nagios.shows(false);
}

#[test]
fn a_real_nsca_ng_hands_all_results_to_nagios() {
    let (Some(program), Some(client)) = (engine::find("nsca-ng"), engine::find("send_nsca_ng"))
    else {
        return;
    };
    let Some(nagios) = Nagios::start(&passive(&NAMES, "")) else {
        return;
    };
    let (folder, port) = (nagios.path("."), server::free_port());
    let server = format!(
        "command_file = \"{}\"\nlisten = \"127.0.0.1:{port}\"\ntemp_directory = \"{}\"\nauthorize \"*\" {{\n password = \"secret\"\n services = {{ \".*\" }}\n}}\n",
        nagios.path("cmd").display(),
        folder.display()
    );
    let server = config(&folder, "nsca-ng.cfg", &server);
    let own = format!(
        "server = \"127.0.0.1\"\nport = {port}\nidentity = \"box\"\npassword = \"secret\"\n"
    );
    let own = config(&folder, "send.cfg", &own);
    let _running: Running = engine::start(Command::new(program).arg("-F").arg("-c").arg(server));
    engine::until_open(port);
    send(Command::new(client).arg("-c").arg(own));
    nagios.shows(false);
}
