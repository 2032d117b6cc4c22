//! Limits of a metric as the list writes them: `"80%,90%"`, `{ warn = "1s", crit = "3s" }`, `["25%", "30d"]`.

use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The direction in which a metric gets worse, which gives a bare value its meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bad {
    Above,
    Below,
    /// Both ways can be bad: only explicit ranges are understood.
    Neither,
}

/// What a limit measures: its unit, its bad direction, and what a percentage is taken of.
pub trait Measure {
    const UNIT: Unit;
    const BAD: Bad;
    /// The whole that `%` is a part of; `None` refuses percentages.
    const WHOLE: Option<&'static str>;
    /// Whether a number without a unit is clear enough.
    const BARE: bool;
    /// Two values to show in messages and in the manual.
    const EXAMPLE: &'static str;
    /// Whether it can be less than nothing, as the time that is left of what has expired.
    const BELOW_ZERO: bool = matches!(Self::BAD, Bad::Below) && matches!(Self::UNIT, Unit::Seconds);
}

macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident: $unit:ident $bad:ident $whole:expr, $bare:expr, $example:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl Measure for $name {
            const UNIT: Unit = Unit::$unit;
            const BAD: Bad = Bad::$bad;
            const WHOLE: Option<&'static str> = $whole;
            const BARE: bool = $bare;
            const EXAMPLE: &'static str = $example;
        }
    )*};
}

measures! {
    /// How long something took.
    Time: Seconds Above None, false, "1s,3s";
    /// Time left of a lifetime.
    Left: Seconds Below Some("the lifetime"), false, "30d,14d";
    /// Time until something happens.
    Until: Seconds Below None, false, "14d,2d";
    /// How long ago something was made; only too old is bad.
    Old: Seconds Above None, false, "1d,2d";
    /// Some number of which more is worse.
    Amount: None Above None, true, "10,100";
    /// Members of a group that are up.
    Up: None Below Some("the members"), true, "3,2";
    /// Open files of a process.
    Files: None Above Some("what it may have"), true, "80%,95%";
    /// Inodes in use.
    Inodes: None Above Some("all inodes"), true, "90%,95%";
    /// How long ago something began; too young and too old can both be bad.
    Age: Seconds Neither None, false, "~:1d,~:2d";
    /// A part of a whole that fills up.
    Used: Bytes Above Some("the whole"), false, "80%,90%";
    /// A part of a whole that runs out.
    Free: Bytes Below Some("the whole"), false, "20%,10%";
    /// An amount of memory.
    Memory: Bytes Above None, false, "500MiB,1GiB";
    /// The size of something; too small and too large can both be bad.
    Size: Bytes Neither None, false, "1KiB:10MiB,1B:";
    /// A share of something, in percent.
    Share: Percent Above None, true, "80%,90%";
    /// A number of things.
    Count: None Neither None, true, "1:,1:";
}

/// One end of a range, still relative to the whole where it was given in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    value: f64,
    relative: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    start: Option<Bound>,
    end: Option<Bound>,
    inside: bool,
}

impl Span {
    /// Its ends as numbers, when they can be compared with those of `other`: both parts of the same whole, or both not.
    fn ends(&self, other: &Span) -> Option<(Range, Range)> {
        let bounds = [self.start, self.end, other.start, other.end];
        let mut given = bounds.into_iter().flatten().filter(|it| it.value != 0.0);
        let first = given.next().map(|it| it.relative);
        match given.all(|it| Some(it.relative) == first) {
            true => Some((self.plain(), other.plain())),
            false => None,
        }
    }

    /// Its ends as they are written.
    fn plain(&self) -> Range {
        Range {
            start: self.start.map_or(f64::NEG_INFINITY, |it| it.value),
            end: self.end.map_or(f64::INFINITY, |it| it.value),
            inside: self.inside,
        }
    }

    /// Whether it lies beyond all that a metric can be. `0:` and `~:` say so openly: they only show the metric.
    fn never_alarms<M: Measure>(&self) -> bool {
        let range = self.plain();
        let least = match M::BELOW_ZERO {
            true => f64::NEG_INFINITY,
            false => 0.0,
        };
        let most = match [self.start, self.end]
            .iter()
            .flatten()
            .any(|it| it.relative)
        {
            true => 100.0,
            false => f64::INFINITY,
        };
        let beyond = |it: f64| it.is_finite() && (it < least || it > most);
        match range.inside {
            true => range.end < least || range.start > most,
            false => {
                let (start, end) = (range.start, range.end);
                start <= least && end >= most && (beyond(start) || beyond(end))
            }
        }
    }
}

