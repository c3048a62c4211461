//! Group commit: one thread takes what waits and commits it as one group; a second one syncs, and answers.
//!
//! While one group is on its way to the disk the next is made: whatever has been committed when a sync
//! begins is durable when it ends, so each sync serves all groups made during the one before.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    commit::{Commit, Receipt},
    outbox::PendingEffect,
    shared::Journal,
    syncer::{Made, Syncer},
};
use crate::{Durability, StoreError};

/// Told what became of a commit: after the sync where the commit asked for it. Replies of commits that
/// ask for a sync come in the order of the queue, those of the others too; they come on the writer's
/// threads: they pass the answer on and do nothing else. One that is dropped without being called means
/// that the writer has ended.
pub type CommitReply = Box<dyn FnOnce(Result<Receipt, StoreError>) + Send>;

/// The longest the thread sleeps: a wall clock that jumps, and room on a full disk, are seen by then,
/// and what nobody waits for is on disk by then.
const IDLE: Duration = Duration::from_millis(200);

/// Entries that make a group of their own though the disk is busy with the one before.
const GROUP_WORTH_MAKING: usize = 256;

/// How often a group that waits for the disk looks whether it is free.
const GATHERING: Duration = Duration::from_micros(200);

struct Waiting {
    commit: Commit,
    reply: Option<CommitReply>,
    /// Since when one waits that may be refused.
    since: Option<Instant>,
}

fn is_stale(since: Option<Instant>, at: Instant, wait_max: Duration) -> bool {
    since.is_some_and(|since| at.saturating_duration_since(since) > wait_max)
}

#[expect(clippy::disallowed_methods, reason = "how long somebody waits for an answer, never read by an agent")]
fn now() -> Instant {
    Instant::now()
}

/// What the writer tells its owner.
pub trait WriterEvents: Send + Sync + 'static {
    /// The wall clock, milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;
    /// New entries can be read.
    fn appended(&self);
    /// So many effects are asked for; they come to [`Self::effects`] once they are durable.
    fn effects_asked(&self, count: usize);
    /// These effects are durable and may be performed.
    fn effects(&self, effects: Vec<PendingEffect>);
    /// The journal has stopped: nothing is accepted any more.
    fn failed(&self, error: &StoreError);
}

