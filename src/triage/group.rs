//! Checks that are judged together: how many of them are up.

use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use crate::model::report::{Entry, GROUP, Part};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{self, Group, Plan};
use crate::triage::{Judged, longest};
use std::time::Duration;

/// The most bytes of why a member is not OK; a group in a group in a group would else repeat all of it.
const WHY: usize = 160;

const REDUNDANCY_LOST: &str = "redundancy-lost";
const DOWN: &str = "down";
const MEMBER_NOT_OK: &str = "member-not-ok";

/// What is found of groups.
pub const CODES: &[Code] = &[
    code(
        REDUNDANCY_LOST,
        "WARNING",
        "Fewer members of a group are up than its `up` wants for WARNING: the service works, but the next failure may end it. The line names those that are down.",
    ),
    code(
        DOWN,
        "CRITICAL",
        "Fewer members of a group are up than its `up` wants for CRITICAL: what they do together is not done. The line names those that are down.",
    ),
    code(
        MEMBER_NOT_OK,
        "WARNING",
        "Enough members of a group are up, but one that counts as up is not OK: judging together never hides that. See to the member that is named; where it shall wake nobody, give it `at_most = \"ok\"`.",
    ),
];

/// Only the groups of which all members are run; of the others, each member counts by itself.
pub fn whole(mut plan: Plan) -> Plan {
    let links = plan.links();
    let mut is_whole = vec![true; links.len()];
    // A group that is not whole is missing in those that have it as a member, which come after it.
    for number in plan::sorted(&links).unwrap_or_default() {
        if let Some(group) = number.checked_sub(plan.jobs.len()) {
            let all = links[number].len() == plan.groups[group].members.len();
            is_whole[number] = all && links[number].iter().all(|it| is_whole[*it]);
        }
    }
    let mut is_whole = is_whole.into_iter().skip(plan.jobs.len());
    plan.groups.retain(|_| is_whole.next().unwrap_or(true));
    plan
}

/// A group before it is judged.
pub fn entry(group: &Group) -> Entry {
    Entry {
        name: group.name.clone(),
        label: group.label.clone(),
        kind: GROUP,
        usual_metrics: &[("up", Unit::None)],
        state: State::Ok,
        part: Part::Own,
        remarks: Vec::new(),
        behind: Vec::new(),
        standing: None,
        was: None,
        outcome: Outcome::default(),
        took: Duration::ZERO,
        age: None,
        owner: group.owner.clone(),
        action: group.action.clone(),
        runbook: group.runbook.clone(),
    }
}

/// Judges a group when all its members have been. A member that is blocked is neither up nor down: where it
/// would decide, the group is blocked as well. A member that is up and not OK, whatever its own ceiling leaves of
/// that, makes the group at least WARNING.
pub fn judge(all: &mut Judged, number: usize, group: &Group, members: &[usize]) {
    let entries = &all.entries;
    let is_up = |it: &&usize| {
        let entry = &entries[**it];
        entry.state.badness() <= group.least.badness()
    };
    let is_blocked = |it: &&usize| matches!(entries[**it].part, Part::Blocked(_));
    let total = members.len() as f64;
    let limits = group.up.of(total);
    let up: Vec<usize> = members
        .iter()
        .filter(|it| is_up(it) && !is_blocked(it))
        .copied()
        .collect();
    let blocked = members.iter().filter(is_blocked).count();
    let down: Vec<&str> = members
        .iter()
        .filter(|it| !is_up(it) && !is_blocked(it))
        .map(|it| entries[*it].name.as_str())
        .collect();
    let metric = |up: usize| {
        Metric::new("up", up as f64, Unit::None)
            .judged(limits.clone())
            .max(total)
    };
    let (metric, certain) = (metric(up.len() + blocked), metric(up.len()).state());
    let mut facts = format!("{} of {} up", up.len(), members.len());
    if !down.is_empty() {
        facts.push_str(&format!(", down: {}", down.join(", ")));
    }
    let not_ok = up
        .iter()
        .map(|it| (&entries[*it], all.held(*it)))
        .filter(|it| it.1 != State::Ok);
    let not_ok: Vec<(&Entry, State)> = not_ok.collect();
    facts.push_str(&told(&not_ok));
    if blocked > 0 {
        facts.push_str(&format!(", {blocked} blocked"));
    }
    let mut outcome = Outcome::new(&facts);
    let floor = match not_ok.is_empty() {
        true => State::Ok,
        false => State::Warning,
    };
    let state = metric.state().worst(floor);
    match metric.state() {
        State::Ok if state == State::Ok => (),
        State::Ok => outcome.find(MEMBER_NOT_OK, state, &facts),
        State::Warning => {
            outcome.find(REDUNDANCY_LOST, state, &format!("redundancy lost: {facts}"))
        }
        _ => outcome.find(DOWN, state, &format!("service down: {facts}")),
    }
    outcome.note(metric);
    let hidden = certain != state && state == State::Ok;
    // Of several causes always the same, whatever the order of the list.
    let behind = members
        .iter()
        .filter(is_blocked)
        .filter_map(|it| all.cause(std::slice::from_ref(it)))
        .min_by_key(|it| &entries[*it].name);
    let took = longest(entries, members);
    let name = entries[number].name.clone();
    for it in members {
        let member = &mut all.entries[*it];
        if member.part == Part::Own {
            member.part = Part::Member(name.clone());
        }
    }
    let entry = &mut all.entries[number];
    (entry.outcome, entry.state, entry.took) = (outcome, state, took);
    if let (true, Some(cause)) = (hidden, behind) {
        entry.state = certain;
        all.block(number, cause);
    }
}

/// ", WARNING: web3 (9 d left)": those that are up and not OK, the worst first; why, where there is only one.
fn told(not_ok: &[(&Entry, State)]) -> String {
    if let [(entry, state)] = not_ok {
        let why = text::fit(&entry.line(), WHY);
        return format!(", {}: {} ({why})", state.word(), entry.name);
    }
    let of = |state: State| -> Vec<&str> {
        let of = not_ok.iter().filter(|it| it.1 == state);
        of.map(|it| it.0.name.as_str()).collect()
    };
    let worst_first = State::BY_BADNESS.into_iter().rev();
    let lists = worst_first.map(|it| (it.word(), of(it)));
    lists
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!(", {word}: {}", names.join(", ")))
        .collect()
}

/// Lets every group tell of its members that are not OK, or would not be if nothing held them back.
pub fn tell(entries: &mut [Entry], first_group: usize, links: &[Vec<usize>]) {
    for number in first_group..entries.len() {
        let bad = links[number]
            .iter()
            .filter(|it| entries[**it].state != State::Ok || entries[**it].is_tolerated());
        let lines: Vec<String> = bad
            .map(|it| {
                let entry = &entries[*it];
                let state = match &entry.part {
                    Part::Blocked(cause) => format!("blocked by {cause}"),
                    _ => entry.state.word().to_owned(),
                };
                format!("{state} - {}: {}", entry.name, entry.line())
            })
            .collect();
        lines
            .iter()
            .for_each(|it| entries[number].outcome.detail(it));
    }
}
