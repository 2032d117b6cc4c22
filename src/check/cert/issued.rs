//! Everything that an ACME client was issued: its dates, its renewal, and whether this machine serves the newest.

use super::Cert;
use super::files::File;
use super::lineage::{Client, Lineage};
use super::renewal;
use super::served::{Ask, keys_like, look};
use crate::check::Context;
use crate::model::outcome::Outcome;
use crate::net::everywhere::Everywhere;
use crate::net::{self, Fault, trust};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

impl Cert {
    /// Judges a client's folder.
    pub fn issued(&self, cx: &Context, client: Client, folder: &Path) -> anyhow::Result<Outcome> {
        let lineages = client.lineages(&cx.path(folder))?;
        let mut files = Vec::new();
        for it in &lineages {
            files.push(self.file_or_why(cx, it.chain.clone(), it.key.as_deref()));
        }
        let mut outcome = self.judge_files(&files, cx.now);
        for (lineage, file) in lineages.iter().zip(&files) {
            renewal::behind(&mut outcome, lineage, file.leaf(), trust::seconds(cx.now));
            self.served_here(cx, &mut outcome, lineage, file);
            if let Some(leaf) = file.leaf().filter(|_| self.renewal) {
                self.preflight(cx, &mut outcome, leaf, Some(lineage));
            }
        }
        Ok(outcome)
    }

    /// Compares a file with what this machine serves under its names.
    fn served_here(&self, cx: &Context, outcome: &mut Outcome, lineage: &Lineage, file: &File) {
        let Some(leaf) = file.leaf() else { return };
        let mut silent = Vec::new();
        for name in leaf.dns_names.iter().filter(|it| !it.starts_with("*.")) {
            let here = match net::resolve(name, 443, self.family, cx.deadline) {
                Ok(addresses) => addresses.into_iter().filter(|it| is_own(*it)).collect(),
                Err(Fault::World { .. }) => Vec::new(),
                Err(fault) => {
                    outcome.detail(&format!("{}: {fault}", lineage.name));
                    break;
                }
            };
            let ask = Ask {
                name,
                starttls: None,
                ehlo: "",
                detour: None,
                keys: &[keys_like(leaf)],
                deadline: cx.deadline,
            };
            let views = match here.is_empty() {
                true => Everywhere::default(),
                false => Everywhere::ask(&here, |it| look(it, &ask)),
            };
            if views.seen.is_empty() {
                silent.push(name.as_str());
            }
            let sites: Vec<_> = views.seen.into_iter().map(|it| it.1).collect();
            self.compare(outcome, &sites, file, cx.now);
        }
        if !silent.is_empty() {
            outcome.detail(&format!(
                "{}: port 443 of this machine does not serve {}",
                lineage.name,
                silent.join(", ")
            ));
        }
    }
}

/// Whether an address is one of this machine; nothing is sent.
fn is_own(address: SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}
