//! The instants of cells.

use jiff::{Timestamp, civil, fmt::strtime, tz::TimeZone};

/// Years an event may be of; what lies outside is a slip of the pen.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2999;

/// How a column writes an instant.
#[derive(Clone, Debug)]
pub enum TimeFormat {
    /// ISO 8601 and RFC 3339: with its own offset, or in the file's zone; a date alone is its midnight.
    Iso,
    /// Seconds since 1970 UTC, with or without a fraction.
    EpochSeconds,
    /// Milliseconds since 1970 UTC.
    EpochMillis,
    /// A pattern as of `strftime`, e.g. `%d/%m/%Y %H:%M`.
    Pattern(Box<str>),
}

impl TimeFormat {
    /// The format behind a name or a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "iso" | "rfc3339" => Ok(Self::Iso),
            "s" | "epoch_s" | "seconds" => Ok(Self::EpochSeconds),
            "ms" | "epoch_ms" | "milliseconds" => Ok(Self::EpochMillis),
            pattern if pattern.contains('%') => {
                // A pattern that can't say an instant is found out before the first row is read.
                let probe = civil::date(2001, 2, 3).at(4, 5, 6, 0).to_zoned(TimeZone::UTC);
                let probe = probe.map_err(|error| error.to_string())?;
                let said = strtime::format(pattern, &probe).map_err(|error| error.to_string())?;
                let back = strtime::parse(pattern, &said).and_then(|parts| parts.to_date());
                back.map_err(|error| format!("the pattern `{pattern}` gives no date: {error}"))?;
                Ok(Self::Pattern(pattern.into()))
            }
            _ => Err(format!("`{name}` is neither `iso`, `s`, `ms` nor a pattern with `%`")),
        }
    }

    /// Milliseconds since 1970 UTC; `None` where the text is not of this format, or out of range.
    ///
    /// An hour that a change of the clocks skips counts as the hour after it, one that comes twice as
    /// the first of the two.
    pub fn parse(&self, text: &str, zone: &TimeZone) -> Option<i64> {
        let timestamp = match self {
            Self::Iso => iso(text, zone)?,
            Self::EpochSeconds => {
                let number = super::Decimal::parse(text, false)?;
                let millis = number.times(super::Decimal::parse("1000", false)?)?.to_string();
                Timestamp::from_millisecond(whole_part(&millis)?).ok()?
            }
            Self::EpochMillis => Timestamp::from_millisecond(text.parse().ok()?).ok()?,
            Self::Pattern(pattern) => {
                let parts = strtime::parse(pattern.as_bytes(), text).ok()?;
                match parts.to_timestamp() {
                    Ok(timestamp) => timestamp,
                    Err(_) => {
                        let date = parts.to_date().ok()?;
                        let time = if parts.hour().is_some() { parts.to_time().ok()? } else { civil::Time::midnight() };
                        zone.to_timestamp(date.to_datetime(time)).ok()?
                    }
                }
            }
        };
        within_range(timestamp)
    }
}

fn whole_part(decimal: &str) -> Option<i64> {
    decimal.split('.').next()?.parse().ok()
}

fn iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let datetime = text.parse::<civil::DateTime>().ok();
    let datetime = datetime.or_else(|| text.parse::<civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)))?;
    zone.to_timestamp(datetime).ok()
}

fn within_range(timestamp: Timestamp) -> Option<i64> {
    let year = timestamp.to_zoned(TimeZone::UTC).year();
    YEARS.contains(&year).then(|| timestamp.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, text: &str, zone: &str, expect: Option<&str>) {
        let format = TimeFormat::from_name(format).expect("a format");
        let zone = TimeZone::get(zone).expect("a zone");
        let found = format.parse(text, &zone).and_then(|ms| Timestamp::from_millisecond(ms).ok());
        assert_eq!(found.map(|at| at.to_string()).as_deref(), expect, "{text} as {format:?}");
    }

    #[test]
    fn cells_become_instants() {
        check("%Y%m%d", "19970101", "UTC", Some("1997-01-01T00:00:00Z"));
        check("%Y%m%d", "19970101", "Europe/Warsaw", Some("1996-12-31T23:00:00Z"));
        check("%Y%m%d", "1997-01-01", "UTC", None);
        check("%Y%m%d", "19971301", "UTC", None);
        check("%d/%m/%Y %H:%M", "01/12/2010 08:26", "UTC", Some("2010-12-01T08:26:00Z"));
        check("%Y-%m-%d %H:%M:%S %z", "2010-12-01 08:26:00 +0200", "UTC", Some("2010-12-01T06:26:00Z"));
        check("iso", "2010-12-01 08:26:00", "UTC", Some("2010-12-01T08:26:00Z"));
        check("iso", "2010-12-01T08:26:00+01:00", "UTC", Some("2010-12-01T07:26:00Z"));
        check("iso", "2010-12-01", "Europe/London", Some("2010-12-01T00:00:00Z"));
        check("rfc3339", "2010-12-01T08:26:00.250Z", "UTC", Some("2010-12-01T08:26:00.25Z"));
        check("s", "852076800", "UTC", Some("1997-01-01T00:00:00Z"));
        check("s", "852076800.5", "UTC", Some("1997-01-01T00:00:00.5Z"));
        check("ms", "852076800250", "UTC", Some("1997-01-01T00:00:00.25Z"));
        check("ms", "soon", "UTC", None);
        check("ms", "9223372036854775807", "UTC", None);
        check("iso", "1901-05-01", "UTC", Some("1901-05-01T00:00:00Z"));
        check("iso", "0001-05-01", "UTC", None);
    }

    #[test]
    fn both_nights_of_the_clock_change_have_an_instant() {
        check("iso", "2026-03-29 02:30:00", "Europe/Warsaw", Some("2026-03-29T01:30:00Z"));
        check("iso", "2026-10-25 02:30:00", "Europe/Warsaw", Some("2026-10-25T00:30:00Z"));
    }

    #[test]
    fn a_format_without_a_date_is_refused() {
        assert!(TimeFormat::from_name("%H:%M").is_err());
        assert!(TimeFormat::from_name("yesterday").is_err());
        assert!(TimeFormat::from_name("%Q").is_err());
    }
}
