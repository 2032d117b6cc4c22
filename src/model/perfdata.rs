//! What other people's plugins print: text, long text and perfdata (Nagios plugin guidelines, "Plugin Output"
//! and "Performance data"), read leniently and passed on as it came.

use crate::model::limits::Judges;
use crate::model::metric::Metric;
use crate::model::quantity::Unit;
use crate::model::range::Range;
use crate::model::text;
use std::collections::HashSet;
use std::fmt;

/// All that a plugin printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Printed {
    /// The first line without perfdata.
    pub text: String,
    /// The lines below it.
    pub long: Vec<String>,
    pub items: Vec<Item>,
    /// What stands where perfdata should, and is none.
    pub malformed: Vec<String>,
    /// The last item where the output ends in the middle of it.
    pub half: Option<String>,
}

/// One item of perfdata, `'label'=value[UOM];[warn];[crit];[min];[max]`, each field as it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    pub label: String,
    /// A decimal number, or `U` for unknown.
    pub value: String,
    pub unit: String,
    pub warn: String,
    pub crit: String,
    pub min: String,
    pub max: String,
}

/// The longest label, field and unit that are taken for meant.
const LONGEST: usize = 200;

/// Whether all of an output is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    Whole,
    /// It went on after the last byte.
    Cut,
}

/// The longest answer that NRPE 2 carries, which ends in the middle of a number, too.
const NRPE: usize = 1023;

/// Reads the output of a plugin. A byte order mark, colours and empty lines before the text are no part of it.
///
/// Perfdata stands on the first line after `|`, and after the next `|` to the end of the output.
pub fn read(output: &str, extent: Extent) -> Printed {
    let output = text::without_escapes(output);
    let cut = match extent {
        Extent::Cut => !output.ends_with(char::is_whitespace),
        Extent::Whole => output.trim_end().len() == NRPE,
    };
    let mut lines = output
        .trim_end()
        .split('\n')
        .map(|it| it.trim_end_matches('\r'))
        .skip_while(|it| it.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let (text, mut perfdata) = match first.split_once('|') {
        Some((text, perfdata)) => (text, perfdata.to_owned()),
        None => (first, String::new()),
    };
    let mut long = Vec::new();
    for line in lines.by_ref() {
        match line.split_once('|') {
            None => long.push(line.to_owned()),
            Some((last, more)) => {
                if !last.trim().is_empty() {
                    long.push(last.trim_end().to_owned());
                }
                perfdata.push(' ');
                perfdata.push_str(more);
                break;
            }
        }
    }
    for line in lines {
        perfdata.push(' ');
        perfdata.push_str(line);
    }
    let mut words = words(&perfdata);
    // Half a number is a number as well, but another one.
    let half = cut.then(|| words.pop()).flatten().map(str::to_owned);
    let (mut items, malformed) = sorted(&words);
    keep_apart(&mut items);
    Printed {
        text: text.trim().to_owned(),
        long,
        items,
        malformed,
        half,
    }
}

/// Reads perfdata; what is no item comes second.
pub fn parse(text: &str) -> (Vec<Item>, Vec<String>) {
    sorted(&words(text))
}

fn sorted(words: &[&str]) -> (Vec<Item>, Vec<String>) {
    let (mut items, mut malformed) = (Vec::new(), Vec::new());
    for word in words {
        match item(word) {
            Some(item) => items.push(item),
            None => malformed.push((*word).to_owned()),
        }
    }
    (items, malformed)
}

/// A second item of the same label gets a number, so that neither hides the other.
fn keep_apart(items: &mut [Item]) {
    let mut seen: HashSet<String> = items.iter().map(|it| it.label.clone()).collect();
    let mut met = HashSet::new();
    for item in items {
        if met.insert(item.label.clone()) {
            continue;
        }
        let numbered = (2..).map(|number| format!("{}_{number}", item.label));
        let free = numbered.into_iter().find(|it| !seen.contains(it));
        item.label = free.unwrap_or_default();
        seen.insert(item.label.clone());
        met.insert(item.label.clone());
    }
}

/// Units that some write with a blank before them, so that they are no part of the next label.
const UNITS: [&str; 14] = [
    "s", "ms", "us", "ns", "%", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB",
];

/// Splits perfdata at the blanks that part items. A label without quotes may have blanks all the same, as those of
/// Windows' drives do: the words before one with a `=` belong to it, unless they cannot.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut label: Option<usize> = None;
    let mut at = 0;
    loop {
        at = text.len() - text[at..].trim_start().len();
        if at == text.len() {
            words.extend(label.map(|it| text[it..].trim_end()));
            return words;
        }
        let end = at + end_of_item(&text[at..]);
        let word = &text[at..end];
        let quoted = word.starts_with('\'') && closing_quote(word).is_some();
        let is_unit = UNITS.contains(&word)
            && words
                .last()
                .is_some_and(|it| it.ends_with(|c: char| c.is_ascii_digit()));
        let is_alone = match word.contains('=') {
            true => quoted,
            false => quoted || word.contains([';', '|']) || (is_unit && label.is_none()),
        };
        if is_alone {
            words.extend(label.take().map(|it| text[it..at].trim_end()));
            words.push(word);
        } else if word.contains('=') {
            words.push(&text[label.take().unwrap_or(at)..end]);
        } else {
            label.get_or_insert(at);
        }
        at = end;
    }
}

