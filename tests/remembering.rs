//! What needs an earlier run: reviews, growth, new lines, changed content; and a history that is missing,
//! damaged or not to be written costs a sentence and never an answer.

use crate::engine::{self, find};
use crate::koshu::{Lists, Said, binary, koshu};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const REVIEW: &str = "[[check]]\nname = 'restore test'\ntype = 'review'\nwhat = 'a backup was restored'\nevery = '180d'\n[[check]]\nname = 'other'\ntype = 'uptime'\n";

struct Place {
    list: Lists,
    state: String,
}

fn place(text: &str) -> Place {
    let list = Lists::new(text);
    let state = list.path().join("history.db").display().to_string();
    Place { list, state }
}

impl Place {
    #[track_caller]
    fn run(&self, words: &[&str]) -> Said {
        self.list.run(&[words, &["--state", &self.state]].concat())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.list.path().join(name)
    }
}

#[test]
fn a_review_is_never_ok_before_somebody_vouches_for_it() {
    let place = place(REVIEW);
    let run = || place.run(&["restore test"]);
    let attest = |words: &[&str]| {
        let file = place.list.file();
        let more = ["-c", &file, "--state", &place.state];
        koshu(&[&["attest"], words, &more].concat())
    };
    let said = run();
    assert_eq!(said.is("CRITICAL"), "never attested");
    said.has("to attest: a backup was restored");
    attest(&["restore tset", "--by", "anna"])
        .has("did you mean `restore test`?")
        .is("UNKNOWN");
    attest(&["other", "--by", "anna"])
        .has("no check of type review")
        .is("UNKNOWN");
    assert_eq!(
        attest(&["restore test"]).code,
        3,
        "nobody vouches anonymously"
    );
    attest(&["restore test", "--by", "anna | x\ny", "--note", "took 2 h"]).is("OK");
    let said = run();
    assert!(
        said.is("OK").starts_with("attested by anna ¦ x y on 20"),
        "{}",
        said.out
    );
    said.has("note of anna ¦ x y: took 2 h").has(" | left=");
    // It is recorded who has said so before.
    attest(&["restore test", "--by", "bert"]).is("OK");
    assert!(run().is("OK").starts_with("attested by bert"));
    if find("sqlite3").is_some() {
        let out = Command::new("sqlite3")
            .args([
                &place.state,
                "SELECT name, value FROM attestation ORDER BY id",
            ])
            .output()
            .expect("sqlite3");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.starts_with("restore test|") && text.contains("anna") && text.contains("bert")
        );
    }
}

#[test]
fn without_history_nobody_knows_of_a_review() {
    let list = Lists::new(REVIEW);
    let said = list.run(&["restore test", "--state", "none"]);
    said.has("nobody knows whether it was attested: history is switched off")
        .is("UNKNOWN");
}

const LOG: &str =
    "[[check]]\nname = 'log'\ntype = 'file'\npath = 'log'\nbad = 'ERROR'\nnew_lines = true\n";

fn append(place: &Place, text: &str) {
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(place.file("log"));
    file.and_then(|mut it| it.write_all(text.as_bytes()))
        .expect("written");
}

#[test]
fn a_bad_line_alarms_once_also_when_the_log_is_rotated() {
    let place = place(LOG);
    append(&place, "old ERROR\n");
    place
        .run(&[])
        .has("there is no earlier run to compare with")
        .is("OK");
    append(&place, "fine\n");
    place.run(&[]).is("OK");
    append(&place, "new ERROR | x\nand ERR");
    assert!(
        place
            .run(&[])
            .is("CRITICAL")
            .ends_with("log: new ERROR ¦ x")
    );
    place.run(&[]).is("OK");
    append(&place, "OR\nlast ERROR before rotation\n");
    fs::rename(place.file("log"), place.file("log.1")).expect("renamed");
    append(&place, "first line\n");
    place.run(&[]).has("2 bad lines, last in ").is("CRITICAL");
    place.run(&[]).is("OK");
}

