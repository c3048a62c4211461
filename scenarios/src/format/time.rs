//! How a scenario file writes instants and durations.

use jiff::{Span, Timestamp, Zoned, civil};

use crate::show::show;

/// The longest length of time: a hundred years.
pub(crate) const LENGTH_MAX_MS: i64 = 36_525 * 86_400_000;

/// Milliseconds of a duration such as `2h`, `1d 12h`, `90s`; a day has 24 hours here.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let mut total: i64 = 0;
    for (number, unit) in parts(text)? {
        let unit_ms = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 7 * 86_400_000,
        };
        let added = number.checked_mul(unit_ms).and_then(|ms| total.checked_add(ms));
        total = added.filter(|total| *total <= LENGTH_MAX_MS).ok_or_else(|| format!("`{text}` is too long"))?;
    }
    Ok(total)
}

fn parts(text: &str) -> Result<Vec<(i64, &str)>, String> {
    let wrong = || format!("`{text}` is not a duration; write e.g. `90s`, `30m`, `2h`, `1d 12h`, `2w`");
    let part = |word: &'_ str| -> Option<(i64, usize)> {
        let digits = word.find(|char: char| !char.is_ascii_digit())?;
        Some((word.get(..digits)?.parse().ok()?, digits))
    };
    let mut parts = Vec::new();
    for word in text.split_whitespace() {
        let (number, digits) = part(word).ok_or_else(wrong)?;
        let unit = word.get(digits..).filter(|unit| ["s", "m", "h", "d", "w"].contains(unit)).ok_or_else(wrong)?;
        parts.push((number, unit));
    }
    if parts.is_empty() { Err(wrong()) } else { Ok(parts) }
}

/// A share such as `30%`, in hundredths.
pub(crate) fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').and_then(|digits| digits.trim_end().parse().ok());
    let number = number.filter(|share| *share <= 100);
    number.ok_or_else(|| format!("`{text}` is not a share; write `0%` to `100%`"))
}

/// Where the timeline stands while it is read.
pub(crate) struct Calendar {
    start: Zoned,
    /// The instant of the entry before.
    now: Zoned,
}

impl Calendar {
    pub(crate) fn new(start: Zoned) -> Self {
        Self { now: start.clone(), start }
    }

    /// The instant behind `text`, which becomes the present.
    pub(crate) fn go_to(&mut self, text: &str) -> Result<i64, String> {
        let then = self.instant(text)?;
        if then < self.now {
            let (then, now) = (show(&then), show(&self.now));
            return Err(format!("`{text}` is {then}, before the entry above it ({now}); write e.g. `day 2 09:00`"));
        }
        self.now = then.clone();
        Ok(then.timestamp().as_millisecond())
    }

    /// The instant behind `text`, seen from the present.
    pub(crate) fn instant(&self, text: &str) -> Result<Zoned, String> {
        let text = text.trim();
        let far = |error: jiff::Error| format!("`{text}` is out of range: {error}");
        if let Some(offset) = text.strip_prefix('+') {
            let mut then = self.now.clone();
            for (number, unit) in parts(offset)? {
                // Days and weeks are the calendar's: over a change of clocks, the same time of day.
                let span = match unit {
                    "s" => Span::new().try_seconds(number),
                    "m" => Span::new().try_minutes(number),
                    "h" => Span::new().try_hours(number),
                    "d" => Span::new().try_days(number),
                    _ => Span::new().try_weeks(number),
                };
                then = then.checked_add(span.map_err(far)?).map_err(far)?;
            }
            return Ok(then);
        }
        if let Some(rest) = text.strip_prefix("day ") {
            let (number, clock) = rest.split_once(' ').unwrap_or((rest, "00:00"));
            let wrong = || format!("`{text}` is not a day and a time; write e.g. `day 3 09:00`, the first day being 1");
            let number: i64 = number.parse().ok().filter(|number| *number >= 1).ok_or_else(wrong)?;
            let date = self.start.date().checked_add(Span::new().try_days(number - 1).map_err(far)?).map_err(far)?;
            return self.resolve(date.to_datetime(time_of_day(clock).ok_or_else(wrong)?));
        }
        if let Some(clock) = time_of_day(text) {
            return self.resolve(self.now.date().to_datetime(clock));
        }
        if let Ok(zoned) = text.parse::<Zoned>() {
            return Ok(zoned.with_time_zone(self.start.time_zone().clone()));
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(instant.to_zoned(self.start.time_zone().clone()));
        }
        let civil = text.parse::<civil::DateTime>();
        self.resolve(civil.map_err(|_| {
            format!("`{text}` is not an instant; write e.g. `09:00`, `day 3 09:00`, `+2d 3h` or `2026-05-04 09:00`")
        })?)
    }

