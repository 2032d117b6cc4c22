//! The host's own `openssl`, asked where koshu's library cannot judge a chain of certificates.

use crate::host::child::{Children, How, Leftovers};
use crate::net::trust::{Answer, Moment, Second};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{MemfdFlags, memfd_create};
use rustls::pki_types::CertificateDer;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How to start it.
pub struct Openssl<'o> {
    pub children: &'o Children,
    /// Where programs are looked for.
    pub path: &'o str,
    pub deadline: Instant,
}

impl Openssl<'_> {
    /// The program without anything of our environment, and without this machine's policy of what is too old.
    fn command(&self) -> Command {
        let mut command = Command::new("openssl");
        command
            .env_clear()
            .env("PATH", self.path)
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

impl Second for Openssl<'_> {
    fn judge(&self, chain: &[CertificateDer], roots: &Path, moment: Moment) -> Answer {
        match self.verify(chain, roots, moment) {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Answer::Unable("there is no openssl here to ask".to_owned())
            }
            Err(error) => Answer::Unable(format!(
                "openssl cannot be asked: {}",
                crate::net::plain(&error)
            )),
        }
    }
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
