//! What one shown chain is worth: its path, its ends, its strength, and what the list expects of it.

use crate::check::cert::{Cert, ends};
use crate::model::outcome::{Code, UNKNOWN, code};
use crate::model::quantity;
use crate::model::state::State;
use crate::net::tls::{Peer, Version};
use crate::net::trust::{self, Roots, Wrong};
use crate::net::x509::{self, Certificate};
use jiff::civil::Date;
use std::time::SystemTime;

/// The findings that a chain can have, apart from those of trust.
pub const CODES: &[Code] = &[
    code(
        "weak-key",
        "WARNING",
        "A key is too short for today, RSA below 2048 bits or EC below 256: have it issued again with a new key.",
    ),
    code(
        "too-long",
        "WARNING",
        "A public certificate lives longer than was allowed when it was issued: browsers refuse it.",
    ),
    code(
        "chain-order",
        "OK, a note",
        "The chain is not sent in order; modern clients sort it.",
    ),
    code(
        "chain-extra",
        "OK, a note",
        "The server sends certificates that its chain does not need.",
    ),
    code(
        "chain-expired-extra",
        "WARNING",
        "The server sends an expired certificate that its chain does not need: old clients follow it and fail.",
    ),
    code(
        "root-expires",
        "OK, a note",
        "The root that the chain leads to ends within a year.",
    ),
    code(
        "issuer",
        "CRITICAL",
        "Somebody else than `issuer` issued the certificate.",
    ),
    code(
        "names",
        "CRITICAL",
        "The certificate does not cover all of `names`.",
    ),
    code(
        "pin",
        "CRITICAL",
        "Neither the certificate nor its public key is one of `pin`.",
    ),
    code(
        "old-tls",
        "OK, a note; WARNING below `min_tls`",
        "The server speaks an old TLS; below TLS 1.2 its certificate is read without proof that it has the key.",
    ),
];

/// Code, state and text of a finding, before it is known where it stands.
pub type Found = (&'static str, State, String);

/// The longest lifetimes of public certificates, in days, by the date of issue (CA/Browser Forum ballots 193, SC-31
/// and SC-081v3; Apple and browsers enforced 398 days).
const LONGEST: [(Date, f64); 5] = [
    (jiff::civil::date(2018, 3, 1), 825.0),
    (jiff::civil::date(2020, 9, 1), 398.0),
    (jiff::civil::date(2026, 3, 15), 200.0),
    (jiff::civil::date(2027, 3, 15), 100.0),
    (jiff::civil::date(2029, 3, 15), 47.0),
];

impl Cert {
    /// Everything that is to say of one shown chain, beside what is `wrong` with its trust, its dates and its name.
    pub fn weigh(
        &self,
        (peer, chain): (&Peer, &[Certificate]),
        wrong: Vec<Wrong>,
        roots: &Roots,
        now: SystemTime,
    ) -> Vec<Found> {
        let mut all = Vec::new();
        let mut find = |code: &'static str, state: State, text: String| {
            all.push((code, self.grade(code, state), text));
        };
        let mut trusted = true;
        for (code, text) in wrong {
            trusted &= !matches!(
                code,
                UNKNOWN | "untrusted" | "self-signed" | "incomplete-chain"
            );
            let state = match code {
                // Of an old device the trust does not matter, known or not.
                UNKNOWN if self.legacy => State::Ok,
                UNKNOWN => State::Unknown,
                _ => State::Critical,
            };
            find(code, state, text);
        }
        let path = trust::path(chain, roots);
        for certificate in path.iter().map(|it| &chain[*it]) {
            let Certificate { subject, .. } = certificate;
            let dated = trust::dates(certificate, now).is_some();
            let left = self.left_state(certificate, now);
            if left != State::Ok && !dated {
                find("left", left, ends(certificate, now));
            }
            if certificate.weak_key {
                let text = format!("the key of {subject} is short: {}", certificate.key);
                find("weak-key", State::Warning, text);
            }
        }
        for (code, state, text) in order(chain, &path, now) {
            find(code, state, text);
        }
        if let Some(leaf) = chain.first() {
            for (code, state, text) in self.expected(leaf) {
                find(code, state, text);
            }
            if trusted
                && self.ca.is_none()
                && let Some(text) = too_long(leaf)
            {
                find("too-long", State::Warning, text);
            }
        }
        let last = path.last().map(|it| &chain[*it]);
        if let Some(root) = last.and_then(|it| roots.named(&it.issuer_der)) {
            let left = (root.not_after - trust::seconds(now)) as f64;
            if (0.0..365.0 * 86_400.0).contains(&left) && path.len() > 1 {
                find("root-expires", State::Ok, ends(&root, now));
            }
        }
        if let Some((state, text)) = self.old(peer) {
            find("old-tls", state, text);
        }
        // Short keys cannot be proven by the library, and are a finding already.
        let weak = chain.first().is_some_and(|it| it.weak_key);
        if let Some(why) = &peer.unproven
            && !peer.plain
            && !weak
        {
            let text = format!("the server did not prove that it has the key: {why}");
            find("untrusted", State::Critical, text);
        }
        all
    }

    /// What the list expects of the leaf.
    pub fn expected(&self, leaf: &Certificate) -> Vec<Found> {
        let mut wrong = Vec::new();
        if let Some(issuer) = &self.issuer
            && !leaf.issuer_full.contains(issuer.as_str())
        {
            let text = format!("issued by {}, not by {issuer}", leaf.issuer_full);
            wrong.push(("issuer", State::Critical, text));
        }
        let lacking: Vec<&str> = self
            .names
            .iter()
            .flat_map(|it| &it.0)
            .filter(|it| !trust::covers(leaf, it))
            .map(String::as_str)
            .collect();
        if !lacking.is_empty() {
            let text = format!(
                "{} does not cover {}, only {}",
                leaf.subject,
                lacking.join(", "),
                trust::names_of(leaf)
            );
            wrong.push(("names", State::Critical, text));
        }
        if let Some(pins) = &self.pin {
            let own = [leaf.fingerprint.clone(), x509::sha256(&leaf.public_key)];
            if !pins.0.iter().any(|it| own.contains(&plain_pin(it))) {
                let text = format!(
                    "{} is not pinned: certificate {}, key {}",
                    leaf.subject, own[0], own[1]
                );
                wrong.push(("pin", State::Critical, text));
            }
        }
        wrong
    }

    /// What there is to say of the version of TLS.
    fn old(&self, peer: &Peer) -> Option<(State, String)> {
        let version = Version::named(peer.version);
        let below = self
            .min_tls
            .filter(|it| version.is_none_or(|version| version < *it));
        let state = match below {
            Some(_) => State::Warning,
            None => State::Ok,
        };
        let shown = match peer.version {
            "" => "an unknown version of TLS",
            version => version,
        };
        match (peer.plain, below) {
            (false, None) => None,
            (false, Some(least)) => Some((state, format!("{shown}, at least {least} is wanted"))),
            (true, _) => Some((state, format!("{shown}, read without proof of key"))),
        }
    }
}