    /// The one instant at which clocks of the scenario's zone show `civil`.
    fn resolve(&self, civil: civil::DateTime) -> Result<Zoned, String> {
        let zone = self.start.time_zone();
        let ambiguous = zone.to_ambiguous_zoned(civil);
        ambiguous.unambiguous().map_err(|_| {
            let name = zone.iana_name().unwrap_or("this zone");
            let why = if zone.to_ambiguous_zoned(civil).later().is_ok_and(|later| later.datetime() == civil) {
                "comes twice"
            } else {
                "does not exist"
            };
            format!("{civil} {why} in {name}, where clocks change; write the offset, e.g. `{civil}+01:00`")
        })
    }
}

pub(crate) fn time_of_day(text: &str) -> Option<civil::Time> {
    let mut fields = text.split(':');
    let mut field = |max: i8| {
        let field = fields.next()?;
        field.parse::<i8>().ok().filter(|number| field.len() == 2 && (0..=max).contains(number))
    };
    let (hour, minute) = (field(23)?, field(59)?);
    let second = if text.len() > 5 { field(59)? } else { 0 };
    if fields.next().is_some() {
        return None;
    }
    civil::Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        Calendar::new("2026-03-28T08:00:00+01:00[Europe/Warsaw]".parse().expect("an instant"))
    }

    #[test]
    fn instants_are_read_in_every_form() {
        let at = |text: &str| calendar().instant(text).map(|then| show(&then)).unwrap_or_else(|why| why);
        assert_eq!(at("09:00"), "2026-03-28 09:00:00 CET");
        assert_eq!(at("+1d"), "2026-03-29 08:00:00 CEST");
        assert_eq!(at("+24h"), "2026-03-29 09:00:00 CEST");
        assert_eq!(at("day 2 03:30"), "2026-03-29 03:30:00 CEST");
        assert_eq!(at("2026-03-30 10:00"), "2026-03-30 10:00:00 CEST");
        assert_eq!(at("2026-03-30T10:00:00Z"), "2026-03-30 12:00:00 CEST");
        assert!(at("day 2 02:30").contains("does not exist in Europe/Warsaw"), "{}", at("day 2 02:30"));
        assert!(at("2026-10-25 02:30").contains("comes twice"), "{}", at("2026-10-25 02:30"));
        for wrong in ["9:00", "25:00", "day 0 09:00", "tomorrow", "+2x", "+", "09:00:00:00"] {
            assert!(at(wrong).contains("is not"), "{wrong}: {}", at(wrong));
        }
    }

    #[test]
    fn the_timeline_does_not_go_back() {
        let mut calendar = calendar();
        calendar.go_to("10:00").expect("later");
        let back = calendar.go_to("09:00").expect_err("earlier");
        assert!(back.contains("before the entry above it"), "{back}");
    }

    #[test]
    fn durations_and_shares() {
        assert_eq!(duration_ms("1d 12h"), Ok(129_600_000));
        assert_eq!(percent("30%"), Ok(30));
        assert!(duration_ms("5").is_err());
        assert!(percent("101%").is_err());
        assert!(duration_ms("999999999999999999d").is_err());
    }
}
