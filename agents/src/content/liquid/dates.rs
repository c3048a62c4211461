//! Instants: as data writes them, and as people read them.

use jiff::{Timestamp, Zoned, civil, tz::TimeZone};
use liquid_core::Value;

use super::{
    numbers,
    values::{Kind, kind},
};

/// Length of a format, in bytes.
const FORMAT_BYTES_MAX: usize = 200;

/// The format where none is said.
pub(super) const LONG: &str = "%A, %B %-e, %Y at %-I:%M %P %z";

/// The zone of a name (IANA), or the one that is at hand.
pub(super) fn zone(name: &Value, at_hand: &TimeZone) -> TimeZone {
    let named = match kind(name) {
        Kind::Text(name) => TimeZone::get(&name).ok(),
        _ => None,
    };
    named.unwrap_or_else(|| at_hand.clone())
}

/// An instant said in a format (`strftime`); none where the value is no instant or the format can't be.
pub(super) fn date(value: &Value, format: &str, zone: &TimeZone, now_ms: i64) -> Option<String> {
    if format.len() > FORMAT_BYTES_MAX {
        return None;
    }
    let at = instant(value, zone, now_ms)?;
    jiff::fmt::strtime::format(format, &at).ok()
}

/// ISO 8601 with or without an offset, a date, `now` or `today`, seconds or milliseconds since 1970.
fn instant(value: &Value, zone: &TimeZone, now_ms: i64) -> Option<Zoned> {
    let local = |timestamp: Timestamp| timestamp.to_zoned(zone.clone());
    if let Kind::Text(text) = kind(value) {
        let text = text.trim();
        if text.eq_ignore_ascii_case("now") || text.eq_ignore_ascii_case("today") {
            return Timestamp::from_millisecond(now_ms).ok().map(local);
        }
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(local(timestamp));
        }
        if let Ok(zoned) = text.parse::<Zoned>() {
            return Some(zoned.with_time_zone(zone.clone()));
        }
        let civil = text.parse::<civil::DateTime>();
        if let Some(zoned) = civil.ok().and_then(|civil| civil.to_zoned(zone.clone()).ok()) {
            return Some(zoned);
        }
    }
    let number = numbers::whole(value)?;
    // Seconds go to the year 5138 below this.
    let ms = if number.abs() < 100_000_000_000 { number.checked_mul(1_000)? } else { number };
    Timestamp::from_millisecond(ms).ok().map(local)
}
