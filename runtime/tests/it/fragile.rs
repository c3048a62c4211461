//! An agent that breaks on demand.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Shared, Step, Topic};
use serde::{Deserialize, Serialize};

use crate::toys::partition;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum How {
    Well,
    Panics,
    /// Panics as long as [`Fragile::broken`] counts down.
    PanicsWhileBroken,
    /// Asks to come again as long as [`Fragile::broken`] counts down.
    WaitsWhileBroken,
    Refuses,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Touch {
    pub(crate) key: u64,
    pub(crate) how: How,
    pub(crate) note: u32,
}

impl Topic for Touch {
    const NAME: &'static str = "touch";

    fn partition(&self) -> Option<u16> {
        Some(partition(self.key))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Touched(pub(crate) u32);

impl Topic for Touched {
    const NAME: &'static str = "touched";
}

/// For all keys; a negative one breaks, after it has spoilt what they share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting(pub(crate) i64);

impl Topic for Setting {
    const NAME: &'static str = "setting";
}

#[derive(Default)]
pub(crate) struct Fragile {
    pub(crate) broken: Arc<AtomicU32>,
    /// The one note it is broken for; 0 for all.
    pub(crate) only: Arc<AtomicU32>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings(pub(crate) Vec<i64>);

impl Shared for Settings {}

impl Agent for Fragile {
    const NAME: &'static str = "fragile";
    type Key = u64;
    type State = Vec<u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Touch>(|touch| touch.key);
        routes.on_shared::<Setting>();
    }
}

impl Fragile {
    fn is_broken(&self, note: u32) -> bool {
        if ![0, note].contains(&self.only.load(Ordering::Acquire)) {
            return false;
        }
        self.broken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
    }
}

impl On<Touch> for Fragile {
    fn on(&self, notes: &mut Vec<u32>, event: &Event<'_, Touch>, step: &mut Step<'_>) -> Result<(), AgentError> {
        // The state is spoilt before anything breaks, and something is said: neither may be seen.
        notes.push(event.note);
        step.publish(Touched(event.note));
        match event.how {
            How::Panics => panic!("told to"),
            How::PanicsWhileBroken if self.is_broken(event.note) => panic!("broken"),
            How::WaitsWhileBroken if self.is_broken(event.note) => Err(AgentError::Retry("not yet".into())),
            How::Refuses => Err(AgentError::Reject("not for me".into())),
            _ => Ok(()),
        }
    }
}

/// Breaks in the middle of changing two keys, one of which may go to the other.
pub(crate) struct Pairs;

impl Agent for Pairs {
    const NAME: &'static str = "pairs";
    type Key = u64;
    type State = Vec<u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Touch>();
        routes.on_shared::<Setting>();
    }

    fn merge(&self, winner: &mut Vec<u32>, loser: Vec<u32>, _: &mut Step<'_>) -> Result<(), AgentError> {
        winner.extend(loser);
        winner.sort_unstable();
        Ok(())
    }
}

impl OnMany<Touch> for Pairs {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, Touch>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        for key in [event.key, event.key + 100] {
            keys.change(&key, |notes| {
                notes.push(event.note);
                Ok(())
            })?;
        }
        if event.note.is_multiple_of(13) {
            keys.hand_over(&event.key, &(event.key + 200), step)?;
        }
        step.schedule(step.now_ms() + 5, &Touched(event.note));
        match event.how {
            How::Panics => panic!("told to"),
            How::Refuses => Err(AgentError::Reject("not for me".into())),
            _ => Ok(()),
        }
    }
}

impl OnShared<Setting> for Pairs {
    type Shared = Settings;

    fn on_shared(
        &self,
        settings: &mut Settings,
        event: &Event<'_, Setting>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        Fragile::default().on_shared(settings, event, step)
    }
}

impl OnShared<Setting> for Fragile {
    type Shared = Settings;

    fn on_shared(
        &self,
        settings: &mut Settings,
        event: &Event<'_, Setting>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        settings.0.push(event.0);
        if event.0 < 0 {
            return Err(AgentError::Reject("a negative setting".into()));
        }
        Ok(())
    }
}
