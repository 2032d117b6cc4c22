//! A real Gearman job server hands a job to the exported worker.

use crate::engine;
use crate::results;
use crate::server;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn a_job_is_answered_with_what_koshu_says() {
    let (Some(program), Some(client)) = (engine::find("gearmand"), engine::find("gearman")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = server::free_port().to_string();
    let _server = engine::start(
        Command::new(program)
            .args([
                "-L",
                "127.0.0.1",
                "-p",
                &port,
                "--log-file=stderr",
                "--job-retries=1",
            ])
            .current_dir(folder.path()),
    );
    engine::until_open(port.parse().expect("a port"));
    let lists = results::lists();
    let worker = results::export(&lists, &["gearman"])
        .replace("gearman -w", &format!("gearman -p {port} -w"));
    let file = folder.path().join("worker");
    std::fs::write(&file, worker).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("made to run");
    let _worker = engine::start(&mut Command::new(&file));
    let out = Command::new(client)
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-f",
            "koshu",
            "-t",
            "20000",
            "all",
        ])
        .output()
        .expect("gearman");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(
        out.status.success(),
        "{text} {}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(text.starts_with("CRITICAL - broken: no answer"), "{text}");
    assert!(
        text.contains("fine.time=0.5s;1;2;0") && text.contains("é"),
        "{text}"
    );
}
