//! Who is logged in: the sessions of logind where it runs, else utmp(5).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// One login.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub user: String,
    /// A terminal, a seat or a kind of session.
    pub line: String,
    /// The machine that it comes from; empty when it is this one.
    pub from: String,
}

/// All sessions of people, and where they were read.
///
/// # Errors
/// When neither logind nor utmp is here.
pub fn read() -> anyhow::Result<(Vec<Session>, &'static str)> {
    let folder = Path::new("/run/systemd/sessions");
    if folder.is_dir() {
        return Ok((of_logind(folder)?, "logind"));
    }
    for file in ["/run/utmp", "/var/run/utmp"] {
        if let Ok(bytes) = fs::read(file) {
            return Ok((of_utmp(&bytes, RECORD), "utmp"));
        }
    }
    anyhow::bail!("neither logind nor utmp tells who is logged in here")
}

fn of_logind(folder: &Path) -> anyhow::Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        // Beside each session lies its pipe, which nobody may open here.
        if !entry.file_type().is_ok_and(|it| it.is_file()) {
            continue;
        }
        // One that ends while it is read is not there.
        if let Ok(text) = fs::read_to_string(entry.path()) {
            sessions.extend(of_logind_session(&text));
        }
    }
    sessions.sort_by(|a, b| (&a.user, &a.line).cmp(&(&b.user, &b.line)));
    Ok(sessions)
}

fn of_logind_session(text: &str) -> Option<Session> {
    let pairs = text.lines().filter_map(|it| it.split_once('='));
    let fields: HashMap<&str, &str> = pairs.collect();
    let field = |name: &str| fields.get(name).map_or("", |it| it.trim_matches('"'));
    let person = field("CLASS") == "user" && field("STATE") != "closing";
    person.then(|| Session {
        user: field("USER").to_owned(),
        line: match field("TTY") {
            "" => field("SERVICE").to_owned(),
            tty => tty.to_owned(),
        },
        from: field("REMOTE_HOST").to_owned(),
    })
}

/// The bytes of a record: times are 32 bits wide where programs of 32 bits run beside those of 64.
const RECORD: usize = match cfg!(any(target_arch = "x86_64", target_pointer_width = "32")) {
    true => 384,
    false => 400,
};

fn of_utmp(bytes: &[u8], record: usize) -> Vec<Session> {
    const USER_PROCESS: u16 = 7;
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|it| *it == 0);
        String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
    };
    let records = bytes.chunks_exact(record);
    let users = records.filter(|it| u16::from_ne_bytes([it[0], it[1]]) == USER_PROCESS);
    users
        .map(|it| Session {
            line: text(&it[8..40]),
            user: text(&it[44..76]),
            from: text(&it[76..332]),
        })
        .filter(|it| !it.user.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_record_is_read_and_others_are_not() {
        let mut login = vec![0; 384];
        login[0] = 7;
        login[8..13].copy_from_slice(b"pts/3");
        login[44..48].copy_from_slice(b"anna");
        login[76..85].copy_from_slice(b"192.0.2.7");
        let boot = vec![2; 384];
        let sessions = of_utmp(&[login, boot, vec![7; 100]].concat(), 384);
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].user, "anna");
        assert_eq!(
            (&*sessions[0].line, &*sessions[0].from),
            ("pts/3", "192.0.2.7")
        );
    }

    #[test]
    fn greeters_and_managers_are_nobody() {
        let session = "USER=anna\nCLASS=user\nSTATE=active\nTTY=tty1\n";
        let read = of_logind_session(session).expect("a session");
        assert_eq!((&*read.user, &*read.line), ("anna", "tty1"));
        assert!(of_logind_session("USER=gdm\nCLASS=greeter\n").is_none());
        assert!(of_logind_session("USER=anna\nCLASS=manager\n").is_none());
        assert!(of_logind_session("USER=anna\nCLASS=user\nSTATE=closing\n").is_none());
    }
}
