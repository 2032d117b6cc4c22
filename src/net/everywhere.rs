//! Every address of a name, asked at once, and what there is to say of those that do not answer.

use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::state::State;
use crate::net::{self, Fault};
use anyhow::anyhow;
use std::net::SocketAddr;
use std::thread;

/// The findings of checks that ask every address.
pub const CODES: &[Code] = &[
    code(
        "addresses-down",
        "WARNING, CRITICAL when no address answers",
        "Addresses of the name do not answer: look at the machines behind the named ones.",
    ),
    code(
        "addresses-differ",
        "WARNING",
        "Addresses of one name do not show the same: one of them was not renewed, reloaded or deployed.",
    ),
];

/// What all addresses of a name said.
pub struct Everywhere<T> {
    pub seen: Vec<(SocketAddr, T)>,
    pub down: Vec<(SocketAddr, Fault)>,
    /// Addresses that were left out: a site with IPv6 is not broken because this machine has none.
    unasked: Vec<SocketAddr>,
}

impl<T> Default for Everywhere<T> {
    fn default() -> Everywhere<T> {
        Everywhere {
            seen: Vec::new(),
            down: Vec::new(),
            unasked: Vec::new(),
        }
    }
}

impl<T: Send> Everywhere<T> {
    /// Asks every address on a thread of its own, apart from those to which no route leads from here.
    pub fn ask(
        addresses: &[SocketAddr],
        look: impl Fn(SocketAddr) -> Result<T, Fault> + Sync,
    ) -> Everywhere<T> {
        let (mut asked, mut unasked): (Vec<_>, Vec<_>) =
            addresses.iter().partition(|it| net::has_route(**it));
        if asked.is_empty() {
            std::mem::swap(&mut asked, &mut unasked);
        }
        let answers: Vec<_> = match asked[..] {
            [one] => vec![(one, look(one))],
            _ => thread::scope(|scope| {
                let look = &look;
                let looks: Vec<_> = asked
                    .iter()
                    .map(|it| (*it, scope.spawn(move || look(*it))))
                    .collect();
                let lost = || Fault::Me(anyhow!("the thread that asked it ended early"));
                looks
                    .into_iter()
                    .map(|(at, it)| (at, it.join().unwrap_or_else(|_| Err(lost()))))
                    .collect()
            }),
        };
        let (mut seen, mut down) = (Vec::new(), Vec::new());
        for (address, answer) in answers {
            match answer {
                Ok(answer) => seen.push((address, answer)),
                Err(fault) => down.push((address, fault)),
            }
        }
        Everywhere {
            seen,
            down,
            unasked,
        }
    }

    /// How many addresses were asked.
    pub fn asked(&self) -> usize {
        self.seen.len() + self.down.len()
    }

    /// No address answered: all of them are named, with what each one does.
    ///
    /// # Errors
    /// When none could be asked, for a fault of ours.
    pub fn none(mut self) -> anyhow::Result<Outcome> {
        if self.down.len() < 2 {
            let Some((_, only)) = self.down.pop() else {
                return Err(anyhow!("no address was asked"));
            };
            let mut outcome = only.outcome()?;
            self.name_unasked(&mut outcome);
            return Ok(outcome);
        }
        let count = self.down.len();
        let lines = |wanted: &dyn Fn(&Fault) -> bool| {
            let all = self.down.iter().filter(|it| wanted(&it.1));
            let all: Vec<String> = all.map(|(at, fault)| line_of(*at, fault)).collect();
            all.join("; ")
        };
        let theirs = lines(&|it| !matches!(it, Fault::Me(_)));
        let ours = lines(&|it| matches!(it, Fault::Me(_)));
        let mut codes = self.down.iter().map(|it| it.1.code());
        let first = codes.next().flatten();
        let shared = first.filter(|it| codes.all(|other| other == Some(*it)));
        let late = self.down.iter().all(|it| matches!(it.1, Fault::Late(_)));
        let mut outcome = match (theirs.is_empty(), shared) {
            _ if late => Outcome::late(&format!("none of {count} addresses answers: {theirs}")),
            (true, None) => return Err(anyhow!(ours)),
            (true, Some(code)) => Outcome::of(code, State::Unknown, &ours),
            // They answer, and all have the same fault.
            (false, Some(code)) if !SILENT.contains(&code) => {
                Outcome::of(code, State::Critical, &theirs)
            }
            (false, _) => {
                let line = match ours.is_empty() {
                    true => format!("none of {count} addresses answers: {theirs}"),
                    false => theirs,
                };
                let mut outcome = Outcome::of("addresses-down", State::Critical, &line);
                for (address, fault) in &self.down {
                    if let Fault::Me(_) = fault {
                        let code = fault.code().unwrap_or(UNKNOWN);
                        outcome.find(code, State::Unknown, &line_of(*address, fault));
                    }
                }
                outcome
            }
        };
        self.name_unasked(&mut outcome);
        Ok(outcome)
    }

