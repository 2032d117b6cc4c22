//! STARTTLS with the real servers of each protocol, and what happens when the offer is stripped.

use crate::engine::{self, Running};
use crate::koshu::{Said, koshu};
use crate::lab::{GOOD, Lab, Wish, lab};
use crate::server;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A lab with a certificate for a server, readable for the users that servers become.
fn with_server() -> Option<(Lab, String, String)> {
    let lab = lab()?;
    lab.issue(&Wish {
        name: "server",
        key: "rsa:2048",
        ..GOOD
    });
    let text = |it: &str| fs::read_to_string(lab.at(it)).expect("a file");
    let (bundle, key) = (lab.at("bundle.pem"), lab.at("server.key"));
    fs::write(&bundle, text("server.pem") + &text("middle.pem")).expect("a file");
    let open = |path: &str, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    open(&lab.at(""), 0o755);
    open(&key, 0o644);
    Some((lab, bundle, key))
}

fn check(lab: &Lab, protocol: &str, port: u16) -> Said {
    koshu(&[
        "cert",
        &format!("127.0.0.1:{port}"),
        &format!("starttls={protocol}"),
        &format!("ca={}", lab.at("root.pem")),
        "--format",
        "json",
    ])
}

#[track_caller]
fn good(lab: &Lab, protocol: &str, port: u16) {
    let said = check(lab, protocol, port);
    assert_eq!(
        said.codes(),
        Vec::<String>::new(),
        "{protocol}: {}",
        said.out
    );
    said.has("server ends in ");
}

/// A folder that this user owns.
fn folder_of(lab: &Lab, name: &str, user: &str) -> String {
    let folder = lab.at(name);
    fs::create_dir_all(&folder).expect("a folder");
    if rustix::process::geteuid().is_root() {
        let done = Command::new("chown").args([user, &folder]).status();
        assert!(done.expect("chown").success());
    }
    folder
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{command:?}: {said}");
}

#[test]
fn mail_of_nginx() {
    let Some(nginx) = engine::find("nginx") else {
        return;
    };
    let module = "/usr/lib/nginx/modules/ngx_mail_module.so";
    if engine::file(module).is_none() {
        return;
    }
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let [smtp, imap, pop3, stripped] = [(); 4].map(|()| server::free_port());
    let config = lab.at("nginx.conf");
    let server = |protocol: &str, port: u16, starttls: &str| {
        format!("server {{ listen 127.0.0.1:{port}; protocol {protocol}; starttls {starttls}; }}\n")
    };
    let servers = [
        server("smtp", smtp, "on"),
        server("imap", imap, "on"),
        server("pop3", pop3, "on"),
        server("smtp", stripped, "off"),
    ]
    .concat();
    let text = format!(
        "load_module {module};\ndaemon off; pid {}; error_log /dev/null; events {{}}\nmail {{ server_name mx.example.jp; auth_http 127.0.0.1:1/; ssl_certificate {cert}; ssl_certificate_key {key};\n{servers} }}\n",
        lab.at("nginx.pid")
    );
    fs::write(&config, text).expect("a file");
    let _running = engine::start(Command::new(nginx).args(["-c", &config]));
    engine::until_open(stripped);
    good(&lab, "smtp", smtp);
    good(&lab, "imap", imap);
    good(&lab, "pop3", pop3);
    let said = check(&lab, "smtp", stripped);
    assert_eq!(said.codes(), ["no-starttls"], "{}", said.out);
    said.has("does not offer STARTTLS");
    assert_eq!(check(&lab, "imap", smtp).codes(), ["protocol"]);
}

#[test]
fn mail_of_dovecot() {
    let Some(dovecot) = engine::find("dovecot") else {
        return;
    };
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let [imap, pop3, lmtp, sieve] = [(); 4].map(|()| server::free_port());
    let config = lab.at("dovecot.conf");
    let run = lab.at("dovecot");
    fs::create_dir_all(&run).expect("a folder");
    let listener = |service: &str, name: &str, port: u16| {
        format!(
            "service {service} {{\n inet_listener {name} {{\n address = 127.0.0.1\n port = {port}\n }}\n}}\n"
        )
    };
    let off = |service: &str, name: &str| {
        format!("service {service} {{\n inet_listener {name} {{\n port = 0\n }}\n}}\n")
    };
    let services = [
        listener("imap-login", "imap", imap),
        listener("pop3-login", "pop3", pop3),
        listener("lmtp", "lmtp", lmtp),
        listener("managesieve-login", "sieve", sieve),
        off("imap-login", "imaps"),
        off("pop3-login", "pop3s"),
    ]
    .concat();
    let text = format!(
        "base_dir = {run}\nstate_dir = {run}\nprotocols = imap pop3 lmtp sieve\nlisten = 127.0.0.1\nlog_path = {run}/log\nssl = yes\nssl_cert = <{cert}\nssl_key = <{key}\nmail_location = maildir:{run}/mail\nauth_mechanisms = plain\npassdb {{\n driver = static\n args = nopassword=y\n}}\nuserdb {{\n driver = static\n args = uid=65534 gid=65534 home={run}\n}}\n{services}"
    );
    fs::write(&config, text).expect("a file");
    let _running = engine::start(Command::new(dovecot).args(["-F", "-c", &config]));
    for (protocol, port) in [
        ("imap", imap),
        ("pop3", pop3),
        ("lmtp", lmtp),
        ("sieve", sieve),
    ] {
        engine::until_open(port);
        good(&lab, protocol, port);
    }
    // Its children end with their master, which is asked to stop rather than killed.
    let pid = fs::read_to_string(format!("{run}/master.pid")).expect("a pid");
    run_kill(pid.trim());
}

