//! Retention by age: what people did so many days ago is forgotten.
//!
//! Once a day of the journal's time, in small portions, and from wherever a crash left it:
//!
//! 1. a [`Horizon`] is told, if possible while no agent is looking back at the past: to what comes after it, all
//!    before is gone;
//! 2. every worker writes its states up to the horizon's place: from then on nobody folds an entry again
//!    that could see the past as it was;
//! 3. the bodies go, block by block, but for what is still waited for: entries with a dead letter, what
//!    pending effects and timers came of that don't say whose they are.
//!
//! What stays for good: what is said of everybody, who has become whom, who was in a segment when.

use std::{collections::BTreeSet, sync::Arc};

use impresario_store::{Horizon, Journal, Seq};
use serde::Serialize;

use crate::{
    RuntimeError, Troupe,
    about::Abouts,
    erasure::{Ground, Turn},
    letters,
};

/// Fewer days than this are refused: late events, timers, attribution and fresh segments look back so far.
pub const RETENTION_DAYS_MIN: u32 = 30;

const DAY_MS: i64 = 24 * 3_600_000;
/// Blocks thinned at once.
const PORTION_BLOCKS: usize = 16;
/// How often agents that are busy are waited for before the horizon is told all the same.
const WAITS_MAX: u32 = 1_200;
/// Rows read at once.
const PAGE: usize = 1_000;

/// How retention by age stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionStatus {
    /// After how many days what people have done is forgotten; none for never.
    pub days: Option<u32>,
    /// Nothing older than this is there, or is seen by anybody, milliseconds since 1970 UTC; none where nothing
    /// was ever forgotten.
    pub kept_since_ms: Option<i64>,
    /// The first entry that is kept whole.
    pub kept_from: Seq,
    /// Entries forgotten since the start.
    pub forgotten: u64,
    /// Old entries that are still to go: their agents are waited for, or it is under way.
    pub waiting: u64,
    /// Workers whose states are not yet written up to the horizon.
    pub held_by: Vec<String>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Rest,
    Written(Horizon),
    Thin {
        next: Seq,
        /// Entries somebody waits for.
        wanted: BTreeSet<Seq>,
    },
}

/// Forgetting under way.
#[derive(Default)]
pub(crate) struct Retaining {
    stage: Stage,
    waits: u32,
    forgotten: u64,
}

impl Retaining {
    /// Entries forgotten since the start.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Goes on by one stage or portion.
    ///
    /// # Errors
    /// The store's error, or a worker that can't write its states: it may be tried again.
    pub(crate) fn advance(&mut self, ground: &mut dyn Ground) -> Result<Turn, RuntimeError> {
        match &mut self.stage {
            Stage::Rest => self.begin(ground),
            Stage::Written(horizon) => {
                let horizon = *horizon;
                let journal = Arc::clone(ground.journal());
                if !unwritten(&journal, ground.troupe(), horizon.after)?.is_empty() {
                    ground.write_out(horizon.after)?;
                    if !unwritten(&journal, ground.troupe(), horizon.after)?.is_empty() {
                        return Ok(Turn::Wait);
                    }
                }
                // The marks are to be on the disk before what they no longer need goes.
                journal.sync()?;
                let wanted = wanted(&journal, ground.troupe())?;
                self.stage = Stage::Thin { next: journal.thin_from()?, wanted };
                Ok(Turn::More)
            }
            Stage::Thin { next, wanted } => {
                let journal = Arc::clone(ground.journal());
                let abouts = Abouts::of(&journal, ground.troupe());
                let thinned = journal.thin(*next, PORTION_BLOCKS, &mut |entry| {
                    wanted.contains(&entry.seq) || !abouts.is_forgotten_with_age(entry)
                })?;
                if let Some(thinned) = thinned {
                    *next = thinned.next;
                    self.forgotten += thinned.entries;
                    return Ok(Turn::More);
                }
                journal.thin_again_from(wanted.first().copied().filter(|first| first < next))?;
                journal.sync()?;
                tracing::info!(kept_from = *next, "what is older than the days of retention is forgotten");
                self.stage = Stage::Rest;
                Ok(Turn::More)
            }
        }
    }