    /// Names the addresses that do not answer beside others that do, and those that were not asked.
    pub fn name_silent(&self, outcome: &mut Outcome) {
        for (address, fault) in &self.down {
            let line = line_of(*address, fault);
            match fault {
                // What this machine lacks is no fault of theirs.
                Fault::Me(_) => {
                    let code = fault.code().unwrap_or(UNKNOWN);
                    outcome.find(code, State::Unknown, &line);
                }
                _ => outcome.find("addresses-down", State::Warning, &line),
            }
        }
        self.name_unasked(outcome);
    }

    /// Names the addresses that were not asked.
    pub fn name_unasked(&self, outcome: &mut Outcome) {
        for address in &self.unasked {
            outcome.detail(&format!("{address} was not asked: no route from here"));
        }
    }
}

/// The codes of an address that says nothing.
const SILENT: [&str; 4] = ["refused", "unreachable", "reset", "closed"];

/// What an address does, with its name once.
fn line_of(address: SocketAddr, fault: &Fault) -> String {
    let line = fault.to_string();
    match line.contains(&address.to_string()) {
        true => line,
        false => format!("{address}: {line}"),
    }
}

/// Addresses in one line.
pub fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(faults: Vec<Fault>) -> anyhow::Result<Outcome> {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let down = faults
            .into_iter()
            .zip(1..)
            .map(|(fault, port)| (at(port), fault));
        Everywhere::<()> {
            seen: Vec::new(),
            down: down.collect(),
            unasked: Vec::new(),
        }
        .none()
    }

    fn code(outcome: &Outcome) -> (&str, State) {
        let first = &outcome.findings()[0];
        (&first.code, outcome.state())
    }

    #[test]
    fn when_all_are_down_all_are_named() {
        let refused = || Fault::world("refused", "no");
        let late = || Fault::Late("silent".to_owned());
        let outcome = none(vec![refused(), late()]).expect("an outcome");
        assert_eq!(code(&outcome), ("addresses-down", State::Critical));
        assert_eq!(
            outcome.line(),
            "none of 2 addresses answers: 192.0.2.1:1: no; 192.0.2.1:2: silent"
        );
        let outcome = none(vec![late(), late()]).expect("an outcome");
        assert_eq!(code(&outcome).0, "late");
        assert!(outcome.line().contains("192.0.2.1:2"));
        let outcome = none(vec![refused()]).expect("an outcome");
        assert_eq!(code(&outcome), ("refused", State::Critical));
    }

    #[test]
    fn when_all_answer_with_one_fault_that_is_its_code() {
        let stripped = || Fault::world("no-starttls", "no TLS");
        let outcome = none(vec![stripped(), stripped()]).expect("an outcome");
        assert_eq!(code(&outcome), ("no-starttls", State::Critical));
        assert!(outcome.line().contains("192.0.2.1:2"));
        let old = || Fault::lack(net::TOO_OLD, "too old");
        let outcome = none(vec![old(), old()]).expect("an outcome");
        assert_eq!(code(&outcome), (net::TOO_OLD, State::Unknown));
        let ours = || Fault::Me(anyhow!("no descriptors"));
        assert!(none(vec![ours(), ours()]).is_err());
        let outcome = none(vec![Fault::world("refused", "no"), ours()]).expect("an outcome");
        assert_eq!(code(&outcome), ("addresses-down", State::Critical));
        assert_eq!(outcome.findings().len(), 2);
    }
}
