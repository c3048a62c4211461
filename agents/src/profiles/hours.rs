//! At which hours of the week a person is active, by their own clock.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::newest::Stamp;
use crate::vocabulary::Millis;

/// Hours of a week, Monday 00:00 is 0.
pub const HOURS: u8 = 168;
const HOUR_MS: i64 = 3_600_000;
const ZONE_NAME_MAX: usize = 64;

/// Events by hour of the week; hours with none take no room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(Vec<(u8, u32)>);

impl Histogram {
    fn add(&mut self, hour: u8, times: u32) {
        match self.0.binary_search_by_key(&hour, |(known, _)| *known) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(times);
                }
            }
            Err(place) => self.0.insert(place, (hour, times)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Events of each hour that has any, by hour.
    pub fn iter(&self) -> std::slice::Iter<'_, (u8, u32)> {
        self.0.iter()
    }
}

/// A person's hours.
///
/// An event that names its zone counts at the hour the clock on the wall showed there and then, so a
/// habit stays one through daylight saving time and travel. An event with none counts in UTC and is
/// shifted when looked at, by the zone the person was last seen in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    #[serde(rename = "l", default, skip_serializing_if = "Histogram::is_empty")]
    local: Histogram,
    #[serde(rename = "u", default, skip_serializing_if = "Histogram::is_empty")]
    utc: Histogram,
    /// The zone last named, and when.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    zone: Option<(Stamp, Box<str>)>,
}

impl Hours {
    /// Counts an event; false where its zone is not known (it counts in UTC then).
    pub(super) fn add(&mut self, stamp: Stamp, zone: Option<&str>) -> bool {
        let found = zone.and_then(|name| offset_ms(name, stamp.0).map(|offset_ms| (name, offset_ms)));
        let Some((name, offset_ms)) = found else {
            self.utc.add(hour_of(stamp.0), 1);
            return zone.is_none();
        };
        self.local.add(hour_of(stamp.0.saturating_add(offset_ms)), 1);
        match &mut self.zone {
            Some((known, kept)) if *known < stamp => {
                *known = stamp;
                if **kept != *name {
                    *kept = name.into();
                }
            }
            Some(_) => {}
            None => self.zone = Some((stamp, name.into())),
        }
        true
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.local.iter().for_each(|(hour, times)| self.local.add(*hour, *times));
        other.utc.iter().for_each(|(hour, times)| self.utc.add(*hour, *times));
        self.zone = self.zone.take().max(other.zone);
    }

    /// The zone the person was last seen in.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_ref().map(|(_, name)| name.as_ref())
    }

    /// Events by hour of the week on the person's clock, as its zone stands at `now_ms`.
    pub fn by_hour(&self, now_ms: Millis) -> Histogram {
        let shift_ms = self.zone().and_then(|name| offset_ms(name, now_ms)).unwrap_or(0);
        let shift = shift_ms.div_euclid(HOUR_MS);
        let mut hours = self.local.clone();
        for (hour, times) in self.utc.iter() {
            let shifted = (i64::from(*hour) + shift).rem_euclid(HOURS.into());
            hours.add(u8::try_from(shifted).unwrap_or(0), *times);
        }
        hours
    }
}

/// The hour of the week of an instant in UTC, or of a local one given as if it were UTC.
fn hour_of(at_ms: Millis) -> u8 {
    // 1970-01-01 was a Thursday, 72 hours after a Monday.
    let hour = (at_ms.div_euclid(HOUR_MS) + 72).rem_euclid(HOURS.into());
    u8::try_from(hour).unwrap_or(0)
}

/// How far the clocks of a zone are ahead of UTC at an instant; `None` for a zone there is not.
fn offset_ms(zone: &str, at_ms: Millis) -> Option<i64> {
    if zone.len() > ZONE_NAME_MAX {
        return None;
    }
    let zone = TimeZone::get(zone).ok()?;
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    Some(i64::from(zone.to_offset(at).seconds()) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: Millis = 1_777_852_800_000; // 2026-05-04T00:00:00Z
    const JANUARY_MONDAY: Millis = 1_767_571_200_000; // 2026-01-05T00:00:00Z

    #[test]
    fn a_habit_stays_one_hour_through_daylight_saving_time() {
        let mut hours = Hours::default();
        // Nine in the morning of a Monday in Warsaw: 07:00Z in summer, 08:00Z in winter.
        assert!(hours.add(Stamp(MONDAY + 7 * HOUR_MS, 1), Some("Europe/Warsaw")));
        assert!(hours.add(Stamp(JANUARY_MONDAY + 8 * HOUR_MS, 2), Some("Europe/Warsaw")));
        assert_eq!(hours.by_hour(MONDAY).iter().copied().collect::<Vec<_>>(), [(9, 2)]);
    }

    #[test]
    fn events_with_no_zone_follow_the_zone_last_seen() {
        let mut hours = Hours::default();
        assert!(hours.add(Stamp(MONDAY + 23 * HOUR_MS, 1), None));
        assert_eq!(hours.by_hour(MONDAY).iter().copied().collect::<Vec<_>>(), [(23, 1)]);
        hours.add(Stamp(MONDAY, 2), Some("Asia/Tokyo"));
        assert_eq!(hours.by_hour(MONDAY).iter().copied().collect::<Vec<_>>(), [(9, 1), (32, 1)]);
    }

    #[test]
    fn an_unknown_zone_counts_in_utc_and_is_told() {
        let mut hours = Hours::default();
        for zone in ["Mars/Olympus", "", "\0", &"x".repeat(500)] {
            assert!(!hours.add(Stamp(MONDAY, 1), Some(zone)));
        }
        assert_eq!(hours.by_hour(MONDAY).iter().copied().collect::<Vec<_>>(), [(0, 4)]);
        assert_eq!(hours.zone(), None);
    }

    #[test]
    fn instants_past_all_calendars_have_an_hour() {
        let mut hours = Hours::default();
        assert!(!hours.add(Stamp(i64::MAX, 1), Some("Europe/Warsaw")));
        assert!(!hours.add(Stamp(i64::MIN, 1), Some("Europe/Warsaw")));
        hours.add(Stamp(i64::MIN, 1), None);
        assert_eq!(hours.utc.iter().map(|(_, times)| times).sum::<u32>(), 3);
    }
}
