//! When a delay is over. Pure.

use jiff::{Timestamp, civil::Time, tz::TimeZone};

use super::definition::DelayStep;
use crate::{segmentation::Span, vocabulary::Millis};

/// The instant a delay that begins at `now_ms` is over.
///
/// # Errors
/// What of it can't be read; the text begins with the field and a closing quote.
pub(super) fn until(step: &DelayStep, now_ms: Millis) -> Result<Millis, String> {
    let Some(clock) = &step.until else {
        return Ok(now_ms.saturating_add(step.lasts.map_or(0, Span::ms)));
    };
    let time: Time = clock.parse().map_err(|_| format!("until`: `{clock}` is no time of day such as 09:00"))?;
    let name = step.zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(name).map_err(|_| format!("zone`: `{name}` is no time zone such as Europe/Warsaw"))?;
    let beyond = |_| "until`: beyond the end of time".to_owned();
    let now = Timestamp::from_millisecond(now_ms).map_err(beyond)?.to_zoned(zone.clone());
    // Today, or tomorrow where it has been. A time that clocks leave out is as much later as they go on.
    for day in [now.date(), now.date().tomorrow().map_err(beyond)?] {
        let due = day.to_datetime(time).to_zoned(zone.clone()).map_err(beyond)?.timestamp().as_millisecond();
        if due > now_ms {
            return Ok(due);
        }
    }
    Ok(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_on_the_wall_counts_also_when_it_changes() {
        let check = |now: &str, clock: &str, expect: &str| {
            let step =
                DelayStep { until: Some(clock.into()), zone: Some("Europe/Warsaw".into()), ..DelayStep::default() };
            let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
            assert_eq!(until(&step, at(now)), Ok(at(expect)), "{now} until {clock}");
        };
        check("2026-05-04T06:00:00Z", "09:00", "2026-05-04T07:00:00Z");
        check("2026-05-04T07:00:00Z", "09:00", "2026-05-05T07:00:00Z");
        // Clocks go from 02:00 to 03:00 on 2026-03-29, and back on 2026-10-25.
        check("2026-03-28T20:00:00Z", "09:00", "2026-03-29T07:00:00Z");
        check("2026-03-28T20:00:00Z", "02:30", "2026-03-29T01:30:00Z");
        check("2026-10-24T20:00:00Z", "09:00", "2026-10-25T08:00:00Z");
        check("2026-10-24T20:00:00Z", "02:30", "2026-10-25T00:30:00Z");
    }
}
