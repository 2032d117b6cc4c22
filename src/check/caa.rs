//! Which CAs may issue for a name, as its CAA records say (RFC 8659, RFC 8657).

/// A CAA record (RFC 8659, section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Caa {
    critical: bool,
    tag: String,
    value: String,
}

impl Caa {
    /// Reads `0 issue "letsencrypt.org"`.
    pub fn read(text: &str) -> Option<Caa> {
        let mut words = text.splitn(3, ' ');
        let flags: u8 = words.next()?.parse().ok()?;
        Some(Caa {
            critical: flags & 0x80 != 0,
            tag: words.next()?.to_lowercase(),
            value: words.next()?.trim_matches('"').to_owned(),
        })
    }
}

/// Who would issue, and how.
#[derive(Debug, Default)]
pub struct Issuer {
    /// The domains that stand for the CA.
    pub identities: Vec<String>,
    /// The method of the challenge, where it is known.
    pub method: Option<&'static str>,
    /// The URL of the account, where it is known.
    pub account: Option<String>,
}

impl Issuer {
    /// Why the records that count for a name, or for a wildcard of it, forbid this issuer.
    pub fn forbidden(&self, records: &[Caa], wild: bool) -> Option<String> {
        let known = |it: &Caa| matches!(&*it.tag, "issue" | "issuewild" | "iodef");
        if let Some(unknown) = records.iter().find(|it| it.critical && !known(it)) {
            return Some(format!(
                "has the critical property {}, which no CA knows",
                unknown.tag
            ));
        }
        let of = |tag: &str| -> Vec<&Caa> { records.iter().filter(|it| it.tag == tag).collect() };
        let (issue, issuewild) = (of("issue"), of("issuewild"));
        let counts = match wild && !issuewild.is_empty() {
            true => issuewild,
            false => issue,
        };
        if counts.is_empty() || counts.iter().any(|it| self.is_allowed(&it.value)) {
            return None;
        }
        let allowed: Vec<&str> = counts.iter().map(|it| it.value.trim()).collect();
        Some(format!(
            "allows only \"{}\", not {}",
            allowed.join("\", \""),
            self.identities.join(" or ")
        ))
    }

    /// Whether one property allows this issuer, with its methods and accounts (RFC 8657).
    fn is_allowed(&self, value: &str) -> bool {
        let mut parts = value.split(';').map(str::trim);
        let domain = parts.next().unwrap_or_default().to_lowercase();
        self.identities.contains(&domain)
            && parts.all(|parameter| match parameter.split_once('=') {
                Some(("validationmethods", methods)) => self
                    .method
                    .is_none_or(|own| methods.split(',').any(|it| it.trim() == own)),
                Some(("accounturi", account)) => {
                    let own = self.account.as_deref();
                    own.is_none_or(|own| own == account.trim())
                }
                _ => true,
            })
    }
}

/// The records that count for a name, and where they stand: its own, or those of the closest parent that has any
/// (RFC 8659, section 3). `ask` gives the records of one name.
///
/// # Errors
/// As `ask`.
pub fn relevant<E>(
    name: &str,
    mut ask: impl FnMut(&str) -> Result<Vec<Caa>, E>,
) -> Result<(String, Vec<Caa>), E> {
    let mut at = name.trim_end_matches('.');
    loop {
        let records = ask(at)?;
        match at.split_once('.') {
            Some((_, parent)) if records.is_empty() => at = parent,
            _ => return Ok((at.to_owned(), records)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbids(records: &[&str], wild: bool, method: &'static str) -> bool {
        let issuer = Issuer {
            identities: vec!["letsencrypt.org".to_owned()],
            method: Some(method),
            account: Some("https://ca/acct/1".to_owned()),
        };
        let records: Vec<Caa> = records.iter().filter_map(|it| Caa::read(it)).collect();
        issuer.forbidden(&records, wild).is_some()
    }

    #[test]
    fn caa_allows_what_rfc_8659_says() {
        let http = "http-01";
        assert!(!forbids(&[], false, http));
        assert!(!forbids(&["0 iodef \"mailto:a@b\""], false, http));
        assert!(!forbids(&["0 issue \"LetsEncrypt.org\""], false, http));
        assert!(forbids(&["0 issue \";\""], false, http));
        assert!(forbids(&["0 issue \"pki.goog\""], false, http));
        let both = ["0 issue \"pki.goog\"", "0 issue \"letsencrypt.org\""];
        assert!(!forbids(&both, false, http));
        let wild = ["0 issue \"letsencrypt.org\"", "0 issuewild \";\""];
        assert!(!forbids(&wild, false, http));
        assert!(forbids(&wild, true, http));
        assert!(!forbids(&wild[..1], true, http));
        assert!(forbids(&["128 tbs \"x\""], false, http));
    }

    #[test]
    fn caa_parameters_bind_method_and_account() {
        let method = ["0 issue \"letsencrypt.org; validationmethods=dns-01\""];
        assert!(forbids(&method, false, "http-01"));
        assert!(!forbids(&method, false, "dns-01"));
        let account = |n| format!("0 issue \"letsencrypt.org; accounturi=https://ca/acct/{n}\"");
        assert!(!forbids(&[&account(1)], false, "http-01"));
        assert!(forbids(&[&account(2)], false, "http-01"));
    }

    #[test]
    fn the_closest_parent_with_records_counts() {
        let ask = |name: &str| -> Result<Vec<Caa>, ()> {
            let records = ["0 issue \"ca\""].iter().filter(|_| name == "example.jp");
            Ok(records.filter_map(|it| Caa::read(it)).collect())
        };
        let found = relevant("a.b.example.jp", ask).map(|it| (it.0, it.1.len()));
        assert_eq!(found, Ok(("example.jp".to_owned(), 1)));
        let none = relevant("a.jp", ask).map(|it| (it.0, it.1.len()));
        assert_eq!(none, Ok(("jp".to_owned(), 0)));
    }
}
