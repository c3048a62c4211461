//! What one rendering knows and has left; it goes with the crate's runtime as a register.

use std::{
    cell::RefMut,
    collections::{BTreeMap, BTreeSet},
};

use jiff::tz::TimeZone;
use liquid_core::{Error, Result, Runtime, Value, model::KString};

use super::values::weight;
use crate::content::limits;

/// What one rendering knows and has left.
pub(super) struct Around {
    pub(super) zone: TimeZone,
    pub(super) now_ms: i64,
    /// Whether what is said becomes HTML.
    pub(super) html: bool,
    fuel: u64,
    /// The line of the source it is at.
    pub(super) line: i64,
    /// What went wrong first, and in which line.
    fault: Option<String>,
    /// Names whose value is HTML already.
    pub(super) safe: BTreeSet<KString>,
    /// The variables of the loops it is in.
    pub(super) rounds: Vec<KString>,
    /// Whose turn it is in every group of a `cycle`.
    pub(super) cycles: BTreeMap<KString, usize>,
    /// Where the loops of a name stopped.
    pub(super) stopped: BTreeMap<KString, usize>,
}

impl Default for Around {
    fn default() -> Self {
        Self::new(TimeZone::UTC, 0, true)
    }
}

impl Around {
    pub(super) fn new(zone: TimeZone, now_ms: i64, html: bool) -> Self {
        Self {
            zone,
            now_ms,
            html,
            fuel: limits::FUEL_MAX,
            line: 1,
            fault: None,
            safe: BTreeSet::new(),
            rounds: Vec::new(),
            cycles: BTreeMap::new(),
            stopped: BTreeMap::new(),
        }
    }

    fn burn(&mut self, steps: usize) -> Result<()> {
        match self.fuel.checked_sub(steps as u64) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => Err(self.fail(&format!("it takes more than {} steps", limits::FUEL_MAX))),
        }
    }

    /// What is wrong, unless something was before.
    fn fail(&mut self, what: &str) -> Error {
        self.fault.get_or_insert_with(|| format!("line {}: {what}", self.line));
        Error::with_msg("stopped")
    }

    /// What went wrong; `what` if nothing was said.
    pub(super) fn fault(&mut self, what: &str) -> String {
        self.fail(what);
        self.fault.take().unwrap_or_default()
    }
}

/// The register of a rendering. Not to be held while anything else is asked of the runtime.
pub(super) fn around(runtime: &dyn Runtime) -> RefMut<'_, Around> {
    runtime.registers().get_mut::<Around>()
}

/// Takes so many steps.
pub(super) fn burn(runtime: &dyn Runtime, steps: usize) -> Result<()> {
    around(runtime).burn(steps)
}

/// Takes the steps of copying a value.
pub(super) fn burn_copy(runtime: &dyn Runtime, value: &Value) -> Result<()> {
    burn(runtime, weight(value) / 16)
}

/// Takes the step of a node in a line.
pub(super) fn step(runtime: &dyn Runtime, line: i64) -> Result<()> {
    let mut around = around(runtime);
    around.line = line;
    around.burn(1)
}

/// What is wrong where the rendering is.
pub(super) fn fail(runtime: &dyn Runtime, what: &str) -> Error {
    around(runtime).fail(what)
}