    fn begin(&mut self, ground: &mut dyn Ground) -> Result<Turn, RuntimeError> {
        let journal = Arc::clone(ground.journal());
        let horizon = journal.horizon();
        if let Some(horizon) = left(&journal)? {
            self.stage = Stage::Written(horizon);
            return Ok(Turn::More);
        }
        let (Some(days), Some(now_ms)) = (ground.troupe().limits.retention_days, journal.last_at()) else {
            return Ok(Turn::Idle);
        };
        let days = i64::from(days.max(RETENTION_DAYS_MIN));
        let since_ms = now_ms.div_euclid(DAY_MS).saturating_sub(days).saturating_mul(DAY_MS);
        if horizon.is_some_and(|horizon| since_ms <= horizon.since_ms) {
            return Ok(Turn::Idle);
        }
        let before = journal.older_than(since_ms)?;
        if before <= horizon.map_or(1, |horizon| horizon.before) {
            return Ok(Turn::Idle);
        }
        let head = journal.head();
        self.waits += 1;
        if !ground.behind(head).is_empty() && self.waits < WAITS_MAX {
            return Ok(Turn::Wait);
        }
        match journal.tell_horizon(head, before, since_ms)? {
            Some(horizon) => {
                tracing::info!(before, since_ms, "what is older than the days of retention is being forgotten");
                self.waits = 0;
                self.stage = Stage::Written(horizon);
                Ok(Turn::More)
            }
            None => Ok(Turn::Wait),
        }
    }
}

/// The newest horizon, where there may be something left to go.
fn left(journal: &Journal) -> Result<Option<Horizon>, RuntimeError> {
    let Some(horizon) = journal.horizon() else { return Ok(None) };
    Ok((journal.thinned_to()? < horizon.before).then_some(horizon))
}

/// Workers whose states are not written up to the entry at `seq`.
fn unwritten(journal: &Journal, troupe: &Troupe, seq: Seq) -> Result<Vec<String>, RuntimeError> {
    let mut found = Vec::new();
    for agent in &troupe.agents {
        for worker in 0..Troupe::workers(journal, agent.as_ref())? {
            let name = format!("{}/{worker}", agent.name());
            let mark = journal.known_name(&name).map(|id| journal.mark(id)).transpose()?.flatten();
            if mark.is_none_or(|mark| mark.floor < seq) {
                found.push(name);
            }
        }
    }
    Ok(found)
}

/// Old entries that something still waits for.
fn wanted(journal: &Journal, troupe: &Troupe) -> Result<BTreeSet<Seq>, RuntimeError> {
    let abouts = Abouts::of(journal, troupe);
    let mut wanted: BTreeSet<Seq> = journal.pending_effects()?.iter().map(|effect| effect.id.seq).collect();
    let mut after = None;
    loop {
        let page = journal.timers_after(after.as_ref(), PAGE);
        // A timer that says whose it is needs nothing else to be found when they are erased.
        let unsaid = page
            .iter()
            .filter(|(_, topic, body)| abouts.holds(*topic, body).map_or(true, |holds| holds.subjects.is_empty()));
        wanted.extend(unsaid.map(|(key, _, _)| key.seq));
        match page.last() {
            Some((last, _, _)) if page.len() == PAGE => after = Some(*last),
            _ => break,
        }
    }
    for agent in &troupe.agents {
        let workers = Troupe::workers(journal, agent.as_ref())?;
        let mut after = 0;
        loop {
            let page = letters::list(journal, agent.name(), workers, after, PAGE)?;
            wanted.extend(page.iter().map(|letter| letter.seq));
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.seq,
                _ => break,
            }
        }
    }
    Ok(wanted)
}

/// How retention by age stands.
pub(crate) fn status(journal: &Journal, troupe: &Troupe, forgotten: u64) -> Result<RetentionStatus, RuntimeError> {
    let mut status = RetentionStatus { days: troupe.limits.retention_days, forgotten, ..RetentionStatus::default() };
    let Some(horizon) = journal.horizon() else { return Ok(status) };
    status.kept_since_ms = Some(horizon.since_ms);
    status.kept_from = horizon.before;
    if left(journal)?.is_some() {
        status.waiting = horizon.before.saturating_sub(journal.thinned_to()?);
        status.held_by = unwritten(journal, troupe, horizon.after)?;
    }
    Ok(status)
}
