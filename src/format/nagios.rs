//! The output of a Nagios plugin: state and cause on the first line, perfdata once after the only `|`.

use crate::format::{Failure, Format, Style, headline};
use crate::model::metric::Metric;
use crate::model::quantity::Unit;
use crate::model::report::{Entry, KOSHU, Report};
use crate::model::state::State;
use crate::model::text;
use std::collections::HashSet;
use std::io::{self, Write};

/// The most bytes of the first line's text, which status pages and SMS show (integrations of old engines).
pub const TEXT: usize = 255;
/// The most bytes of the first line with perfdata, which NRPE version 2 carries.
const LINE: usize = 1023;
/// The most bytes of any line below the first.
const LONGEST: usize = 512;
/// The most lines of detail below one of several checks.
const DETAILS: usize = 6;

pub fn write(report: &Report, style: &Style, to: &mut dyn Write) -> io::Result<()> {
    let state = report.state().word();
    let room = TEXT.min(style.max_bytes.saturating_sub(1));
    let head = headline::text(report, room.saturating_sub(state.len() + 3));
    let (perfdata, left_out) = perfdata(report, style);
    let mut first = format!("{state} - {head}");
    if !perfdata.is_empty() {
        first.push_str(" | ");
        first.push_str(&perfdata);
    }
    let mut last = Vec::new();
    if left_out > 0 {
        last.push(format!(
            "perfdata: {left_out} metrics do not fit, see --max-bytes"
        ));
    }
    last.extend(report.remarks.iter().map(|it| text::fit(it, LONGEST)));
    let news = match style.news {
        true => within(
            changes(report),
            style.max_bytes.saturating_sub(first.len() + 1) / 2,
        ),
        false => Vec::new(),
    };
    let used = first.len()
        + 1
        + size(std::slice::from_ref(&news))
        + last.iter().map(|it| it.len() + 1).sum::<usize>();
    let body = body(report, style.max_bytes.saturating_sub(used));
    for line in std::iter::once(first).chain(news).chain(body).chain(last) {
        writeln!(to, "{line}")?;
    }
    Ok(())
}

pub fn fail(_: &Format, failure: &Failure, to: &mut dyn Write) -> io::Result<()> {
    let state = State::Unknown.word();
    writeln!(
        to,
        "{state} - {}",
        text::fit(&text::clean(&failure.text), TEXT - 10)
    )?;
    for line in failure.details.lines().take(200) {
        writeln!(to, "{}", text::fit(&line.replace('|', "¦"), LONGEST))?;
    }
    Ok(())
}

/// "changed: router-b: CRITICAL, was OK".
pub fn changes(report: &Report) -> Vec<String> {
    let news = report.news();
    news.iter().map(|it| format!("changed: {it}")).collect()
}

/// The lines below the first: every check that matters, with its details where all of them fit.
pub fn body(report: &Report, room: usize) -> Vec<String> {
    let single = report.entries.len() == 1;
    let bad: Vec<&Entry> = report
        .worst_first()
        .filter(|it| single || it.is_shown())
        .collect();
    let full: Vec<Vec<String>> = bad.iter().map(|it| lines(it, single, usize::MAX)).collect();
    if size(&full) <= room {
        return full.concat();
    }
    let some: Vec<Vec<String>> = bad.iter().map(|it| lines(it, single, DETAILS)).collect();
    if size(&some) <= room {
        return some.concat();
    }
    let lines = match single {
        true => some.concat(),
        false => bad.iter().flat_map(|it| lines(it, single, 0)).collect(),
    };
    within(lines, room)
}

fn size(blocks: &[Vec<String>]) -> usize {
    blocks.iter().flatten().map(|it| it.len() + 1).sum()
}

/// As many lines as fit, the others counted.
pub fn within(lines: Vec<String>, room: usize) -> Vec<String> {
    let more = |count: usize| format!("and {count} more lines");
    let mut kept = Vec::new();
    let mut used = more(lines.len()).len() + 1;
    let total = lines.len();
    for line in lines {
        used += line.len() + 1;
        if used > room {
            break;
        }
        kept.push(line);
    }
    let hidden = total - kept.len();
    if hidden > 0 && more(hidden).len() < room {
        kept.push(more(hidden));
    }
    kept
}