fn run_kill(pid: &str) {
    let _ = Command::new("kill").arg(pid).status();
    engine::until("a server to stop", || {
        !Path::new("/proc").join(pid).exists() || zombie(pid)
    });
}

fn zombie(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| it.contains(") Z "))
}

#[test]
fn files_of_vsftpd() {
    let Some(vsftpd) = engine::find("vsftpd") else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        engine::skip("vsftpd only starts as root");
        return;
    }
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let port = server::free_port();
    let (config, empty) = (lab.at("vsftpd.conf"), lab.at("empty"));
    fs::create_dir_all(&empty).expect("a folder");
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nlocal_enable=YES\nanonymous_enable=NO\nssl_enable=YES\nrsa_cert_file={cert}\nrsa_private_key_file={key}\nsecure_chroot_dir={empty}\nseccomp_sandbox=NO\n"
    );
    fs::write(&config, text).expect("a file");
    let _running = engine::start(Command::new(vsftpd).arg(&config));
    engine::until_open(port);
    good(&lab, "ftp", port);
}

#[test]
fn directory_of_slapd() {
    let Some(slapd) = engine::find("slapd") else {
        return;
    };
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let port = server::free_port();
    let (config, data) = (lab.at("slapd.conf"), lab.at("ldap"));
    fs::create_dir_all(&data).expect("a folder");
    let text = format!(
        "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {data}/pid\nTLSCertificateFile {cert}\nTLSCertificateKeyFile {key}\ndatabase mdb\nsuffix dc=example,dc=jp\ndirectory {data}\nmaxsize 10485760\n"
    );
    fs::write(&config, text).expect("a file");
    let url = format!("ldap://127.0.0.1:{port}");
    let _running = engine::start(Command::new(&slapd).args(["-d", "0", "-f", &config, "-h", &url]));
    engine::until_open(port);
    good(&lab, "ldap", port);
    // Without a certificate it refuses.
    let plain = server::free_port();
    let text = fs::read_to_string(&config).expect("a file");
    let lines: Vec<&str> = text.lines().filter(|it| !it.starts_with("TLS")).collect();
    fs::create_dir_all(lab.at("ldap2")).expect("a folder");
    fs::write(
        &config,
        lines.join("\n").replace(&data, &lab.at("ldap2")) + "\n",
    )
    .expect("a file");
    let url = format!("ldap://127.0.0.1:{plain}");
    let _second = engine::start(Command::new(&slapd).args(["-d", "0", "-f", &config, "-h", &url]));
    engine::until_open(plain);
    assert_eq!(check(&lab, "ldap", plain).codes(), ["no-starttls"]);
}

