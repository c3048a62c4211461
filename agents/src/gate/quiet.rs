//! Quiet hours on the person's own clock, over its changes too.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};

use super::QuietHours;
use crate::vocabulary::Millis;

/// Longest name of a zone, in bytes.
const ZONE_NAME_MAX: usize = 64;
/// The edge of quiet hours is found again where a change of the clocks puts it into quiet hours.
const EDGES_MAX: usize = 4;

/// The zone of that name (IANA), from the data that come with the program.
pub fn zone_of(name: &str) -> Option<TimeZone> {
    (name.len() <= ZONE_NAME_MAX).then(|| TimeZone::get(name).ok()).flatten()
}

/// The minute of the day that `HH:MM` says.
pub(super) fn minute_of(text: &str) -> Option<i16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, max: i16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i16>().ok()).flatten().filter(|number| *number < max)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

fn minutes(quiet: &QuietHours) -> Option<(i16, i16)> {
    Some((minute_of(&quiet.from)?, minute_of(&quiet.to)?))
}

fn within(minute: i16, (from, to): (i16, i16)) -> bool {
    if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
}

fn minute_at(at: &Zoned) -> i16 {
    i16::from(at.hour()) * 60 + i16::from(at.minute())
}

fn zoned(zone: &TimeZone, at_ms: Millis) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone()))
}

/// Whether it is quiet at an instant; `None` where that can't be told.
pub fn is_quiet(zone: &TimeZone, quiet: &QuietHours, at_ms: Millis) -> Option<bool> {
    Some(within(minute_at(&zoned(zone, at_ms)?), minutes(quiet)?))
}

/// Until when it is quiet: `at_ms` itself where it is not; `None` where that can't be told.
pub fn quiet_until(zone: &TimeZone, quiet: &QuietHours, at_ms: Millis) -> Option<Millis> {
    let hours = minutes(quiet)?;
    let mut until_ms = at_ms;
    for _ in 0..EDGES_MAX {
        let at = zoned(zone, until_ms)?;
        if !within(minute_at(&at), hours) {
            return Some(until_ms);
        }
        until_ms = next_edge(zone, &at, hours)?;
    }
    // Zones whose clocks change that often there are none: what can't be checked is not let through.
    None
}

/// The first instant after `at`, which is in quiet hours, at which the clock shows their end or jumps past it.
fn next_edge(zone: &TimeZone, at: &Zoned, (_, to): (i16, i16)) -> Option<Millis> {
    let now = at.timestamp();
    let today = at.date();
    let end = Time::new((to / 60) as i8, (to % 60) as i8, 0, 0).ok()?;
    // A change of the clocks can make the edge one of yesterday's, today's or tomorrow's date.
    let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok(), today.tomorrow().ok()?.tomorrow().ok()];
    let edges = days.into_iter().flatten().flat_map(|day| instants(zone, day, end));
    edges.filter(|edge| *edge > now).min().map(Timestamp::as_millisecond)
}

/// When a clock shows a time of a day: twice where it goes back; where it jumps past it, when it jumps.
fn instants(zone: &TimeZone, day: Date, time: Time) -> Vec<Timestamp> {
    let shown = day.to_datetime(time);
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(shown).ok();
    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset).into_iter().collect(),
        AmbiguousOffset::Fold { before, after } => [at(before), at(after)].into_iter().flatten().collect(),
        AmbiguousOffset::Gap { before, after } => {
            // The jump lies between what the two offsets make of it.
            let (Some(early), Some(late)) = (at(after), at(before)) else { return Vec::new() };
            zone.following(early).map(|jump| jump.timestamp()).take_while(|jump| *jump <= late).take(1).collect()
        }
    }
}

