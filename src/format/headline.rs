//! The first line: what is wrong, what else is, and how much is fine, within a budget of bytes.

use crate::model::quantity;
use crate::model::report::{Entry, Report};
use crate::model::state::State;
use crate::model::text;

/// The text of the first line without the state word, at most `most` bytes. That another list was run than was asked for
/// stands at its end, whatever else has to give way.
pub fn text(report: &Report, most: usize) -> String {
    match &report.origin {
        None => of_run(report, most),
        Some(origin) => {
            let note = text::fit(&format!("; {origin}"), most / 2);
            of_run(report, most.saturating_sub(note.len())) + &note
        }
    }
}

fn of_run(report: &Report, most: usize) -> String {
    let Some(stopped) = &report.stopped else {
        return of_entries(report, most);
    };
    let open = report
        .entries
        .iter()
        .filter(|it| it.outcome.line().contains(stopped.as_str()))
        .count();
    let total = report.entries.len();
    let answered = total - open;
    match total {
        0 => text::fit(stopped, most),
        _ => text::fit(
            &format!("{stopped}; {answered} of {total} checks had answered"),
            most,
        ),
    }
}

fn of_entries(report: &Report, most: usize) -> String {
    let fine = report.of(State::Ok).len();
    let mut worst_first = report.worst_first();
    let Some(first) = worst_first.next() else {
        return "nothing was checked".to_owned();
    };
    if report.entries.len() == 1 {
        return text::fit(&first.line(), most);
    }
    if first.state() == State::Ok {
        let answered = report.entries.iter().filter(|it| !it.is_tolerated());
        let slowest = answered.max_by_key(|it| it.took);
        let slowest = slowest.map_or(String::new(), |it| {
            let took = quantity::seconds(it.took.as_secs_f64());
            format!(", slowest {} {took}", it.name)
        });
        let tolerated = report.worst_first().filter(|it| it.is_tolerated());
        let tolerated: Vec<&str> = tolerated.map(|it| it.name.as_str()).collect();
        let fine = match fine - tolerated.len() {
            0 => "no check fine".to_owned(),
            1 => "1 check fine".to_owned(),
            count => format!("{count} checks fine"),
        };
        let rest = match tolerated.len() {
            0 => String::new(),
            count => format!("; {count} tolerated: {}", tolerated.join(", ")),
        };
        return text::fit(&format!("{fine}{slowest}{rest}"), most);
    }
    // The first fault in words, all others by name as far as there is room.
    let rest: Vec<&Entry> = worst_first.filter(|it| it.state() != State::Ok).collect();
    let others = Others::of(&rest, first.state(), fine);
    let shortest = others.tail(0);
    let room = most.saturating_sub(shortest.len());
    let lead = text::fit(
        &format!("{}: {}", first.name, first.line()),
        room.max(most / 3),
    );
    let named = (0..=others.namable(most))
        .rev()
        .map(|names| others.tail(names))
        .find(|it| lead.len() + it.len() <= most)
        .unwrap_or(shortest);
    text::fit(&format!("{lead}{named}"), most)
}

/// What is not told in words.
struct Others<'r> {
    /// The names of those that are not OK, by their states, worst first.
    names: Vec<(State, Vec<&'r str>)>,
    /// The state of the one that is told in words.
    first: State,
    fine: usize,
}

impl<'r> Others<'r> {
    fn of(rest: &[&'r Entry], first: State, fine: usize) -> Others<'r> {
        let worst_first = State::BY_BADNESS.into_iter().rev();
        let names = worst_first.map(|state| {
            let of = rest.iter().filter(|it| it.state() == state);
            (state, of.map(|it| it.name.as_str()).collect::<Vec<_>>())
        });
        Others {
            names: names.filter(|it| !it.1.is_empty()).collect(),
            first,
            fine,
        }
    }

    /// How many names can have room in so many bytes, so that no more are tried, however many there are.
    fn namable(&self, most: usize) -> usize {
        let names = self.names.iter().flat_map(|it| &it.1);
        let used = names.scan(0, |used, name| {
            *used += name.len() + 2; // ": " or ", " before each
            Some(*used)
        });
        used.take_while(|it| *it <= most).count()
    }

    /// "; 2 WARNING: disk /, ns3; 41 OK" with at most `names` names, the others counted.
    fn tail(&self, names: usize) -> String {
        let mut tail = String::new();
        let mut left = names;
        for (state, of) in &self.names {
            let more = if *state == self.first { "more " } else { "" };
            tail.push_str(&format!("; {} {more}{}", of.len(), state.word()));
            let shown = of.len().min(left);
            left -= shown;
            match (shown, of.len() - shown) {
                (0, _) => (),
                (_, 0) => tail.push_str(&format!(": {}", of.join(", "))),
                (_, hidden) => {
                    tail.push_str(&format!(": {} and {hidden} more", of[..shown].join(", ")))
                }
            }
        }
        match self.fine {
            0 => tail,
            fine => format!("{tail}; {fine} OK"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;

    #[test]
    fn the_cause_stands_first_and_the_rest_is_named() {
        let line = text(&sample::report(), 255);
        assert_eq!(
            line,
            "ルーター: 192.0.2.1:22 refused; 1 UNKNOWN: db; 1 WARNING: disk /var; 1 OK"
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut report = sample::report();
        let disk = report.entries[1].clone();
        for number in 0..50 {
            let name = format!("disk number {number}");
            report.entries.push(Entry {
                name,
                ..disk.clone()
            });
            report.order.insert(3, 4 + number);
        }
        let line = text(&report, 255);
        assert!(line.len() <= 255, "{line}");
        assert!(
            line.contains("51 WARNING: ") && line.ends_with("more; 1 OK"),
            "{line}"
        );
    }

    #[test]
    fn only_as_many_names_are_tried_as_have_room() {
        let entry = sample::report().entries[1].clone();
        let entries = vec![entry; 10_000];
        let others = Others::of(&entries.iter().collect::<Vec<_>>(), State::Warning, 0);
        assert_eq!(others.namable(255), 23, "of 9 letters and 2 before them");
        assert_eq!(others.namable(usize::MAX), 10_000);
    }

    #[test]
    fn a_small_budget_still_names_the_cause() {
        let line = text(&sample::report(), 40);
        assert!(line.len() <= 40 && line.starts_with("ルータ"), "{line}");
    }
}
