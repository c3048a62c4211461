//! At which instant an arm is to be done: the hours of a person's day, by their own clock.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use crate::vocabulary::{Arm, ChannelVerdict, Millis};

const HOURS_LOOKED_AT: i64 = 49;

/// A person's clock.
pub(super) struct PersonClock(TimeZone);

impl PersonClock {
    /// The clock of a zone by its name; UTC where there is none of the name, which the gate does not send.
    pub(super) fn of(zone: &str) -> Self {
        Self(TimeZone::get(zone).unwrap_or(TimeZone::UTC))
    }

    /// The first instant from `from_ms` on whose hour is `hour`; within two days, since a clock that is put
    /// forward may pass over an hour once.
    fn next(&self, hour: u8, from_ms: Millis) -> Option<Millis> {
        let from = Timestamp::from_millisecond(from_ms).ok()?.to_zoned(self.0.clone());
        if from.hour().unsigned_abs() == hour {
            return Some(from_ms);
        }
        let mut at =
            from.round(jiff::ZonedRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc)).ok()?;
        for _ in 0..HOURS_LOOKED_AT {
            at = at.checked_add(1.hour()).ok()?;
            if at.hour().unsigned_abs() == hour {
                return Some(at.timestamp().as_millisecond());
            }
        }
        None
    }

    /// When `arm` would be done by a channel that is free as `verdict` says; `None` where it may not be.
    pub(super) fn moment(&self, arm: &Arm, verdict: &ChannelVerdict, now_ms: Millis) -> Option<Millis> {
        if verdict.refused.is_some() {
            return None;
        }
        let from_ms = verdict.from_ms.max(now_ms);
        let Some(hour) = arm.hour else { return Some(from_ms) };
        let allowed = verdict.hours.checked_shr(hour.into()).unwrap_or(0) & 1 == 1;
        if allowed { self.next(hour, from_ms) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Channel;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn an_hour_is_the_persons_own_and_comes_next() {
        let verdict = |from: &str| ChannelVerdict {
            channel: Channel::Sms,
            from_ms: at(from),
            hours: 0b11_1111_1111_1111 << 8,
            refused: None,
        };
        let arm = |hour| Arm { template: "a".into(), offer: None, channel: Channel::Sms, hour };
        let check = |zone: &str, hour, from: &str, wanted: Option<&str>| {
            let moment = PersonClock::of(zone).moment(&arm(hour), &verdict(from), at(from));
            assert_eq!(moment, wanted.map(at), "{zone} {hour:?} {from}");
        };
        check("Europe/Warsaw", None, "2026-05-04T08:30:00Z", Some("2026-05-04T08:30:00Z"));
        check("Europe/Warsaw", Some(9), "2026-05-04T08:30:00Z", Some("2026-05-05T07:00:00Z"));
        check("Europe/Warsaw", Some(10), "2026-05-04T08:30:00Z", Some("2026-05-04T08:30:00Z"));
        check("Europe/Warsaw", Some(18), "2026-05-04T08:30:00Z", Some("2026-05-04T16:00:00Z"));
        check("Asia/Kolkata", Some(18), "2026-05-04T08:10:00Z", Some("2026-05-04T12:30:00Z"));
        // Not an hour the channel may be used in.
        check("Europe/Warsaw", Some(3), "2026-05-04T08:30:00Z", None);
        // The night the clocks go back: nine is an hour further away.
        check("Europe/Warsaw", Some(9), "2026-10-24T20:00:00Z", Some("2026-10-25T08:00:00Z"));
        // The night they go forward.
        check("Europe/Warsaw", Some(9), "2026-03-28T20:00:00Z", Some("2026-03-29T07:00:00Z"));
    }
}
