//! How large segments are and were: counted from who enters and leaves.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, Routes, Step, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    BackfillDone, BackfillPage, SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved, SweepDone,
    topics::SweepPage,
};
use crate::vocabulary::{DAY_MS, Millis};

/// Days of history kept for one segment.
const DAYS_MAX: usize = 1_100;

/// The agent that counts.
pub struct SegmentSizes;

/// What is counted of one segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentSize {
    /// Members now.
    pub size: u64,
    /// How often somebody has entered, ever.
    pub entered: u64,
    /// How often somebody has left, ever.
    pub left: u64,
    /// When somebody last entered or left.
    pub changed_at_ms: Option<Millis>,
    /// Days on which somebody entered or left, by UTC day since 1970.
    pub days: BTreeMap<i32, DayOfSegment>,
    /// How far the past has been looked at, by worker.
    pub backfill: Backfill,
}

/// One day of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayOfSegment {
    /// Who entered.
    pub entered: u64,
    /// Who left.
    pub left: u64,
    /// Members at the day's end.
    pub size: u64,
}

/// How far a definition's past has been looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// The definition: the last entry to look at.
    pub version: Seq,
    /// The next entry to look at, by worker; those that are done are not here.
    pub next: BTreeMap<u16, Seq>,
    /// Whether there is a past to be looked at: measures that were not there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fills: bool,
    /// Looking at everybody; none for what was defined before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// How far everybody has been looked at for a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    /// Up to whom, by worker; people come in the order of their ids, which are hashes.
    up_to: BTreeMap<u16, u64>,
    /// Workers that have looked at everybody of theirs.
    done: BTreeSet<u16>,
    /// How many workers there are; 0 until one is done.
    workers: u16,
}

impl Sweep {
    fn is_done(&self) -> bool {
        self.workers > 0 && self.done.len() >= usize::from(self.workers)
    }

    fn progress(&self) -> f64 {
        let workers = usize::from(self.workers).max(self.up_to.len() + self.done.len()).max(1);
        let under_way = self.up_to.iter().filter(|(worker, _)| !self.done.contains(*worker));
        let under_way: f64 = under_way.map(|(_, up_to)| *up_to as f64 / u64::MAX as f64).sum();
        (self.done.len() as f64 + under_way) / workers as f64
    }
}

impl Backfill {
    /// How much of a back-fill is reading the past; the rest is looking at everybody.
    const PAST_SHARE: f64 = 0.8;

    /// Whether everybody has been looked at for the definition, once its measures are `filled`.
    pub fn is_done(&self, filled: bool) -> bool {
        filled && self.sweep.as_ref().is_none_or(Sweep::is_done)
    }

    /// How far the back-fill is, from 0 to 1; `filled` says whether the definition's measures are.
    pub fn progress(&self, filled: bool) -> f64 {
        if self.is_done(filled) {
            return 1.0;
        }
        let past = match self.next.values().min() {
            _ if filled => 1.0,
            Some(next) if self.version > 0 => next.saturating_sub(1) as f64 / self.version as f64,
            // Not begun.
            _ => 0.0,
        };
        let everybody = self.sweep.as_ref().map_or(0.0, Sweep::progress);
        let share = if self.fills { Self::PAST_SHARE } else { 0.0 };
        (past.min(1.0) * share + everybody.min(1.0) * (1.0 - share)).min(1.0)
    }
}

impl SegmentSize {
    fn count(&mut self, at_ms: Millis, entered: bool) {
        if entered {
            self.size += 1;
            self.entered += 1;
        } else {
            self.size = self.size.saturating_sub(1);
            self.left += 1;
        }
        self.changed_at_ms = Some(at_ms);
        let day = self.days.entry(at_ms.div_euclid(DAY_MS) as i32).or_default();
        day.entered += u64::from(entered);
        day.left += u64::from(!entered);
        day.size = self.size;
        if self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
    }
}

impl Agent for SegmentSizes {
    const NAME: &'static str = "segment-sizes";
    type Key = String;
    type State = SegmentSize;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|event: &SegmentEntered| event.segment.to_string());
        routes.on(|event: &SegmentLeft| event.segment.to_string());
        routes.on(|event: &SegmentDefined| event.id.to_string());
        routes.on(|event: &SegmentRemoved| event.id.to_string());
        routes.on(|event: &BackfillPage| event.segment.to_string());
        routes.on(|event: &BackfillDone| event.segment.to_string());
        routes.on_many::<SweepPage>();
        routes.on_many::<SweepDone>();
    }
}