/// Where the first blank outside of quotes is; a quote that is never closed quotes nothing.
fn end_of_item(text: &str) -> usize {
    let is_blank = |c: char| c.is_whitespace();
    let blank = text.find(is_blank).unwrap_or(text.len());
    if !text.starts_with('\'') {
        return blank;
    }
    match closing_quote(text) {
        None => blank,
        Some(close) => text[close..]
            .find(is_blank)
            .map_or(text.len(), |it| close + it),
    }
}

/// The quote that ends the label which the first one begins; a doubled one is a quote in the label.
fn closing_quote(text: &str) -> Option<usize> {
    let mut from = 1;
    loop {
        let at = from + text[from..].find('\'')?;
        match text[at + 1..].starts_with('\'') {
            true => from = at + 2,
            false => return Some(at),
        }
    }
}

fn item(word: &str) -> Option<Item> {
    let (label, fields) = match word.starts_with('\'') {
        true => {
            let close = closing_quote(word)?;
            let fields = word[close + 1..].strip_prefix('=')?;
            (word[1..close].replace("''", "'"), fields)
        }
        false => {
            let (label, fields) = word.split_once('=')?;
            let label: Vec<&str> = label.split_whitespace().collect();
            (label.join(" "), fields)
        }
    };
    let mut fields = fields.split(';');
    let (value, unit) = value(fields.next()?)?;
    let [warn, crit, min, max] = [(); 4].map(|()| fields.next().unwrap_or_default());
    let good = !label.is_empty()
        && label.len() <= LONGEST
        && !label.contains('|')
        && !label.chars().any(char::is_control)
        && [warn, crit, min, max].into_iter().all(is_field)
        && fields.all(str::is_empty);
    good.then(|| Item {
        label,
        value: value.to_owned(),
        unit: unit.to_owned(),
        warn: warn.to_owned(),
        crit: crit.to_owned(),
        min: min.to_owned(),
        max: max.to_owned(),
    })
}

/// A limit or bound: never anything that could end the item.
fn is_field(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".:~@+-%".contains(c);
    text.len() <= LONGEST && text.chars().all(allowed)
}

/// A value and its unit of measurement.
fn value(text: &str) -> Option<(&str, &str)> {
    if text == "U" {
        return Some(("U", ""));
    }
    let mut end = text.len();
    // The longest part that is a number: `1e5` is one, of `1E` only the digit is.
    while end > 0 {
        let is_end = text.is_char_boundary(end);
        if is_end && number(&text[..end]).is_some() {
            break;
        }
        end -= 1;
    }
    let (number, unit) = text.split_at(end);
    let unit_is_good = unit.len() <= 16
        && !unit.starts_with(|c: char| c.is_ascii_digit() || ".,-+".contains(c))
        && !unit.contains(['\'', '"', '=', '|'])
        && !unit.chars().any(|c| c.is_control() || c.is_whitespace());
    (end > 0 && unit_is_good).then_some((number, unit))
}

/// A finite decimal number, never `inf` or `nan`.
fn number(text: &str) -> Option<f64> {
    let decimal = text.ends_with(|c: char| c.is_ascii_digit() || c == '.')
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || ".+-eE".contains(c));
    let number: f64 = decimal.then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