/// What is wrong with how the chain was put together.
fn order(chain: &[Certificate], path: &[usize], now: SystemTime) -> Vec<Found> {
    let mut wrong = Vec::new();
    let on_top = path.last().map(|it| &chain[*it].issuer_der);
    let needless: Vec<&Certificate> = (0..chain.len())
        .filter(|it| !path.contains(it))
        .map(|it| &chain[it])
        .collect();
    if !path.is_sorted() {
        let text = "the chain is not sent in order, from the server's certificate upward";
        wrong.push(("chain-order", State::Ok, text.to_owned()));
    }
    let now = trust::seconds(now);
    for certificate in &needless {
        let Certificate { subject, .. } = certificate;
        // A root at the end of the chain is needless too, but usual and harmless.
        let is_root = certificate.self_issued && Some(&certificate.subject_der) == on_top;
        if certificate.not_after < now {
            let ago = quantity::seconds((now - certificate.not_after) as f64);
            let text = format!("{subject}, which the chain does not need, expired {ago} ago");
            wrong.push(("chain-expired-extra", State::Warning, text));
        } else if !is_root {
            let text = format!("{subject} is sent, which the chain does not need");
            wrong.push(("chain-extra", State::Ok, text));
        }
    }
    wrong
}

/// Whether a public certificate lives longer than it may.
fn too_long(leaf: &Certificate) -> Option<String> {
    let issued = jiff::Timestamp::from_second(leaf.not_before).ok()?;
    let issued = issued.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (_, longest) = LONGEST.iter().rev().find(|it| issued >= it.0)?;
    let lifetime = leaf.lifetime() / 86_400.0;
    (leaf.public && lifetime > *longest).then(|| {
        format!(
            "{} lives for {} d, {longest} d were allowed when it was issued",
            leaf.subject,
            lifetime.ceil()
        )
    })
}

/// A pin as `sha256` writes it: lower case, without colons.
pub fn plain_pin(pin: &str) -> String {
    let digits = pin.chars().filter(|it| *it != ':');
    digits.map(|it| it.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::cert::tests::certificate;

    const DAY: i64 = 86_400;

    #[test]
    fn public_certificates_may_live_as_long_as_when_they_were_issued() {
        let lives = |issued: &str, seconds: i64, public: bool| {
            let from: jiff::Timestamp = issued.parse().expect("a time");
            let mut leaf = certificate(1);
            leaf.not_before = from.as_second();
            leaf.not_after = leaf.not_before + seconds - 1;
            leaf.public = public;
            too_long(&leaf).is_some()
        };
        // Both ends count: 398 days and a second are too long.
        assert!(!lives("2026-03-14T23:59:59Z", 398 * DAY, true));
        assert!(lives("2026-03-14T23:59:59Z", 398 * DAY + 1, true));
        assert!(lives("2026-03-15T00:00:00Z", 398 * DAY, true));
        assert!(!lives("2026-03-15T00:00:00Z", 200 * DAY, true));
        assert!(lives("2029-03-15T00:00:00Z", 48 * DAY, true));
        assert!(!lives("2026-03-15T00:00:00Z", 3650 * DAY, false));
        assert!(!lives("2017-01-01T00:00:00Z", 3650 * DAY, true));
    }

    #[test]
    fn pins_may_be_written_with_colons() {
        assert_eq!(plain_pin("AB:cd"), "abcd");
    }
}
