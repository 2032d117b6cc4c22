//! `koshu list`: what would run on a host, what it looks at, and what judges it together or holds it down.

use crate::format::columns::rows;
use crate::model::quantity;
use crate::model::text;
use crate::plan::{Plan, Window};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::SystemTime;

/// Where and when a list is looked at.
pub struct View<'v> {
    pub host: &'v str,
    pub now: SystemTime,
    pub zone: TimeZone,
    /// Columns of the terminal.
    pub width: usize,
}

/// The checks of a plan as a table, then its groups and its windows with their next time.
pub fn listed(plan: &Plan, view: &View, origin: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(origin) = origin {
        let _ = writeln!(text, "{origin}\n");
    }
    let here = plan.clone().on(view.host).unwrap_or_default();
    let here: HashSet<&str> = here.jobs.iter().map(|it| it.name.as_str()).collect();
    let checks: Vec<Vec<String>> = plan
        .jobs
        .iter()
        .map(|job| {
            // A name that nobody gave says the target already.
            let target = match job.name.ends_with(&job.target) {
                true => String::new(),
                false => job.target.clone(),
            };
            let note = match here.contains(job.name.as_str()) {
                true => String::new(),
                false => format!("not on {}, only on {}", view.host, job.hosts.join(", ")),
            };
            vec![
                job.name.clone(),
                job.kind.name.to_owned(),
                target,
                quantity::seconds(job.timeout.as_secs_f64()),
                job.tags.join(" "),
                note,
            ]
        })
        .collect();
    table(
        &mut text,
        &["NAME", "TYPE", "TARGET", "TIMEOUT", "TAGS", "HOSTS"],
        checks,
        view.width,
    );
    let groups = plan
        .groups
        .iter()
        .map(|it| vec![it.name.clone(), it.members.join(", "), it.tags.join(" ")]);
    let groups: Vec<Vec<String>> = groups.collect();
    if !groups.is_empty() {
        text.push('\n');
        table(&mut text, &["GROUP", "MEMBERS", "TAGS"], groups, view.width);
    }
    let windows = plan.windows.iter().map(|it| {
        let most = it.at_most.word().to_lowercase();
        vec![it.name.clone(), next(it, view), most, it.matches.join(", ")]
    });
    let windows: Vec<Vec<String>> = windows.collect();
    if !windows.is_empty() {
        text.push('\n');
        let head = ["WINDOW", "NEXT", "AT MOST", "MATCH"];
        table(&mut text, &head, windows, view.width);
    }
    text
}

/// When a window holds: now and until when, or from when on.
fn next(window: &Window, view: &View) -> String {
    let zone = window.zone.as_ref().unwrap_or(&view.zone);
    let Ok(now) = Timestamp::try_from(view.now) else {
        return String::new();
    };
    let shown = |at: Timestamp| {
        let at = at.to_zoned(zone.clone());
        at.strftime("%a %F %H:%M %Z").to_string()
    };
    match window.when.until(now, zone) {
        Some(until) if until == Timestamp::MAX => "now, without end".to_owned(),
        Some(until) => format!("now, until {}", shown(until)),
        None => match window.when.next(now, zone) {
            Some(from) => shown(from),
            None => "never again".to_owned(),
        },
    }
}

/// A table without the columns that hold nothing.
fn table(to: &mut String, head: &[&str], all: Vec<Vec<String>>, width: usize) {
    let kept: Vec<usize> = (0..head.len())
        .filter(|column| *column == 0 || all.iter().any(|row| !row[*column].is_empty()))
        .collect();
    let pick = |row: &Vec<String>| {
        kept.iter()
            .map(|it| text::clean(&row[*it]))
            .collect::<Vec<_>>()
    };
    let all: Vec<Vec<String>> = all.iter().map(pick).collect();
    let head: Vec<&str> = kept.iter().map(|it| head[*it]).collect();
    for line in rows(&head, &all, width) {
        let _ = writeln!(to, "{line}");
    }
}