impl Item {
    /// The metric that it stands for; none when its value is unknown. Its plugin has judged it already.
    pub fn metric(&self) -> Option<Metric> {
        let range = |text: &str| range(text).into_iter().collect();
        let unit = match self.unit.as_str() {
            "s" => Unit::Seconds,
            "B" => Unit::Bytes,
            "%" => Unit::Percent,
            _ => Unit::None,
        };
        let metric = Metric::new(self.label.clone(), number(&self.value)?, unit);
        Some(Metric {
            limits: Judges {
                warn: range(&self.warn),
                crit: range(&self.crit),
            },
            min: number(&self.min),
            max: number(&self.max),
            as_came: Some(self.clone()),
            ..metric
        })
    }

    /// Everything after the label's `=`, without trailing semicolons.
    pub fn fields(&self) -> String {
        let Item {
            value,
            unit,
            warn,
            crit,
            min,
            max,
            ..
        } = self;
        let text = format!("{value}{unit};{warn};{crit};{min};{max}");
        text.trim_end_matches(';').to_owned()
    }
}

impl fmt::Display for Item {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}={}", quoted(&self.label), self.fields())
    }
}

/// A label as perfdata wants it: in quotes where it has a blank, a quote or a `=`.
pub fn quoted(label: &str) -> String {
    match label.contains(|c: char| matches!(c, '\'' | '=') || c.is_whitespace()) {
        true => format!("'{}'", label.replace('\'', "''")),
        false => label.to_owned(),
    }
}

