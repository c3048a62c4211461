//! When it happened: the client's times, read and set against the journal's clock.

use impresario_agents::vocabulary::Millis;

use super::reject::Reason;

/// 1900-01-01T00:00:00Z: nothing a shop tells of happened earlier.
pub const EARLIEST_MS: Millis = -2_208_988_800_000;

/// Reads an ISO 8601 time with or without a zone (UTC then), in milliseconds since 1970 UTC.
pub(super) fn read_time(text: &str, field: &'static str) -> Result<Millis, Reason> {
    read_usual(text.as_bytes()).or_else(|| read_any(text.trim())).ok_or(Reason::BadTime(field))
}

fn read_any(text: &str) -> Option<Millis> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

/// `2026-05-04T08:00:00[.fraction](Z|+hh:mm)`, as nearly every client writes it.
fn read_usual(text: &[u8]) -> Option<Millis> {
    let (date, rest) = text.split_at_checked(19)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *date else {
        return None;
    };
    let year = number(&[y0, y1, y2, y3])?;
    let (month, day) = (number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let (millis, zone) = fraction(rest)?;
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let (hours, minutes) = (number(&[a, b])?, number(&[c, d])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    Some(days * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1_000 + millis - offset)
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`; `None` for a day
/// there is not. A calendar's general arithmetic takes longer than reading the rest of an event.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day < 1 || day > last {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 9 {
        return None;
    }
    let (fraction, zone) = rest.split_at(digits);
    let millis =
        (0..3).fold(0, |millis, place| millis * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0')));
    Some((millis, zone))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// When it happened by the journal's clock: `received - (sent - original)`, never later than
/// received and never before [`EARLIEST_MS`].
pub(super) fn happened_at(received: Millis, sent: Option<Millis>, original: Option<Millis>) -> Millis {
    let at = match (sent, original) {
        (Some(sent), Some(original)) => received.saturating_sub(sent.saturating_sub(original)),
        (None, Some(original)) => original,
        (_, None) => received,
    };
    at.min(received).max(EARLIEST_MS.min(received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_is_read_as_jiff_reads_it() {
        for text in [
            "2026-05-04T08:00:00Z",
            "2026-05-04T08:00:00.5Z",
            "2026-05-04T08:00:00.123456789+02:00",
            "1901-01-01T00:00:00.000Z",
            "2999-12-31T23:59:59.999-11:30",
            "2024-02-29T12:00:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            let jiff = text.parse::<jiff::Timestamp>().expect(text).as_nanosecond().div_euclid(1_000_000);
            assert_eq!(read_usual(text.as_bytes()).map(i128::from), Some(jiff), "{text}");
        }
    }

    #[test]
    fn every_day_there_is_and_no_other_is_read() {
        let mut day = jiff::civil::date(1895, 1, 1);
        for number in 0..80_000_i64 {
            let read = days_since_1970(day.year().into(), day.month().into(), day.day().into());
            assert_eq!(read, Some(number - 27_393), "{day}");
            day = day.tomorrow().expect("a day");
        }
        for (year, month, day) in
            [(1900, 2, 29), (2023, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 0, 1), (2024, 13, 1), (2024, 1, 0)]
        {
            assert_eq!(days_since_1970(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn other_forms_are_read_and_nonsense_is_not() {
        let expected = 1_777_881_600_000;
        for text in ["2026-05-04 08:00:00Z", "2026-05-04T08:00:00", "20260504T080000Z", "2026-05-04T08:00Z"] {
            assert_eq!(read_time(text, "timestamp"), Ok(expected), "{text}");
        }
        for text in
            ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-05-04T25:00:00Z", "1777881600"]
        {
            assert_eq!(read_time(text, "sentAt"), Err(Reason::BadTime("sentAt")), "{text}");
        }
    }

    #[test]
    fn the_clients_clock_cancels_out() {
        // A client whose clock is an hour slow, with an event of ten seconds ago.
        assert_eq!(happened_at(10_000_000, Some(6_400_000), Some(6_390_000)), 9_990_000);
        assert_eq!(happened_at(10_000, None, Some(9_000)), 9_000);
        assert_eq!(happened_at(10_000, Some(9_000), None), 10_000);
        // Never later than received, never before 1900, never an overflow.
        assert_eq!(happened_at(10_000, Some(5_000), Some(6_000)), 10_000);
        assert_eq!(happened_at(10_000, Some(i64::MAX), Some(i64::MIN)), EARLIEST_MS);
        assert_eq!(happened_at(10_000, Some(i64::MIN), Some(i64::MAX)), 10_000);
    }
}
