//! At which hours of the week a person is active, by their own clock.

use std::cell::RefCell;

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneTransition},
};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{DAY_MS, Millis, Stamp};

/// Hours of a week, Monday 00:00 is 0.
pub const HOURS: u8 = 168;
const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 366 * DAY_MS;
const ZONE_NAME_MAX: usize = 64;
const SPANS_MAX: usize = 16;

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
    /// Reads a little of what counting needs.
    pub(super) fn touch(&self) -> usize {
        let read =
            |histogram: &Histogram| histogram.0.get(histogram.0.len() / 2).map_or(0, |(_, times)| *times as usize);
        read(&self.local).wrapping_add(read(&self.utc))
    }

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

/// How far a zone's clocks are ahead of UTC, from one change of them to the next.
struct Span {
    zone: Box<str>,
    from_ms: Millis,
    until_ms: Millis,
    offset_ms: i64,
}

thread_local! {
    /// What the zone database answered lately: most people of a shop live in few zones, and most events
    /// are of this half year. Forgetting it changes nothing but the time it takes.
    static RECENT: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

/// How far the clocks of a zone are ahead of UTC at an instant; `None` for a zone there is not.
fn offset_ms(zone: &str, at_ms: Millis) -> Option<i64> {
    RECENT.with_borrow_mut(|recent| {
        let known = |span: &&Span| span.from_ms <= at_ms && at_ms < span.until_ms && *span.zone == *zone;
        if let Some(span) = recent.iter().find(known) {
            return Some(span.offset_ms);
        }
        let span = look_up(zone, at_ms)?;
        let offset_ms = span.offset_ms;
        recent.truncate(SPANS_MAX - 1);
        recent.insert(0, span);
        Some(offset_ms)
    })
}

fn look_up(name: &str, at_ms: Millis) -> Option<Span> {
    if name.len() > ZONE_NAME_MAX {
        return None;
    }
    let zone = TimeZone::get(name).ok()?;
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    let offset_ms = i64::from(zone.to_offset(at).seconds()) * 1000;
    let edge = |transition: TimeZoneTransition<'_>| transition.timestamp().as_millisecond();
    // An instant that is a change itself is the first of the new span.
    let from_ms = zone
        .preceding(Timestamp::from_millisecond(at_ms + 1).ok()?)
        .next()
        .map_or(Millis::MIN, edge)
        .max(at_ms - YEAR_MS);
    let until_ms = zone.following(at).next().map_or(Millis::MAX, edge).min(at_ms + YEAR_MS);
    Some(Span { zone: name.into(), from_ms, until_ms, offset_ms })
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
    fn what_is_remembered_of_zones_is_what_they_say() {
        let hours = |from: i64| (from..from + 24 * 400).map(|hour| JANUARY_MONDAY + hour * HOUR_MS);
        for zone in ["Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"] {
            let zone_of = TimeZone::get(zone).unwrap();
            let by_zone = |at_ms| i64::from(zone_of.to_offset(Timestamp::from_millisecond(at_ms).unwrap()).seconds());
            // Each instant alone, and each with what the others left behind.
            let changes = zone_of.preceding(Timestamp::from_millisecond(JANUARY_MONDAY).unwrap()).take(20);
            let mut instants: Vec<_> = changes.map(|change| change.timestamp().as_millisecond()).collect();
            instants.extend(hours(0).chain(hours(-24 * 20_000)).step_by(11));
            instants.extend(hours(0).rev());
            for at_ms in instants.into_iter().flat_map(|at_ms| [at_ms, at_ms - 1]) {
                if at_ms % 7 == 0 {
                    RECENT.take();
                }
                assert_eq!(offset_ms(zone, at_ms), Some(by_zone(at_ms) * 1000), "{zone} at {at_ms}");
            }
        }
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
