use std::{fmt, str::FromStr};

use jiff::SpanRelativeTo;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::vocabulary::Millis;

/// A length of time, written as `"30d"`, `"1d 12h"`, `"90 minutes"` or `"PT2H"`; a day is 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Millis);

/// The longest length of time: 100 years of 365 days.
const SPAN_MAX_MS: Millis = 100 * 365 * 86_400_000;

impl Span {
    /// So many milliseconds.
    pub const fn from_ms(ms: Millis) -> Self {
        Self(ms)
    }

    /// Milliseconds.
    pub const fn ms(self) -> Millis {
        self.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no length of time such as 30d, 12h, 15m or 1d 12h");
        let span: jiff::Span = text.parse().map_err(|_| wrong())?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(format!("`{text}`: months and years are not of one length; say days"));
        }
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        let ms = i64::try_from(length.as_millis()).map_err(|_| wrong())?;
        if !(1..=SPAN_MAX_MS).contains(&ms) {
            return Err(format!("`{text}` is not between a millisecond and 100 years"));
        }
        Ok(Self(ms))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let mut rest = self.0;
        let mut parts = Vec::new();
        for (length, unit) in units {
            if rest / length > 0 {
                parts.push(format!("{}{unit}", rest / length));
                rest %= length;
            }
        }
        f.write_str(&parts.join(" "))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        let check = |text: &str, ms: i64, written: &str| {
            let span: Span = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((span.ms(), span.to_string().as_str()), (ms, written), "{text}");
            assert_eq!(written.parse(), Ok(span), "{written}");
        };
        check("30d", 30 * 86_400_000, "30d");
        check("1d 12h", 129_600_000, "1d 12h");
        check("PT90M", 5_400_000, "1h 30m");
        check("2w", 14 * 86_400_000, "14d");
        for wrong in ["", "30", "1 month", "-1d", "0s", "500y", "forever"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
