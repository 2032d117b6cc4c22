//! Checks that are judged together: how many of them are up.

use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::quantity::Unit;
use crate::model::report::{Entry, Part};
use crate::model::state::State;
use crate::plan::{Group, Plan};
use crate::triage::{cause, longest};
use std::collections::HashSet;
use std::time::Duration;

/// The type that a group's entry has.
const KIND: &str = "group";

/// Only the groups of which all members are run; of the others, each member counts by itself.
pub fn whole(mut plan: Plan) -> Plan {
    loop {
        let names: HashSet<String> = plan.names().map(str::to_owned).collect();
        let before = plan.groups.len();
        plan.groups
            .retain(|it| it.members.iter().all(|it| names.contains(it)));
        // A group that is gone is missing in those that have it as a member.
        if plan.groups.len() == before {
            return plan;
        }
    }
}

/// A group before it is judged.
pub fn entry(group: &Group) -> Entry {
    Entry {
        name: group.name.clone(),
        label: group.label.clone(),
        kind: KIND,
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
/// would decide, the group is blocked as well.
pub fn judge(entries: &mut [Entry], number: usize, group: &Group, members: &[usize]) {
    let is_up = |it: &&usize| {
        let entry = &entries[**it];
        entry.state.badness() <= group.least.badness()
    };
    let is_blocked = |it: &&usize| matches!(entries[**it].part, Part::Blocked(_));
    let total = members.len() as f64;
    let limits = group.up.of(total);
    let up = members
        .iter()
        .filter(|it| is_up(it) && !is_blocked(it))
        .count();
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
    let (metric, certain) = (metric(up + blocked), metric(up).state());
    let mut facts = format!("{} of {} up", up, members.len());
    if !down.is_empty() {
        facts.push_str(&format!(", down: {}", down.join(", ")));
    }
    if blocked > 0 {
        facts.push_str(&format!(", {blocked} blocked"));
    }
    let mut outcome = Outcome::new(&facts);
    let state = metric.state();
    match state {
        State::Ok => (),
        State::Warning => outcome.find(
            "redundancy-lost",
            state,
            &format!("redundancy lost: {facts}"),
        ),
        _ => outcome.find("down", state, &format!("service down: {facts}")),
    }
    outcome.note(metric);
    let hidden = certain != state && state == State::Ok;
    // Of several causes always the same, whatever the order of the list.
    let behind = members
        .iter()
        .filter(is_blocked)
        .filter_map(|it| cause(entries, std::slice::from_ref(it)))
        .min_by_key(|it| &entries[*it].name);
    for it in members {
        let name = entries[number].name.clone();
        if entries[*it].part == Part::Own {
            entries[*it].part = Part::Member(name);
        }
    }
    let took = longest(entries, members);
    let entry = &mut entries[number];
    (entry.outcome, entry.state, entry.took) = (outcome, state, took);
    if let (true, Some(cause)) = (hidden, behind) {
        let name = entry.name.clone();
        entry.state = certain;
        let because = entries[cause].name.clone();
        entries[number].part = Part::Blocked(because);
        entries[cause].behind.push(name);
    }
}

/// Lets every group tell of its members that are not OK.
pub fn tell(entries: &mut [Entry], first_group: usize, links: &[Vec<usize>]) {
    for number in first_group..entries.len() {
        let bad = links[number]
            .iter()
            .filter(|it| entries[**it].state != State::Ok);
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
