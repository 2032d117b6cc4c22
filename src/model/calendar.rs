//! Times that come again: `"Sun 02:00-04:00"`, `"first Wed 22:00-23:30"`, `"Mon-Fri 08:00-18:00"`, and times that
//! come once; clocks that are put forward and back are taken as RFC 5545 takes them.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span as Step, Timestamp};
use serde::Deserialize;

/// A part of certain days.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    days: Days,
    /// Minutes of the day.
    start: u16,
    /// Minutes of the day; not above the start when it lies on the next one.
    end: u16,
}

#[derive(Clone, Debug, PartialEq)]
enum Days {
    /// From Monday to Sunday.
    Weekly([bool; 7]),
    /// The first to fourth of a month, or the last, which is -1.
    Monthly(i8, Weekday),
}

/// When something holds.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// In any of these.
    During(Vec<Span>),
    /// Outside of all of these.
    Outside(Vec<Span>),
    /// Once, from a time of the zone to another.
    Once(DateTime, DateTime),
    /// Once, from a moment to another.
    Between(Timestamp, Timestamp),
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

const NTHS: [(&str, i8); 5] = [
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("last", -1),
];

const DAY: u16 = 24 * 60;
/// How far the end of what holds is looked for; what comes again at all comes within a month.
const HORIZON: i32 = 70;

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times) = match words[..] {
            [times] => (Days::Weekly([true; 7]), times),
            [days, times] => (Days::Weekly(weekdays(days)?), times),
            [nth, day, times] => {
                let found = NTHS.iter().find(|it| it.0 == nth);
                let nth = found.ok_or_else(|| {
                    format!("\"{nth}\" is none of first, second, third, fourth and last")
                })?;
                (Days::Monthly(nth.1, weekday(day)?), times)
            }
            _ => return Err(refuse(text)),
        };
        let (start, end) = times.split_once('-').ok_or_else(|| refuse(text))?;
        let (start, end) = (minutes(start)?, minutes(end)?);
        match start == end || start == DAY {
            true => Err(format!(
                "\"{times}\" is no time at all; a whole day is 00:00-24:00"
            )),
            false => Ok(Span { days, start, end }),
        }
    }
}

fn refuse(text: &str) -> String {
    format!(
        "\"{text}\" is no time that comes again, expected one such as \"Sun 02:00-04:00\", \"Mon-Fri 08:00-18:00\" or \"first Wed 22:00-23:30\""
    )
}

fn weekday(text: &str) -> Result<Weekday, String> {
    let found = WEEKDAYS.iter().find(|it| it.0 == text);
    found.map(|it| it.1).ok_or_else(|| {
        let names = WEEKDAYS.map(|it| it.0).join(", ");
        format!("\"{text}\" is no day of the week, expected {names}")
    })
}

/// `Mon`, `Mon-Fri`, `Sat,Sun`; a range may go over the end of the week.
fn weekdays(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let index = |day: Weekday| usize::from(day.to_monday_zero_offset().unsigned_abs());
        let (mut day, last) = (index(weekday(first)?), index(weekday(last)?));
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Ok(days)
}

fn minutes(text: &str) -> Result<u16, String> {
    let refuse = || format!("\"{text}\" is no time of day, expected HH:MM");
    let (hours, minutes) = text.split_once(':').ok_or_else(refuse)?;
    let number = |text: &str| match text.len() {
        2 => text.parse::<u16>().ok(),
        _ => None,
    };
    match (number(hours), number(minutes)) {
        (Some(24), Some(0)) => Ok(DAY),
        (Some(hours @ 0..24), Some(minutes @ 0..60)) => Ok(hours * 60 + minutes),
        _ => Err(refuse()),
    }
}

impl Span {
    fn begins_on(&self, date: Date) -> bool {
        match &self.days {
            Days::Weekly(days) => {
                let day = date.weekday().to_monday_zero_offset();
                days[usize::from(day.unsigned_abs())]
            }
            Days::Monthly(nth, day) => date
                .nth_weekday_of_month(*nth, *day)
                .is_ok_and(|it| it == date),
        }
    }

    /// From when to when it holds if it begins on a day.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.begins_on(date) {
            return None;
        }
        let next = date.tomorrow().ok()?;
        let at = |date: Date, minutes: u16| -> Option<DateTime> {
            match minutes {
                DAY => Some(date.tomorrow().ok()?.to_datetime(Time::midnight())),
                _ => {
                    let (hour, minute) = (
                        i8::try_from(minutes / 60).ok()?,
                        i8::try_from(minutes % 60).ok()?,
                    );
                    Some(date.at(hour, minute, 0, 0))
                }
            }
        };
        let start = at(date, self.start)?;
        let end = match self.end > self.start {
            true => at(date, self.end)?,
            false => at(next, self.end)?,
        };
        Some((first(zone, start)?, last(zone, end)?))
    }
}

