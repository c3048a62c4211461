//! How large segments are and were: counted from who enters and leaves.

use std::collections::BTreeMap;

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, store::Seq};
use serde::{Deserialize, Serialize};

use super::{BackfillDone, BackfillPage, SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved};
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
}

impl Backfill {
    /// Which share of the past has been looked at, from 0 to 1.
    pub fn progress(&self) -> f64 {
        match self.next.values().min() {
            Some(next) if self.version > 0 => next.saturating_sub(1) as f64 / self.version as f64,
            _ => 1.0,
        }
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
        size.backfill = Backfill { version: step.seq(), next: BTreeMap::new() };
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
