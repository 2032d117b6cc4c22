//! What other people's plugins print: text, long text and perfdata (Nagios plugin guidelines, "Plugin Output"
//! and "Performance data"), read leniently and passed on as it came.

use crate::model::limits::Judges;
use crate::model::metric::Metric;
use crate::model::quantity::Unit;
use crate::model::range::Range;
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

/// Reads the whole output of a plugin.
///
/// Perfdata stands on the first line after `|`, and after the next `|` to the end of the output.
pub fn read(output: &str) -> Printed {
    let mut lines = output
        .trim_end()
        .split('\n')
        .map(|it| it.trim_end_matches('\r'));
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
    let (items, malformed) = parse(&perfdata);
    Printed {
        text: text.trim().to_owned(),
        long,
        items,
        malformed,
    }
}

/// Reads perfdata; what is no item comes second.
pub fn parse(text: &str) -> (Vec<Item>, Vec<String>) {
    let (mut items, mut malformed) = (Vec::new(), Vec::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = end_of_item(rest);
        let (word, after) = rest.split_at(end);
        match item(word) {
            Some(item) => items.push(item),
            None => malformed.push(word.to_owned()),
        }
        rest = after.trim_start();
    }
    (items, malformed)
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
            (label.to_owned(), fields)
        }
    };
    let mut fields = fields.split(';');
    let (value, unit) = value(fields.next()?)?;
    let [warn, crit, min, max] = [(); 4].map(|()| fields.next().unwrap_or_default());
    let good = !label.is_empty()
        && label.len() <= LONGEST
        && !label.contains(['=', '|'])
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

/// A label as perfdata wants it: in quotes where it has a blank or a quote.
pub fn quoted(label: &str) -> String {
    match label.contains(|c: char| c == '\'' || c.is_whitespace()) {
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

    #[test]
    fn the_guidelines_example_of_many_lines() {
        let printed = read(
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
    fn what_is_no_perfdata_is_told_and_harms_nothing() {
        let (items, malformed) =
            parse("a=1 b c=0,013s d=nan 'e=2 =4 f=5;6;7;8;9;10 g=inf h=1;x|y i=2c");
        let labels: Vec<&str> = items.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(labels, ["a", "i"]);
        assert_eq!(malformed.len(), 8, "{malformed:?}");
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
            let printed = read(&text);
            for item in printed.items {
                let line = item.to_string();
                prop_assert!(!line.contains(['|', '\n']), "{}", line);
                prop_assert_eq!(parse(&line).0, vec![item]);
            }
        }
    }
}
