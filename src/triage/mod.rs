//! From raw outcomes to what a person must act on; pure, and run once when all outcomes are known.

mod order;

use crate::model::report::{Entry, Ran, Report};
use crate::plan::Plan;
use std::time::SystemTime;

/// What is known of a run besides its outcomes.
pub struct Setting {
    pub host: String,
    pub at: SystemTime,
    /// Where the list came from, when that is not what was asked for.
    pub origin: Option<String>,
}

/// Puts the outcomes of a plan together, every one of them exactly once.
pub fn report(plan: Plan, ran: Ran, setting: Setting) -> Report {
    let entries: Vec<Entry> = plan
        .jobs
        .into_iter()
        .zip(ran.looked)
        .map(|(job, looked)| Entry {
            name: job.name,
            label: job.label,
            kind: job.kind.name,
            usual_metrics: job.kind.metrics,
            outcome: looked.outcome,
            took: looked.took,
            owner: job.owner,
            action: job.action,
            runbook: job.runbook,
        })
        .collect();
    Report {
        host: setting.host,
        at: setting.at,
        took: ran.took,
        order: order::worst_first(&entries),
        entries,
        origin: setting.origin,
        stopped: ran.stopped,
    }
}
