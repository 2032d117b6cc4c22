//! The host's own `openssl`, for chains that koshu's library cannot judge and servers that are too old for it.

use crate::host::child::{Children, How, Leftovers, Talk};
use crate::net::detour::{Carrier, Detour};
use crate::net::hello;
use crate::net::tls::Peer;
use crate::net::trust::{Answer, Moment, Second};
use crate::net::{self, Fault};
use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{MemfdFlags, memfd_create};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// How to start it.
pub struct Openssl {
    pub children: Arc<Children>,
    /// Where programs are looked for, if the environment says so.
    pub path: Option<String>,
    pub deadline: Instant,
}

impl Openssl {
    /// The program without anything of our environment, and without this machine's policy of what is too old.
    fn command(&self) -> Command {
        let mut command = Command::new("openssl");
        let path = match self.path.as_deref() {
            None => "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            // An empty one would mean the working directory.
            Some("") => "/var/empty",
            Some(path) => path,
        };
        command
            .env_clear()
            .env("PATH", path)
            .env("OPENSSL_CONF", "/dev/null");
        command
    }

    fn verify(&self, chain: &[CertificateDer], roots: &Path, moment: Moment) -> io::Result<Answer> {
        let (leaf, others) = chain.split_at(chain.len().min(1));
        let (leaf, others) = (Seen::new(leaf)?, Seen::new(others)?);
        let mut command = self.command();
        // Weak signatures are told apart from trust, hence no security level; policies as in RFC 5280, section 6.1,
        // for any policy, which openssl must be told.
        command
            .args(["verify", "-purpose", "sslserver", "-auth_level", "0"])
            .args([
                "-policy_check",
                "-policy",
                "2.5.29.32.0",
                "-partial_chain",
                "-no-CApath",
                "-no-CAstore",
            ]);
        match moment {
            Moment::At(second) => command.args(["-attime", &second.to_string()]),
            Moment::Whenever => command.arg("-no_check_time"),
        };
        command.arg("-CAfile").arg(roots);
        command.args(["-untrusted", &others.path()]);
        command.arg(leaf.path());
        let ended = self.children.run(command, self.deadline, Leftovers::Kill)?;
        let text = format!("{}\n{}", ended.err.text(), ended.out.text());
        Ok(match (ended.how, refusal(&text)) {
            (How::Late, _) => Answer::Unable("openssl did not answer in time".to_owned()),
            (_, Some((6 | 76, text))) => Answer::Unable(format!("openssl cannot either: {text}")),
            (_, Some((number, text))) => Answer::Refused { number, text },
            (How::Exit(0), None) if text.trim_end().ends_with(": OK") => Answer::Trusted,
            _ => {
                let line = text.lines().find(|it| !it.trim().is_empty());
                let line = line.unwrap_or("it says nothing");
                Answer::Unable(format!("openssl could not judge it: {line}"))
            }
        })
    }
}

impl Second for Openssl {
    fn judge(&self, chain: &[CertificateDer], roots: &Path, moment: Moment) -> Answer {
        match self.verify(chain, roots, moment) {
            Ok(answer) => answer,
            Err(error) => Answer::Unable(missing(&error)),
        }
    }
}

/// Why it could not be started.
fn missing(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no openssl here to ask".to_owned(),
        _ => format!("openssl cannot be asked: {}", net::plain(error)),
    }
}

impl Openssl {
    /// `s_client` with everything allowed that servers of old need.
    fn client(&self, at: SocketAddr, name: &str) -> Command {
        let mut command = self.command();
        command
            .args(["s_client", "-connect", &at.to_string()])
            .args(["-cipher", "ALL:@SECLEVEL=0", "-legacy_server_connect"]);
        if let Some(name) = hello::sni(name) {
            command.args(["-servername", name]);
        }
        command
    }
}

impl Detour for Openssl {
    fn look(&self, at: SocketAddr, name: &str) -> Result<Peer, Fault> {
        let mut command = self.client(at, name);
        command.arg("-showcerts");
        let ended = self.children.run(command, self.deadline, Leftovers::Kill);
        let ended = ended.map_err(|it| Fault::Me(anyhow!(missing(&it))))?;
        if ended.how == How::Late {
            let text = format!("{at}: no answer in time, asking the host's openssl");
            return Err(Fault::Late(text));
        }
        let chain = CertificateDer::pem_slice_iter(&ended.out.bytes);
        let chain: Vec<CertificateDer> = chain.flatten().collect();
        match chain.is_empty() {
            true => Err(Fault::Me(anyhow!(
                "openssl cannot either: {}",
                complaint(&ended.err.text())
            ))),
            false => Ok(Peer {
                chain,
                version: version(&ended.out.text()),
                // It ends the handshake itself where the proof of the key is wrong.
                unproven: None,
                plain: false,
                by: Some("the host's openssl"),
            }),
        }
    }

