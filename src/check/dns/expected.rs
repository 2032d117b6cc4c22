//! What a name is expected to be, and whether an answer is that.

use crate::model::list::List;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How an answer is compared with what is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    #[default]
    Exact,
    All,
    Any,
}

/// What a name is expected to be.
pub enum Expected {
    Nothing,
    NxDomain,
    NoData,
    Values(Vec<Value>),
}

/// One expected value.
pub enum Value {
    Is(String),
    /// Any address of this network, by its first bits.
    Within(IpAddr, u8, String),
}

impl Value {
    fn read(text: &str) -> Value {
        let network = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.trim().parse().ok()?;
            let bits: u8 = bits.trim().parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some((address, bits))
        });
        match network {
            Some((address, bits)) => Value::Within(address, bits, text.to_owned()),
            None => Value::Is(canonical(text)),
        }
    }

    fn has(&self, value: &str) -> bool {
        match self {
            Value::Is(text) => text == value,
            Value::Within(network, bits, _) => {
                let address = value.parse::<IpAddr>();
                address.is_ok_and(|it| {
                    prefix(it, *bits) == prefix(*network, *bits)
                        && it.is_ipv4() == network.is_ipv4()
                })
            }
        }
    }

    fn shown(&self) -> &str {
        match self {
            Value::Is(text) | Value::Within(_, _, text) => text,
        }
    }
}

/// The first bits of an address.
fn prefix(address: IpAddr, bits: u8) -> u128 {
    let (value, width) = match address {
        IpAddr::V4(it) => (u128::from(u32::from(it)), 32),
        IpAddr::V6(it) => (u128::from(it), 128),
    };
    value.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

/// What a server says of a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Whether the name does not exist.
    pub missing: bool,
    /// In their canonical form.
    pub values: BTreeSet<String>,
}

impl Said {
    /// As people read it.
    pub fn shown(&self) -> String {
        match (self.missing, self.values.is_empty()) {
            (true, _) => "NXDOMAIN".to_owned(),
            (false, true) => "no record".to_owned(),
            (false, false) => {
                let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
                values.join(", ")
            }
        }
    }
}

/// Why an answer is not what is expected.
#[derive(Debug, PartialEq)]
pub enum Miss {
    /// It is something else than this.
    Wrong(String),
    NxDomain,
    NoRecord,
}

impl Expected {
    pub fn read(list: Option<&List<String>>) -> Expected {
        match list.map(|it| &it.0[..]) {
            None => Expected::Nothing,
            Some([one]) if one == "NXDOMAIN" => Expected::NxDomain,
            Some([one]) if one == "NODATA" => Expected::NoData,
            Some(values) => Expected::Values(values.iter().map(|it| Value::read(it)).collect()),
        }
    }

    /// Compares; an answer that fits is what it should be.
    pub fn compare(&self, said: &Said, fit: Fit) -> Result<(), Miss> {
        let wrong = |expected: &str| Err(Miss::Wrong(expected.to_owned()));
        let empty = said.values.is_empty();
        let expected = match self {
            Expected::NxDomain if said.missing => return Ok(()),
            Expected::NxDomain => return wrong("NXDOMAIN"),
            Expected::NoData if !said.missing && empty => return Ok(()),
            Expected::NoData => return wrong("NODATA"),
            Expected::Nothing if said.missing => return Err(Miss::NxDomain),
            Expected::Nothing if empty => return Err(Miss::NoRecord),
            Expected::Nothing => return Ok(()),
            Expected::Values(_) if said.missing => return Err(Miss::NxDomain),
            Expected::Values(_) if empty => return Err(Miss::NoRecord),
            Expected::Values(expected) => expected,
        };
        let there = |it: &Value| said.values.iter().any(|value| it.has(value));
        let wanted = |value: &String| expected.iter().any(|it| it.has(value));
        // Of a network any address will do, and none has to be there.
        let single = |it: &&Value| matches!(it, Value::Is(_));
        let fits = match fit {
            Fit::Exact => {
                said.values.iter().all(wanted) && expected.iter().filter(single).all(there)
            }
            Fit::All => expected.iter().all(there),
            Fit::Any => expected.iter().any(there),
        };
        let list: Vec<&str> = expected.iter().map(Value::shown).collect();
        let list = list.join(", ");
        match (fits, fit) {
            (true, _) => Ok(()),
            (false, Fit::Exact) => wrong(&list),
            (false, Fit::All) => wrong(&format!("all of {list}")),
            (false, Fit::Any) => wrong(&format!("any of {list}")),
        }
    }
}

