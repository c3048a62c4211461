//! Group commit: one thread takes what waits, commits it as one group, syncs once, answers all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    commit::{Commit, Receipt},
    outbox::PendingEffect,
    shared::Journal,
};
use crate::{Durability, StoreError};

/// Told what became of a commit: after the sync where the commit asked for it.
pub type CommitReply = Box<dyn FnOnce(Result<Receipt, StoreError>) + Send>;

/// The longest the thread sleeps while no timer is due: a wall clock that jumps is seen by then.
const IDLE: Duration = Duration::from_millis(200);

struct Waiting {
    commit: Commit,
    reply: Option<CommitReply>,
}

/// What the writer tells its owner.
pub trait WriterEvents: Send + 'static {
    /// The wall clock, milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;
    /// New entries can be read.
    fn appended(&self);
    /// These effects are durable and may be performed.
    fn effects(&self, effects: Vec<PendingEffect>);
    /// The journal has stopped: nothing is accepted any more.
    fn failed(&self, error: &StoreError);
}

/// The journal's one writer.
pub struct Writer {
    queue: Mutex<Option<SyncSender<Waiting>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    groups: Arc<AtomicU64>,
    sync_micros: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(journal: Arc<Journal>, events: impl WriterEvents) -> Result<Self, StoreError> {
        let (queue, waiting) = sync_channel(journal.limits.queue_commits_max);
        let groups = Arc::new(AtomicU64::new(0));
        let sync_micros = Arc::new(AtomicU64::new(0));
        let mut run = Run {
            journal,
            events,
            waiting,
            groups: Arc::clone(&groups),
            sync_micros: Arc::clone(&sync_micros),
            unsynced_effects: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || run.run())
            .map_err(|error| StoreError::Io { what: "start the writer thread".into(), error })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), groups, sync_micros })
    }

    /// Queues a commit; where the queue is full, waits.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Self::close`] or a failure.
    pub fn send(&self, commit: Commit, reply: Option<CommitReply>) -> Result<(), StoreError> {
        let queue = self.queue.lock().clone().ok_or(StoreError::Closed)?;
        queue.send(Waiting { commit, reply }).map_err(|_| StoreError::Closed)
    }

    /// Queues a commit, or gives it back where the queue is full: the caller is to say "busy".
    ///
    /// # Errors
    /// [`StoreError::Busy`] for a full queue, [`StoreError::Closed`] after a stop.
    pub fn try_send(&self, commit: Commit, reply: CommitReply) -> Result<(), StoreError> {
        let queue = self.queue.lock().clone().ok_or(StoreError::Closed)?;
        queue.try_send(Waiting { commit, reply: Some(reply) }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }

    /// Groups written and microseconds spent syncing, since the start.
    pub fn counters(&self) -> (u64, u64) {
        (self.groups.load(Ordering::Relaxed), self.sync_micros.load(Ordering::Relaxed))
    }

    /// Takes no more, writes what waits, syncs, and ends the thread.
    pub fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Run<E> {
    journal: Arc<Journal>,
    events: E,
    waiting: Receiver<Waiting>,
    groups: Arc<AtomicU64>,
    sync_micros: Arc<AtomicU64>,
    unsynced_effects: Vec<PendingEffect>,
}

impl<E: WriterEvents> Run<E> {
    fn run(&mut self) {
        loop {
            let first = match self.waiting.recv_timeout(self.until_next_timer()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = self.group(first) {
                tracing::error!(%error, "the journal has stopped");
                self.events.failed(&error);
                return;
            }
        }
        if let Err(error) = self.journal.sync() {
            tracing::error!(%error, "the journal could not be synced at its end");
        }
    }

    fn until_next_timer(&self) -> Duration {
        let Some(due) = self.journal.next_due() else { return IDLE };
        let wait = due.saturating_sub(self.events.now_ms());
        u64::try_from(wait).map_or(Duration::ZERO, Duration::from_millis).min(IDLE)
    }

    /// Takes what waits, up to a group's limits.
    fn gather(&self, first: Option<Waiting>) -> Vec<Waiting> {
        let limits = &self.journal.limits;
        let mut taken: Vec<Waiting> = first.into_iter().collect();
        let mut entries: usize = taken.iter().map(|waiting| waiting.commit.entries.len()).sum();
        let mut bytes: usize = taken.iter().map(|waiting| waiting.commit.body_bytes()).sum();
        while entries < limits.group_entries_max && bytes < limits.group_bytes_max {
            let Ok(next) = self.waiting.try_recv() else { break };
            entries += next.commit.entries.len();
            bytes += next.commit.body_bytes();
            taken.push(next);
        }
        taken
    }

    fn group(&mut self, first: Option<Waiting>) -> Result<(), StoreError> {
        let taken = self.gather(first);
        let (commits, replies): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|waiting| (waiting.commit, waiting.reply)).unzip();
        let waits_for_disk = commits.iter().any(|commit| commit.durability == Durability::Synced);
        let head = self.journal.head();
        let outcome = self.journal.commit(self.events.now_ms(), commits);
        let (receipts, effects) = match outcome {
            Ok(done) => done,
            Err(error) => {
                refuse(replies, &error);
                return Err(error);
            }
        };
        if self.journal.head() != head {
            self.events.appended();
        }
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.unsynced_effects.extend(effects);
        if waits_for_disk || !self.unsynced_effects.is_empty() {
            if let Err(error) = self.timed_sync() {
                refuse(replies, &error);
                return Err(error);
            }
            let durable = std::mem::take(&mut self.unsynced_effects);
            if !durable.is_empty() {
                self.events.effects(durable);
            }
        }
        for (reply, receipt) in replies.into_iter().zip(receipts) {
            match reply {
                Some(reply) => reply(receipt),
                None => {
                    if let Err(error) = receipt {
                        tracing::error!(%error, "a step was refused");
                    }
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a measure of the disk, never read by an agent")]
    fn timed_sync(&self) -> Result<(), StoreError> {
        let start = std::time::Instant::now();
        let outcome = self.journal.sync();
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
        outcome
    }
}

fn refuse(replies: Vec<Option<CommitReply>>, error: &StoreError) {
    for reply in replies.into_iter().flatten() {
        reply(Err(StoreError::Stopped { first: error.to_string() }));
    }
}