#[test]
fn database_of_postgres() {
    let newest = fs::read_dir("/usr/lib/postgresql").ok().and_then(|all| {
        let mut versions: Vec<_> = all.flatten().map(|it| it.path()).collect();
        versions.sort();
        versions.pop()
    });
    let Some(bin) = newest.map(|it| it.join("bin")) else {
        engine::file("/usr/lib/postgresql");
        return;
    };
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let folder = folder_of(&lab, "postgres", "postgres");
    let data = format!("{folder}/data");
    run(engine::as_user("postgres", &bin.join("initdb")).args([
        "-D",
        &data,
        "--no-sync",
        "-A",
        "trust",
    ]));
    // It refuses a key that others may read.
    let own = format!("{folder}/server.key");
    fs::copy(&key, &own).expect("a key");
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").args(["postgres", &own]));
    }
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).expect("a mode");
    for (ssl, codes) in [("on", &[][..]), ("off", &["no-starttls"])] {
        let port = server::free_port();
        let mut command = engine::as_user("postgres", &bin.join("postgres"));
        command.args(["-D", &data, "-p", &port.to_string(), "-k", &folder]);
        for setting in [
            format!("ssl={ssl}"),
            format!("ssl_cert_file={cert}"),
            format!("ssl_key_file={own}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        let running = engine::start(&mut command);
        engine::until_open(port);
        engine::until("the database to be up", || {
            check(&lab, "postgres", port).code != 3
        });
        assert_eq!(check(&lab, "postgres", port).codes(), codes);
        let pid = fs::read_to_string(format!("{data}/postmaster.pid")).expect("a pid");
        run_kill(pid.lines().next().unwrap_or_default());
        drop(running);
    }
}

#[test]
fn database_of_mariadb() {
    let (Some(install), Some(mariadbd)) =
        (engine::find("mariadb-install-db"), engine::find("mariadbd"))
    else {
        return;
    };
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let folder = folder_of(&lab, "mysql", "mysql");
    let data = format!("{folder}/data");
    run(engine::as_user("mysql", &install).args([
        "--no-defaults",
        &format!("--datadir={data}"),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]));
    let port = server::free_port();
    let _running = engine::start(engine::as_user("mysql", &mariadbd).args([
        "--no-defaults",
        &format!("--datadir={data}"),
        &format!("--socket={folder}/socket"),
        &format!("--port={port}"),
        "--bind-address=127.0.0.1",
        &format!("--ssl-cert={cert}"),
        &format!("--ssl-key={key}"),
    ]));
    engine::until_open(port);
    good(&lab, "mysql", port);
    let plain = server::free_port();
    let second = format!("{folder}/second");
    run(Command::new("cp").args(["-a", &data, &second]));
    let _second = engine::start(engine::as_user("mysql", &mariadbd).args([
        "--no-defaults",
        &format!("--datadir={second}"),
        &format!("--socket={folder}/socket2"),
        &format!("--port={plain}"),
        "--bind-address=127.0.0.1",
        "--skip-ssl",
        "--innodb-use-native-aio=0",
    ]));
    engine::until_open(plain);
    assert_eq!(check(&lab, "mysql", plain).codes(), ["no-starttls"]);
}

#[test]
fn chat_of_prosody() {
    let Some(prosody) = engine::find("prosody") else {
        return;
    };
    let Some((lab, cert, key)) = with_server() else {
        return;
    };
    let [client, server_] = [(); 2].map(|()| server::free_port());
    let folder = folder_of(&lab, "prosody", "nobody");
    let config = lab.at("prosody.cfg.lua");
    let text = format!(
        "run_as_root = false\ndaemonize = false\npidfile = '{folder}/pid'\ndata_path = '{folder}'\nlog = {{ error = '{folder}/log' }}\ninterfaces = {{ '127.0.0.1' }}\nc2s_ports = {{ {client} }}\ns2s_ports = {{ {server_} }}\nc2s_direct_tls_ports = {{}}\ns2s_direct_tls_ports = {{}}\nmodules_enabled = {{ 'tls', 'saslauth' }}\nmodules_disabled = {{ 'http' }}\nssl = {{ certificate = '{cert}', key = '{key}' }}\nauthentication = 'internal_hashed'\nVirtualHost '127.0.0.1'\n ssl = {{ certificate = '{cert}', key = '{key}' }}\n"
    );
    fs::write(&config, text).expect("a file");
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(prosody);
            command
        }
        false => Command::new(prosody),
    };
    let _running = engine::start(command.args(["-F", "--config", &config]));
    engine::until_open(client);
    engine::until_open(server_);
    good(&lab, "xmpp", client);
    good(&lab, "xmpp-server", server_);
}

/// Says and hears these lines, then hands the connection to a real TLS server, as a stripped or a whole dialogue.
fn dialogue(lab: &Lab, lines: &'static [&'static str]) -> (Running, u16) {
    let (running, tls) = lab.serve("server", &[]);
    let address = server::serve(move |mut stream| {
        for line in lines {
            match line.strip_prefix("< ") {
                Some(wanted) => {
                    let mut heard = Vec::new();
                    let mut byte = [0];
                    while !heard.ends_with(b"\n") && stream.read(&mut byte).is_ok_and(|it| it == 1)
                    {
                        heard.push(byte[0]);
                    }
                    if !String::from_utf8_lossy(&heard).starts_with(wanted) {
                        return;
                    }
                }
                None => {
                    let _ = stream.write_all(format!("{line}\r\n").as_bytes());
                }
            }
        }
        let Ok(mut to) = TcpStream::connect(tls) else {
            return;
        };
        let (mut back, mut from) = (
            to.try_clone().expect("a socket"),
            stream.try_clone().expect("a socket"),
        );
        std::thread::spawn(move || std::io::copy(&mut back, &mut stream));
        let _ = std::io::copy(&mut from, &mut to);
    });
    (running, address.port())
}

