//! The output of a Nagios plugin: state and cause on the first line, perfdata once after the only `|`.

use crate::format::{Failure, Format, Style, headline};
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::quantity::Unit;
use crate::model::range::Number;
use crate::model::report::{Entry, KOSHU, Report};
use crate::model::state::State;
use crate::model::text;
use std::collections::{HashMap, HashSet};
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
    let mut last: Vec<String> = left_out.iter().map(LeftOut::line).collect();
    last.extend(report.remarks.iter().map(|it| text::fit(it, LONGEST)));
    let last = within(last, style.max_bytes.saturating_sub(first.len() + 1));
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
    if size(std::slice::from_ref(&lines)) <= room {
        return lines;
    }
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
    let hidden = more(total - kept.len());
    if hidden.len() < room {
        kept.push(hidden);
    }
    kept
}

/// "and 3 more lines".
fn more(lines: usize) -> String {
    match lines {
        1 => "and 1 more line".to_owned(),
        count => format!("and {count} more lines"),
    }
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
        lines.push(format!("{indent}{}", more(hidden)));
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

/// Metrics for which there is no room.
struct LeftOut {
    count: usize,
    /// With how many bytes for all output there would be.
    enough: usize,
}

impl LeftOut {
    /// "perfdata: 1 metric does not fit, see --max-bytes (8192 has room for all)".
    fn line(&self) -> String {
        let LeftOut { enough, .. } = self;
        let what = do_not_fit(self.count);
        format!("perfdata: {what}, see --max-bytes ({enough} has room for all)")
    }
}

/// "1 metric does not fit".
pub fn do_not_fit(metrics: usize) -> String {
    match metrics {
        1 => "1 metric does not fit".to_owned(),
        count => format!("{count} metrics do not fit"),
    }
}

/// A metric that a check has, or has usually and not now.
struct Wish<'r> {
    /// The label with what stands before it.
    label: String,
    unit: Unit,
    is_usual: bool,
    /// It as it is printed.
    item: Option<(&'r Metric, String)>,
}

/// Perfdata in the list's order, and what did not fit.
///
/// What is printed depends on the list alone, never on states or values, so that no graph has gaps. Where there is room
/// for all metrics at their widest, all are printed. Else the first usual metric of every check comes before the second
/// of any, room is kept for those that a check does not have now, and what else a check measures comes after that.
fn perfdata(report: &Report, style: &Style) -> (String, Option<LeftOut>) {
    let room = match style.max_bytes {
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
    let of = |entry| wishes(entry, &prefix(entry));
    let mut all: Vec<Vec<Wish>> = report.entries.iter().map(of).collect();
    keep_apart(&mut all, &report.entries);
    let needed: usize = all.iter().flatten().map(Wish::needs).sum();
    let mut granted: HashSet<(usize, usize)> = HashSet::new();
    if needed > room {
        let places = all.iter().enumerate().flat_map(|(entry, wishes)| {
            let places = wishes.iter().enumerate();
            places.map(move |(place, it)| (if it.is_usual { place } else { LAST }, entry, place))
        });
        let mut places: Vec<(usize, usize, usize)> = places.collect();
        places.sort_by_key(|it| it.0);
        let mut left = room;
        for (_, entry, place) in places {
            let cost = all[entry][place].reserves();
            if cost <= left {
                left -= cost;
                granted.insert((entry, place));
            }
        }
    }
    let mut items: Vec<&str> = Vec::new();
    let mut count = 0;
    for (entry, wishes) in all.iter().enumerate() {
        for (place, wish) in wishes.iter().enumerate() {
            match &wish.item {
                Some((_, item)) if needed <= room || granted.contains(&(entry, place)) => {
                    items.push(item);
                }
                Some(_) => count += 1,
                None => (),
            }
        }
    }
    let left_out = LeftOut {
        count,
        enough: (2 * needed).max(2 * Style::MAX_BYTES).next_power_of_two(),
    };
    (items.join(" "), (count > 0).then_some(left_out))
}

/// Gives a metric another label whose own is that of another check: `web` with `a.time` and `web.a` with `time`.
fn keep_apart(all: &mut [Vec<Wish>], entries: &[Entry]) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (number, wishes) in all.iter_mut().enumerate() {
        for wish in wishes {
            let owner = *owners.entry(wish.label.clone()).or_insert(number);
            if owner != number {
                wish.label = name::hashed(&wish.label, &entries[number].name);
                if let Some((metric, item)) = &mut wish.item {
                    let label = wish.label.clone();
                    let apart = Metric {
                        label,
                        ..metric.clone()
                    };
                    *item = apart.perfdata("");
                }
            }
        }
    }
}

/// More than any check has usual metrics.
const LAST: usize = 1000;

/// The usual metrics of a check in their order, and after them what else it has now.
fn wishes<'r>(entry: &'r Entry, prefix: &str) -> Vec<Wish<'r>> {
    let metrics = entry.outcome.metrics().iter();
    let mut metrics: Vec<&Metric> = metrics.filter(|it| it.value.is_finite()).collect();
    let wish = |label: &str, unit, is_usual, metric: Option<&'r Metric>| Wish {
        label: format!("{prefix}{label}"),
        unit,
        is_usual,
        item: metric.map(|it| (it, it.perfdata(prefix))),
    };
    let mut wishes = Vec::new();
    for (label, unit) in entry.usual_metrics {
        let place = metrics.iter().position(|it| it.label == *label);
        let metric = place.map(|it| metrics.remove(it));
        wishes.push(wish(label, *unit, true, metric));
    }
    wishes.extend(
        metrics
            .iter()
            .map(|it| wish(&it.label, it.unit, false, Some(it))),
    );
    wishes
}