/// A value so that equal ones compare equal: addresses in their one form, names in lower case
/// without the last dot, blanks folded.
pub fn canonical(value: &str) -> String {
    if let Ok(address) = value.trim().parse::<IpAddr>() {
        return address.to_string();
    }
    let words: Vec<String> = value
        .split_whitespace()
        .map(|word| match word.strip_suffix('.') {
            Some(name) if !name.is_empty() => name.to_lowercase(),
            _ if word.contains('.') && !word.contains(['"', '=', ':']) => word.to_lowercase(),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> Said {
        Said {
            missing: false,
            values: values.iter().map(|it| canonical(it)).collect(),
        }
    }

    fn fits(expected: &[&str], fit: Fit, values: &[&str]) -> bool {
        let list = List(expected.iter().map(|it| (*it).to_owned()).collect());
        Expected::read(Some(&list))
            .compare(&said(values), fit)
            .is_ok()
    }

    #[test]
    fn sets_are_compared_as_asked() {
        let two = ["192.0.2.1", "192.0.2.2"];
        assert!(fits(&["192.0.2.2", "192.0.2.1"], Fit::Exact, &two));
        assert!(!fits(&["192.0.2.1"], Fit::Exact, &two));
        assert!(fits(&["192.0.2.1"], Fit::All, &two));
        assert!(fits(&["192.0.2.9", "192.0.2.1"], Fit::Any, &two));
        assert!(!fits(&["192.0.2.9", "192.0.2.1"], Fit::Any, &["192.0.2.3"]));
    }

    #[test]
    fn networks_hold_any_of_their_addresses() {
        assert!(fits(
            &["192.0.2.0/24"],
            Fit::Exact,
            &["192.0.2.1", "192.0.2.200"]
        ));
        assert!(!fits(
            &["192.0.2.0/25"],
            Fit::Exact,
            &["192.0.2.1", "192.0.2.200"]
        ));
        assert!(fits(
            &["192.0.2.0/24", "2001:db8::/32"],
            Fit::Exact,
            &["192.0.2.1"]
        ));
        assert!(!fits(
            &["192.0.2.0/24", "2001:db8::/32"],
            Fit::All,
            &["192.0.2.1"]
        ));
        assert!(fits(&["0.0.0.0/0"], Fit::Exact, &["192.0.2.1"]));
        assert!(!fits(&["::/0"], Fit::Exact, &["192.0.2.1"]));
        assert!(!fits(
            &["192.0.2.0/24", "192.0.2.7"],
            Fit::Exact,
            &["192.0.2.1"]
        ));
    }

    #[test]
    fn nothing_can_be_expected_too() {
        let expect = |text: &str| Expected::read(Some(&List(vec![text.to_owned()])));
        let gone = Said {
            missing: true,
            ..Said::default()
        };
        let fit = Fit::Exact;
        assert_eq!(expect("NXDOMAIN").compare(&gone, fit), Ok(()));
        assert!(matches!(
            expect("NXDOMAIN").compare(&said(&[]), fit),
            Err(Miss::Wrong(_))
        ));
        assert_eq!(expect("NODATA").compare(&said(&[]), fit), Ok(()));
        assert_eq!(Expected::Nothing.compare(&gone, fit), Err(Miss::NxDomain));
        assert_eq!(
            Expected::Nothing.compare(&said(&[]), fit),
            Err(Miss::NoRecord)
        );
        assert_eq!(
            Expected::Nothing.compare(&said(&["192.0.2.1"]), fit),
            Ok(())
        );
    }

    #[test]
    fn names_compare_without_case_and_last_dot() {
        assert_eq!(
            canonical("10 MX1.example.JP."),
            canonical("10  mx1.example.jp")
        );
        assert_eq!(canonical("2001:DB8::0:1"), "2001:db8::1");
        assert_eq!(canonical("v=spf1 -all"), "v=spf1 -all");
    }
}
