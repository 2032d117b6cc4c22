//! What `koshu discover` finds on a host, and what has changed there since.

use crate::engine;
use crate::koshu::{Lists, Said, binary, command, said};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// A host with nginx, a database, a certbot lineage, backups and a cron job, in namespaces of its own.
fn fresh_host(script: &str) -> Option<String> {
    for program in ["unshare", "nginx", "setpriv", "ip"] {
        engine::find(program)?;
    }
    let (initdb, postgres) = (engine::find("initdb")?, engine::find("postgres")?);
    if !rustix::process::geteuid().is_root() {
        engine::skip("the host's folders can only be made by root");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    let begin = format!(
        r#"
set -e
exec 2>{at}/errors
ip link set lo up
for it in /etc/letsencrypt /etc/nginx /etc/dovecot /etc/postfix /etc/apache2 /var/backups; do
  mkdir -p $it; mount -t tmpfs tmpfs $it
done
: > {at}/resolv.conf; mount --bind {at}/resolv.conf /etc/resolv.conf
mkdir -p /etc/letsencrypt/live/shop.lab /etc/nginx/sites-enabled
openssl req -x509 -newkey rsa:2048 -nodes -days 80 -subj /CN=shop.lab -addext subjectAltName=DNS:shop.lab \
  -keyout /etc/letsencrypt/live/shop.lab/privkey.pem -out /etc/letsencrypt/live/shop.lab/fullchain.pem
cat > /etc/nginx/nginx.conf <<EOF
pid {at}/nginx.pid; error_log {at}/nginx.log; events {{ }}
http {{ access_log off; include /etc/nginx/sites-enabled/*; }}
EOF
cat > /etc/nginx/sites-enabled/shop <<EOF
server {{ listen 80; listen 443 ssl; server_name shop.lab;
  ssl_certificate /etc/letsencrypt/live/shop.lab/fullchain.pem;
  ssl_certificate_key /etc/letsencrypt/live/shop.lab/privkey.pem; }}
EOF
nginx
for day in 1 2 3; do
  head -c 4096 /dev/zero > /var/backups/shop-2026-11-2$day.dump
  touch -d "$((4 - day)) days ago" /var/backups/shop-2026-11-2$day.dump
done
touch -d '20 hours ago' /var/backups/shop-2026-11-23.dump
mkdir {at}/db; chown postgres {at}/db; chmod 755 {at}
as="setpriv --reuid postgres --regid postgres --clear-groups"
$as {initdb} -D {at}/db/data -A trust --no-sync >/dev/null
$as {postgres} -D {at}/db/data -h 127.0.0.1 -p 5432 -k {at}/db -c fsync=off >/dev/null &
for i in $(seq 100); do [ -e {at}/db/.s.PGSQL.5432 ] && break; sleep 0.05; done
trap 'kill $(cat {at}/nginx.pid); kill -INT %1; wait' EXIT
cd {at}; set +e
"#,
        initdb = initdb.display(),
        postgres = postgres.display()
    );
    let out = Command::new("unshare")
        .args(["-n", "-m", "--propagation", "private", "bash", "-c"])
        .arg(format!("{begin}{script}"))
        .env("KOSHU", binary())
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .output()
        .expect("unshare");
    let errors = fs::read_to_string(folder.path().join("errors")).unwrap_or_default();
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("unshare failed") || errors.contains("permission denied") {
        engine::skip("mounting is not allowed here");
        return None;
    }
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(!text.is_empty(), "{said} {errors}");
    Some(text)
}

#[test]
fn a_fresh_host_gives_a_list_that_is_right_and_all_ok() {
    let script = "$KOSHU discover > list.toml; cat list.toml; echo ====; $KOSHU validate -c list.toml; echo ====; $KOSHU run -c list.toml; echo code $?; echo ====; $KOSHU run; echo code $?; echo ====; $KOSHU discover --diff -c list.toml; echo code $?";
    let Some(text) = fresh_host(script) else {
        return;
    };
    let parts: Vec<&str> = text.split("====\n").collect();
    let [list, valid, run, without, diff] = parts[..] else {
        panic!("{text}");
    };
    for wanted in [
        "name = \"disk /\"",
        "name   = \"nginx listens\"\ntype   = \"port\"\nlisten = [80, 443]",
        "name   = \"postgres listens\"\ntype   = \"port\"\nlisten = [\"127.0.0.1:5432\"]",
        "# Kept and renewed by certbot.\n",
        "file = \"/etc/letsencrypt/live/shop.lab/fullchain.pem\"",
        "path = \"/var/backups/shop-*.dump\"\nage  = \"28h,50h\"\nsize = \"2048B:,1B:\"",
    ] {
        assert!(list.contains(wanted), "no {wanted} in {list}");
    }
    assert_eq!(
        list.matches("shop.lab/fullchain.pem").count(),
        2,
        "one certificate, once: {list}"
    );
    let reasons = list.lines().filter(|it| it.starts_with("# ")).count();
    assert!(
        reasons > list.matches("\n[[check]]").count(),
        "each check has its reason: {list}"
    );
    assert!(valid.contains(" are right in list.toml"), "{valid}");
    assert!(
        run.starts_with("OK - ") && run.ends_with("code 0\n"),
        "{run}"
    );
    assert!(
        without.starts_with("OK - ") && without.contains("what koshu discover finds"),
        "{without}"
    );
    assert!(
        diff.starts_with("OK - nothing new and nothing gone") && diff.ends_with("code 0\n"),
        "{diff}"
    );
}

#[test]
fn what_is_new_and_what_is_gone_is_told() {
    let script = "$KOSHU discover > list.toml; sed -i 's/listen 80;/listen 8443;/' /etc/nginx/sites-enabled/shop; nginx -s reload; sleep 0.5; $KOSHU discover --diff -c list.toml; echo code $?";
    let Some(text) = fresh_host(script) else {
        return;
    };
    assert!(
        text.starts_with("WARNING - 1 new: nginx listens; 1 gone: nginx listens\n"),
        "{text}"
    );
    assert!(
        text.contains("gone: nginx listens: nothing listens on 80 any more (list.toml)"),
        "{text}"
    );
    assert!(
        text.contains("# nginx listens on 443, 8443.\n") && text.contains("listen = [443, 8443]"),
        "{text}"
    );
    assert!(text.ends_with("code 1\n"), "{text}");
}

#[test]
fn a_backup_that_is_late_is_a_comment_for_a_person() {
    let script = "touch -d '9 days ago' /var/backups/*; touch -d '8 days ago' /var/backups/shop-2026-11-23.dump; $KOSHU discover > list.toml; cat list.toml; $KOSHU validate -c list.toml";
    let Some(text) = fresh_host(script) else {
        return;
    };
    assert!(
        text.contains("# Not now: 3 files of /var/backups/shop-*.dump"),
        "{text}"
    );
    assert!(
        text.contains("# path = \"/var/backups/shop-*.dump\""),
        "{text}"
    );
    assert!(!text.contains("\npath = \"/var/backups"), "{text}");
}

#[test]
fn a_process_cannot_write_into_the_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let evil = folder.path().join("77");
    fs::create_dir_all(evil.join("fd")).expect("a folder");
    let stat = format!("77 (x\n[[to]]\nu=\"y) S 1 77{}", " 0".repeat(60));
    fs::write(evil.join("stat"), stat).expect("a file");
    std::os::unix::fs::symlink("socket:[4711]", evil.join("fd/3")).expect("a link");
    let list = made_up_in(folder, ROOT, &listener(8443), &["discover"]).out;
    assert!(list.contains("listen = [8443]"), "{list}");
    assert!(
        !list
            .lines()
            .any(|it| it.starts_with("[[to]]") || it.starts_with("u=")),
        "{list}"
    );
    let lists = Lists::new(&list);
    let said = crate::koshu::koshu(&["validate", "-c", &lists.file()]);
    assert!(said.out.contains(" are right in "), "{}{list}", said.out);
}

/// A machine whose /proc is made up.
fn made_up(mountinfo: &str, tcp: &str, words: &[&str]) -> Said {
    made_up_in(
        tempfile::tempdir().expect("a folder"),
        mountinfo,
        tcp,
        words,
    )
}

fn made_up_in(folder: TempDir, mountinfo: &str, tcp: &str, words: &[&str]) -> Said {
    let one = folder.path().join("1");
    fs::create_dir_all(one.join("net")).expect("a folder");
    fs::write(one.join("mountinfo"), mountinfo).expect("a file");
    let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    fs::write(one.join("net/tcp"), format!("{head}{tcp}")).expect("a file");
    fs::write(folder.path().join("uptime"), "1000.0 1000.0\n").expect("a file");
    said(command(words).env("KOSHU_PROC", folder.path()))
}

const ROOT: &str = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";

fn listener(port: u16) -> String {
    format!(
        "   0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
    )
}

#[test]
fn a_mount_that_is_gone_and_a_port_that_is_new() {
    let list = Lists::new(
        "[[check]]\nname = 'disk /'\ntype = 'disk'\npath = '/'\n[[check]]\nname = 'disk /srv'\ntype = 'disk'\npath = '/srv'\n[[check]]\ntype = 'port'\nlisten = [22]\n[[check]]\ntype = 'dns'\nhost = 'localhost'\nvia = 'system'\n[[check]]\ntype = 'mount'\n[[check]]\ntype = 'cert'\nfile = '/etc/**'\n[[check]]\ntype = 'file'\npath = '/**'\n",
    );
    let file = list.file();
    let srv = format!("{ROOT}26 25 8:17 / /srv rw - xfs /dev/sdb1 rw\n");
    let words = ["discover", "--diff", "-c", &file];
    let same = made_up(&srv, &listener(22), &words);
    same.is("OK");
    let other = made_up(ROOT, &(listener(22) + &listener(8443)), &words);
    let text = other.is("WARNING");
    assert_eq!(text, "1 new: port 22 8443; 1 gone: disk /srv");
    other
        .has("gone: disk /srv: /srv is no mount any more (")
        .has("listens on 22, 8443.");
    // Whatever looks at the port counts, and what gives it away does not.
    let list = fs::read_to_string(&file).expect("the list");
    let with = format!("{list}[[check]]\ntype = 'http'\nurl = 'https://localhost:8443/'\n");
    fs::write(&file, with).expect("the list");
    made_up(
        &srv,
        &(listener(22) + &listener(8443) + &listener(40000)),
        &words,
    )
    .is("OK");
}

#[test]
fn listeners_that_would_share_a_label_do_not_switch_the_whole_run_off() {
    let Some(python) = engine::find("python3") else {
        return;
    };
    let script = format!(
        r#"
listen() {{ {python} -c 'import socket,sys,time
open("/proc/self/comm","w").write(sys.argv[2])
s=socket.socket(); s.bind(("127.0.0.1",int(sys.argv[1]))); s.listen()
print(flush=True); time.sleep(60)' "$@" & pids="$pids $!"; }}
{{ listen 4001 'a b'; listen 4002 'a_b'; listen 4003 "$(printf 'x\001y')"; listen 4004 "$(printf 'x\002y')"; }} > {{at}}/up
trap 'kill $pids; kill $(cat {{at}}/nginx.pid); kill -INT %1; wait' EXIT
for i in $(seq 100); do [ "$(wc -l < {{at}}/up)" = 4 ] && break; sleep 0.05; done
$KOSHU discover > list.toml; cat list.toml; echo ====; $KOSHU validate -c list.toml; echo ====; $KOSHU run -c list.toml
"#,
        python = python.display()
    );
    let Some(text) = fresh_host(&script.replace("{at}", "$PWD")) else {
        return;
    };
    let parts: Vec<&str> = text.split("====\n").collect();
    let [list, valid, run] = parts[..] else {
        panic!("{text}");
    };
    for port in 4001..=4004 {
        assert!(list.contains(&format!("127.0.0.1:{port}")), "{list}");
    }
    assert!(!valid.contains("UNKNOWN"), "{valid}");
    assert!(!run.starts_with("UNKNOWN"), "{run}");
}
