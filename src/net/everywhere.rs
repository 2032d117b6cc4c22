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
        "WARNING",
        "Some addresses of the name do not answer, others do: look at the machine behind the named one.",
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

    /// No address answered: what the first of them says stands for all.
    ///
    /// # Errors
    /// For a fault of ours.
    pub fn none(self) -> anyhow::Result<Outcome> {
        let mut down = self.down.into_iter();
        let Some((_, first)) = down.next() else {
            return Err(anyhow!("no address was asked"));
        };
        let mut outcome = first.outcome()?;
        for (_, fault) in down {
            outcome.detail(&fault.to_string());
        }
        Ok(outcome)
    }

    /// Names the addresses that do not answer beside others that do, and those that were not asked.
    pub fn name_silent(&self, outcome: &mut Outcome) {
        for (address, fault) in &self.down {
            let line = fault.to_string();
            let line = match line.contains(&address.to_string()) {
                true => line,
                false => format!("{address}: {line}"),
            };
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

/// Addresses in one line.
pub fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    all.join(", ")
}