impl Wish<'_> {
    /// The most bytes that it takes with its limits as they are, and the blank behind it, whatever its value becomes.
    fn needs(&self) -> usize {
        match &self.item {
            None => {
                self.label.len()
                    + "=".len()
                    + widest_value(self.unit)
                    + self.unit.symbol().len()
                    + 1
            }
            // What a wrapped plugin prints is of no known kind; it has some room to grow.
            Some((metric, item)) if metric.as_came.is_some() => {
                self.label.len() + (item.len() - self.label.len()).next_multiple_of(16) + 4
            }
            Some((metric, item)) => {
                let value = Number(metric.value).to_string().len();
                item.len() + widest_value(metric.unit).saturating_sub(value) + 1
            }
        }
    }

    /// What is kept for it, which its state does not change unless its limits are unusually wide.
    fn reserves(&self) -> usize {
        match self.is_usual {
            true => self.needs().max(self.label.len() + widest(self.unit)),
            false => self.needs(),
        }
    }
}

/// The most bytes of a value without its unit: a count, a share, a time in microseconds or years, a size.
fn widest_value(unit: Unit) -> usize {
    match unit {
        Unit::None => "9999999999".len(),
        Unit::Percent => "99.999999".len(),
        Unit::Seconds => "9999.999999".len(),
        Unit::Bytes => "999999999999999".len(),
    }
}

/// The most bytes of a metric after its label, where its limits are not known: value, unit, limits, bounds and the
/// blank behind it.
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
    use crate::model::limits::Judges;
    use crate::model::range::Range;
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
            entry.label = name::label(&entry.name);
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

    fn measured(metrics: Vec<Metric>) -> Report {
        let mut report = sample::report();
        report.entries.truncate(2);
        report.order = vec![0, 1];
        let mut outcome = crate::model::outcome::Outcome::new("fine");
        metrics.into_iter().for_each(|it| outcome.note(it));
        report.entries[0].outcome = outcome;
        report
    }

    #[test]
    fn wide_limits_drop_no_metric_that_there_is_room_for() {
        let wide = Judges {
            warn: vec![Range {
                start: 1_000_000_000_000.0,
                end: 2_000_000_000_000.25,
                inside: true,
            }],
            crit: vec![Range::up_to(123_456_789_012_345.0)],
        };
        for unit in [Unit::None, Unit::Percent, Unit::Seconds, Unit::Bytes] {
            let wide = Metric::new("wide", 1e15, unit)
                .judged(wide.clone())
                .max(1e16);
            let text = written(&measured(vec![wide]), &Style::default());
            assert!(text.contains(" web.wide=1000000000000000"), "{text}");
            assert!(!text.contains("fit"), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_has_room_where_the_message_says() {
        let many = |count: u32| {
            let metrics = (0..count).map(|it| Metric::new(format!("m{it}"), 1.0, Unit::None));
            measured(metrics.collect())
        };
        // 255 bytes of text, and 765 for perfdata.
        let text = written(&many(30), &Style::default());
        assert!(!text.contains("fit"), "{text}");
        for count in [40, 100, 1000] {
            let text = written(&many(count), &Style::default());
            let said = text.split_once(" metrics do not fit, see --max-bytes (");
            let (_, said) = said.unwrap_or_else(|| panic!("{text}"));
            let enough = said.split(' ').next().and_then(|it| it.parse().ok());
            let style = Style {
                max_bytes: enough.unwrap_or_else(|| panic!("{text}")),
                ..Style::default()
            };
            let text = written(&many(count), &style);
            assert!(
                !text.contains("fit") && text.len() <= style.max_bytes,
                "{text}"
            );
        }
        let one = (0..60).find_map(|it| {
            let text = written(&many(it), &Style::default());
            text.contains("not fit").then_some(text)
        });
        let one = one.unwrap_or_default();
        assert!(
            one.contains("\nperfdata: 1 metric does not fit, see"),
            "{one}"
        );
    }

    #[test]
    fn lines_that_fit_are_all_kept_and_others_counted() {
        let lines = || vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(within(lines(), 8), lines());
        assert_eq!(within(lines(), 7), Vec::<String>::new());
        assert_eq!(within(vec!["x".repeat(50)], 20), ["and 1 more line"]);
    }

    #[test]
    fn metrics_of_two_checks_never_share_a_label() {
        let time = |label: &str| {
            let mut outcome = crate::model::outcome::Outcome::new("fine");
            outcome.note(Metric::new(label, 1.0, Unit::Seconds));
            outcome
        };
        let mut report = sample::report();
        report.entries[0].outcome = time("a.time");
        report.entries[1].label = "web.a".to_owned();
        report.entries[1].outcome = time("time");
        let (text, _) = perfdata(&report, &Style::default());
        let labels: Vec<&str> = text
            .split(' ')
            .filter_map(|it| it.split('=').next())
            .collect();
        assert_eq!(labels.len(), 2, "{text}");
        assert_eq!(labels[0], "web.a.time");
        assert!(labels[1].starts_with("web.a.time_"), "{text}");
    }

    #[test]
    fn a_value_that_grows_pushes_no_metric_out() {
        let of = |value: f64| {
            let metrics = (0..36).map(|it| Metric::new(format!("m{it}"), value, Unit::None));
            let (text, _) = perfdata(&measured(metrics.collect()), &Style::default());
            text.split(' ').count()
        };
        assert_eq!(of(0.0), of(9_999_999_999.0));
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