/// A time of day that comes twice is the first one; one that is left out is as long after midnight as it would be.
fn first(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(at).compatible().ok()
}

/// A time of day that comes twice is the second one, so that what ends there has held all the while.
fn last(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(at).later().ok()
}

impl When {
    /// Whether it has ended for ever.
    pub fn is_over(&self, now: Timestamp, zone: &TimeZone) -> bool {
        match self {
            When::Once(_, until) => last(zone, *until).is_some_and(|it| it <= now),
            When::Between(_, until) => *until <= now,
            When::During(_) | When::Outside(_) => false,
        }
    }

    /// Until when it holds, when it does at this moment; what has no end ends far away.
    pub fn until(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            When::Once(from, until) => {
                let (from, until) = (first(zone, *from)?, last(zone, *until)?);
                (from <= now && now < until).then_some(until)
            }
            When::Between(from, until) => (*from <= now && now < *until).then_some(*until),
            When::During(spans) => holds(spans, now, zone),
            When::Outside(spans) => match holds(spans, now, zone) {
                Some(_) => None,
                None => Some(next(spans, now, zone).unwrap_or(Timestamp::MAX)),
            },
        }
    }
}

impl When {
    /// When it begins to hold again, after this moment.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            When::Once(from, _) => first(zone, *from).filter(|it| *it > now),
            When::Between(from, _) => Some(*from).filter(|it| *it > now),
            When::During(spans) => next(spans, now, zone),
            When::Outside(spans) => holds(spans, now, zone).filter(|it| *it < Timestamp::MAX),
        }
    }
}

/// The end of what holds at a moment, over all that follow without a gap.
fn holds(spans: &[Span], now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut end: Option<Timestamp> = None;
    let today = now.to_zoned(zone.clone()).date();
    let horizon = now
        .to_zoned(zone.clone())
        .checked_add(Step::new().days(HORIZON))
        .ok()?;
    loop {
        let at = end.unwrap_or(now);
        let day = at.to_zoned(zone.clone()).date();
        let days = [day.yesterday().ok()?, day];
        let further = days
            .iter()
            .flat_map(|day| spans.iter().filter_map(|it| it.on(*day, zone)))
            .filter(|(start, end)| *start <= at && at < *end)
            .map(|it| it.1)
            .max();
        match further {
            // What always holds has no end.
            Some(further) if further > horizon.timestamp() => return Some(Timestamp::MAX),
            Some(further) => end = Some(further),
            None => return end.filter(|_| today <= day),
        }
    }
}

