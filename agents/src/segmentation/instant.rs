use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::vocabulary::Millis;

/// An instant, written as RFC 3339 with any offset, or as a date (its first millisecond, UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Millis);

impl Instant {
    /// The instant so many milliseconds after 1970 UTC.
    pub const fn from_ms(ms: Millis) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn ms(self) -> Millis {
        self.0
    }
}

/// The instant a JSON value stands for: text as above, or a number of seconds since 1970 UTC, of
/// milliseconds where it is 100,000,000,000 or more (which is 1973 in milliseconds, 5138 in seconds).
pub fn instant_of(value: &Value) -> Option<Millis> {
    const FIRST_IN_MS: f64 = 1e11;
    match value {
        Value::String(text) => text.parse::<Instant>().ok().map(Instant::ms),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let ms = if number.abs() >= FIRST_IN_MS { number } else { number * 1_000.0 };
            (ms.abs() < 1e15).then_some(ms as Millis)
        }
        _ => None,
    }
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(instant.as_millisecond()));
        }
        let date: Result<jiff::civil::Date, _> = text.parse();
        let midnight = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC));
        let wrong = |_| format!("`{text}` is no instant such as 2026-05-04T08:00:00Z or 2026-05-04");
        midnight.map(|midnight| Self(midnight.timestamp().as_millisecond())).map_err(wrong)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => fmt::Display::fmt(&instant, f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        let check = |text: &str, ms| assert_eq!(text.parse(), Ok(Instant(ms)), "{text}");
        check("1970-01-02", 86_400_000);
        check("1970-01-01T01:00:00+01:00", 0);
        check("1901-12-13T20:45:52Z", -2_147_483_648_000);
        assert!("yesterday".parse::<Instant>().is_err());
        assert_eq!(instant_of(&1_700_000_000.into()), Some(1_700_000_000_000));
        assert_eq!(instant_of(&1_700_000_000_123_u64.into()), Some(1_700_000_000_123));
        assert_eq!(instant_of(&Value::Bool(true)), None);
    }
}