impl On<SegmentEntered> for SegmentSizes {
    fn on(
        &self,
        size: &mut SegmentSize,
        event: &Event<'_, SegmentEntered>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        size.count(event.at_ms, true);
        Ok(())
    }
}

impl On<SegmentLeft> for SegmentSizes {
    fn on(&self, size: &mut SegmentSize, event: &Event<'_, SegmentLeft>, _: &mut Step<'_>) -> Result<(), AgentError> {
        size.count(event.at_ms, false);
        Ok(())
    }
}

impl On<SegmentDefined> for SegmentSizes {
    fn on(&self, size: &mut SegmentSize, _: &Event<'_, SegmentDefined>, step: &mut Step<'_>) -> Result<(), AgentError> {
        size.backfill = Backfill { version: step.seq(), sweep: Some(Sweep::default()), ..Backfill::default() };
        Ok(())
    }
}

impl On<SegmentRemoved> for SegmentSizes {
    fn on(&self, size: &mut SegmentSize, _: &Event<'_, SegmentRemoved>, _: &mut Step<'_>) -> Result<(), AgentError> {
        size.backfill = Backfill::default();
        Ok(())
    }
}

impl On<BackfillPage> for SegmentSizes {
    fn on(&self, size: &mut SegmentSize, event: &Event<'_, BackfillPage>, _: &mut Step<'_>) -> Result<(), AgentError> {
        if size.backfill.version == event.version {
            size.backfill.next.insert(event.worker, event.next);
            size.backfill.fills = true;
        }
        Ok(())
    }
}

impl On<BackfillDone> for SegmentSizes {
    fn on(&self, size: &mut SegmentSize, event: &Event<'_, BackfillDone>, _: &mut Step<'_>) -> Result<(), AgentError> {
        if size.backfill.version == event.version {
            size.backfill.next.remove(&event.worker);
        }
        Ok(())
    }
}

/// Changes what is kept of looking at everybody for `definitions`, where they are still the ones that stand.
fn sweeping(
    keys: &mut Keys<'_, SegmentSizes>,
    definitions: &[(Box<str>, Seq)],
    change: impl Fn(&mut Sweep),
) -> Result<(), AgentError> {
    for (id, version) in definitions {
        keys.change(&id.to_string(), |size| {
            if size.backfill.version == *version {
                size.backfill.sweep.iter_mut().for_each(&change);
            }
            Ok(())
        })?;
    }
    Ok(())
}

impl OnMany<SweepPage> for SegmentSizes {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SweepPage>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some(up_to) = event.after else { return Ok(()) };
        sweeping(keys, &event.completes, |sweep| {
            sweep.up_to.insert(event.worker, up_to.0);
        })
    }
}

impl OnMany<SweepDone> for SegmentSizes {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, SweepDone>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        sweeping(keys, &event.completes, |sweep| {
            sweep.done.insert(event.worker);
            sweep.workers = event.workers;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_whole_once_every_worker_has_looked_at_everybody() {
        let mut backfill = Backfill { version: 9, sweep: Some(Sweep::default()), ..Backfill::default() };
        assert_eq!((backfill.is_done(true), backfill.progress(true)), (false, 0.0));
        let sweep = |backfill: &mut Backfill, change: fn(&mut Sweep)| backfill.sweep.iter_mut().for_each(change);
        sweep(&mut backfill, |sweep| {
            sweep.up_to.insert(0, u64::MAX / 2);
        });
        assert!((0.4..0.6).contains(&backfill.progress(true)), "{}", backfill.progress(true));
        sweep(&mut backfill, |sweep| {
            sweep.done.insert(0);
            sweep.workers = 2;
        });
        assert_eq!((backfill.is_done(true), backfill.progress(true)), (false, 0.5));
        sweep(&mut backfill, |sweep| {
            sweep.done.insert(1);
        });
        assert_eq!((backfill.is_done(true), backfill.progress(true)), (true, 1.0));
        assert!(!backfill.is_done(false), "its measures are not filled");
        // What was defined before this was kept is done with its measures.
        assert!(Backfill::default().is_done(true));
    }

    #[test]
    fn a_past_that_is_read_is_most_of_the_way() {
        let mut backfill = Backfill { version: 100, fills: true, sweep: Some(Sweep::default()), ..Backfill::default() };
        assert_eq!(backfill.progress(false), 0.0);
        backfill.next.insert(0, 51);
        assert!((0.39..0.41).contains(&backfill.progress(false)));
        assert!((0.79..0.81).contains(&backfill.progress(true)));
    }
}