#[test]
fn growth_and_changes_are_seen_from_run_to_run() {
    let place = place(
        "[[check]]\nname = 'growth'\ntype = 'file'\npath = 'log'\ngrowth = '1kB,1MB'\n[[check]]\nname = 'sum'\ntype = 'file'\npath = 'log'\nchecksum = 'unchanged'\n",
    );
    append(&place, "x");
    place.run(&[]).is("OK");
    append(&place, &"x".repeat(5000));
    let said = place.run(&["--max-bytes", "9000"]);
    said.has("an hour").has("log has changed").is("CRITICAL");
    place.run(&["sum"]).is("OK");
}

#[test]
fn a_checksum_is_that_of_sha256sum_and_an_age_that_of_check_file_age() {
    let place = place("");
    append(&place, "the content\n");
    let path = place.file("log").display().to_string();
    let out = Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum");
    let sum = String::from_utf8_lossy(&out.stdout)
        .split(' ')
        .next()
        .map(str::to_owned)
        .expect("a sum");
    koshu(&["file", &path, &format!("checksum=sha256:{sum}")]).is("OK");
    koshu(&[
        "file",
        &path,
        &format!("checksum=sha256:{}", sum.replace(|_| true, "0")),
    ])
    .is("CRITICAL");
    koshu(&["file", &path, "contains=the c[o]ntent"]).is("OK");
    koshu(&["file", &path, "contains=another"])
        .has("finds nothing")
        .is("CRITICAL");
    koshu(&["file", &path, "absent=true"])
        .has("is there")
        .is("CRITICAL");
    koshu(&["file", &format!("{path}.not"), "absent=true"]).is("OK");
    koshu(&["file", &format!("{path}.not"), "grade={missing=\"ok\"}"]).is("OK");
    let old = Command::new("touch")
        .args(["-d", "3 hours ago", &path])
        .status();
    assert!(old.is_ok_and(|it| it.success()));
    koshu(&["file", &path, "age=2h,4h"])
        .has("was written 3 h")
        .is("WARNING");
    if let Some(theirs) = find("check_file_age") {
        let out = Command::new(theirs)
            .args(["-w", "7200", "-c", "14400", "-f", &path])
            .output();
        let text = String::from_utf8_lossy(&out.expect("it runs").stdout).into_owned();
        assert!(
            text.starts_with("FILE_AGE WARNING") && text.contains("12 bytes"),
            "{text}"
        );
    }
}

#[test]
fn a_history_that_cannot_be_used_costs_a_sentence() {
    let place = place(LOG);
    append(&place, "x\n");
    place.run(&[]).is("OK");
    // Not needed, not looked at.
    fs::write(
        &place.state,
        "no database at all, and long enough for one ".repeat(200),
    )
    .expect("written");
    koshu(&["uptime", "--state", &place.state]).is("OK");
    let before = fs::read(&place.state).expect("the file");
    place
        .run(&[])
        .has("is no history of koshu, and left as it is")
        .is("UNKNOWN");
    assert_eq!(fs::read(&place.state).expect("the file"), before);
    fs::remove_file(&place.state).expect("removed");
    place.run(&[]).is("OK");
    append(&place, "ERROR\n");
    place.run(&[]).has("ERROR").is("CRITICAL");
    let nowhere = place.list.run(&["--state", "/proc/no/such/history.db"]);
    nowhere
        .has("nothing is known of the last run: ")
        .is("UNKNOWN");
    if !rustix::process::geteuid().is_root() {
        engine::skip("only root can become another user");
        return;
    }
    // Another user may read the list, but not the history of root.
    let mode = |path: PathBuf, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode")
    };
    mode(place.list.path().to_owned(), 0o755);
    mode(PathBuf::from(&place.state), 0o600);
    let copy = place.file("koshu");
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(copied.is_ok_and(|it| it.success()));
    let out = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .args(["run", "-c", &place.list.file(), "--state", &place.state])
        .output()
        .expect("setpriv");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.starts_with("UNKNOWN - ") && text.contains("nothing is known of the last run: cannot"),
        "{text}"
    );
}
