//! The writer's second thread: syncs what has been committed, and answers those who wait for the disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{JoinHandle, ThreadId},
};

use super::{
    commit::Receipt,
    outbox::PendingEffect,
    shared::Journal,
    writer::{CommitReply, WriterEvents, stopped},
};
use crate::StoreError;

/// Groups that may wait for one sync; more make the writer wait.
const GROUPS_MAX: usize = 4;

/// A committed group that waits for the disk.
pub(super) struct Made {
    pub(super) replies: Vec<(CommitReply, Result<Receipt, StoreError>)>,
    /// Effects that may be performed once they are durable.
    pub(super) effects: Vec<PendingEffect>,
}

pub(super) struct Syncer {
    groups: Option<SyncSender<Made>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    thread_id: ThreadId,
    /// Groups handed over and not answered yet.
    under_way: Arc<AtomicUsize>,
}

impl Syncer {
    pub(super) fn start<E: WriterEvents>(
        journal: Arc<Journal>,
        events: Arc<E>,
        sync_micros: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let (groups, made) = sync_channel(GROUPS_MAX);
        let under_way = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&under_way);
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| run(&journal, events.as_ref(), &made, &sync_micros, &left)));
            let panicked =
                |_| Err(journal.fail(StoreError::Stopped { first: "the thread that syncs panicked".into() }));
            ended.unwrap_or_else(panicked)
        };
        let thread = std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn(run)
            .map_err(|error| StoreError::Io { what: "start the thread that syncs".into(), error })?;
        let thread_id = thread.thread().id();
        Ok(Self { groups: Some(groups), thread: Some(thread), thread_id, under_way })
    }

    pub(super) fn thread_id(&self) -> ThreadId {
        self.thread_id
    }

    /// Whether a sync is under way or about to be.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Has a group synced; where too many wait, waits.
    ///
    /// # Errors
    /// What the disk said, where it has failed.
    pub(super) fn hand_over(&mut self, made: Made) -> Result<(), StoreError> {
        let Some(groups) = &self.groups else { return Err(StoreError::Closed) };
        self.under_way.fetch_add(1, Ordering::AcqRel);
        match groups.send(made) {
            Ok(()) => Ok(()),
            Err(unsent) => {
                let error = self.finish().err().unwrap_or(StoreError::Closed);
                unsent.0.refuse(&error);
                Err(error)
            }
        }
    }

    /// Waits until everything handed over is synced.
    ///
    /// # Errors
    /// What the disk said, where it has failed.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        drop(self.groups.take());
        let panicked = |_| Err(StoreError::Stopped { first: "the thread that syncs panicked".into() });
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(panicked))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Made {
    fn refuse(self, error: &StoreError) {
        self.replies.into_iter().for_each(|(reply, _)| reply(Err(stopped(error))));
    }
}

fn run(
    journal: &Journal,
    events: &impl WriterEvents,
    made: &Receiver<Made>,
    sync_micros: &AtomicU64,
    under_way: &AtomicUsize,
) -> Result<(), StoreError> {
    while let Ok(first) = made.recv() {
        let mut groups = vec![first];
        groups.extend(made.try_iter().take(GROUPS_MAX));
        if let Err(error) = timed_sync(journal, sync_micros) {
            under_way.store(0, Ordering::Release);
            groups.into_iter().chain(made.try_iter()).for_each(|group| group.refuse(&error));
            return Err(error);
        }
        under_way.fetch_sub(groups.len(), Ordering::AcqRel);
        for Made { replies, effects } in groups {
            replies.into_iter().for_each(|(reply, receipt)| reply(receipt));
            if !effects.is_empty() {
                events.effects(effects);
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measure of the disk, never read by an agent")]
fn timed_sync(journal: &Journal, sync_micros: &AtomicU64) -> Result<(), StoreError> {
    let start = std::time::Instant::now();
    let outcome = journal.sync();
    let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    sync_micros.fetch_add(micros, Ordering::Relaxed);
    outcome
}
