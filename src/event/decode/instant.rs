//! Times as most logs write them, `2026-11-21T16:30:00.123Z`, without the cost of reading any form of RFC 3339.

use crate::event::Timestamp;

/// The time that RFC 3339 text says; none where it says none.
pub(super) fn read(text: &[u8]) -> Option<Timestamp> {
    usual(text).or_else(|| {
        let time = chrono::DateTime::parse_from_rfc3339(std::str::from_utf8(text).ok()?).ok()?;
        Some(Timestamp(time.timestamp_millis()))
    })
}

/// A time in UTC, with at most nine decimals. None does not mean that it is wrong.
fn usual(text: &[u8]) -> Option<Timestamp> {
    let &[c, e, y, r, b'-', m, n, b'-', d, a, b'T', h, o, b':', i, u, b':', s, t, ref rest @ .., b'Z'] = text
    else {
        return None;
    };
    let (year, month, day) = (number(&[c, e, y, r])?, number(&[m, n])?, number(&[d, a])?);
    let (hour, minute, second) = (number(&[h, o])?, number(&[i, u])?, number(&[s, t])?);
    let ms = match rest {
        [] => 0,
        [b'.', decimals @ ..] if matches!(decimals.len(), 1..=9) => {
            number(decimals)? * 1_000 / 10_i64.pow(decimals.len() as u32)
        }
        _ => return None,
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The year begins in March, so that a leap day is its last one: days before a month follow a line, and 719,468 days
    // lie between the first of March of the year 0 and the first of January of 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = 365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_chrono(text: &str) -> Option<Timestamp> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Timestamp(time.timestamp_millis()))
    }

    #[test]
    fn every_day_is_where_it_should_be() {
        for year in [0, 1, 4, 100, 400, 1583, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 9999] {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let text = format!("{year:04}-{month:02}-{day:02}T23:59:59.9Z");
                assert_eq!(usual(text.as_bytes()), by_chrono(&text), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn times_are_those_of_rfc_3339(text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])?", cut in any::<prop::sample::Index>(), put in "[0-9Z:.é-]?") {
            prop_assert_eq!(read(text.as_bytes()), by_chrono(&text));
            let (front, back) = text.split_at(cut.index(text.len()));
            let text = format!("{front}{put}{}", back.get(1..).unwrap_or(""));
            prop_assert_eq!(read(text.as_bytes()), by_chrono(&text));
        }
    }
}
