//! A network of its own with its own port 53, port 80, hosts file and resolver, in which other programs and koshu run.

use crate::engine::{self, Running, until};
use crate::koshu::{self, Said};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Lives as long as its first process.
pub struct Namespace {
    _first: Running,
    pid: String,
    folder: TempDir,
}

/// A namespace with these addresses beside 127.0.0.1, a hosts file, and the resolvers of resolv.conf.
pub fn namespace(addresses: &[&str], hosts: &str, resolvers: &[&str]) -> Option<Namespace> {
    for program in ["unshare", "nsenter", "ip"] {
        engine::find(program)?;
    }
    let can = Command::new("unshare").args(["-rnm", "true"]).output();
    if !can.is_ok_and(|it| it.status.success()) {
        engine::skip("no user namespaces here");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let resolv: String = resolvers
        .iter()
        .map(|it| format!("nameserver {it}\n"))
        .collect();
    fs::write(at("hosts"), hosts).expect("a file");
    fs::write(at("resolv.conf"), resolv + "options timeout:1 attempts:1\n").expect("a file");
    let mut script = String::from("set -e; ip link set lo up\n");
    for file in ["hosts", "resolv.conf"] {
        script += &format!("mount --bind {} /etc/{file}\n", at(file).display());
    }
    for address in addresses {
        script += &format!("ip addr add {address} dev lo\n");
    }
    script += &format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600",
        at("pid").display()
    );
    let first = Command::new("unshare")
        .args(["-rnm", "sh", "-c", &script])
        .stdin(Stdio::null())
        .spawn();
    let first = Running::new(first.expect("unshare starts"));
    until("a namespace", || at("pid").exists());
    let pid = fs::read_to_string(at("pid")).expect("a number");
    Some(Namespace {
        _first: first,
        pid: pid.trim().to_owned(),
        folder,
    })
}

/// What a script prints in a mount namespace of its own; `$1` is a folder, `$KOSHU` the binary. It exits with 99 where
/// it may not mount.
pub fn mounting(script: &str, folder: &Path) -> Option<String> {
    engine::find("unshare")?;
    let out = Command::new("unshare")
        .args([
            "-m",
            "--propagation",
            "private",
            "bash",
            "-c",
            script,
            "bash",
        ])
        .arg(folder)
        .env("KOSHU", koshu::binary())
        .output()
        .expect("unshare");
    let errors = String::from_utf8_lossy(&out.stderr);
    let is_refused = errors.contains("unshare failed") || errors.contains("permission denied");
    if out.status.code() == Some(99) || is_refused {
        engine::skip("mounting is not allowed here");
        return None;
    }
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

impl Namespace {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What enters before a program.
    fn entry(&self) -> [&str; 8] {
        [
            "-t",
            &self.pid,
            "-U",
            "-n",
            "-m",
            "--preserve-credentials",
            "--wd=/",
            "--",
        ]
    }

    /// A program that will run inside.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.entry()).arg(program);
        command
    }

    /// Runs koshu inside with at most so many open files.
    #[track_caller]
    pub fn koshu_with_files(&self, most: u32, words: &[&str]) -> Said {
        let mut command = assert_cmd::Command::new("nsenter");
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        command
            .args(self.entry())
            .args(["sh", "-c", &script])
            .arg(koshu::binary())
            .args(words);
        koshu::said(&mut command)
    }

    /// Runs koshu inside.
    #[track_caller]
    pub fn koshu(&self, words: &[&str]) -> Said {
        let mut command = assert_cmd::Command::new("nsenter");
        command.args(self.entry()).arg(koshu::binary()).args(words);
        koshu::said(&mut command)
    }
}