/// The hours of the day in which it is not quiet at any time, the lowest bit for hour 0.
pub fn hours_open(quiet: Option<&QuietHours>) -> u32 {
    let Some(quiet) = quiet else { return (1 << 24) - 1 };
    let Some(hours) = minutes(quiet) else { return 0 };
    let open = |hour: &i16| (hour * 60..hour * 60 + 60).all(|minute| !within(minute, hours));
    (0..24_i16).filter(open).fold(0, |bits, hour| bits | 1 << hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(zone: &str, quiet: (&str, &str), at: &str) -> String {
        let zone = zone_of(zone).unwrap();
        let quiet = QuietHours { from: quiet.0.into(), to: quiet.1.into() };
        let at: Timestamp = at.parse().unwrap();
        let until = quiet_until(&zone, &quiet, at.as_millisecond()).unwrap();
        Timestamp::from_millisecond(until).unwrap().to_string()
    }

    #[test]
    fn held_to_the_edge_on_the_persons_own_clock() {
        let night = ("21:00", "08:00");
        assert_eq!(until("Europe/Warsaw", night, "2026-05-04T20:00:00Z"), "2026-05-05T06:00:00Z");
        assert_eq!(until("Europe/Warsaw", night, "2026-05-05T05:59:59.999Z"), "2026-05-05T06:00:00Z");
        assert_eq!(until("Europe/Warsaw", night, "2026-05-05T06:00:00Z"), "2026-05-05T06:00:00Z");
        assert_eq!(until("Asia/Kolkata", ("13:00", "15:00"), "2026-05-04T08:00:00Z"), "2026-05-04T09:30:00Z");
        // 29 February.
        assert_eq!(until("UTC", night, "2028-02-28T22:00:00Z"), "2028-02-29T08:00:00Z");
    }

    #[test]
    fn where_the_clock_jumps_past_the_edge_it_is_when_it_jumps() {
        // Warsaw jumps from 02:00 to 03:00 at 01:00Z on 29 March 2026.
        assert_eq!(until("Europe/Warsaw", ("22:00", "02:30"), "2026-03-28T23:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(until("Europe/Warsaw", ("21:00", "08:00"), "2026-03-28T23:00:00Z"), "2026-03-29T06:00:00Z");
        // Lord Howe jumps by half an hour.
        assert_eq!(until("Australia/Lord_Howe", ("22:00", "02:15"), "2026-10-03T14:00:00Z"), "2026-10-03T15:30:00Z");
    }

    #[test]
    fn where_the_clock_goes_back_it_is_quiet_twice() {
        // Warsaw goes from 03:00 back to 02:00 at 01:00Z on 25 October 2026.
        let quiet = ("22:00", "02:30");
        assert_eq!(until("Europe/Warsaw", quiet, "2026-10-24T23:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(until("Europe/Warsaw", quiet, "2026-10-25T00:45:00Z"), "2026-10-25T00:45:00Z");
        assert_eq!(until("Europe/Warsaw", quiet, "2026-10-25T01:10:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn every_minute_of_two_years_ends_where_it_is_not_quiet() {
        for name in ["Europe/Warsaw", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"] {
            let zone = zone_of(name).unwrap();
            for (from, to) in [("22:00", "02:30"), ("00:30", "02:15"), ("21:00", "08:00")] {
                let quiet = QuietHours { from: from.into(), to: to.into() };
                let start = 1_767_225_600_000;
                for step in 0..24 * 60 {
                    let at_ms = start + step * 29_000_011;
                    let until_ms = quiet_until(&zone, &quiet, at_ms).unwrap();
                    assert_eq!(is_quiet(&zone, &quiet, until_ms), Some(false), "{name} {from} {at_ms}");
                    assert!(until_ms == at_ms || is_quiet(&zone, &quiet, until_ms - 1) == Some(true), "{name} {at_ms}");
                }
            }
        }
    }

    #[test]
    fn an_hour_with_a_quiet_minute_is_not_open() {
        let quiet = QuietHours { from: "21:30".into(), to: "08:00".into() };
        let open: Vec<_> = (0..24).filter(|hour| hours_open(Some(&quiet)) >> hour & 1 == 1).collect();
        assert_eq!(open, (8..21).collect::<Vec<_>>());
        assert_eq!(hours_open(None).count_ones(), 24);
    }
}