/// What there is to say of one check below its own line.
pub fn below(entry: &Entry) -> Vec<String> {
    lines(entry, true, usize::MAX)
}

/// What there is to say of one check, with at most so many details.
fn lines(entry: &Entry, single: bool, details: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let indent = if single { "" } else { "  " };
    if !single {
        lines.push(format!(
            "{} - {}: {}",
            entry.state().word(),
            entry.name,
            entry.line()
        ));
    }
    if entry.state() != State::Ok {
        lines.extend(to_do(entry).map(|it| format!("{indent}{it}")));
    }
    let mut all = entry.lines();
    all.retain(|it| !it.trim().is_empty());
    let hidden = all.len().saturating_sub(details);
    lines.extend(
        all.into_iter()
            .take(details)
            .map(|it| format!("{indent}{it}")),
    );
    if hidden > 0 && details > 0 {
        lines.push(format!("{indent}and {hidden} more lines"));
    }
    lines.iter().map(|it| text::fit(it, LONGEST)).collect()
}

/// "do: power-cycle outlet 7 (network team, https://wiki.example.jp/router)".
pub fn to_do(entry: &Entry) -> Option<String> {
    let said = [
        ("do", &entry.action),
        ("ask", &entry.owner),
        ("see", &entry.runbook),
    ];
    let mut said = said
        .into_iter()
        .filter_map(|(word, it)| Some((word, it.as_ref()?)));
    let (word, first) = said.next()?;
    let rest: Vec<&str> = said.map(|(_, it)| it.as_str()).collect();
    Some(match rest[..] {
        [] => format!("{word}: {first}"),
        _ => format!("{word}: {first} ({})", rest.join(", ")),
    })
}

/// Perfdata in the list's order, and how many metrics did not fit.
///
/// What is printed depends on the list alone, never on states or values, so that no graph has gaps: the first
/// usual metric of every check comes before the second of any, room is kept for those that a check does not
/// have now, and each counts with the widest that its values get. What else a check measures comes after that.
fn perfdata(report: &Report, style: &Style) -> (String, usize) {
    let mut room = match style.max_bytes {
        most if most > Style::MAX_BYTES => most / 2,
        most => (LINE - TEXT - 3).min(most.saturating_sub(TEXT + 3)),
    };
    // That something was not delivered must not give the metrics of the only check other labels.
    let checks = report.entries.iter().filter(|it| it.kind != KOSHU);
    let single = checks.count() == 1;
    let prefix = |entry: &Entry| match single {
        true => String::new(),
        false => format!("{}.", entry.label),
    };
    let mut wishes: Vec<(usize, usize, &str, usize)> = Vec::new();
    for (index, entry) in report.entries.iter().enumerate() {
        let usual = entry.usual_metrics;
        let more = entry.outcome.metrics().iter();
        let more = more.filter(|metric| usual.iter().all(|it| it.0 != metric.label));
        let more = more.map(|it| (it.label.as_str(), most(it)));
        let ranks = (0..usual.len()).chain(USUAL..);
        let usual = usual.iter().map(|(label, unit)| (*label, widest(*unit)));
        let both = usual.chain(more);
        wishes.extend(ranks.zip(both).map(|(rank, it)| (rank, index, it.0, it.1)));
    }
    wishes.sort_by_key(|it| it.0);
    let mut granted: HashSet<(usize, &str)> = HashSet::new();
    for (_, index, label, width) in wishes {
        let cost = prefix(&report.entries[index]).len() + label.len() + width;
        if cost <= room {
            room -= cost;
            granted.insert((index, label));
        }
    }
    let mut items: Vec<String> = Vec::new();
    let mut left_out = 0;
    for (index, entry) in report.entries.iter().enumerate() {
        let metrics = entry.outcome.metrics().iter();
        for metric in metrics.filter(|it| it.value.is_finite()) {
            let item = metric.perfdata(&prefix(entry));
            let most = prefix(entry).len() + metric.label.len() + most(metric);
            match granted.contains(&(index, metric.label.as_str())) && item.len() <= most {
                true => items.push(item),
                false => left_out += 1,
            }
        }
    }
    (items.join(" "), left_out)
}