#[test]
fn news_and_chat_lines() {
    let Some((lab, ..)) = with_server() else {
        return;
    };
    let (_running, port) = dialogue(
        &lab,
        &["200 news.example.jp ready", "< STARTTLS", "382 go on"],
    );
    good(&lab, "nntp", port);
    let (_running, port) = dialogue(
        &lab,
        &[
            ":irc.example.jp NOTICE * :*** Looking up your name",
            "< STARTTLS",
            ":irc.example.jp 670 * :go on",
        ],
    );
    good(&lab, "irc", port);
    let (_running, port) = dialogue(
        &lab,
        &["200 news.example.jp ready", "< STARTTLS", "580 cannot"],
    );
    assert_eq!(check(&lab, "nntp", port).codes(), ["no-starttls"]);
    let (_running, port) = dialogue(
        &lab,
        &[
            "< STARTTLS",
            ":irc.example.jp 421 * STARTTLS :Unknown command",
        ],
    );
    assert_eq!(check(&lab, "irc", port).codes(), ["no-starttls"]);
}

#[test]
fn stripped_offers_and_slipped_in_lines_are_findings_and_no_tls_errors() {
    let Some((lab, ..)) = with_server() else {
        return;
    };
    for (protocol, lines, code) in [
        (
            "imap",
            &["* OK there", "< a STARTTLS", "a BAD unknown"][..],
            "no-starttls",
        ),
        (
            "pop3",
            &["+OK there", "< STLS", "-ERR unknown"],
            "no-starttls",
        ),
        (
            "ftp",
            &["220 there", "< AUTH TLS", "500 what"],
            "no-starttls",
        ),
        (
            "smtp",
            &["220 there", "< EHLO", "250-mx", "250 XXXXXXXA"],
            "no-starttls",
        ),
        (
            "lmtp",
            &["220 there", "< LHLO", "250-mx", "250 SIZE"],
            "no-starttls",
        ),
        ("sieve", &["\"SIEVE\" \"fileinto\"", "OK"], "no-starttls"),
        ("smtp", &["554 go away"], "turned-away"),
        (
            "smtp",
            &[
                "220 there",
                "< EHLO",
                "250 STARTTLS",
                "< STARTTLS",
                "220 go\r\n250 slipped in",
            ],
            "protocol",
        ),
    ] {
        let (_running, port) = dialogue(&lab, lines);
        let said = check(&lab, protocol, port);
        assert_eq!(said.codes(), [code], "{protocol}: {}", said.out);
        assert_eq!(said.json()["state"], 2);
    }
}

#[test]
fn a_refusal_is_told_with_the_servers_own_words() {
    let Some((lab, ..)) = with_server() else {
        return;
    };
    let say = |words: Vec<&'static [u8]>| {
        server::serve(move |mut stream| {
            for word in &words {
                let _ = stream.write_all(word);
                let _ = stream.read(&mut [0; 1024]);
            }
        })
        .port()
    };
    for (protocol, words, code, said) in [
        (
            "smtp",
            &[&b"421 4.3.2 too many connections\r\n"[..]][..],
            "turned-away",
            "too many connections",
        ),
        ("imap", &[b"* BYE no room\r\n"], "turned-away", "no room"),
        ("pop3", &[b"-ERR no room\r\n"], "turned-away", "no room"),
        (
            "smtp",
            &[b"220 mx\r\n", b"550 who is koshu\r\n"],
            "ehlo-refused",
            "EHLO koshu.invalid",
        ),
    ] {
        let answer = check(&lab, protocol, say(words.to_vec()));
        assert_eq!(answer.codes(), [code], "{}", answer.out);
        answer.has(said);
        assert_eq!(answer.json()["state"], 2);
    }
    // One that is particular about who speaks to it.
    let port = server::serve(|mut stream| {
        let _ = stream.write_all(b"220 mx\r\n");
        let mut heard = [0; 1024];
        let count = stream.read(&mut heard).unwrap_or(0);
        let known = heard[..count].starts_with(b"EHLO mon.example.jp");
        let answer: &[u8] = if known { b"250 mx\r\n" } else { b"550 who\r\n" };
        let _ = stream.write_all(answer);
        let _ = stream.read(&mut heard);
    })
    .port();
    let host = format!("127.0.0.1:{port}");
    let json = ["--format", "json"];
    let named = ["cert", &host, "starttls=smtp", "ehlo=mon.example.jp"];
    assert_eq!(
        koshu(&[&named[..], &json].concat()).codes(),
        ["no-starttls"]
    );
    koshu(&["cert", &host, "starttls=imap", "ehlo=x"])
        .has("means nothing without")
        .is("UNKNOWN");
}