/// Whether the first range alarms only where the second one does, and not everywhere there.
fn is_covered(warn: Range, crit: Range) -> bool {
    let within = match (warn.inside, crit.inside) {
        (false, false) => warn.start <= crit.start && warn.end >= crit.end,
        (true, true) => warn.start >= crit.start && warn.end <= crit.end,
        (true, false) => warn.end < crit.start || warn.start > crit.end,
        (false, true) => false,
    };
    within && warn != crit
}

/// A limit: a range, or several of which all must alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit<M> {
    spans: Vec<Span>,
    measure: PhantomData<M>,
}

impl<M: Measure> Limit<M> {
    /// The ranges in the metric's own unit, percentages taken of `whole`.
    pub fn of(&self, whole: f64) -> Vec<Range> {
        let fix = |bound: Option<Bound>, open: f64, count: fn(f64) -> f64| match bound {
            None => open,
            Some(it) if it.relative => {
                let part = whole * it.value / 100.0;
                match M::UNIT {
                    // Nobody graphs a fraction of a byte.
                    Unit::Bytes => part.round(),
                    // 4.2 of 7 members are not there before the fifth is.
                    Unit::None if (part - part.round()).abs() > 1e-6 => count(part),
                    Unit::None => part.round(),
                    _ => part,
                }
            }
            Some(it) => it.value,
        };
        self.spans
            .iter()
            .map(|span| Range {
                start: fix(span.start, f64::NEG_INFINITY, f64::ceil),
                end: fix(span.end, f64::INFINITY, f64::floor),
                inside: span.inside,
            })
            .collect()
    }
}

fn bound<M: Measure>(text: &str) -> Result<Bound, String> {
    let refuse = || {
        let meant = quantity::meant(text, M::UNIT);
        let meant = meant.map_or(String::new(), |it| format!(": write \"{it}\""));
        format!("\"{text}\" is not {}{meant}", expected::<M>())
    };
    let (value, unit) = quantity::parse(text, M::UNIT).ok_or_else(refuse)?;
    let relative = unit == Unit::Percent && M::UNIT != Unit::Percent;
    if relative && M::WHOLE.is_none() {
        return Err(format!("{}: there is no whole to take % of", refuse()));
    }
    let bare = text.trim().parse::<f64>().is_ok();
    if bare && !M::BARE && value != 0.0 {
        let [first, second] = units::<M>();
        return Err(format!(
            "\"{text}\" has no unit: write \"{text}{first}\" or \"{text}{second}\""
        ));
    }
    Ok(Bound { value, relative })
}

/// The two units that a number without one most likely has.
fn units<M: Measure>() -> [&'static str; 2] {
    match M::UNIT {
        Unit::Seconds if M::EXAMPLE.contains('d') => ["h", "d"],
        Unit::Seconds => ["ms", "s"],
        Unit::Bytes if M::WHOLE.is_some() => ["%", "GiB"],
        Unit::Bytes => ["MiB", "GiB"],
        Unit::None | Unit::Percent => ["", "%"],
    }
}

/// A text of limits with a unit at every number that has none.
fn with_unit(text: &str, unit: &str) -> String {
    let parts = text.split_inclusive([',', ':', '@', '~']);
    let parts = parts.map(|part| {
        let number = part.trim_end_matches([',', ':', '@', '~']);
        match number.trim().parse::<f64>() {
            Ok(value) if value != 0.0 => {
                format!("{}{unit}{}", number.trim(), &part[number.len()..])
            }
            _ => part.to_owned(),
        }
    });
    parts.collect()
}

/// Whether a text of limits has a number without a unit.
fn is_bare(text: &str) -> bool {
    let mut numbers = text.split([',', ':', '@', '~']).map(str::trim);
    numbers.any(|it| it.parse::<f64>().is_ok_and(|it| it != 0.0))
}

fn expected<M: Measure>() -> String {
    let what = match M::UNIT {
        Unit::Seconds => "a duration such as \"1.5s\" or \"30d\"",
        Unit::Bytes => "a size such as \"500MiB\" or \"10GB\"",
        Unit::Percent => "a percentage such as \"90%\"",
        Unit::None => "a number",
    };
    match M::WHOLE {
        Some(whole) => format!("{what}, or % of {whole}"),
        None => what.to_owned(),
    }
}

