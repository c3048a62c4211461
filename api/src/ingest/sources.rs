//! What came of the events of every source: counted, with the last few refusals to look at.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
};

use impresario_agents::vocabulary::{EventKind, Tracked};
use impresario_runtime::{
    RuntimeError,
    store::{Journal, Op, Receipt},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reject::{Rejection, RejectionView};
use crate::problem::Problem;

/// Refusals of one source kept to look at.
pub const REJECTIONS_KEPT: usize = 20;
/// Sources counted at most; keys are fewer, but names of revoked ones stay.
pub const SOURCES_MAX: usize = 1_000;
/// Events of one source taken in that are kept to look at.
pub const ACCEPTED_KEPT: usize = 20;
/// Of one request, the last so many.
pub(super) const SHOWN_OF_A_REQUEST: usize = 4;
/// Characters of an event's name that are shown.
const SHOWN_CHARS_MAX: usize = 100;
const META: &str = "sources";

/// What came of the events of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceCounts {
    /// Events taken in.
    pub accepted: u64,
    /// Events whose `messageId` was known already.
    pub duplicates: u64,
    /// Of them, those with another content than the first time: a client that gives two events one id.
    #[serde(default)]
    pub duplicates_changed: u64,
    /// Events refused.
    pub rejected: u64,
    /// Events refused, by the code of the reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// Whole requests refused, by the code of the problem.
    pub refused_requests: BTreeMap<String, u64>,
    /// When the last request came in, milliseconds since 1970 UTC.
    pub last_at_ms: i64,
    /// The last few events refused, oldest first.
    #[schema(value_type = Vec<RejectionView>)]
    pub last_rejections: VecDeque<RejectionView>,
}

/// An event that was taken in, as an operator sees it who looks whether a source works: nothing of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedView {
    /// When it came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Its `messageId`, the client's or one made here.
    pub message_id: String,
    /// Which call it came as.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// The name of a track, page or screen, cut off after 100 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it happened, milliseconds since 1970 UTC.
    pub happened_at_ms: i64,
}

impl AcceptedView {
    /// What is shown of an event.
    pub(super) fn of(event: &Tracked) -> Self {
        let named = matches!(event.kind, EventKind::Track | EventKind::Page | EventKind::Screen);
        let name = event.name.chars().take(if named { SHOWN_CHARS_MAX } else { 0 }).collect();
        Self {
            at_ms: event.received_at_ms,
            message_id: event.message_id.to_string(),
            kind: event.kind,
            name,
            happened_at_ms: event.at_ms,
        }
    }
}

/// The counts of all sources. Kept in the directory every few seconds and at a stop: a kill loses
/// the last seconds of counting, never an event.
pub struct Sources {
    counts: Mutex<Counts>,
    /// The last few events taken in, by source; of this process alone.
    accepted: Mutex<BTreeMap<String, VecDeque<AcceptedView>>>,
    changed: AtomicBool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counts {
    by_source: BTreeMap<String, SourceCounts>,
    /// Requests refused before it was clear whose they are, by the code of the problem.
    unknown: BTreeMap<String, u64>,
}

impl Sources {
    /// The counts as they were kept.
    ///
    /// # Errors
    /// The store's, or counts that can't be read.
    pub fn load(journal: &Journal) -> Result<Self, RuntimeError> {
        let counts = match journal.meta(META)? {
            Some(stored) => serde_json::from_slice(&stored)
                .map_err(|error| RuntimeError::Setup(format!("the counts of sources can't be read: {error}")))?,
            None => Counts::default(),
        };
        Ok(Self { counts: Mutex::new(counts), accepted: Mutex::default(), changed: AtomicBool::new(false) })
    }

    /// Counts what was taken in, and keeps `shown` of it to look at.
    pub(super) fn accepted(&self, source: &str, at_ms: i64, events: u64, receipt: &Receipt, shown: Vec<AcceptedView>) {
        let duplicates = u64::from(receipt.duplicates);
        if events > duplicates {
            self.show(source, shown);
        }
        self.change(source, at_ms, |counts| {
            counts.accepted += events - duplicates;
            counts.duplicates += duplicates;
            counts.duplicates_changed += u64::from(receipt.changed);
        });
    }

    fn show(&self, source: &str, shown: Vec<AcceptedView>) {
        let mut accepted = self.accepted.lock();
        if !accepted.contains_key(source) {
            if accepted.len() >= SOURCES_MAX {
                return;
            }
            accepted.insert(source.to_owned(), VecDeque::with_capacity(ACCEPTED_KEPT));
        }
        let Some(kept) = accepted.get_mut(source) else { return };
        let over = (kept.len() + shown.len()).saturating_sub(ACCEPTED_KEPT);
        kept.drain(..over.min(kept.len()));
        kept.extend(shown);
    }

    /// The last few events taken in of a source, oldest first.
    pub fn last_accepted(&self, source: &str) -> Vec<AcceptedView> {
        self.accepted.lock().get(source).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    /// Counts what was refused out of a request that was not.
    pub(super) fn rejected(&self, source: &str, at_ms: i64, rejections: &[Rejection]) {
        if rejections.is_empty() {
            return;
        }
        self.change(source, at_ms, |counts| {
            counts.rejected += rejections.len() as u64;
            for rejection in rejections {
                *counts.rejected_by_reason.entry(rejection.reason.code().to_owned()).or_default() += 1;
                if counts.last_rejections.len() >= REJECTIONS_KEPT {
                    counts.last_rejections.pop_front();
                }
                counts.last_rejections.push_back(RejectionView {
                    at_ms,
                    message_id: rejection.message_id.as_deref().map(str::to_owned),
                    reason: rejection.reason.code().to_owned(),
                    detail: rejection.reason.to_string(),
                });
            }
        });
    }

    /// Counts a request that was refused as a whole.
    pub(super) fn refused(&self, source: Option<&str>, at_ms: i64, problem: &Problem) {
        match source {
            Some(source) => self.change(source, at_ms, |counts| {
                *counts.refused_requests.entry(problem.code.to_owned()).or_default() += 1;
            }),
            None => {
                *self.counts.lock().unknown.entry(problem.code.to_owned()).or_default() += 1;
                self.changed.store(true, Ordering::Release);
            }
        }
    }

    fn change(&self, source: &str, at_ms: i64, change: impl FnOnce(&mut SourceCounts)) {
        let mut counts = self.counts.lock();
        if !counts.by_source.contains_key(source) {
            if counts.by_source.len() >= SOURCES_MAX {
                return;
            }
            counts.by_source.insert(source.to_owned(), SourceCounts::default());
        }
        if let Some(counts) = counts.by_source.get_mut(source) {
            counts.last_at_ms = at_ms;
            change(counts);
        }
        drop(counts);
        self.changed.store(true, Ordering::Release);
    }

    /// Forgets the events shown as examples, which may be of somebody who was erased.
    pub fn forget_samples(&self) {
        let mut counts = self.counts.lock();
        counts.by_source.values_mut().for_each(|counts| counts.last_rejections.clear());
        drop(counts);
        self.changed.store(true, Ordering::Release);
    }

    /// All sources by name, and the refusals of requests that belong to none.
    pub fn view(&self) -> (BTreeMap<String, SourceCounts>, BTreeMap<String, u64>) {
        let counts = self.counts.lock();
        (counts.by_source.clone(), counts.unknown.clone())
    }

    /// The write that keeps the counts, if they have changed since the last one.
    pub fn write(&self) -> Option<Op> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return None;
        }
        let counts = self.counts.lock().clone();
        serde_json::to_vec(&counts).ok().map(|table| Journal::meta_write(META, &table))
    }
}