/// The journal's one writer.
pub struct Writer {
    queue: Mutex<Option<SyncSender<Waiting>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_ids: [ThreadId; 2],
    groups: Arc<AtomicU64>,
    sync_micros: Arc<AtomicU64>,
    queued: Arc<AtomicUsize>,
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
        let queued = Arc::new(AtomicUsize::new(0));
        let events = Arc::new(events);
        let syncer = Syncer::start(Arc::clone(&journal), Arc::clone(&events), Arc::clone(&sync_micros))?;
        let syncer_id = syncer.thread_id();
        let run = Run {
            journal,
            events,
            syncer,
            waiting,
            queued: Arc::clone(&queued),
            groups: Arc::clone(&groups),
            held: Vec::new(),
            is_behind: false,
            disk_full: false,
            unsynced: false,
            unsynced_effects: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || run.run_out())
            .map_err(|error| StoreError::Io { what: "start the writer thread".into(), error })?;
        let thread_ids = [thread.thread().id(), syncer_id];
        let (queue, thread) = (Mutex::new(Some(queue)), Mutex::new(Some(thread)));
        Ok(Self { queue, thread, thread_ids, groups, sync_micros, queued })
    }

    /// Queues a commit; where the queue is full, waits. The writer waits for nobody but the disk, so
    /// this ends.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Self::close`] or a failure; [`StoreError::Busy`] for a full queue
    /// where a reply asks, on the very thread that would make room.
    pub fn send(&self, commit: Commit, reply: Option<CommitReply>) -> Result<(), StoreError> {
        if self.is_own_thread() {
            return self.try_queue(Waiting { commit, reply, since: None });
        }
        let queue = self.queue.lock().clone().ok_or(StoreError::Closed)?;
        self.queued.fetch_add(1, Ordering::Relaxed);
        queue.send(Waiting { commit, reply, since: None }).map_err(|_| {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            StoreError::Closed
        })
    }

    /// Queues a commit from outside, or gives it back where the queue is full: the caller is to say "busy". So is
    /// one whose reply says [`StoreError::Busy`]: it waited too long among more than can be written.
    ///
    /// # Errors
    /// [`StoreError::Busy`] for a full queue, [`StoreError::Closed`] after a stop.
    pub fn try_send(&self, commit: Commit, reply: CommitReply) -> Result<(), StoreError> {
        self.try_queue(Waiting { commit, reply: Some(reply), since: Some(now()) })
    }

    fn try_queue(&self, waiting: Waiting) -> Result<(), StoreError> {
        let queue = self.queue.lock().clone().ok_or(StoreError::Closed)?;
        self.queued.fetch_add(1, Ordering::Relaxed);
        queue.try_send(waiting).map_err(|error| {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
        })
    }

    fn is_own_thread(&self) -> bool {
        self.thread_ids.contains(&std::thread::current().id())
    }

    /// Groups written and microseconds spent syncing, since the start.
    pub fn counters(&self) -> (u64, u64) {
        (self.groups.load(Ordering::Relaxed), self.sync_micros.load(Ordering::Relaxed))
    }

    /// Commits that wait to be taken into a group.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Takes no more, writes what waits, syncs, and ends the thread.
    pub fn close(&self) {
        drop(self.queue.lock().take());
        let thread = self.thread.lock().take();
        // A reply may hold the last handle: the thread then ends by itself.
        if let Some(thread) = thread.filter(|_| !self.is_own_thread()) {
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
    events: Arc<E>,
    syncer: Syncer,
    waiting: Receiver<Waiting>,
    groups: Arc<AtomicU64>,
    queued: Arc<AtomicUsize>,
    /// Commits of agents that wait for room on the disk, in order.
    held: Vec<Waiting>,
    /// The last group was full: more comes than can be written.
    is_behind: bool,
    disk_full: bool,
    /// Something was committed since the last sync.
    unsynced: bool,
    unsynced_effects: Vec<PendingEffect>,
}

impl<E: WriterEvents> Run<E> {
    fn run_out(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run()));
        let panicked = |_| {
            let panicked = StoreError::Stopped { first: "the writer thread panicked".into() };
            Err(self.journal.fail(panicked))
        };
        let Err(error) = ended.unwrap_or_else(panicked) else { return };
        tracing::error!(%error, "the journal has stopped");
        let _ = catch_unwind(AssertUnwindSafe(|| self.events.failed(&error)));
        refuse(std::mem::take(&mut self.held), &error);
        while let Ok(waiting) = self.waiting.try_recv() {
            refuse(vec![waiting], &error);
        }
    }

    fn run(&mut self) -> Result<(), StoreError> {
        loop {
            let first = match self.waiting.recv_timeout(self.until_next_timer()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let idle = first.is_none();
            let taken = self.gather(first);
            self.group(taken)?;
            if idle && self.unsynced && !self.disk_full {
                self.sync(Vec::new())?;
            }
        }
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.group(held)?;
            refuse(std::mem::take(&mut self.held), &StoreError::Closed);
        }
        self.sync(Vec::new())?;
        self.syncer.finish()
    }

    fn until_next_timer(&self) -> Duration {
        let due = self.journal.next_due().filter(|_| !self.disk_full);
        let Some(due) = due else { return IDLE };
        let wait = due.saturating_sub(self.events.now_ms());
        u64::try_from(wait).map_or(Duration::ZERO, Duration::from_millis).min(IDLE)
    }

    /// Takes what waits, up to a group's limits; what was held back comes first. Where the group before was full
    /// too, what has waited too long is refused: a queue that stands would make everybody wait.
    fn gather(&mut self, first: Option<Waiting>) -> Vec<Waiting> {
        let limits = &self.journal.limits;
        let behind_at = self.is_behind.then(now);
        let fresh = |waiting: Waiting| match (behind_at, waiting) {
            (Some(at), Waiting { reply: Some(reply), since, .. }) if is_stale(since, at, limits.queue_wait_max) => {
                reply(Err(StoreError::Busy));
                None
            }
            (_, waiting) => Some(waiting),
        };
        let mut taken = std::mem::take(&mut self.held);
        self.queued.fetch_sub(usize::from(first.is_some()), Ordering::Relaxed);
        taken.extend(first.and_then(fresh));
        let mut entries: usize = taken.iter().map(|waiting| waiting.commit.entries.len()).sum();
        let mut bytes: usize = taken.iter().map(|waiting| waiting.commit.bytes()).sum();
        while entries < limits.group_entries_max
            && bytes < limits.group_bytes_max
            && taken.len() < limits.queue_commits_max
        {
            let next = match self.waiting.try_recv() {
                Ok(next) => next,
                // A group costs much the same whatever its size: while the disk is busy, a small one waits for more.
                Err(TryRecvError::Empty) if entries < GROUP_WORTH_MAKING && self.syncer.is_busy() => {
                    match self.waiting.recv_timeout(GATHERING) {
                        Ok(next) => next,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                Err(_) => break,
            };
            self.queued.fetch_sub(1, Ordering::Relaxed);
            let Some(next) = fresh(next) else { continue };
            entries += next.commit.entries.len();
            bytes += next.commit.bytes();
            taken.push(next);
        }
        self.is_behind = entries >= limits.group_entries_max || bytes >= limits.group_bytes_max;
        taken
    }

    fn group(&mut self, taken: Vec<Waiting>) -> Result<(), StoreError> {
        let (mut commits, replies): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|waiting| (waiting.commit, waiting.reply)).unzip();
        let waits_for_disk: Vec<_> = commits.iter().map(|commit| commit.durability == Durability::Synced).collect();
        let waits = waits_for_disk.contains(&true);
        let any = commits.iter().any(|commit| !commit.is_empty());
        let head = self.journal.head();
        let outcome = self.journal.commit_or_keep(self.events.now_ms(), &mut commits);
        let appended = self.journal.head() != head;
        if appended {
            self.events.appended();
        }
        self.unsynced |= any || appended;
        let (receipts, effects) = match outcome {
            Ok(done) => done,
            Err(StoreError::DiskFull { free_bytes, needed_bytes }) if commits.len() == replies.len() => {
                let taken =
                    commits.into_iter().zip(replies).map(|(commit, reply)| Waiting { commit, reply, since: None });
                self.hold_back(taken, free_bytes, needed_bytes);
                return Ok(());
            }
            Err(error) => {
                replies.into_iter().flatten().for_each(|reply| reply(Err(stopped(&error))));
                return Err(error);
            }
        };
        if std::mem::take(&mut self.disk_full) {
            tracing::info!("there is room on the disk again: writing goes on");
        }
        self.groups.fetch_add(u64::from(any || appended), Ordering::Relaxed);
        if !effects.is_empty() {
            self.events.effects_asked(effects.len());
        }
        self.unsynced_effects.extend(effects);
        let mut synced = Vec::new();
        for ((reply, receipt), waits) in replies.into_iter().zip(receipts).zip(waits_for_disk) {
            match reply {
                Some(reply) if waits => synced.push((reply, receipt)),
                Some(reply) => reply(receipt),
                None => {
                    if let Err(error) = receipt {
                        tracing::error!(%error, "a step was refused");
                    }
                }
            }
        }
        let must_sync = waits || !self.unsynced_effects.is_empty();
        if must_sync { self.sync(synced) } else { Ok(()) }
    }

    /// A full disk refuses what comes from outside, which is told so and comes again; what agents did
    /// waits for room.
    fn hold_back(&mut self, taken: impl Iterator<Item = Waiting>, free_bytes: u64, needed_bytes: u64) {
        if !std::mem::replace(&mut self.disk_full, true) {
            tracing::error!(free_bytes, needed_bytes, "the disk is full: nothing is written until there is room");
        }
        for waiting in taken {
            let Waiting { commit, reply, since } = waiting;
            let of_agents = commit.cursor.is_some() || !commit.settled.is_empty() || commit.is_empty();
            match reply {
                Some(reply) if !of_agents => reply(Err(StoreError::DiskFull { free_bytes, needed_bytes })),
                reply => self.held.push(Waiting { commit, reply, since }),
            }
        }
    }

    /// Has everything committed so far synced; then `replies` are given, and the effects may be performed.
    fn sync(&mut self, replies: Vec<(CommitReply, Result<Receipt, StoreError>)>) -> Result<(), StoreError> {
        self.unsynced = false;
        self.syncer.hand_over(Made { replies, effects: std::mem::take(&mut self.unsynced_effects) })
    }
}

fn refuse(taken: Vec<Waiting>, error: &StoreError) {
    taken.into_iter().filter_map(|waiting| waiting.reply).for_each(|reply| reply(Err(stopped(error))));
}

/// The error of one, said to the others.
pub(super) fn stopped(error: &StoreError) -> StoreError {
    match error {
        StoreError::Closed => StoreError::Closed,
        StoreError::Stopped { first } => StoreError::Stopped { first: first.clone() },
        other => StoreError::Stopped { first: other.to_string() },
    }
}
