//! What all routes share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use impresario_agents::vocabulary::Tracked;
use impresario_runtime::{
    Clock, HeldClock, Host, RunSeed, RuntimeError, Topic, WallClock,
    store::{Commit, NameId, OUTSIDE, Receipt, Usage, free_needed_bytes},
};
use parking_lot::{Mutex, RwLock};

use crate::{
    backups::Backups,
    channels::Channels,
    config::Config,
    http::Bodies,
    ingest::{dedup_key, sources::Sources},
    keys::{KeyRecord, KeyRing},
    past_members::PastMembers,
    problem::Problem,
};

/// Free space above the store's own limit at which the door closes, so that what is inside can
/// still be written.
const DISK_SLACK_BYTES: u64 = 64 << 20;

/// Questions that read the journal at once.
const ASIDE_MAX: usize = 4;

/// The clock of a data directory.
#[derive(Clone)]
pub enum DirectoryClock {
    /// The machine's.
    Wall,
    /// One that only moves with the data.
    Data(Arc<HeldClock>),
}

impl DirectoryClock {
    /// As the host takes it.
    pub fn shared(&self) -> Arc<dyn Clock> {
        match self {
            Self::Wall => Arc::new(WallClock),
            Self::Data(clock) => Arc::new(Arc::clone(clock)),
        }
    }

    /// Whether it is the machine's.
    pub fn is_wall(&self) -> bool {
        matches!(self, Self::Wall)
    }

    /// The present.
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::Wall => WallClock.now_ms(),
            Self::Data(clock) => clock.now_ms(),
        }
    }
}

/// The keys in force, and who changes them.
pub(crate) struct LiveKeys {
    ring: RwLock<Arc<KeyRing>>,
    /// One change at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl LiveKeys {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self { ring: RwLock::new(Arc::new(ring)), changing: tokio::sync::Mutex::new(()) }
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read())
    }

    pub(crate) fn find(&self, secret: &str) -> Option<KeyRecord> {
        self.ring.read().find(secret).cloned()
    }

    pub(crate) fn replace(&self, ring: KeyRing) {
        *self.ring.write() = Arc::new(ring);
    }
}

/// What all routes share.
pub(crate) struct App {
    pub(crate) host: Host,
    pub(crate) clock: DirectoryClock,
    pub(crate) config: Config,
    pub(crate) keys: LiveKeys,
    pub(crate) sources: Sources,
    pub(crate) bodies: Bodies,
    /// The journal's number of the topic of customer events.
    pub(crate) tracked: NameId,
    /// Keys the hash of message ids, so that nobody can make two ids collide.
    pub(crate) dedup_key: RunSeed,
    /// One change of segments and goals at a time: each is checked against those that stand.
    pub(crate) defining: tokio::sync::Mutex<()>,
    /// Answers about the past, kept while their pages are asked for.
    pub(crate) past_members: PastMembers,
    /// Backups under way and at rest.
    pub(crate) backups: Backups,
    /// What reaches people.
    pub(crate) channels: Arc<Channels>,
    /// The directory's own chance.
    pub(crate) seed: RunSeed,
    /// The store's sizes, as they were last looked at.
    usage: Mutex<Usage>,
    /// Places for questions that read the journal.
    aside: Arc<tokio::sync::Semaphore>,
    /// People erased whose traces in here are gone.
    erased: AtomicU64,
    requests: AtomicU64,
    closing: AtomicBool,
    disk_full: AtomicBool,
}

impl App {
    pub(crate) fn new(
        host: Host,
        clock: DirectoryClock,
        config: Config,
        ring: KeyRing,
        seed: &RunSeed,
        channels: Arc<Channels>,
    ) -> Result<Self, RuntimeError> {
        let journal = host.journal();
        Ok(Self {
            channels,
            seed: *seed,
            sources: Sources::load(journal)?,
            tracked: journal.name(Tracked::NAME)?,
            keys: LiveKeys::new(ring),
            bodies: Bodies::new(config.server.bodies_bytes_max),
            dedup_key: dedup_key(seed),
            clock,
            config,
            host,
            defining: tokio::sync::Mutex::new(()),
            past_members: PastMembers::default(),
            backups: Backups::default(),
            usage: Mutex::default(),
            aside: Arc::new(tokio::sync::Semaphore::new(ASIDE_MAX)),
            // Nobody knows what was erased before the start: the first look is at everything.
            erased: AtomicU64::new(u64::MAX),
            requests: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
        })
    }