/// A range of the guidelines; what is none is passed on, but judges nothing.
fn range(text: &str) -> Option<Range> {
    let (inside, body) = match text.strip_prefix('@') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (start, end) = body.split_once(':').unwrap_or(("", body));
    let range = Range {
        inside,
        start: match start {
            "" => 0.0,
            "~" => f64::NEG_INFINITY,
            start => number(start)?,
        },
        end: match end {
            "" if body.contains(':') => f64::INFINITY,
            end => number(end)?,
        },
    };
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(output: &str) -> Printed {
        read(output, Extent::Whole)
    }

    fn labels(items: &[Item]) -> Vec<&str> {
        items.iter().map(|it| it.label.as_str()).collect()
    }

    #[test]
    fn the_guidelines_example_of_many_lines() {
        let printed = whole(
            "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n/boot 68 MB (69%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414\n",
        );
        assert_eq!(printed.text, "DISK OK - free space: / 3326 MB (56%);");
        assert_eq!(printed.long, ["/ 15272 MB (77%);", "/boot 68 MB (69%);"]);
        let labels: Vec<&str> = printed.items.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(labels, ["/", "/boot", "/home"]);
        assert_eq!(
            printed.items[2].to_string(),
            "/home=69357MB;253404;253409;0;253414"
        );
        assert!(printed.malformed.is_empty());
    }

    #[test]
    fn labels_may_have_blanks_and_quotes() {
        let (items, malformed) = parse("'/mnt/my disk'=1B 'it''s'=2;;;0 C:\\=3%");
        let labels: Vec<&str> = items.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(labels, ["/mnt/my disk", "it's", "C:\\"]);
        assert_eq!(items[1].to_string(), "'it''s'=2;;;0");
        assert!(malformed.is_empty(), "{malformed:?}");
    }

    #[test]
    fn two_drives_whose_labels_have_blanks_without_quotes_stay_two() {
        let (items, malformed) =
            parse("C:\\ Used  Space=12.5GB;80;90;0;100 D:\\ Used Space=3GB 'E:\\ %'=4%");
        assert_eq!(
            labels(&items),
            ["C:\\ Used Space", "D:\\ Used Space", "E:\\ %"]
        );
        assert_eq!(items[0].to_string(), "'C:\\ Used Space'=12.5GB;80;90;0;100");
        assert!(malformed.is_empty(), "{malformed:?}");
        // What cannot be part of a label is none.
        let (items, malformed) = parse("used=5 MB free=6 GB;7;8 rest=9 and so on");
        assert_eq!(labels(&items), ["used", "free", "rest"]);
        assert_eq!(malformed, ["MB", "GB;7;8", "and so on"]);
        let same = whole("OK | Space=1 Space=2 Space_2=3 Space=4");
        assert_eq!(
            labels(&same.items),
            ["Space", "Space_3", "Space_2", "Space_4"]
        );
    }

    #[test]
    fn a_quoted_label_may_have_an_equals_sign() {
        let (items, malformed) = parse("'a=b'=1;2 'CN=x, O=y'=3 'it''s=5'=6");
        assert_eq!(labels(&items), ["a=b", "CN=x, O=y", "it's=5"]);
        assert_eq!(items[0].to_string(), "'a=b'=1;2");
        assert!(malformed.is_empty(), "{malformed:?}");
    }

    #[test]
    fn a_number_in_which_the_output_ends_is_left_out() {
        let cut = |text: &str| read(text, Extent::Cut);
        let printed = cut("OK | a=1 b=123");
        assert_eq!(
            (labels(&printed.items), printed.half),
            (vec!["a"], Some("b=123".to_owned()))
        );
        let printed = cut("OK | a=1 b=123 ");
        assert_eq!(
            (labels(&printed.items), printed.half),
            (vec!["a", "b"], None)
        );
        // A line of NRPE 2 that is as long as one can be.
        let long = format!("OK - {} | a=1 b=1234", "x".repeat(NRPE - 18));
        let printed = whole(&format!("{long}\n"));
        assert_eq!((long.len(), labels(&printed.items)), (NRPE, vec!["a"]));
        assert_eq!(labels(&whole(&long[1..]).items), ["a", "b"]);
    }

    #[test]
    fn what_stands_before_the_text_is_no_part_of_it() {
        let text = |output: &str| whole(output).text;
        assert_eq!(text("\n \r\nCRITICAL - x | a=1\nlong"), "CRITICAL - x");
        assert_eq!(text("\u{feff}OK - x"), "OK - x");
        assert_eq!(text("\u{1b}[1;32mOK\u{1b}[0m - x\u{1b}[K"), "OK - x");
        assert_eq!(text("\u{1b}]0;title\u{7}\u{1b}(BOK\u{9b}31m - x"), "OK - x");
        let alone = whole("| time=1s;2;3\nmore");
        assert_eq!(
            (alone.text.as_str(), labels(&alone.items)),
            ("", vec!["time"])
        );
    }

    #[test]
    fn what_is_no_perfdata_is_told_and_harms_nothing() {
        let (items, malformed) =
            parse("a=1 b c=0,013s d=nan 'e=2 =4 f=5;6;7;8;9;10 g=inf h=1;x|y i=2c");
        let labels: Vec<&str> = items.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(labels, ["a", "i"]);
        assert_eq!(malformed.len(), 7, "{malformed:?}");
    }

    #[test]
    fn values_keep_what_a_float_would_lose() {
        let (items, _) = parse("n=18446744073709551615c t=1.010298729e-05s;0.5;1 u=U");
        let metric = items[0].metric().expect("a number");
        assert_eq!(metric.to_string(), "n=18446744073709551615c");
        assert_eq!(items[1].to_string(), "t=1.010298729e-05s;0.5;1");
        assert!(items[2].metric().is_none(), "unknown is no number");
    }

    #[test]
    fn limits_are_read_where_they_are_ranges() {
        let (items, _) = parse("a=1;@10:20;~:5 b=1;10:;wat");
        let metric = items[0].metric().expect("a number");
        assert_eq!(metric.limits.warn[0].to_string(), "@10:20");
        assert_eq!(metric.limits.crit[0].to_string(), "~:5");
        let metric = items[1].metric().expect("a number");
        assert_eq!(metric.limits.warn[0].to_string(), "10:");
        assert!(metric.limits.crit.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            label in "[a-zA-Z0-9_/ '.:-]{1,20}", value in "-?[0-9]{1,9}(\\.[0-9]{1,6})?",
            unit in "(s|ms|us|B|KB|MB|%|c|)", warn in "(@?~?:?[0-9]{0,4})", max in "([0-9]{1,4}|)",
        ) {
            prop_assume!(!label.trim().is_empty() && label.trim() == label);
            let item = Item { label, value, unit, warn, max, ..Item::default() };
            let (again, malformed) = parse(&format!("x=1 {item} y=2"));
            prop_assert!(malformed.is_empty(), "{:?}", malformed);
            prop_assert_eq!(again.len(), 3);
            prop_assert_eq!(&again[1], &item);
        }

        #[test]
        fn nothing_makes_it_fail(text in any::<String>()) {
            let printed = whole(&text);
            for item in printed.items {
                let line = item.to_string();
                prop_assert!(!line.contains(['|', '\n']), "{}", line);
                prop_assert_eq!(parse(&line).0, vec![item]);
            }
        }
    }
}