fn span<M: Measure>(text: &str) -> Result<Span, String> {
    let text = text.trim();
    let (inside, body) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let bound = |text: &str| bound::<M>(text.trim());
    let zero = Some(Bound {
        value: 0.0,
        relative: false,
    });
    let span = match body.split_once(':') {
        Some((start, end)) => Span {
            inside,
            start: match start.trim() {
                "" => zero,
                "~" => None,
                start => Some(bound(start)?),
            },
            end: match end.trim() {
                "" => None,
                end => Some(bound(end)?),
            },
        },
        None => {
            let value = Some(bound(body)?);
            match M::BAD {
                _ if inside => Span {
                    start: zero,
                    end: value,
                    inside,
                },
                Bad::Above => Span {
                    start: zero,
                    end: value,
                    inside,
                },
                Bad::Below => Span {
                    start: value,
                    end: None,
                    inside,
                },
                Bad::Neither => {
                    return Err(format!(
                        "\"{text}\" alone does not say which way is bad: {}",
                        both(text)
                    ));
                }
            }
        }
    };
    if let (Some(start), Some(end)) = (span.start, span.end) {
        let comparable = start.relative == end.relative || start.value == 0.0;
        if comparable && start.value > end.value {
            return Err(format!("\"{text}\" starts above its end"));
        }
    }
    match span.never_alarms::<M>() {
        true => Err(format!("\"{text}\" can never alarm")),
        false => Ok(span),
    }
}

/// How to say of a value which way is bad.
fn both(text: &str) -> String {
    format!("write \"{text}:\" for at least, \"~:{text}\" for at most")
}

impl<M: Measure> std::str::FromStr for Limit<M> {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit<M>, String> {
        Ok(Limit {
            spans: vec![span::<M>(text)?],
            measure: PhantomData,
        })
    }
}

impl<'de, M: Measure> Deserialize<'de> for Limit<M> {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Limit<M>, D::Error> {
        struct One<M>(PhantomData<M>);
        impl<'de, M: Measure> Visitor<'de> for One<M> {
            type Value = Limit<M>;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                write!(to, "{}, or a Nagios range of them", expected::<M>())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit<M>, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limit<M>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Limit<M>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Limit<M>, A::Error> {
                let mut spans = Vec::new();
                while let Some(Limit { spans: one, .. }) = list.next_element::<Limit<M>>()? {
                    spans.extend(one);
                }
                if spans.is_empty() {
                    return Err(de::Error::custom("an empty list limits nothing"));
                }
                Ok(Limit {
                    spans,
                    measure: PhantomData,
                })
            }
        }
        from.deserialize_any(One(PhantomData))
    }
}

/// The two limits of a metric; each can be left out, but not both.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits<M> {
    pub warn: Option<Limit<M>>,
    pub crit: Option<Limit<M>>,
}

impl<M: Measure> Limits<M> {
    /// Both limits as ranges in the metric's own unit.
    pub fn of(&self, whole: f64) -> Judges {
        let fix =
            |limit: &Option<Limit<M>>| limit.as_ref().map(|it| it.of(whole)).unwrap_or_default();
        Judges {
            warn: fix(&self.warn),
            crit: fix(&self.crit),
        }
    }

    /// # Errors
    /// When the warning can never be seen, because whatever it warns of is critical already.
    fn in_order(self) -> Result<Limits<M>, String> {
        let spans =
            |side: &Option<Limit<M>>| side.as_ref().map_or(Vec::new(), |it| it.spans.clone());
        let (warn, crit) = (spans(&self.warn), spans(&self.crit));
        let pairs: Option<Vec<(Range, Range)>> = match warn.len() == crit.len() {
            true => warn.iter().zip(&crit).map(|it| it.0.ends(it.1)).collect(),
            false => None,
        };
        let reversed = pairs.is_some_and(|pairs| {
            let covered = |it: &(Range, Range)| is_covered(it.0, it.1);
            pairs.iter().any(covered) && pairs.iter().all(|it| it.0 == it.1 || covered(it))
        });
        match reversed {
            true => Err(
                "the warning comes after the critical limit, so it can never be seen: the first limit is the one that is reached first"
                    .to_owned(),
            ),
            false => Ok(self),
        }
    }

    /// Both limits of something that may have none.
    pub fn maybe(limits: &Option<Limits<M>>, whole: f64) -> Judges {
        limits.as_ref().map(|it| it.of(whole)).unwrap_or_default()
    }
}

impl Limits<Up> {
    /// The most members that either limit wants to be up, where it is a number.
    pub fn at_least(&self) -> Option<f64> {
        let limits = self.warn.iter().chain(&self.crit);
        let starts = limits.flat_map(|it| &it.spans).filter(|it| !it.inside);
        let starts = starts.filter_map(|it| it.start).filter(|it| !it.relative);
        starts.map(|it| it.value).max_by(f64::total_cmp)
    }
}