    /// A number for an ingest request, to tell those of one millisecond apart.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Nothing is taken in from now on.
    pub(crate) fn close_door(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Holds a request up for as long as the agents need; whether events may come in then.
    pub(crate) async fn pace(&self) -> Result<(), Problem> {
        if self.host.pace().await {
            return self.admit();
        }
        self.admit()?;
        Err(Problem::overloaded("too many requests wait for the agents already; nothing was accepted").retry_after(1))
    }

    /// Whether the door is closed for good.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether events may come in now.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        if self.is_closing() {
            return Err(Problem::unavailable("the server is stopping; nothing was accepted").retry_after(5));
        }
        if self.host.has_failed() {
            let detail = "the journal has stopped on an error; see the server's log";
            return Err(Problem::unavailable(detail).retry_after(30));
        }
        if self.disk_full.load(Ordering::Acquire) {
            return Err(Problem::disk_full("too little of the disk is free; nothing was accepted").retry_after(30));
        }
        if self.host.is_overloaded() {
            let detail = "the agents are too far behind; nothing was accepted";
            return Err(Problem::overloaded(detail).retry_after(2));
        }
        Ok(())
    }

    /// Commits for a route.
    pub(crate) async fn submit(&self, commit: Commit) -> Result<Receipt, Problem> {
        let receipt = self.host.submit(commit).await?;
        self.channels.rest();
        Ok(receipt)
    }

    /// Does long work beside the HTTP threads, of which there are few; only so many at once.
    pub(crate) async fn aside<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Problem> {
        let _place = self
            .aside
            .try_acquire()
            .map_err(|_| Problem::busy("too many questions that read the journal are under way").retry_after(2))?;
        #[expect(clippy::disallowed_methods, reason = "reads of the journal that nothing waits for but their caller")]
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| {
            tracing::error!(%error, "a question that reads the journal broke");
            Problem::internal("the question broke; see the server's log")
        })
    }

    /// Does work that waits for the disk beside the threads that must not.
    pub(crate) async fn beside<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, &'static str> {
        #[expect(clippy::disallowed_methods, reason = "a write to the disk that nothing waits for but its caller")]
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| "the work broke")
    }

    /// Does long work that answers by itself, as [`Self::aside`] does.
    pub(crate) fn detached(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
        let place = Arc::clone(&self.aside)
            .try_acquire_owned()
            .map_err(|_| Problem::busy("too many questions that read the journal are under way").retry_after(2))?;
        #[expect(clippy::disallowed_methods, reason = "reads of the journal that nothing waits for but their caller")]
        drop(tokio::task::spawn_blocking(move || {
            work();
            drop(place);
        }));
        Ok(())
    }

    /// Where somebody was erased, forgets what is kept beside the journal and may tell of them.
    pub(crate) fn forget_erased(self: &Arc<Self>) {
        let erased = self.host.people_erased();
        if self.erased.load(Ordering::Acquire) != erased {
            let app = Arc::clone(self);
            // Where too much is under way it is for the next look.
            if self.detached(move || app.channels.forget_erased(&app)).is_err() {
                return;
            }
            self.erased.store(erased, Ordering::Release);
            self.past_members.forget();
            self.sources.forget_samples();
        }
    }

    /// Looks at the disk, so that the door closes before the store must stop.
    pub(crate) fn look_at_disk(&self) {
        let Ok(usage) = self.host.journal().usage() else { return };
        let before = std::mem::replace(&mut *self.usage.lock(), usage);
        if usage.wants_compaction() && !before.wants_compaction() {
            let (file_bytes, live_bytes) = (usage.file_bytes, usage.live_bytes);
            tracing::warn!(
                file_bytes,
                live_bytes,
                "the store's file has outgrown its data: a restart compacts it, or `impresario compact`"
            );
        }
        let percent = self.config.storage.free_min_percent;
        let slack_bytes = DISK_SLACK_BYTES.min(usage.disk_bytes / 50);
        let needed_bytes = free_needed_bytes(usage.disk_bytes, percent) + slack_bytes;
        let full = percent > 0 && usage.free_bytes < needed_bytes;
        if full != self.disk_full.swap(full, Ordering::AcqRel) {
            tracing::warn!(full, free_bytes = usage.free_bytes, needed_bytes, "the disk");
        }
    }

    /// The store's sizes, not older than a moment.
    pub(crate) fn usage(&self) -> Usage {
        *self.usage.lock()
    }

    /// Keeps the counts of sources in the directory.
    pub(crate) async fn keep_counts(&self) {
        let Some(write) = self.sources.write() else { return };
        let mut commit = Commit::new(OUTSIDE);
        commit.writes.push(write);
        if let Err(error) = self.host.submit(commit).await {
            tracing::warn!(%error, "the counts of sources were not kept");
        }
    }
}
