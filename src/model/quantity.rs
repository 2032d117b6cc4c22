//! Numbers with units as people write them: `90%`, `250ms`, `30d`, `10GiB`.

/// The unit of a metric's value; perfdata prints [`Unit::symbol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    Seconds,
    Bytes,
    Percent,
}

impl Unit {
    /// The unit of measurement in perfdata; only those that every engine parses.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Seconds => "s",
            Unit::Bytes => "B",
            Unit::Percent => "%",
        }
    }
}

const TIMES: &[(&str, f64)] = &[
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("PB", 1e15),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
];

/// Splits `text` into its number and what follows it, and refuses what is not a finite decimal number.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number
        .is_finite()
        .then(|| (number, text[end..].trim_start()))
}

/// Reads a quantity of the wanted unit; a bare number is in that unit already, `%` comes back as
/// [`Unit::Percent`] for the caller to judge.
pub fn parse(text: &str, wanted: Unit) -> Option<(f64, Unit)> {
    let (number, suffix) = split(text.trim())?;
    let table = match wanted {
        Unit::Seconds => TIMES,
        Unit::Bytes => SIZES,
        Unit::None | Unit::Percent => &[],
    };
    match suffix {
        "" => Some((number, wanted)),
        "%" => Some((number, Unit::Percent)),
        _ => table
            .iter()
            .find(|(name, _)| *name == suffix)
            .map(|(_, factor)| (number * factor, wanted)),
    }
}

/// A quantity as it is written here, when people wrote its unit in another way: `80G`, `5 minutes`, `10Gi`, `3 days`.
pub fn meant(text: &str, wanted: Unit) -> Option<String> {
    let (number, suffix) = split(text.trim())?;
    let suffix = suffix.to_lowercase();
    let unit = match (wanted, suffix.as_str()) {
        (Unit::Bytes, "b" | "byte" | "bytes") => "B",
        (Unit::Bytes, "k" | "ki" | "kb" | "kib") => "KiB",
        (Unit::Bytes, "m" | "mi" | "mb" | "mib") => "MiB",
        (Unit::Bytes, "g" | "gi" | "gb" | "gib") => "GiB",
        (Unit::Bytes, "t" | "ti" | "tb" | "tib") => "TiB",
        (Unit::Bytes, "p" | "pi" | "pb" | "pib") => "PiB",
        (Unit::Bytes | Unit::Percent, "percent" | "pct") => "%",
        (Unit::Seconds, "msec" | "msecs" | "millis" | "milliseconds") => "ms",
        (Unit::Seconds, "s" | "sec" | "secs" | "second" | "seconds") => "s",
        (Unit::Seconds, "min" | "mins" | "minute" | "minutes") => "m",
        (Unit::Seconds, "h" | "hr" | "hrs" | "hour" | "hours") => "h",
        (Unit::Seconds, "d" | "day" | "days") => "d",
        (Unit::Seconds, "w" | "week" | "weeks") => "w",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// Seconds in words that fit their size: `0.04 ms`, `250 ms`, `1.2 s`, `12 min`, `2 h 5 min`, `3 d 4 h`, `42 d`.
pub fn seconds(value: f64) -> String {
    if value < 0.0 {
        return format!("-{}", seconds(-value));
    }
    let whole = value as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0 if value > 0.0 && value < 0.00095 => format!("{:.2} ms", value * 1e3),
        0 if value < 0.0995 => format!("{:.0} ms", value * 1e3),
        0..10 if value.fract() == 0.0 => format!("{whole} s"),
        0..10 => format!("{value:.1} s"),
        10..120 => format!("{whole} s"),
        120..7_200 => format!("{minutes} min", minutes = whole / 60),
        7_200..86_400 => two(hours, "h", minutes, "min"),
        86_400..864_000 => two(days, "d", hours, "h"),
        _ => format!("{days} d"),
    }
}

fn two(major: u64, first: &str, minor: u64, second: &str) -> String {
    match minor {
        0 => format!("{major} {first}"),
        _ => format!("{major} {first} {minor} {second}"),
    }
}

/// Bytes in binary units, as `df -h` prints them: `532 B`, `1.5 KiB`, `82.0 GiB`.
pub fn bytes(value: f64) -> String {
    const NAMES: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = value;
    let mut name = 0;
    while value.abs() >= 1023.95 && name + 1 < NAMES.len() {
        value /= 1024.0;
        name += 1;
    }
    match name {
        0 => format!("{value:.0} B"),
        _ => format!("{value:.1} {}", NAMES[name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_scale_to_the_base_unit() {
        let cases = [
            ("250ms", Unit::Seconds, 0.25),
            ("1.5s", Unit::Seconds, 1.5),
            ("30d", Unit::Seconds, 2_592_000.0),
            ("2 h", Unit::Seconds, 7200.0),
            ("10GiB", Unit::Bytes, 10_737_418_240.0),
            ("1kB", Unit::Bytes, 1000.0),
            ("7", Unit::Bytes, 7.0),
        ];
        for (text, unit, value) in cases {
            assert_eq!(parse(text, unit), Some((value, unit)), "{text}");
        }
        assert_eq!(parse("90%", Unit::Bytes), Some((90.0, Unit::Percent)));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "s", "1..2", "1 parsec", "inf", "nan", "0x10", "1e999", "5d",
        ] {
            assert_eq!(parse(text, Unit::Bytes), None, "{text}");
        }
        assert_eq!(parse("10GiB", Unit::Seconds), None);
    }

    #[test]
    fn other_ways_to_write_a_unit_are_understood_as_advice() {
        let meant = |text: &str, unit| meant(text, unit).unwrap_or_default();
        assert_eq!(meant("80G", Unit::Bytes), "80GiB");
        assert_eq!(meant("1.5 gb", Unit::Bytes), "1.5GiB");
        assert_eq!(meant("5 minutes", Unit::Seconds), "5m");
        assert_eq!(meant("2days", Unit::Seconds), "2d");
        assert_eq!(meant("5 parsecs", Unit::Seconds), "");
    }

    #[test]
    fn people_read_them_back() {
        assert_eq!(seconds(0.004), "4 ms");
        assert_eq!(seconds(1.25), "1.2 s");
        assert_eq!(seconds(8.0), "8 s");
        assert_eq!(seconds(45.0), "45 s");
        assert_eq!(seconds(187_200.0), "2 d 4 h");
        assert_eq!(seconds(7_500.0), "2 h 5 min");
        assert_eq!(seconds(3_456_000.0), "40 d");
        assert_eq!(bytes(532.0), "532 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(1_048_570.0), "1.0 MiB");
    }
}
