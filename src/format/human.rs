//! A table for people: worst first, columns that line up in any script, what to do next.

use crate::format::columns::{filled, rows, wrapped};
use crate::format::nagios::{changes, to_do};
use crate::format::{Failure, Format, Style};
use crate::model::quantity;
use crate::model::report::{Entry, Report};
use crate::model::state::State;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The width of the longest state word and the blanks behind it.
const STATE: usize = 10;
/// More plain rows than this are folded into one.
const MANY: usize = 12;
/// How wide the column of names may be.
const NAME: std::ops::RangeInclusive<usize> = 8..=32;

pub fn write(report: &Report, style: &Style, to: &mut dyn Write) -> io::Result<()> {
    let names = report.entries.iter().map(|it| it.name.width()).max();
    let widest = (style.width * 3 / 10).clamp(*NAME.start(), *NAME.end());
    let name = names.unwrap_or(0).clamp(*NAME.start(), widest);
    let took = |entry: &Entry| quantity::seconds(entry.took.as_secs_f64());
    let last = report
        .entries
        .iter()
        .map(|it| took(it).width())
        .max()
        .unwrap_or(0);
    let room = style.width.saturating_sub(STATE + name + last + 4).max(30);
    if let Some(origin) = &report.origin {
        writeln!(to, "{origin}")?;
    }
    if style.news {
        for line in changes(report) {
            writeln!(to, "{line}")?;
        }
        writeln!(to)?;
    }
    let (folded, told): (Vec<&Entry>, Vec<&Entry>) =
        report.worst_first().partition(|it| is_plain(it));
    let (folded, more) = match folded.len() > MANY {
        true => (folded, Vec::new()),
        false => (Vec::new(), folded),
    };
    for entry in told.into_iter().chain(more) {
        let mut lines = wrapped(&entry.line(), room).into_iter();
        let indent = " ".repeat(STATE + name + 2);
        // A name that is too long for its column has a line of its own: its end may be what tells it apart.
        let (word, first) = match entry.name.width() > name {
            true => (entry.name.clone(), None),
            false => (filled(&entry.name, name) + "  ", lines.next()),
        };
        let room = (STATE + name + 2 + room).saturating_sub(STATE + word.width());
        writeln!(
            to,
            "{}{word}{}  {:>last$}",
            painted(entry.state(), style, STATE),
            filled(&first.unwrap_or_default(), room),
            took(entry),
        )?;
        for line in lines {
            writeln!(to, "{indent}{line}")?;
        }
        let single = report.entries.len() == 1;
        if entry.state() != State::Ok || single {
            let width = style.width.saturating_sub(indent.len()).max(30);
            let to_do = to_do(entry).filter(|_| entry.state() != State::Ok);
            let to_do = to_do.map(|it| wrapped(&format!("→ {it}"), width));
            for line in to_do.into_iter().flatten() {
                writeln!(to, "{indent}{}", bold(&line, style))?;
            }
            for line in entry.texts().iter().flat_map(|it| wrapped(it, width)) {
                writeln!(to, "{indent}{line}")?;
            }
            if let Some(table) = entry.outcome.table() {
                let margin = if single { "" } else { "  " };
                for line in rows(
                    &table.head,
                    &table.rows,
                    style.width.saturating_sub(margin.len()),
                ) {
                    writeln!(to, "{margin}{line}")?;
                }
            }
        }
    }
    if !folded.is_empty() {
        let names: Vec<&str> = folded.iter().map(|it| it.name.as_str()).collect();
        let line = format!("{} checks fine: {}", names.len(), names.join(", "));
        let mut lead = painted(State::Ok, style, STATE);
        for line in wrapped(&line, style.width.saturating_sub(STATE).max(30)) {
            writeln!(to, "{lead}{line}")?;
            lead = " ".repeat(STATE);
        }
    }
    let counts = State::BY_BADNESS.into_iter().rev().filter_map(|state| {
        let count = report.of(state).len();
        (count > 0).then(|| format!("{count} {}", state.word()))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let took = quantity::seconds(report.took.as_secs_f64());
    writeln!(
        to,
        "\n{}{}: {counts} in {took}",
        painted(report.state(), style, 0),
        format_args!(" on {}", report.host)
    )?;
    if let Some(stopped) = &report.stopped {
        writeln!(to, "{stopped}")?;
    }
    for remark in &report.remarks {
        writeln!(to, "{remark}")?;
    }
    Ok(())
}

/// Whether there is nothing to say of it but that it is fine.
fn is_plain(entry: &Entry) -> bool {
    let quiet = entry.remarks.is_empty() && entry.behind.is_empty();
    entry.state() == State::Ok && entry.outcome.state() == State::Ok && quiet
}

pub fn fail(_: &Format, failure: &Failure, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{} - {}", State::Unknown.word(), failure.text)?;
    write!(to, "{}", failure.details)
}

/// A line that stands out, where that is wanted.
fn bold(line: &str, style: &Style) -> String {
    match style.colour {
        true => format!("\x1b[1m{line}\x1b[0m"),
        false => line.to_owned(),
    }
}

/// The state word, coloured where that is wanted, filled up to `width` columns.
fn painted(state: State, style: &Style, width: usize) -> String {
    let word = state.word();
    let fill = " ".repeat(width.saturating_sub(word.len()));
    // SGR of ECMA-48: green, yellow, red, magenta.
    let colour = match state {
        State::Ok => 32,
        State::Warning => 33,
        State::Critical => 31,
        State::Unknown => 35,
    };
    match style.colour {
        true => format!("\x1b[1;{colour}m{word}\x1b[0m{fill}"),
        false => format!("{word}{fill}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;

    fn written(style: &Style) -> String {
        let mut bytes = Vec::new();
        write(&sample::report(), style, &mut bytes).expect("a vector");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn renders_the_sample() {
        insta::assert_snapshot!(written(&Style { width: 80, ..Style::default() }), @r###"
        CRITICAL  ルーター   192.0.2.1:22 refused                                  0.1 s
                             → do: power-cycle outlet 7 (network team,
                             https://wiki.example.jp/router)
        UNKNOWN   db         cannot read ¦ <b>&"']]>                               0.1 s
                             permission denied
        WARNING   disk /var  /var: 91% used                                        0.1 s
                             2 file systems, fullest /var: 91% used
                             /: 40% used
        OK        web        HTTP 200, 1256 bytes in 0.112 s                       0.1 s

        CRITICAL on box1: 1 CRITICAL, 1 UNKNOWN, 1 WARNING, 1 OK in 0.3 s
        "###);
    }

    #[test]
    fn columns_line_up_in_any_script() {
        let text = written(&Style::default());
        let ends: Vec<usize> = text
            .lines()
            .filter(|it| it.ends_with(" s") && !it.contains(" on "))
            .map(UnicodeWidthStr::width)
            .collect();
        assert_eq!(ends.len(), 4);
        assert!(ends.windows(2).all(|it| it[0] == it[1]), "{text}");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        assert!(!written(&Style::default()).contains('\x1b'));
        let style = Style {
            colour: true,
            ..Style::default()
        };
        assert!(written(&style).contains("\x1b[1;31mCRITICAL\x1b[0m"));
        assert!(written(&style).contains("\x1b[1m→ do: "));
    }

    #[test]
    fn many_checks_that_are_fine_are_one_row_and_a_long_name_is_whole() {
        let mut report = sample::report();
        let fine = report.entries.iter().find(|it| it.state() == State::Ok);
        let fine = fine.expect("a fine check").clone();
        report.entries.extend((0..30).map(|number| Entry {
            name: format!("web{number}"),
            ..fine.clone()
        }));
        let long = "cert [2001:db8::1234:5678:9abc:def0]:443 of the shop's front";
        let bad = report.entries.iter_mut();
        let bad = bad.filter(|it| it.state() == State::Critical);
        bad.for_each(|it| it.name = long.to_owned());
        report
            .order
            .extend(report.order.len()..report.entries.len());
        let style = Style {
            width: 80,
            ..Style::default()
        };
        let mut bytes = Vec::new();
        write(&report, &style, &mut bytes).expect("a vector");
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert!(text.contains(long), "{text}");
        assert!(
            text.contains("\nOK        31 checks fine: web, web0, web1,"),
            "{text}"
        );
        assert!(text.contains("web29\n"), "{text}");
        assert!(text.lines().count() < 20, "{text}");
        assert!(text.lines().all(|it| it.width() <= 80), "{text}");
    }
}
