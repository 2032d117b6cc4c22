//! What the site's resolvers say, compared with the truth of the zone's own servers.

use super::expected::Said;
use super::found::{Found, found, said};
use super::keys::addresses;
use super::observe::View;
use super::probe::Answer;
use super::{Dns, via};
use crate::check::Context;
use crate::model::outcome::{Code, code};
use crate::model::quantity;
use crate::model::state::State;
use crate::net::Fault;
use crate::net::dns::data::kind_shown;
use crate::net::dns::query::Edns;
use crate::net::dns::read::{plain, rcode};
use crate::net::dns::walk::Walker;
use crate::net::dns::{self, Transport};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::thread;

/// The findings of resolvers.
pub const CODES: &[Code] = &[
    code(
        "resolver-stale",
        "OK, a note; WARNING for more than an hour",
        "A resolver still has an old answer, for no longer than its TTL says: wait, or flush its cache.",
    ),
    code(
        "resolver-differs",
        "WARNING",
        "A resolver answers something that its age does not explain: a split horizon, a filter, or somebody in between.",
    ),
    code(
        "resolver-fails",
        "CRITICAL",
        "A resolver does not answer, or fails to: those who use it get nothing.",
    ),
    code(
        "hijack",
        "WARNING",
        "A resolver invents an answer for a name that does not exist.",
    ),
];

/// What came of the comparison.
#[derive(Default)]
pub struct Compared {
    pub found: Vec<Found>,
    pub notes: Vec<String>,
}

/// Old data that may stay for longer than this is worth a warning, in seconds.
const LONG: u32 = 3600;

impl Dns {
    /// Asks the resolvers, and compares.
    ///
    /// # Errors
    /// When the system's resolvers are wanted and cannot be told.
    pub fn compare(
        &self,
        cx: &Context,
        views: &[View],
        walker: &Walker,
    ) -> anyhow::Result<Compared> {
        let Some(list) = &self.resolvers else {
            return Ok(Compared::default());
        };
        let name = self.name().map_err(|it| anyhow::anyhow!(it))?;
        let servers = addresses(list)?;
        let asked = via::observe(&servers, &name, &self.kinds(), Transport::Udp, cx.deadline);
        let truth = truth(views);
        let mut compared = Compared::default();
        for view in asked {
            self.judge_resolver(&mut compared, &view, truth.as_ref());
        }
        if self.hijack {
            compared
                .found
                .extend(hijacks(&servers, &name, views, walker));
        }
        Ok(compared)
    }

    fn judge_resolver(
        &self,
        compared: &mut Compared,
        view: &via::View,
        truth: Option<&(Said, u32)>,
    ) {
        let (who, host) = (via::shown(view.server), self.subject());
        let mut wrong =
            |code, state, text: String| compared.found.push(found(code, state, text, &[]));
        let answers = match &view.said {
            Ok(answers) => answers,
            Err(Fault::Me(error)) => {
                return wrong(
                    "resolver-fails",
                    State::Unknown,
                    format!("the resolver {who}: {error:#}"),
                );
            }
            Err(fault) => {
                return wrong(
                    "resolver-fails",
                    State::Critical,
                    format!("the resolver {who} fails: {fault}"),
                );
            }
        };
        let failed = answers
            .iter()
            .find(|it| !matches!(it.1.rcode, ResponseCode::NoError | ResponseCode::NXDomain));
        if let Some((kind, answer)) = failed {
            let text = format!(
                "the resolver {who} answers {} for {host} {}",
                rcode(answer.rcode),
                kind_shown(*kind)
            );
            return wrong("resolver-fails", State::Critical, text);
        }
        if answers.iter().any(|it| it.1.edns == Edns::No) {
            let text = format!("the resolver {who} answers only without EDNS");
            wrong("no-edns", State::Ok, text);
        }
        let said = via::together(answers);
        let Some((truth, ttl)) = truth else {
            compared
                .notes
                .push(format!("the resolver {who} says {}", said.shown()));
            return;
        };
        if said == *truth {
            compared
                .notes
                .push(format!("the resolver {who} says the same"));
            return;
        }
        let left = answers
            .iter()
            .flat_map(|it| &it.1.records)
            .map(|it| it.ttl)
            .max();
        match left {
            Some(left) if left <= *ttl => {
                let text = format!(
                    "the resolver {who} has old data for at most {}: {}, now {}",
                    quantity::seconds(left.into()),
                    said.shown(),
                    truth.shown()
                );
                let state = if left > LONG {
                    State::Warning
                } else {
                    State::Ok
                };
                wrong("resolver-stale", state, text);
            }
            _ => {
                let text = format!(
                    "the resolver {who} says {host} is {}, its own servers say {}",
                    said.shown(),
                    truth.shown()
                );
                wrong("resolver-differs", State::Warning, text);
            }
        }
    }
}

/// What the zone's own servers say at the end of all aliases, and for how long it may be kept.
fn truth(views: &[View]) -> Option<(Said, u32)> {
    let ttl = |view: &View| match view {
        View::Seen(seen) => seen
            .good()
            .flat_map(|it| it.answers.values())
            .filter_map(|it| match it {
                Answer::Set(set) | Answer::Alias(_, set) => Some(set.ttl()),
                _ => None,
            })
            .max(),
        _ => None,
    };
    let most = views.iter().filter_map(ttl).max().unwrap_or(0);
    match views.last()? {
        View::Seen(seen) => Some((seen.good().find_map(said)?, most)),
        View::NotDelegated { .. } => Some((
            Said {
                missing: true,
                values: BTreeSet::new(),
            },
            most,
        )),
        View::NoServer { .. } => None,
    }
}

/// Asks for a name that nobody can have registered, beside the zone.
fn hijacks(servers: &[SocketAddr], name: &Name, views: &[View], walker: &Walker) -> Vec<Found> {
    let zone = match views.first() {
        Some(View::Seen(seen)) => seen.zone.clone(),
        _ => name.clone(),
    };
    let random = format!(
        "koshu-{:016x}.{}",
        RandomState::new().hash_one(name),
        zone.base_name()
    );
    let Ok(random) = dns::name(&random) else {
        return Vec::new();
    };
    thread::scope(|scope| {
        let asked: Vec<_> = servers
            .iter()
            .map(|server| {
                let random = &random;
                scope.spawn(move || {
                    (
                        server,
                        dns::ask(
                            *server,
                            random,
                            RecordType::A,
                            Transport::Udp,
                            walker.deadline,
                        ),
                    )
                })
            })
            .collect();
        let answers = asked.into_iter().filter_map(|it| it.join().ok());
        let invented = answers.filter_map(|(server, answer)| {
            let answer = answer.ok()?;
            let values: Vec<String> = answer.records.iter().map(|it| it.value.clone()).collect();
            (answer.rcode == ResponseCode::NoError && !values.is_empty()).then(|| {
                let text = format!(
                    "the resolver {} says {} for {}, which does not exist",
                    via::shown(*server),
                    values.join(", "),
                    plain(&random)
                );
                found("hijack", State::Warning, text, &[])
            })
        });
        invented.collect()
    })
}
