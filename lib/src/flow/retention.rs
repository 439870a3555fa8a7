//! Which checkpoints of a chain stay when nobody looks after it: the last ones, then one an hour, then one a day.
//!
//! Times in, choices out; knows no chain. What must stay true: the newest one stays, and what has no time that can be read.

use std::time::Duration;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// `samesession.keep`: `100`, `100 2d`, `100 2d 8w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many.
    pub last: usize,
    /// One of each hour, of those that are younger than this.
    pub hourly: Duration,
    /// One of each day.
    pub daily: Duration,
}

impl Retention {
    pub fn parse(text: &str) -> Option<Retention> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let last = words.next()?.parse().ok().filter(|last| *last > 0)?;
        let mut age = || match words.next() {
            None => Some(Duration::ZERO),
            Some(word) => parse_age(word),
        };
        let (hourly, daily) = (age()?, age()?);
        words.next().is_none().then_some(Retention { last, hourly, daily })
    }

    /// For each, newest first, by how old it is: whether it stays. Of an hour or day the newest one does.
    pub fn keeps(&self, ages: &[Option<Duration>]) -> Vec<bool> {
        let mut before = (None, None);
        let mut keeps = Vec::with_capacity(ages.len());
        for (n, age) in ages.iter().enumerate() {
            let Some(age) = age else {
                keeps.push(true);
                continue;
            };
            let (hour, day) = (Some(age.as_secs() / HOUR), Some(age.as_secs() / DAY));
            let stays = n < self.last.max(1) || (*age < self.hourly && before.0 != hour) || (*age < self.daily && before.1 != day);
            if stays {
                before = (hour, day);
            }
            keeps.push(stays);
        }
        keeps
    }
}

fn parse_age(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_understood_or_none() {
        let (two_days, weeks) = (Duration::from_secs(2 * DAY), Duration::from_secs(56 * DAY));
        let of = |last, hourly, daily| Some(Retention { last, hourly, daily });
        for (text, expected) in [
            ("100", of(100, Duration::ZERO, Duration::ZERO)),
            ("100 2d", of(100, two_days, Duration::ZERO)),
            (" 5, 48h,8w ", of(5, two_days, weeks)),
            ("", None),
            ("0", None),
            ("all", None),
            ("5 2", None),
            ("5 1d 2d 3d", None),
            ("5 99999999999999999999w", None),
        ] {
            assert_eq!(Retention::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_stay_then_one_an_hour_then_one_a_day() {
        let minutes = |list: &[u64]| list.iter().map(|m| Some(Duration::from_secs(m * 60))).collect::<Vec<_>>();
        let retention = Retention::parse("2 1d 3d").expect("a setting");
        let ages = minutes(&[0, 1, 2, 59, 61, 70, 130, 1439, 1441, 1500, 2880, 4319, 4321, 9999]);
        let kept = [true, true, false, false, true, false, true, true, true, false, true, false, false, false];
        assert_eq!(retention.keeps(&ages), kept);
        assert_eq!(Retention::parse("1").expect("a setting").keeps(&[None, None, Some(Duration::ZERO)]), [true, true, false]);
        assert_eq!(retention.keeps(&[]), [] as [bool; 0]);
        // Doing it again later drops nothing that was to be kept.
        let left: Vec<_> = ages.iter().zip(kept).filter(|(_, kept)| *kept).map(|(age, _)| *age).collect();
        assert!(retention.keeps(&left).iter().all(|kept| *kept));
    }
}
