//! A certificate authority with an intermediate, made with openssl, and servers that show what it issued.

use crate::engine::{self, Running};
use crate::koshu::{Said, koshu};
use crate::server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// A certificate authority with an intermediate, made with openssl.
pub struct Lab {
    folder: TempDir,
}

/// What a certificate should be.
#[derive(Clone, Copy)]
pub struct Wish<'w> {
    pub name: &'w str,
    /// subjectAltName.
    pub names: &'w str,
    /// Days from now until it begins and ends.
    pub days: (i64, i64),
    /// And hours.
    pub hours: (i64, i64),
    /// By whom it is signed: "root" or "middle".
    pub by: &'w str,
    /// "ec" with P-256, or "rsa:BITS".
    pub key: &'w str,
    pub digest: &'w str,
    /// More lines of extensions.
    pub more: &'w str,
}

/// Healthy in every way.
pub const GOOD: Wish = Wish {
    name: "good",
    names: "DNS:shop.example.jp,IP:127.0.0.1",
    days: (-10, 80),
    hours: (0, 0),
    by: "middle",
    key: "ec",
    digest: "sha256",
    more: "",
};

/// The authority; nothing where openssl is missing.
pub fn lab() -> Option<Lab> {
    engine::find("openssl")?;
    let lab = Lab {
        folder: tempfile::tempdir().expect("a folder"),
    };
    let [root, root_key] = ["root.pem", "root.key"].map(|it| lab.at(it));
    engine::openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=Lab Root",
        "-days",
        "3650",
        "-keyout",
        &root_key,
        "-out",
        &root,
    ]);
    lab.issue(&Wish {
        name: "middle",
        names: "",
        days: (-100, 1000),
        by: "root",
        ..GOOD
    });
    Some(lab)
}

impl Lab {
    pub fn at(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    pub fn issue(&self, wish: &Wish) {
        let Wish {
            name,
            names,
            days,
            hours,
            by,
            key: kind,
            digest,
            more,
        } = wish;
        let [key, request, cert, extensions] =
            ["key", "csr", "pem", "ext"].map(|it| self.at(&format!("{name}.{it}")));
        let [by_cert, by_key] = ["pem", "key"].map(|it| self.at(&format!("{by}.{it}")));
        let lines = match names.is_empty() {
            true => "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n".to_owned(),
            false => format!("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName={names}\n{more}"),
        };
        fs::write(&extensions, lines).expect("a file");
        engine::openssl(&[
            "req",
            "-new",
            "-newkey",
            kind,
            "-pkeyopt",
            match *kind {
                "ec" => "ec_paramgen_curve:P-256",
                _ => "rsa_keygen_pubexp:65537",
            },
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        // `openssl ca` is the one command of openssl 3.0 that sets both dates.
        let index = self.at(&format!("{name}.index"));
        fs::write(&index, "").expect("a file");
        let config = format!(
            "[ca]\ndefault_ca=x\n[x]\ndatabase={index}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md={digest}\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n",
            self.at("")
        );
        let file = self.at("ca.cnf");
        fs::write(&file, config).expect("a file");
        let date = |days: i64, hours: i64| {
            let out = Command::new("date")
                .args([
                    "-u",
                    "-d",
                    &format!("{} hours", days * 24 + hours),
                    "+%Y%m%d%H%M%SZ",
                ])
                .output()
                .expect("date");
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        engine::openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            &file,
            "-cert",
            &by_cert,
            "-keyfile",
            &by_key,
            "-in",
            &request,
            "-out",
            &cert,
            "-startdate",
            &date(days.0, hours.0),
            "-enddate",
            &date(days.1, hours.1),
            "-extfile",
            &extensions,
        ]);
    }

    /// A server with a certificate and the whole chain.
    pub fn serve(&self, name: &str, words: &[&str]) -> (Running, SocketAddr) {
        let chain = self.at("middle.pem");
        let [cert, key] = ["pem", "key"].map(|it| self.at(&format!("{name}.{it}")));
        let chain: &[&str] = if words.contains(&"-no-chain") {
            &[]
        } else {
            &["-cert_chain", &chain]
        };
        let words: Vec<&str> = words
            .iter()
            .copied()
            .filter(|it| *it != "-no-chain")
            .collect();
        engine::s_server(&[&["-cert", &cert, "-key", &key], chain, &words[..]].concat())
    }

    /// TLS with the good certificate.
    fn config(&self) -> Arc<rustls::ServerConfig> {
        let certs = CertificateDer::pem_file_iter(self.at("good.pem")).expect("a file");
        let mut chain: Vec<_> = certs.collect::<Result<_, _>>().expect("a certificate");
        let middle = CertificateDer::from_pem_file(self.at("middle.pem"));
        chain.push(middle.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(self.at("good.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        Arc::new(config)
    }

    /// A server that answers one request over TLS with these bytes and goes, with a "goodbye" or without.
    pub fn answer(&self, answer: &str, says_goodbye: &'static str) -> SocketAddr {
        let config = self.config();
        let answer = answer.to_owned();
        server::serve(move |mut socket| {
            let mut conn = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::Stream::new(&mut conn, &mut socket);
            let mut seen = Vec::new();
            let mut one = [0; 1];
            while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut one).is_ok_and(|it| it == 1) {
                seen.push(one[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
            if says_goodbye == "goodbye" {
                conn.send_close_notify();
                let _ = conn.complete_io(&mut socket);
            }
        })
    }

    /// A server whose TLS passes through `spoil` on its way out, with the number of the connection.
    pub fn spoilt(&self, spoil: fn(u64, &[u8]) -> Vec<u8>) -> SocketAddr {
        let config = self.config();
        let next = Arc::new(AtomicU64::new(0));
        server::serve(move |mut socket| {
            let case = next.fetch_add(1, Ordering::Relaxed);
            let mut conn = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            while conn.read_tls(&mut socket).is_ok_and(|it| it > 0) {
                let goes_on = conn.process_new_packets().is_ok();
                if conn.reader().read(&mut [0; 4096]).is_ok_and(|it| it > 0) {
                    let _ = conn.writer().write_all(page);
                    conn.send_close_notify();
                }
                let mut out = Vec::new();
                while conn.wants_write() && conn.write_tls(&mut out).is_ok() {}
                if socket.write_all(&spoil(case, &out)).is_err() || !goes_on {
                    return;
                }
            }
        })
    }

    pub fn check(&self, address: SocketAddr, words: &[&str]) -> Said {
        let ca = format!("ca={}", self.at("root.pem"));
        koshu(&[&["cert", &address.to_string(), &ca], words].concat())
    }

    /// State and finding codes of a certificate that is served.
    pub fn codes(&self, wish: &Wish) -> (u64, Vec<String>) {
        self.issue(wish);
        let (_running, address) = self.serve(wish.name, &[]);
        let said = self.check(address, &["--format", "json"]);
        (said.json()["state"].as_u64().unwrap_or(9), said.codes())
    }
}