    fn carry(
        &self,
        at: SocketAddr,
        name: &str,
        leaf: &CertificateDer,
    ) -> Result<Box<dyn Carrier>, Fault> {
        let told = |it: io::Error| Fault::Me(anyhow!(missing(&it)));
        let leaf = Seen::new(std::slice::from_ref(leaf)).map_err(told)?;
        let mut command = self.client(at, name);
        // The leaf alone is trusted, whatever it is: it was judged before.
        command
            .args(["-quiet", "-verify", "9", "-verify_return_error"])
            .args(["-purpose", "any", "-auth_level", "0", "-ignore_critical"])
            .args(["-no_check_time", "-partial_chain", "-no-CApath"])
            .args(["-CAfile", &leaf.path()]);
        let talk = self.children.talk(command, self.deadline).map_err(told)?;
        Ok(Box::new(Carried { talk, _leaf: leaf }))
    }
}

/// A connection that `s_client` makes.
struct Carried {
    talk: Talk,
    /// Must be there until it has been read.
    _leaf: Seen,
}

impl Carrier for Carried {}

impl Read for Carried {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.talk.read(buffer) {
            Ok(0) if self.talk.complaints().contains("verify error:") => Err(io::Error::other(
                "it shows openssl another certificate than before",
            )),
            result => result,
        }
    }
}

impl Write for Carried {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.talk.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.talk.flush()
    }
}

/// The version in what `s_client` says of the session: "    Protocol  : TLSv1".
fn version(text: &str) -> &'static str {
    let said = text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("Protocol")?;
        Some(rest.trim_start().strip_prefix(':')?.trim())
    });
    match said {
        Some("SSLv3") => "SSL 3.0",
        Some("TLSv1") => "TLS 1.0",
        Some("TLSv1.1") => "TLS 1.1",
        Some("TLSv1.2") => "TLS 1.2",
        Some("TLSv1.3") => "TLS 1.3",
        _ if text.contains("New, TLSv1.3,") => "TLS 1.3",
        _ => "",
    }
}

/// The reason in an error of OpenSSL: "…:error:0A000102:SSL routines::unsupported protocol:../ssl/statem.c:1:".
fn complaint(text: &str) -> String {
    let reason = text.lines().find_map(|line| {
        let (_, error) = line.split_once(":error:")?;
        let mut parts = error.split(':').skip(1).filter(|it| !it.is_empty());
        parts.next()?;
        parts.find(|it| it.contains(' ')).map(str::to_owned)
    });
    let last = || {
        text.lines()
            .rfind(|it| !it.trim().is_empty())
            .map(str::to_owned)
    };
    let reason = reason.or_else(last);
    reason.unwrap_or_else(|| "it says nothing".to_owned())
}

/// The first error of `openssl verify`: "error 20 at 0 depth lookup: unable to get local issuer certificate".
fn refusal(text: &str) -> Option<(u32, String)> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("error ")?;
        let (number, rest) = rest.split_once(" at ")?;
        let (_, told) = rest.split_once(" depth lookup:")?;
        Some((number.parse().ok()?, told.trim().to_owned()))
    })
}

/// Certificates in PEM that another program of this user can open, without a file on any disk.
struct Seen(File);

impl Seen {
    fn new(certificates: &[CertificateDer]) -> io::Result<Seen> {
        let mut file = File::from(memfd_create("certificates", MemfdFlags::CLOEXEC)?);
        for it in certificates {
            let text = STANDARD.encode(it);
            file.write_all(b"-----BEGIN CERTIFICATE-----\n")?;
            for line in text.as_bytes().chunks(64) {
                file.write_all(line)?;
                file.write_all(b"\n")?;
            }
            file.write_all(b"-----END CERTIFICATE-----\n")?;
        }
        Ok(Seen(file))
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s_client_says_is_read() {
        assert_eq!(version("SSL-Session:\n    Protocol  : TLSv1\n"), "TLS 1.0");
        assert_eq!(
            version("New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256\n"),
            "TLS 1.3"
        );
        let new = "40F7:error:0A000102:SSL routines:ssl_choose:unsupported protocol:../ssl.c:1:\n";
        let old = "1:error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:s.c:1:SSL alert number 40\n";
        assert_eq!(complaint(new), "unsupported protocol");
        assert_eq!(complaint(old), "sslv3 alert handshake failure");
        assert_eq!(complaint("\nconnect:errno=111\n"), "connect:errno=111");
    }

    #[test]
    fn errors_of_old_and_new_versions_are_read() {
        let new = "CN = a\nerror 20 at 0 depth lookup: unable to get local issuer certificate\n";
        let old = "x.pem: CN = a\nerror 34 at 1 depth lookup:unhandled critical extension\nOK\n";
        assert_eq!(refusal(new).map(|it| it.0), Some(20));
        let (number, text) = refusal(old).expect("an error");
        assert_eq!(
            (number, text.as_str()),
            (34, "unhandled critical extension")
        );
        assert_eq!(refusal("x.pem: OK\n"), None);
    }
}