/// Limits as ranges that judge a value; all ranges of a side must alert, none means no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judges {
    pub warn: Vec<Range>,
    pub crit: Vec<Range>,
}

impl<M: Measure> std::str::FromStr for Limits<M> {
    type Err = String;

    /// The shorthand `"WARN,CRIT"`.
    fn from_str(text: &str) -> Result<Limits<M>, String> {
        let side = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse::<Limit<M>>().map(Some),
        };
        let sides: Vec<&str> = text.split(',').map(str::trim).collect();
        if !M::BARE && is_bare(text) && sides.len() < 3 {
            let text = match sides[..] {
                [one] => format!("{one},"),
                _ => text.to_owned(),
            };
            let [first, second] = units::<M>();
            return Err(format!(
                "\"{}\" has no unit: write \"{}\" or \"{}\"",
                text.trim_end_matches(','),
                with_unit(&text, first),
                with_unit(&text, second)
            ));
        }
        match sides[..] {
            // What is said to be written must be right when it is written.
            [one] if M::BAD == Bad::Neither && quantity::parse(one, M::UNIT).is_some() => {
                Err(format!(
                    "\"{one}\" alone does not say which way is bad, nor how bad: write \"{one}:,\" to warn of less, \"~:{one},\" to warn of more, and with the comma in front for critical"
                ))
            }
            [one] => match side(one)? {
                None => Err("an empty text limits nothing".to_owned()),
                Some(_) => Err(format!(
                    "\"{one}\" is one limit of two: write \"{one},\" for the warning or \",{one}\" for the critical one"
                )),
            },
            [warn, crit] => match (side(warn)?, side(crit)?) {
                (None, None) => Err("\",\" limits nothing".to_owned()),
                (warn, crit) => Limits { warn, crit }.in_order(),
            },
            _ => Err(format!(
                "\"{text}\" has more than two limits, expected \"WARN,CRIT\""
            )),
        }
    }
}

impl<'de, M: Measure> Deserialize<'de> for Limits<M> {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Limits<M>, D::Error> {
        struct Both<M>(PhantomData<M>);
        impl<'de, M: Measure> Visitor<'de> for Both<M> {
            type Value = Limits<M>;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                write!(
                    to,
                    "limits such as \"{}\" or {{ warn = …, crit = … }}",
                    M::EXAMPLE
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limits<M>, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limits<M>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Limits<M>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Limits<M>, A::Error> {
                let (mut warn, mut crit) = (None, None);
                while let Some(key) = map.next_key::<Side>()? {
                    match key {
                        Side::Warn => warn = Some(map.next_value()?),
                        Side::Crit => crit = Some(map.next_value()?),
                    }
                }
                match (warn, crit) {
                    (None, None) => Err(de::Error::custom(
                        "limits without `warn` and without `crit` limit nothing",
                    )),
                    (warn, crit) => Limits { warn, crit }.in_order().map_err(de::Error::custom),
                }
            }
        }
        from.deserialize_any(Both(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Warn,
    Crit,
}

impl<M: Measure> schemars::JsonSchema for Limit<M> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Limit{}", M::EXAMPLE).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = schemars::json_schema!({ "type": ["string", "number"] });
        schemars::json_schema!({
            "title": "limit",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }],
        })
    }
}

