//! What goes wrong on the way of events: copies, delays, other orders.

use impresario_agents::vocabulary::Millis;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{
    chance::Chance,
    file::{FaultsFile, PanicFile},
    read_at,
    time::{self, Calendar},
    wrong,
};
use crate::{
    FormatError,
    model::{Action, BREAKABLE, Fate, Faults, Panic, Planned},
};

pub(crate) fn faults(file: &FaultsFile, calendar: &Calendar) -> Result<Faults, FormatError> {
    let duplicates = file.duplicates.as_ref().map(|fault| {
        let within = fault.value.within.as_ref().map(|within| read_at(within, time::duration_ms)).transpose()?;
        let within = within.unwrap_or(0);
        // Copies are known for a day; one that comes later is an event of its own.
        if within > 86_400_000 {
            return Err(wrong(fault, "`within` is at most a day: so long a message id is remembered"));
        }
        Ok((read_at(&fault.value.share, time::percent)?, within))
    });
    let late = file
        .late
        .as_ref()
        .map(|fault| Ok((read_at(&fault.value.share, time::percent)?, read_at(&fault.value.by, time::duration_ms)?)));
    let reordered = file.reordered.as_ref().map(|fault| read_at(&fault.value.within, time::duration_ms));
    let mut faults = Faults {
        duplicates: duplicates.transpose()?,
        late: late.transpose()?,
        reordered: reordered.transpose()?,
        panics: file.panics.iter().map(panic).collect::<Result<_, _>>()?,
        kills_at: Vec::new(),
        kills_after_commit: Vec::new(),
        rotate_workers: file.rotate_workers,
    };
    for kill in &file.kills {
        match (&kill.value.at, kill.value.after_commit, &kill.value.lasts) {
            (Some(at), None, lasts) => {
                let at_ms = read_at(at, |text| calendar.instant(text))?.timestamp().as_millisecond();
                let lasts = lasts.as_ref().map(|lasts| read_at(lasts, time::duration_ms)).transpose()?;
                faults.kills_at.push((at_ms, lasts.map(|lasts| at_ms + lasts), kill.referenced.line()));
            }
            (None, Some(commit), None) if commit > 0 => faults.kills_after_commit.push(commit),
            _ => {
                return Err(wrong(
                    kill,
                    "a kill is either `at: day 2 09:00`, perhaps with `for`, or `after_commit: 37`",
                ));
            }
        }
    }
    faults.kills_after_commit.sort_unstable();
    Ok(faults)
}

fn panic(spanned: &Spanned<PanicFile>) -> Result<Panic, FormatError> {
    let PanicFile { agent, event, times } = &spanned.value;
    let count = match &times.value {
        Value::Number(number) => {
            number.as_u64().filter(|times| (1..=2).contains(times)).map(|times| Some(times as u32))
        }
        Value::String(text) if text == "always" => Some(None),
        _ => None,
    };
    let count = count.ok_or_else(|| {
        wrong(times, "`times` is 1, 2 or `always`: what breaks three times is set aside and does not come again")
    })?;
    if !BREAKABLE.contains(&agent.as_str()) {
        return Err(wrong(spanned, format!("`agent` is one of {}, not `{agent}`", BREAKABLE.join(", "))));
    }
    Ok(Panic { agent: agent.clone(), event: *event, times: count })
}

/// The plan as faults on the way make it.
pub(crate) fn with_faults(planned: Vec<Planned>, faults: &Faults, seed: u64) -> Vec<Planned> {
    let mut all: Vec<Planned> = Vec::with_capacity(planned.len());
    for mut planned in planned {
        if let Action::Send(send) = &mut planned.action {
            let mut chance = Chance::new(seed, "fault on the way", send.number);
            // Every question is asked, so that one fault's chance does not hang on another's.
            let (late_share, late_by) = faults.late.unwrap_or_default();
            let late = if chance.happens(late_share) { 1 + chance.below(late_by) } else { 0 };
            let mut chance = Chance::new(seed, "fault of order", send.number);
            let moved = faults.reordered.map_or(0, |within| chance.below(within + 1));
            let mut chance = Chance::new(seed, "fault of copies", send.number);
            let (copy_share, copy_within) = faults.duplicates.unwrap_or_default();
            let copy: Option<Millis> = chance.happens(copy_share).then(|| chance.below(copy_within + 1));
            if late + moved > 0 {
                planned.at_ms += late + moved;
                send.fate = Fate::Delayed;
            }
            let copy = copy.map(|after_ms| {
                let mut copy = send.clone();
                copy.fate = Fate::Copy;
                let at_ms = planned.at_ms + after_ms;
                Planned { at_ms, line: planned.line, action: Action::Send(copy) }
            });
            all.push(planned);
            all.extend(copy);
            continue;
        }
        all.push(planned);
    }
    for (at_ms, until_ms, line) in &faults.kills_at {
        let until_ms = *until_ms;
        // Nobody is there meanwhile: whoever knocks does so again, and it is let in when the process is up.
        for planned in all.iter_mut().filter(|planned| planned.at_ms > *at_ms) {
            planned.at_ms = planned.at_ms.max(until_ms.unwrap_or(planned.at_ms));
        }
        all.push(Planned { at_ms: *at_ms, line: *line, action: Action::Kill { until_ms } });
    }
    all.sort_by_key(|planned| planned.at_ms);
    all
}

/// Events that come one after the other at the same instant change places; what else happens there stays
/// where it is.
pub(crate) fn shuffle_instants(plan: &mut [Planned], seed: u64, order: u64) {
    let mut chance = Chance::new(seed, "order of the same instant", order);
    let together = |one: &Planned, next: &Planned| {
        let sends = |planned: &Planned| matches!(planned.action, Action::Send(_));
        one.at_ms == next.at_ms && sends(one) && sends(next)
    };
    for same in plan.chunk_by_mut(together) {
        for last in (1..same.len()).rev() {
            same.swap(last, chance.below(last as i64 + 1) as usize);
        }
    }
}
