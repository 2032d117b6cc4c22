//! Text for a terminal: lines that are broken between words, and rows of cells that line up in any script.

use unicode_width::UnicodeWidthStr;

/// Blanks between two columns.
const GAP: usize = 2;
/// A column is broken into lines no narrower than this; where even that has no room, rows are stacked.
const NARROWEST: usize = 16;

/// A text of at least `width` columns, filled up with blanks.
pub fn filled(text: &str, width: usize) -> String {
    let fill = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(fill))
}

/// Rows of cells in columns of at most `width` together, the first row being the head. Nothing is ever cut: the widest
/// column but the first is broken into lines, and where that is not enough each row becomes a paragraph.
pub fn rows(head: &[&str], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let widest = |column: usize| {
        let cells = all.iter().filter_map(|it| it.get(column));
        cells.map(|it| it.width()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..head.len()).map(widest).collect();
    let total: usize = widths.iter().sum::<usize>() + GAP * head.len().saturating_sub(1);
    if total > width {
        // No word is broken: its end may be that of an address.
        let least = |column: usize| {
            let cells = all.iter().filter_map(|it| it.get(column));
            let words = cells
                .flat_map(|it| it.split(' '))
                .map(UnicodeWidthStr::width);
            words.max().unwrap_or(0).max(NARROWEST)
        };
        let others = widths.iter_mut().enumerate().skip(1);
        let breakable = others.filter(|(column, it)| **it >= least(*column) + total - width);
        match breakable.max_by_key(|it| *it.1) {
            Some((_, broken)) => *broken -= total - width,
            None => return stacked(&head, rows, width),
        }
    }
    all.into_iter()
        .flat_map(|row| {
            let cells: Vec<Vec<String>> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| wrapped(cell, *width))
                .collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
            let line = |number: usize| {
                let parts = cells.iter().zip(&widths).map(|(lines, width)| {
                    filled(lines.get(number).map_or("", String::as_str), *width)
                });
                let line = parts.collect::<Vec<_>>().join(&" ".repeat(GAP));
                line.trim_end().to_owned()
            };
            (0..height).map(line).collect::<Vec<_>>()
        })
        .collect()
}

/// Each row as its first cell, and below it the others, each behind the word of its head.
fn stacked(head: &[String], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        lines.extend(row.first().cloned());
        let cells = head.iter().zip(row).skip(1);
        let cells = cells.filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<String> = cells.map(|(head, cell)| format!("{head} {cell}")).collect();
        let room = width.saturating_sub(GAP).max(NARROWEST);
        let below = wrapped(&cells.join(", "), room);
        lines.extend(below.iter().map(|it| format!("{}{it}", " ".repeat(GAP))));
    }
    lines
}

/// A text whose lines are broken at `width` columns, each continued where its own words began: behind a key and the
/// blanks after it, or behind the blanks at its start.
pub fn folded(text: &str, width: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let start = line.len() - line.trim_start().len();
        let behind_key = line[start..].find("  ").map(|key| {
            let rest = &line[start + key..];
            start + key + rest.len() - rest.trim_start().len()
        });
        let hang = behind_key
            .filter(|it| start > 0 && *it <= width / 2)
            .unwrap_or(start);
        let (before, words) = line.split_at(hang.min(line.len()));
        let lines = wrapped(words, width.saturating_sub(hang).max(NARROWEST));
        let mut lead = before.to_owned();
        for part in lines
            .iter()
            .map(String::as_str)
            .chain(lines.is_empty().then_some(""))
        {
            folded.push_str(format!("{lead}{part}").trim_end());
            folded.push('\n');
            lead = " ".repeat(before.width());
        }
    }
    folded
}

/// Lines of at most `width` columns, broken between words where there are any.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
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

    fn table(width: usize) -> Vec<String> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let all = [
            row([
                "2001:db8::1234:5678:9abc:def0:443",
                "20 d",
                "Example CA, valid and with nothing wrong at all",
            ]),
            row(["192.0.2.1:443", "", "the same"]),
        ];
        rows(&["ADDRESS", "LEFT", "CERTIFICATE"], &all, width)
    }

    #[test]
    fn no_width_cuts_what_stands_in_a_cell() {
        for width in [1, 10, 40, 60, 80, 100, 200] {
            let lines = table(width);
            let text = lines.join(" ");
            assert!(
                text.contains("2001:db8::1234:5678:9abc:def0:443"),
                "{width}: {lines:#?}"
            );
            assert!(text.contains("all"), "{width}: {lines:#?}");
            let fits = lines.iter().all(|it| it.width() <= width);
            assert!(fits || width < 40, "{width}: {lines:#?}");
        }
        assert_eq!(
            table(80)[1],
            "2001:db8::1234:5678:9abc:def0:443  20 d  Example CA, valid and with nothing"
        );
        assert_eq!(table(45)[1], "  LEFT 20 d, CERTIFICATE Example CA, valid");
    }

    #[test]
    fn lines_are_continued_behind_their_key() {
        let text = "Keys:\n\n  path    one of many words\n  a line that has no key in it\n";
        assert_eq!(
            folded(text, 20),
            "Keys:\n\n  path    one of many\n          words\n  a line that has no\n  key in it\n"
        );
    }

    #[test]
    fn long_words_and_narrow_terminals_end() {
        assert_eq!(wrapped("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(wrapped("古酒古酒", 4), ["古酒", "古酒"]);
        assert_eq!(wrapped("古酒", 1), ["古", "酒"]);
    }
}
