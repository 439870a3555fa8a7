//! Times as text: RFC 3339 in UTC, the one form this format writes.
//!
//! Reads what agents write, too: any number of fractional digits, `Z` or an offset.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-21T04:03:02.746Z`; milliseconds, as both agents write them.
pub fn format(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (secs, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date_of((secs / 86_400) as i64);
    let clock = secs % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

pub fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let days = days_of(number(0..4)?, number(5..7)?, number(8..10)?)?;
    let mut secs = days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit())?),
        None => ("", rest),
    };
    if zone != "Z" {
        let (sign, zone) = (if zone.starts_with('-') { 1 } else { -1 }, zone.strip_prefix(['+', '-'])?);
        let (hours, minutes) = zone.split_once(':')?;
        // What is longer than a day would lead out of what a clock can hold.
        let two = |text: &str| text.parse::<i64>().ok().filter(|_| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()));
        secs += sign * (two(hours)? * 3600 + two(minutes)? * 60);
    }
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(UNIX_EPOCH + Duration::new(u64::try_from(secs).ok()?, nanos))
}

/// Days since 1970-01-01 to a civil date (Howard Hinnant's algorithm, with years that begin in March).
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_time_agree() {
        let at = |secs, millis: u32| UNIX_EPOCH + Duration::new(secs, millis * 1_000_000);
        for (time, text) in [
            (at(0, 0), "1970-01-01T00:00:00.000Z"),
            (at(951_782_400, 0), "2000-02-29T00:00:00.000Z"),
            (at(1_795_233_782, 746), "2026-11-21T04:03:02.746Z"),
            (at(4_102_444_799, 999), "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(time), text);
            assert_eq!(parse(text), Some(time));
        }
        assert_eq!(parse("2026-11-21T05:03:02+01:00"), parse("2026-11-21T04:03:02Z"));
        for bad in [
            "",
            "2026-13-01T00:00:00Z",
            "yesterday at noon, about",
            "2026-11-21T04:03:02",
            "2026-11-21T04:03:02.5",
            "2026-11-21T04:03:02-2562047788015215:00",
            "2026-11-21T04:03:02+9223372036854775807:00",
            "2026-11-21T04:03:02+01:9223372036854775807",
            "2026-11-21T04:03:02+-1:00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