/// The most bytes of a metric after its label. What a wrapped plugin prints has no usual width: it counts with
/// some room for its value to grow, so that it does not come and go.
fn most(metric: &Metric) -> usize {
    match &metric.as_came {
        Some(item) => (item.to_string().len() - item.label.len()).next_multiple_of(16) + 4,
        None => widest(metric.unit),
    }
}

/// More than any check has usual metrics.
const USUAL: usize = 1000;

/// The most bytes of a metric after its label: value, unit, limits, bounds and the blank behind it.
fn widest(unit: Unit) -> usize {
    match unit {
        Unit::None => 28,
        Unit::Percent => 30,
        Unit::Seconds => 36,
        Unit::Bytes => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;

    fn written(report: &Report, style: &Style) -> String {
        let mut bytes = Vec::new();
        write(report, style, &mut bytes).expect("a vector");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn renders_the_sample() {
        insta::assert_snapshot!(written(&sample::report(), &Style::default()), @r###"
        CRITICAL - ルーター: 192.0.2.1:22 refused; 1 UNKNOWN: db; 1 WARNING: disk /var; 1 OK | web.time=0.112s;1;3;0 disk__var.used=91B;80;95;0;100
        CRITICAL - ルーター: 192.0.2.1:22 refused
          do: power-cycle outlet 7 (network team, https://wiki.example.jp/router)
        UNKNOWN - db: cannot read ¦ <b>&"']]>
          permission denied
        WARNING - disk /var: /var: 91% used
          2 file systems, fullest /var: 91% used
          /: 40% used
        "###);
    }

    #[test]
    fn one_check_is_exactly_a_plugin() {
        let mut report = sample::report();
        report.entries.truncate(1);
        report.order = vec![0];
        assert_eq!(
            written(&report, &Style::default()),
            "OK - HTTP 200, 1256 bytes in 0.112 s | time=0.112s;1;3;0\n"
        );
    }

    fn thousand() -> Report {
        let mut report = sample::report();
        for number in 0..1000 {
            let mut entry = report.entries[number % 4].clone();
            entry.name = format!("check {number}");
            entry.label = crate::model::name::label(&entry.name);
            report.entries.push(entry);
            report.order.push(report.order.len());
        }
        report
    }

    #[test]
    fn budgets_hold_for_a_thousand_checks() {
        let text = written(&thousand(), &Style::default());
        assert!(text.len() <= 4096, "{}", text.len());
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.len() <= LINE && first.split(" | ").next().is_some_and(|it| it.len() <= TEXT)
        );
        assert_eq!(text.matches('|').count(), 1);
        assert!(text.contains("more lines") && text.contains("metrics do not fit"));
        let style = Style {
            max_bytes: 1 << 20,
            ..Style::default()
        };
        let text = written(&thousand(), &style);
        assert!(text.contains("check_996.time=") && !text.contains("metrics do not fit"));
        for most in [100, 300, 1000] {
            let style = Style {
                max_bytes: most,
                ..Style::default()
            };
            assert!(written(&thousand(), &style).len() <= most.max(300));
        }
    }

    #[test]
    fn which_metrics_are_printed_does_not_depend_on_states() {
        let labels = |report: &Report| -> Vec<String> {
            let (text, _) = perfdata(report, &Style::default());
            text.split(' ')
                .filter_map(|it| Some(it.split_once('=')?.0.to_owned()))
                .collect()
        };
        let mut fine = thousand();
        fine.entries
            .iter_mut()
            .for_each(|it| it.usual_metrics = &[("time", Unit::Seconds)]);
        fine.entries
            .retain(|it| !it.outcome.metrics().is_empty() && it.kind == "http");
        let mut broken = fine.clone();
        broken.entries[3].outcome =
            crate::model::outcome::Outcome::of("refused", State::Critical, "x");
        broken.entries[3].state = State::Critical;
        let (before, after) = (labels(&fine), labels(&broken));
        let lost: Vec<&String> = before.iter().filter(|it| !after.contains(it)).collect();
        assert_eq!(lost.len(), 1, "only the broken check's own: {lost:?}");
        assert!(
            after.iter().all(|it| before.contains(it)),
            "and none in its place"
        );
    }
}
