//! What root pauses or attests holds for all users of the host; what another user says, for that user alone.

use crate::engine;
use crate::koshu::Lists;
use crate::namespace;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const LIST: &str = "[[check]]\nname = 'a'\ntype = 'file'\npath = '/'\nabsent = true\n[[check]]\nname = 'restore'\ntype = 'review'\nwhat = 'it was restored'\nevery = '90d'\n";

/// What a script prints where /var/lib is its own: `root` is koshu as root, `user` as another user, both of the list
/// `$1/checks.toml` and with their own default history.
fn on_a_host(script: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        engine::skip("only root can become another user");
        return None;
    }
    let list = Lists::new(LIST);
    fs::set_permissions(list.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let script = format!(
        "mkdir -m 755 $1/lib && mkdir -m 777 $1/home && mount --bind $1/lib /var/lib || exit 99; umask 077; \
         cp $KOSHU $1/koshu; chmod 755 $1/koshu; unset STATE_DIRECTORY XDG_STATE_HOME; cd /; c=$1/checks.toml; \
         root() {{ HOME=/root $1/koshu \"${{@:2}}\" -c $c < /dev/null; }}; \
         user() {{ HOME=$1/home setpriv --reuid 65534 --regid 65534 --clear-groups $1/koshu \"${{@:2}}\" -c $c < /dev/null; }}; \
         {script}"
    );
    namespace::mounting(&script, list.path())
}

#[test]
fn what_root_pauses_and_attests_holds_for_every_user() {
    let Some(text) = on_a_host(
        "user $1 run a; root $1 pause a --for 2h --because move; user $1 run a; user $1 run a --state none; user $1 resume a; \
         root $1 run a; user $1 pause; root $1 resume a; user $1 run a; \
         root $1 attest restore --by anna; user $1 run restore; root $1 run restore; \
         stat -c '%a %U %n' /var/lib/koshu /var/lib/koshu/shared*",
    ) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    let has = |text: &str| lines.iter().filter(|it| it.starts_with(text)).count();
    assert_eq!(has("CRITICAL - "), 2, "{text}");
    assert_eq!(has("OK - in maintenance until "), 3, "{text}");
    assert_eq!(has("OK - paused for 2 h: a"), 1, "{text}");
    assert_eq!(has("OK - attested by anna on "), 2, "{text}");
    assert_eq!(has("This holds for all runs on this host."), 3, "{text}");
    assert!(
        text.contains(" (move), for all runs on this host\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "UNKNOWN - a is paused by root for all runs on this host, and only root ends that"
        ),
        "{text}"
    );
    assert!(text.contains("\n755 root /var/lib/koshu\n"), "{text}");
    assert!(
        text.contains("\n644 root /var/lib/koshu/shared-root.json\n"),
        "{text}"
    );
}

#[test]
fn what_another_user_says_holds_for_that_user_only() {
    let Some(text) = on_a_host(
        "user $1 pause a --for 2h; user $1 pause; root $1 pause; user $1 attest restore --by bert; user $1 run a; user $1 run restore; root $1 run a; root $1 run restore",
    ) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    let has = |text: &str| lines.iter().filter(|it| it.starts_with(text)).count();
    assert_eq!(has("This holds for runs of "), 2, "{text}");
    assert_eq!(has("a until 20"), 1, "{text}");
    assert_eq!(has("OK - nothing is paused"), 1, "{text}");
    assert!(lines.iter().any(|it| it.ends_with(" only.")), "{text}");
    assert_eq!(has("OK - in maintenance until "), 1, "{text}");
    assert_eq!(has("OK - attested by bert on "), 1, "{text}");
    assert_eq!(has("CRITICAL - "), 2, "{text}");
}

#[test]
fn what_others_may_write_is_not_believed() {
    let Some(text) = on_a_host(
        "root $1 pause a --for 2h > /dev/null; chmod 666 /var/lib/koshu/shared-root.json; user $1 run a; \
         chmod 644 /var/lib/koshu/shared-root.json; user $1 run a; chown 65534 /var/lib/koshu/shared-root.json; user $1 run a; \
         echo '{' > /var/lib/koshu/shared-root.json; chown 0 /var/lib/koshu/shared-root.json; root $1 run a; root $1 pause a --for 1h; \
         rm /var/lib/koshu/shared-root.json; mkfifo -m 644 /var/lib/koshu/shared-root.json; root $1 run a",
    ) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    let has = |text: &str| lines.iter().filter(|it| it.starts_with(text)).count();
    assert_eq!(has("CRITICAL - "), 4, "{text}");
    assert_eq!(has("OK - in maintenance until "), 1, "{text}");
    assert_eq!(has("UNKNOWN - not paused: "), 1, "{text}");
    assert_eq!(
        has("/var/lib/koshu/shared-root.json is not used: "),
        4,
        "{text}"
    );
}

#[test]
fn a_pause_of_one_list_is_no_pause_of_another() {
    let Some(text) = on_a_host(
        "root $1 pause a --for 2h > /dev/null; cp $c $1/other.toml; chmod 644 $1/other.toml; c=$1/other.toml; user $1 run a; root $1 run a",
    ) else {
        return;
    };
    assert_eq!(text.matches("CRITICAL - ").count(), 2, "{text}");
}
