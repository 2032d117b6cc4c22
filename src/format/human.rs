//! A table for people: worst first, columns that line up in any script, what to do next.

use crate::format::nagios::{changes, to_do};
use crate::format::{Failure, Format, Style};
use crate::model::outcome::Table;
use crate::model::quantity;
use crate::model::report::{Entry, Report};
use crate::model::state::State;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The width of the longest state word and the blanks behind it.
const STATE: usize = 10;
/// Names are cut no narrower, and no wider, than this.
const NAME: std::ops::RangeInclusive<usize> = 8..=40;

pub fn write(report: &Report, style: &Style, to: &mut dyn Write) -> io::Result<()> {
    let names = report.entries.iter().map(|it| it.name.width()).max();
    let name = names.unwrap_or(0).clamp(*NAME.start(), *NAME.end());
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
    for entry in report.worst_first() {
        let mut lines = wrapped(&entry.line(), room).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(
            to,
            "{}{}  {}  {:>last$}",
            painted(entry.state(), style, STATE),
            filled(&entry.name, name),
            filled(&first, room),
            took(entry),
        )?;
        let indent = " ".repeat(STATE + name + 2);
        for line in lines {
            writeln!(to, "{indent}{line}")?;
        }
        let single = report.entries.len() == 1;
        if entry.state() != State::Ok || single {
            let to_do = to_do(entry).filter(|_| entry.state() != State::Ok);
            let to_do = to_do.map(|it| format!("→ {it}"));
            for line in to_do.into_iter().chain(entry.texts()) {
                for part in wrapped(&line, style.width.saturating_sub(indent.len()).max(30)) {
                    writeln!(to, "{indent}{part}")?;
                }
            }
            if let Some(table) = entry.outcome.table() {
                let margin = if single { "" } else { "  " };
                for line in rows(table, style.width.saturating_sub(margin.len())) {
                    writeln!(to, "{margin}{line}")?;
                }
            }
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

pub fn fail(_: &Format, failure: &Failure, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{} - {}", State::Unknown.word(), failure.text)?;
    write!(to, "{}", failure.details)
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

/// A text of exactly `width` columns: cut with `…`, or filled with blanks.
fn filled(text: &str, width: usize) -> String {
    let mut shown = text.to_owned();
    if shown.width() > width {
        while shown.width() > width.saturating_sub(1) {
            shown.pop();
        }
        shown.push('…');
    }
    let fill = width.saturating_sub(shown.width());
    format!("{shown}{}", " ".repeat(fill))
}

/// A table's head and rows in columns; the widest columns give way where the line is too narrow.
fn rows(table: &Table, width: usize) -> Vec<String> {
    let head = table.head.iter().map(|it| (*it).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&table.rows).collect();
    let widest = |column: usize| {
        let cells = all.iter().filter_map(|it| it.get(column));
        cells.map(|it| it.width()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..head.len()).map(widest).collect();
    while widths.iter().map(|it| it + 2).sum::<usize>() > width + 2 {
        match widths.iter_mut().filter(|it| **it > 8).max() {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, width)| filled(cell, *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.into_iter().map(line).collect()
}

/// Lines of at most `width` columns, broken between words where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        while let Some(line) = lines.last_mut() {
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if line.is_empty() {
                let end = fitting(word, width);
                line.push_str(&word[..end]);
                word = &word[end..];
            }
            lines.push(String::new());
        }
    }
    lines.retain(|it| !it.is_empty());
    lines
}

/// How many bytes of a word fit into `width` columns; at least one character, so that it ends.
fn fitting(word: &str, width: usize) -> usize {
    let ends = word.char_indices().map(|(at, c)| at + c.len_utf8());
    let mut fits = ends.clone().take_while(|end| word[..*end].width() <= width);
    fits.by_ref()
        .last()
        .or(ends.into_iter().next())
        .unwrap_or(0)
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
    fn long_words_and_narrow_terminals_end() {
        assert_eq!(wrapped("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(wrapped("古酒古酒", 4), ["古酒", "古酒"]);
        assert_eq!(wrapped("古酒", 1), ["古", "酒"]);
        assert_eq!(filled("古酒古酒", 5), "古酒…");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        assert!(!written(&Style::default()).contains('\x1b'));
        let style = Style {
            colour: true,
            ..Style::default()
        };
        assert!(written(&style).contains("\x1b[1;31mCRITICAL\x1b[0m"));
    }
}