/// When something of it begins next.
fn next(spans: &[Span], now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut day = now.to_zoned(zone.clone()).date();
    for _ in 0..HORIZON {
        let starts = spans
            .iter()
            .filter_map(|it| it.on(day, zone))
            .map(|it| it.0);
        if let Some(start) = starts.filter(|it| *it > now).min() {
            return Some(start);
        }
        day = day.tomorrow().ok()?;
    }
    None
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "title": "times that come again" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    fn during(texts: &[&str]) -> When {
        When::During(texts.iter().map(|it| it.parse().expect("a span")).collect())
    }

    /// Until when it holds, in the zone's own time; empty when it does not.
    fn until(when: &When, now: &str, name: &str) -> String {
        let zone = zone(name);
        let now: Timestamp = now.parse().expect("a moment");
        let until = when.until(now, &zone);
        until.map_or(String::new(), |it| match it == Timestamp::MAX {
            true => "for ever".to_owned(),
            false => it.to_zoned(zone).strftime("%a %F %H:%M %z").to_string(),
        })
    }

    #[test]
    fn weekly_in_the_zone_of_the_list() {
        let when = during(&["Sun 02:00-04:00"]);
        // Sunday in Tokyo is still Saturday in UTC.
        assert_eq!(
            until(&when, "2026-11-21T17:00:00Z", "Asia/Tokyo"),
            "Sun 2026-11-22 04:00 +0900"
        );
        assert_eq!(until(&when, "2026-11-21T16:59:59Z", "Asia/Tokyo"), "");
        assert_eq!(until(&when, "2026-11-21T19:00:00Z", "Asia/Tokyo"), "");
        assert_eq!(until(&when, "2026-11-21T17:00:00Z", "UTC"), "");
    }

    #[test]
    fn over_midnight_over_the_end_of_the_year_and_on_leap_days() {
        let when = during(&["Thu 22:00-02:00"]);
        assert_eq!(
            until(&when, "2027-01-01T01:30:00Z", "UTC"),
            "Fri 2027-01-01 02:00 +0000"
        );
        assert_eq!(
            until(&when, "2026-12-31T22:00:00Z", "UTC"),
            "Fri 2027-01-01 02:00 +0000"
        );
        assert_eq!(until(&when, "2027-01-01T22:30:00Z", "UTC"), "");
        let when = during(&["last Tue 23:00-01:00"]);
        assert_eq!(
            until(&when, "2028-02-29T23:30:00Z", "UTC"),
            "Wed 2028-03-01 01:00 +0000"
        );
    }

    #[test]
    fn the_first_and_last_of_a_month() {
        let when = during(&["first Wed 22:00-23:30", "last Fri 00:00-24:00"]);
        assert_eq!(
            until(&when, "2026-12-02T22:15:00Z", "UTC"),
            "Wed 2026-12-02 23:30 +0000"
        );
        assert_eq!(until(&when, "2026-12-09T22:15:00Z", "UTC"), "");
        assert_eq!(
            until(&when, "2026-11-27T12:00:00Z", "UTC"),
            "Sat 2026-11-28 00:00 +0000"
        );
        assert_eq!(until(&when, "2026-11-20T12:00:00Z", "UTC"), "");
    }

    #[test]
    fn clocks_that_are_put_forward() {
        // 2027-03-28 in Berlin: 02:00 becomes 03:00.
        let when = during(&["Sun 02:30-03:30"]);
        assert_eq!(until(&when, "2027-03-28T01:15:00Z", "Europe/Berlin"), "");
        assert_eq!(
            until(
                &during(&["Sun 01:00-03:30"]),
                "2027-03-28T01:15:00Z",
                "Europe/Berlin"
            ),
            "Sun 2027-03-28 03:30 +0200"
        );
        let when = during(&["Sun 02:00-04:00"]);
        assert_eq!(
            until(&when, "2027-03-28T01:00:00Z", "Europe/Berlin"),
            "Sun 2027-03-28 04:00 +0200"
        );
        assert_eq!(until(&when, "2027-03-28T00:59:59Z", "Europe/Berlin"), "");
    }

    #[test]
    fn clocks_that_are_put_back() {
        // 2026-10-25 in Berlin: 03:00 becomes 02:00, so that 02:30 comes twice.
        let when = during(&["Sun 02:00-02:30"]);
        for now in ["2026-10-25T00:00:00Z", "2026-10-25T01:29:00Z"] {
            assert_eq!(
                until(&when, now, "Europe/Berlin"),
                "Sun 2026-10-25 02:30 +0100"
            );
        }
        assert_eq!(until(&when, "2026-10-25T01:30:00Z", "Europe/Berlin"), "");
    }

    #[test]
    fn service_hours_are_the_inverse() {
        let hours = When::Outside(vec!["Mon-Fri 08:00-18:00".parse().expect("a span")]);
        assert_eq!(
            until(&hours, "2026-11-27T18:00:00Z", "UTC"),
            "Mon 2026-11-30 08:00 +0000"
        );
        assert_eq!(until(&hours, "2026-11-27T17:59:59Z", "UTC"), "");
    }

    #[test]
    fn what_follows_without_a_gap_has_one_end() {
        let when = during(&["Sat,Sun 00:00-24:00", "Mon 00:00-06:00"]);
        assert_eq!(
            until(&when, "2026-11-28T05:00:00Z", "UTC"),
            "Mon 2026-11-30 06:00 +0000"
        );
        assert_eq!(
            until(&during(&["00:00-24:00"]), "2026-11-28T05:00:00Z", "UTC"),
            "for ever"
        );
        let never = When::Outside(vec!["00:00-24:00".parse().expect("a span")]);
        assert_eq!(until(&never, "2026-11-28T05:00:00Z", "UTC"), "");
    }

    #[test]
    fn once_is_in_the_zone_too() {
        let at = |text: &str| text.parse::<DateTime>().expect("a time");
        let once = When::Once(at("2026-12-24T18:00"), at("2026-12-27T06:00"));
        assert_eq!(
            until(&once, "2026-12-24T09:00:00Z", "Asia/Tokyo"),
            "Sun 2026-12-27 06:00 +0900"
        );
        assert_eq!(until(&once, "2026-12-24T08:59:59Z", "Asia/Tokyo"), "");
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_was_expected() {
        for bad in [
            "",
            "Sun",
            "Sun 2:00-4:00",
            "Sunday 02:00-04:00",
            "fifth Mon 01:00-02:00",
            "Mon 25:00-26:00",
            "Mon 02:00-02:00",
            "Mon 24:00-02:00",
            "a b c d",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        let error = "Sunn 02:00-04:00".parse::<Span>().expect_err("no day");
        assert!(error.contains("expected Mon, Tue"), "{error}");
    }
}
