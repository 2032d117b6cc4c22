//! What a name is expected to be, and whether an answer is that.

use crate::model::list::List;
use crate::model::pattern::Pattern;
use crate::net::dns::data;
use hickory_proto::rr::RecordType;
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
    Regex,
    Contains,
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
    /// In the form of [`data::shown`].
    Is(String),
    /// Any address of this network, by its first bits.
    Within(IpAddr, u8, String),
    /// A regex that is found in it.
    Like(Pattern),
    /// A part of it, in any case.
    Contains(String),
}

impl Value {
    /// Reads a value of one of these types.
    fn read(text: &str, kinds: &[RecordType], fit: Fit) -> Result<Value, String> {
        match fit {
            Fit::Regex => {
                let pattern: Pattern = text.parse()?;
                let built = pattern.regex().map(drop);
                return built
                    .map_err(|it| it.to_string())
                    .map(|()| Value::Like(pattern));
            }
            Fit::Contains => return Ok(Value::Contains(text.to_lowercase())),
            Fit::Exact | Fit::All | Fit::Any => (),
        }
        if kinds.iter().all(|it| it.is_ip_addr())
            && let Some((address, bits)) = network(text)
        {
            return Ok(Value::Within(address, bits, text.to_owned()));
        }
        let mut read = kinds.iter().map(|it| data::read(*it, text));
        match (read.find_map(Result::ok), kinds) {
            (Some(value), _) => Ok(Value::Is(value)),
            (None, [kind]) => Err(data::read(*kind, text).err().unwrap_or_default()),
            (None, _) => Err(format!(
                "\"{text}\" is not an address; for another record name its type, as record = \"CNAME\""
            )),
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
            // That it can be built was seen when it was read.
            Value::Like(pattern) => pattern.finds(value.as_bytes()).unwrap_or(false),
            Value::Contains(text) => value.to_lowercase().contains(text),
        }
    }

    fn shown(&self) -> String {
        match self {
            Value::Is(text) | Value::Within(_, _, text) => text.clone(),
            Value::Like(pattern) => format!("/{}/", pattern.as_str()),
            Value::Contains(text) => format!("\"{text}\""),
        }
    }
}

/// `192.0.2.0/24` as an address and the number of its bits that count.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.trim().parse().ok()?;
    let bits: u8 = bits.trim().parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
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
    /// What the list wants of records of these types; values that are none were refused at load.
    pub fn read(list: Option<&List<String>>, kinds: &[RecordType], fit: Fit) -> Expected {
        match list.map(|it| &it.0[..]) {
            None => Expected::Nothing,
            Some([one]) if one == "NXDOMAIN" => Expected::NxDomain,
            Some([one]) if one == "NODATA" => Expected::NoData,
            Some(values) => {
                let values = values.iter().map(|it| Value::read(it, kinds, fit));
                Expected::Values(values.filter_map(Result::ok).collect())
            }
        }
    }

    /// What is wrong with the values of a list.
    pub fn flaw(list: &List<String>, kinds: &[RecordType], fit: Fit) -> Option<String> {
        const WORDS: [&str; 2] = ["NXDOMAIN", "NODATA"];
        let word = |text: &String| WORDS.into_iter().find(|it| it.eq_ignore_ascii_case(text));
        if let Some((text, word)) = list.0.iter().find_map(|it| Some((it, word(it)?))) {
            return match (&list.0[..], fit) {
                _ if text != word => Some(format!("\"{text}\" is written {word}")),
                ([_], Fit::Exact) => None,
                ([_], _) => Some(format!("{word} has no values for `match`")),
                _ => Some("NXDOMAIN and NODATA stand alone".to_owned()),
            };
        }
        let mut values = list.0.iter();
        values.find_map(|it| Value::read(it, kinds, fit).err())
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
            Fit::All | Fit::Regex | Fit::Contains => expected.iter().all(there),
            Fit::Any => expected.iter().any(there),
        };
        let list: Vec<String> = expected.iter().map(Value::shown).collect();
        let list = list.join(", ");
        match (fits, fit) {
            (true, _) => Ok(()),
            (false, Fit::Exact) => wrong(&list),
            (false, Fit::All) => wrong(&format!("all of {list}")),
            (false, Fit::Any) => wrong(&format!("any of {list}")),
            (false, Fit::Regex) => wrong(&format!("a value like {list}")),
            (false, Fit::Contains) => wrong(&format!("a value with {list}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> Said {
        Said {
            missing: false,
            values: values.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    const ADDRESSES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

    fn fits(expected: &[&str], fit: Fit, values: &[&str]) -> bool {
        let list = List(expected.iter().map(|it| (*it).to_owned()).collect());
        Expected::read(Some(&list), &ADDRESSES, fit)
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
        let expect =
            |text: &str| Expected::read(Some(&List(vec![text.to_owned()])), &ADDRESSES, Fit::Exact);
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
    fn regexes_and_parts_are_found_in_values() {
        let text = ["v=spf1 include:_spf.Example.jp -all", "other"];
        let fits = |expected: &str, fit: Fit| {
            let list = List(vec![expected.to_owned()]);
            let said = said(&text);
            Expected::read(Some(&list), &[RecordType::TXT], fit).compare(&said, fit)
        };
        assert_eq!(fits("^v=spf1 .*-all$", Fit::Regex), Ok(()));
        assert_eq!(fits("_spf.example.jp", Fit::Contains), Ok(()));
        assert_eq!(
            fits("~all", Fit::Contains),
            Err(Miss::Wrong("a value with \"~all\"".to_owned()))
        );
        assert_eq!(
            fits("~all$", Fit::Regex),
            Err(Miss::Wrong("a value like /~all$/".to_owned()))
        );
    }

    #[test]
    fn values_that_no_record_can_have_are_flaws() {
        let flaw = |values: &[&str], kinds: &[RecordType], fit: Fit| {
            let list = List(values.iter().map(|it| (*it).to_owned()).collect());
            Expected::flaw(&list, kinds, fit).unwrap_or_default()
        };
        let exact = Fit::Exact;
        assert_eq!(flaw(&["192.0.2.0/24", "::1"], &ADDRESSES, exact), "");
        assert_eq!(flaw(&["NXDOMAIN"], &ADDRESSES, exact), "");
        assert_eq!(
            flaw(&["nxdomain"], &ADDRESSES, exact),
            "\"nxdomain\" is written NXDOMAIN"
        );
        assert!(flaw(&["NODATA", "192.0.2.1"], &ADDRESSES, exact).contains("alone"));
        assert!(flaw(&["www.example.jp"], &ADDRESSES, exact).contains("record = \"CNAME\""));
        assert!(flaw(&["192.0.2.0/33"], &[RecordType::A], exact).contains("written as 192.0.2.1"));
        assert!(flaw(&["("], &[RecordType::TXT], Fit::Regex).contains("not a regular expression"));
        let much = "(\\w{500}){500}";
        assert!(flaw(&[much], &[RecordType::TXT], Fit::Regex).contains("too large"));
    }
}