impl<M: Measure> schemars::JsonSchema for Limits<M> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Limits{}", M::EXAMPLE).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let limit = Limit::<M>::json_schema(generator);
        schemars::json_schema!({
            "title": "limits",
            "examples": [M::EXAMPLE],
            "anyOf": [
                { "type": "string", "pattern": "^[^,]*,[^,]*$" },
                {
                    "type": "object",
                    "properties": { "warn": limit, "crit": limit },
                    "additionalProperties": false,
                    "minProperties": 1,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits<M: Measure>(text: &str) -> Judges {
        text.parse::<Limits<M>>().expect(text).of(200.0)
    }

    fn refused<M: Measure>(text: &str) -> String {
        text.parse::<Limits<M>>()
            .err()
            .unwrap_or_else(|| panic!("{text} was accepted"))
    }

    #[test]
    fn percentages_of_counts_are_whole() {
        let of = |text: &str, whole: f64| {
            let limits = text.parse::<Limits<Up>>().expect(text).of(whole);
            (limits.warn[0].start, limits.crit[0].start)
        };
        assert_eq!(of("60%,30%", 7.0), (5.0, 3.0));
        assert_eq!(of("50%,33.3%", 1000.0), (500.0, 333.0));
        let files = "80%,95%"
            .parse::<Limits<Files>>()
            .expect("limits")
            .of(1023.0);
        assert_eq!((files.warn[0].end, files.crit[0].end), (818.0, 971.0));
    }

    #[test]
    fn a_bare_value_alarms_in_the_bad_direction() {
        assert_eq!(limits::<Time>("1s,3s").crit, [Range::up_to(3.0)]);
        assert_eq!(limits::<Left>("30d,14d").warn, [Range::from(2_592_000.0)]);
        assert!(refused::<Count>("1,2").contains("write \"1:\""));
        assert!(refused::<Count>("1").contains("write \"1:,\""));
    }

    #[test]
    fn a_range_means_what_the_guidelines_say() {
        let [range] = limits::<Count>("10:20,")
            .warn
            .try_into()
            .expect("one range");
        assert!(range.alerts(9.0) && !range.alerts(10.0) && range.alerts(21.0));
        assert_eq!(limits::<Count>("@1:5,").warn[0].to_string(), "@1:5");
        assert_eq!(limits::<Time>("~:5s,").warn[0].to_string(), "~:5");
    }

    #[test]
    fn percentages_are_taken_of_the_whole() {
        assert_eq!(limits::<Used>("80%,90%").crit, [Range::up_to(180.0)]);
        assert_eq!(limits::<Share>("80%,90%").crit, [Range::up_to(90.0)]);
        assert!(refused::<Time>("80%,90%").contains("no whole"));
    }

    #[test]
    fn one_side_alone_keeps_its_comma() {
        assert!(limits::<Used>("80%,").crit.is_empty());
        assert!(limits::<Used>(",90%").warn.is_empty());
        let message = refused::<Used>("80%");
        assert!(message.contains("\"80%,\"") && message.contains("\",80%\""));
    }

    #[test]
    fn what_could_silently_mean_nothing_is_refused() {
        for text in ["20,10", ",", "1GiB,2GiB,3GiB", "2GiB:1GiB,", "abc,", ""] {
            refused::<Free>(text);
        }
        assert!(refused::<Free>("20,10").contains("has no unit"));
    }

    #[test]
    fn a_warning_that_can_never_be_seen_is_refused() {
        refused::<Used>("90%,80%");
        refused::<Free>("5%,20%");
        refused::<Free>("1GiB,2GiB");
        refused::<Left>("14d,30d");
        refused::<Up>("1,2");
        refused::<Count>("1:20,5:10");
        refused::<Count>("@5:6,@1:9");
        refused::<Count>("@20:30,1:10");
        for text in ["80%,90%", "90%,90%", "80%,10GiB", "@90%:95%,96%"] {
            limits::<Used>(text);
        }
        for text in ["1:,1:", "1:10,0:20", "@1:5,@2:3", "5:10,@0:3", "~:5,2:"] {
            limits::<Count>(text);
        }
        assert!(!limits::<Left>("0d,").warn.is_empty(), "what has expired");
    }

    #[test]
    fn a_limit_that_nothing_can_reach_is_refused() {
        refused::<Used>("110%,120%");
        refused::<Count>("-5:,1:");
        refused::<Count>("@-3:-1,");
        refused::<Free>("-1%,");
        limits::<Count>("0:,");
        refused::<Inodes>("80%,101%");
        limits::<Used>("99%,100%");
    }

    #[test]
    fn a_number_without_a_unit_is_offered_both_ways() {
        let said = refused::<Time>("100,500");
        assert!(said.contains("\"100ms,500ms\" or \"100s,500s\""), "{said}");
        let said = refused::<Time>("5");
        assert!(said.contains("\"5ms,\" or \"5s,\""), "{said}");
        let said = refused::<Old>("10:20,");
        assert!(said.contains("\"10h:20h,\""), "{said}");
        let said = refused::<Used>("80G,90G");
        assert!(said.contains("write \"80GiB\""), "{said}");
        assert!(!limits::<Time>("0:5s,").warn.is_empty());
    }

    #[test]
    fn what_is_advised_is_accepted() {
        let advised = |said: &str| -> Vec<String> {
            let (_, advice) = said.split_once("write ").expect("advice");
            advice
                .split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        for text in ["5", "100,500", "1.5"] {
            advised(&refused::<Time>(text))
                .iter()
                .for_each(|it| drop(limits::<Time>(it)));
        }
        for text in ["80", "80,90"] {
            advised(&refused::<Used>(text))
                .iter()
                .for_each(|it| drop(limits::<Used>(it)));
        }
        advised(&refused::<Count>("1"))
            .iter()
            .for_each(|it| drop(limits::<Count>(it)));
    }
}
