//! When something that grows reaches a limit: the median of all pairwise slopes (Theil 1950, Sen 1968), which a
//! few odd samples do not move; pure.

/// What is known of a value: seconds and the value at that time, oldest first.
pub type Samples = Vec<(f64, f64)>;

/// When a limit is reached, in seconds from the last sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    pub about: f64,
    /// The ends of the range that holds in nine of ten cases.
    pub soonest: f64,
    pub latest: f64,
    /// How much it grows in a day.
    pub per_day: f64,
}

/// Only so much of the past says something of the future.
pub const WINDOW: f64 = 30.0 * DAY;
/// Less than this says nothing.
const SPAN: f64 = 6.0 * 3600.0;
const FEWEST: usize = 12;
/// So many times as far as one has looked back can one look ahead.
const REACH: f64 = 20.0;
/// Pairs grow with the square of samples.
const MOST: usize = 256;
/// The normal distribution's value for nine of ten cases.
const Z: f64 = 1.645;
const DAY: f64 = 86_400.0;

/// When `target` is reached; nothing for what is flat, falls, or cannot be told.
pub fn until(samples: &[(f64, f64)], target: f64) -> Option<Forecast> {
    let newest = samples.last()?.0;
    let recent: Samples = samples
        .iter()
        .copied()
        .filter(|it| it.0 >= newest - WINDOW && it.1.is_finite())
        .collect();
    let span = newest - recent.first()?.0;
    let points = thinned(&recent, newest, span);
    if span < SPAN || points.len() < FEWEST {
        return None;
    }
    let mut slopes: Vec<f64> = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, later) in points.iter().enumerate().skip(1) {
        for earlier in &points[..index] {
            if later.0 > earlier.0 {
                slopes.push((later.1 - earlier.1) / (later.0 - earlier.0));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    let slope = middle(&slopes)?;
    // Sen's interval, by the variance of Kendall's S.
    let count = points.len() as f64;
    let width = Z * (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
    let pairs = slopes.len() as f64;
    let at = |rank: f64| {
        slopes
            .get((rank.max(0.0) as usize).min(slopes.len() - 1))
            .copied()
    };
    let (low, high) = (at((pairs - width) / 2.0)?, at((pairs + width) / 2.0)?);
    let mut residuals: Vec<f64> = points
        .iter()
        .map(|it| it.1 - slope * (it.0 - newest))
        .collect();
    residuals.sort_by(f64::total_cmp);
    let level = middle(&residuals)?;
    let mut noise: Vec<f64> = residuals.iter().map(|it| (it - level).abs()).collect();
    noise.sort_by(f64::total_cmp);
    // What grows by less than it wavers does not grow.
    let grows = low > 0.0 && slope * span > 2.0 * middle(&noise)?;
    let left = (target - level).max(0.0);
    let about = left / slope;
    (grows && about <= REACH * span).then(|| Forecast {
        about,
        soonest: left / high,
        latest: left / low,
        per_day: slope * DAY,
    })
}

/// At most so many points: the median of what lies in each of equal parts of the time.
fn thinned(samples: &[(f64, f64)], newest: f64, span: f64) -> Samples {
    if samples.len() <= MOST {
        return samples.to_vec();
    }
    let width = span / MOST as f64;
    let mut points = Samples::new();
    let mut rest = samples;
    for part in 0..MOST {
        let end = newest - span + width * (part + 1) as f64;
        let count = match part + 1 == MOST {
            true => rest.len(),
            false => rest.partition_point(|it| it.0 < end),
        };
        let (within, later) = rest.split_at(count);
        rest = later;
        let mut values: Vec<f64> = within.iter().map(|it| it.1).collect();
        values.sort_by(f64::total_cmp);
        if let (Some(value), Some(middle_one)) = (middle(&values), within.get(count / 2)) {
            points.push((middle_one.0, value));
        }
    }
    points
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(match sorted.len() % 2 {
        0 => (sorted[sorted.len() / 2 - 1] + upper) / 2.0,
        _ => upper,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without any order, from -1 to 1.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        }
    }

    /// A month of samples of every quarter of an hour.
    fn month(seed: u64, value: impl Fn(f64, f64) -> f64) -> Samples {
        let mut noise = Noise(seed * 7919 + 1);
        let samples = (0..2880).map(|it| {
            let day = f64::from(it) / 96.0;
            (day * DAY, value(day, noise.next()))
        });
        samples.collect()
    }

    #[test]
    fn steady_growth_is_told_within_its_range() {
        for seed in 1..20 {
            // 40 at the end of the month, 1 a day: 100 is reached in 60 days.
            let it = month(seed, |day, noise| 10.0 + day + noise);
            let it = until(&it, 100.0).expect("it grows");
            assert!((it.about / DAY - 60.0).abs() < 2.0, "{seed}: {it:?}");
            assert!(it.soonest <= it.about && it.about <= it.latest, "{it:?}");
            assert!(
                it.soonest / DAY <= 61.0 && it.latest / DAY >= 59.0,
                "{seed}: {it:?}"
            );
            assert!((it.per_day - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn flat_noisy_falling_and_sawing_disks_are_silent() {
        for seed in 1..20 {
            assert_eq!(until(&month(seed, |_, _| 50.0), 100.0), None);
            assert_eq!(
                until(&month(seed, |_, noise| 50.0 + 10.0 * noise), 100.0),
                None,
                "{seed}"
            );
            assert_eq!(
                until(&month(seed, |day, noise| 90.0 - day + noise), 100.0),
                None
            );
            // Filled in a week and emptied at its end.
            let saw = month(seed, |day, noise| 40.0 + 6.0 * (day % 7.0) + noise);
            assert_eq!(until(&saw, 100.0), None, "{seed}");
        }
    }

    #[test]
    fn odd_samples_do_not_move_it() {
        let mut it = month(3, |day, noise| 10.0 + day + noise);
        for index in (0..it.len()).step_by(10) {
            it[index].1 = 99.0;
        }
        let it = until(&it, 100.0).expect("it grows");
        assert!((it.about / DAY - 60.0).abs() < 8.0, "{it:?}");
    }

    #[test]
    fn too_little_says_nothing() {
        let all = month(1, |day, _| day);
        assert_eq!(until(&all[..11], 100.0), None);
        assert_eq!(until(&all[..20], 100.0), None, "five hours");
        assert!(until(&all[..96], 10.0).is_some());
        assert_eq!(until(&all[..96], 1000.0), None, "too far ahead");
        assert_eq!(until(&[], 1.0), None);
        let full = until(&all, 5.0).expect("over it already");
        assert_eq!(full.about, 0.0);
    }

    #[test]
    fn a_hundred_thousand_samples_are_thinned() {
        let all: Samples = (0..100_000)
            .map(|it| (f64::from(it) * 25.0, f64::from(it)))
            .collect();
        assert_eq!(thinned(&all, 99_999.0 * 25.0, 99_999.0 * 25.0).len(), MOST);
        let it = until(&all, 200_000.0).expect("it grows");
        assert!((it.about - 100_001.0 * 25.0).abs() < 5_000.0, "{it:?}");
    }
}
