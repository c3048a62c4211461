//! Taking a feed into a data directory: on the data's clock, or as late events under the present.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
};

use impresario_agents::vocabulary::Millis;
use impresario_runtime::{
    Clock, Driver, RunSeed, RuntimeError, Troupe, new_entry,
    store::{Commit, Journal, OUTSIDE, Op},
};

use super::{
    feed::{Batch, Feed, Rules, Stop, Totals},
    ledger::Ledger,
    limits::{BATCHES_WAITING_MAX, COMMIT_ROWS_MAX},
    mapping::Mapping,
    rejects::Rejects,
    source::Source,
};
use crate::{
    config::IngestLimits,
    ingest::{dedup_hash, dedup_key},
};

/// Rows between two syncs of the disk. What a power cut takes is read again by the next import.
const ROWS_PER_SYNC: usize = 20_000;

/// Entries that wait in memory for others before the engine gets them.
const HELD_ENTRIES_MAX: usize = 4_096;

/// Under whose time the rows are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// The directory's clock moves with the rows, in the order of time: timers fire in between.
    DataClock,
    /// The rows are late events under the present.
    Present,
}

/// What an import is to do.
pub struct Import<'a> {
    /// The files, in the order given.
    pub sources: Vec<Source>,
    /// What their columns mean.
    pub mapping: &'a Mapping,
    /// Under whose time.
    pub carry: Carry,
    /// A directory for the text of gzipped files that must be read at a place.
    pub spool: &'a Path,
    /// The machine's clock.
    pub clock: &'a dyn Clock,
    /// The limits of the door, for JSON lines.
    pub limits: IngestLimits,
    /// The source whose clients gave the events their message ids: where one of them sends such an event again, the
    /// door knows it.
    pub client_source: &'a str,
    /// Whether a table that was imported before with another mapping counts again.
    pub again: bool,
}

/// How far an import is, for whoever shows it.
#[derive(Debug, Default)]
pub struct Far {
    /// Bytes of the files read.
    pub bytes: Arc<AtomicU64>,
    /// Rows folded.
    pub folded: AtomicU64,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// What was read.
    pub totals: Totals,
    /// Events that went into the journal.
    pub imported: u64,
    /// Of them, those that happened before the directory's time.
    pub late: u64,
    /// The directory's time at the end.
    pub now_ms: Millis,
}

/// Why an import ended early; what it took in before stays, and the next one goes on from there.
#[derive(Debug)]
pub enum LoadError {
    /// The files.
    Stop(Stop),
    /// The directory.
    Runtime(RuntimeError),
}

impl From<RuntimeError> for LoadError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl Import<'_> {
    /// Takes the rows into the journal and folds them. Reading and folding run side by side.
    ///
    /// # Errors
    /// A file that can't be read or does not fit the mapping; the directory's error.
    pub fn run(
        &self,
        journal: &Arc<Journal>,
        troupe: Troupe,
        seed: RunSeed,
        rejects: &mut Rejects,
        far: &Far,
    ) -> Result<Loaded, LoadError> {
        const DAY_MS: i64 = 86_400_000;
        // A day of grace: zones, and clocks that are a little off.
        let rules = Rules { latest_ms: self.clock.now_ms().saturating_add(DAY_MS), limits: self.limits.clone() };
        let mut ledger = Ledger::open(journal, self.mapping.digest()).map_err(RuntimeError::from)?;
        // The marks are written by the folding side, while the reading side looks rows up.
        let mut marks = ledger.marks();
        let feed = Feed::new(self.sources.clone(), self.mapping, rules, Arc::clone(&far.bytes), &mut ledger, rejects);
        let mut feed = feed.map_err(LoadError::Stop)?;
        let mut first_writes = Vec::new();
        for file in feed.tables() {
            let io = |error| LoadError::Stop(Stop::Io(file.path().display().to_string(), error));
            let name = format!("import-file/{:032x}", u128::from_be_bytes(file.head().map_err(io)?));
            first_writes.extend(self.known_as(journal, file, &name)?);
        }
        feed.know_events(journal)?;
        let (batches, waiting) = sync_channel(BATCHES_WAITING_MAX);
        let (carry, spool) = (self.carry, self.spool);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let give = |batch| batches.send(batch).map_err(|_| Stop::Gone);
                match carry {
                    Carry::DataClock => feed.by_time(spool, give),
                    Carry::Present => feed.by_file(give),
                }
            });
            let mut hand = Hand {
                carry,
                clock: self.clock,
                client_source: self.client_source,
                dedup_key: dedup_key(&seed),
                first_writes,
                loaded: Loaded::default(),
                unsynced: 0,
            };
            let folded = hand.fold_all(journal, troupe, seed, waiting, &mut marks, far);
            let read = reading.join().unwrap_or(Err(Stop::Gone));
            folded?;
            let known = std::mem::replace(&mut hand.loaded.totals, read.map_err(LoadError::Stop)?).known;
            hand.loaded.totals.known += known;
            Ok(hand.loaded)
        })
    }

    /// The write that remembers under which mappings a table was read, where this one is new for it: then its rows
    /// are new rows, too, and would count a second time.
    fn known_as(&self, journal: &Journal, file: &Source, name: &str) -> Result<Option<Op>, LoadError> {
        const DIGEST_BYTES: usize = 8;
        let digest = self.mapping.digest();
        let digest = digest.get(..DIGEST_BYTES).unwrap_or_default();
        let known = journal.meta(name).map_err(RuntimeError::from)?.unwrap_or_default();
        if known.chunks_exact(DIGEST_BYTES).any(|known| known == digest) {
            return Ok(None);
        }
        if !known.is_empty() && !self.again {
            let what = "was imported before with another mapping; its rows would count a second time. Where that is \
                        meant, say so with --again";
            return Err(LoadError::Stop(Stop::Mapping(format!("{} {what}", file.path().display()))));
        }
        Ok(Some(Journal::meta_write(name, &[&known, digest].concat())))
    }
}

/// The folding side.
struct Hand<'a> {
    carry: Carry,
    clock: &'a dyn Clock,
    client_source: &'a str,
    dedup_key: [u8; 32],
    /// Writes that go with the first rows.
    first_writes: Vec<Op>,
    loaded: Loaded,
    unsynced: usize,
}

impl Hand<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "dropping the receiver is what stops the reading side")]
    fn fold_all(
        &mut self,
        journal: &Arc<Journal>,
        troupe: Troupe,
        seed: RunSeed,
        waiting: Receiver<Batch>,
        marks: &mut super::ledger::Marks,
        far: &Far,
    ) -> Result<(), RuntimeError> {
        let mut driver = None;
        let mut troupe = Some(troupe);
        while let Ok(batch) = waiting.recv() {
            if driver.is_none() {
                driver = self.start(journal, troupe.take(), seed, batch.at_ms)?;
            }
            let Some(driver) = driver.as_mut() else { break };
            let count = batch.rows.len();
            self.fold(driver, batch, marks)?;
            far.folded.fetch_add(count as u64, Ordering::Relaxed);
            self.unsynced += count;
            if self.unsynced >= ROWS_PER_SYNC {
                journal.sync()?;
                self.unsynced = 0;
            }
        }
        // An import with nothing new still brings the directory to rest.
        if driver.is_none() && self.carry == Carry::DataClock {
            driver = self.start(journal, troupe.take(), seed, journal.last_at().unwrap_or_default())?;
        }
        if let Some(mut driver) = driver {
            driver.settle()?;
            self.loaded.now_ms = driver.now_ms();
            driver.stop()?;
        }
        Ok(())
    }

    fn start(
        &self,
        journal: &Arc<Journal>,
        troupe: Option<Troupe>,
        seed: RunSeed,
        first_ms: Millis,
    ) -> Result<Option<Driver>, RuntimeError> {
        let Some(troupe) = troupe else { return Ok(None) };
        let now_ms = match self.carry {
            Carry::Present => self.clock.now_ms(),
            Carry::DataClock => journal.last_at().unwrap_or(first_ms),
        };
        journal.hold_back(HELD_ENTRIES_MAX);
        Driver::start(Arc::clone(journal), troupe, seed, now_ms).map(Some)
    }

    fn fold(
        &mut self,
        driver: &mut Driver,
        batch: Batch,
        marks: &mut super::ledger::Marks,
    ) -> Result<(), RuntimeError> {
        let to_ms = match self.carry {
            Carry::Present => self.clock.now_ms(),
            Carry::DataClock => batch.at_ms,
        };
        if to_ms > driver.now_ms() {
            driver.advance_to(to_ms)?;
        }
        debug_assert!(batch.rows.len() <= COMMIT_ROWS_MAX, "a batch is one commit");
        let now_ms = driver.now_ms();
        let mut commit = Commit::new(OUTSIDE);
        commit.entries.reserve(batch.events.len());
        for (mut event, by_client) in batch.events.into_iter().zip(batch.by_client) {
            self.loaded.late += u64::from(event.at_ms < now_ms);
            event.received_at_ms = now_ms;
            event.at_ms = event.at_ms.min(now_ms);
            let dedup = if by_client { dedup_hash(&self.dedup_key, self.client_source, &event.message_id) } else { 0 };
            commit.entries.push(new_entry(driver.journal(), dedup, event)?);
        }
        let events = commit.entries.len() as u64;
        commit.writes.push(marks.write(&batch.rows));
        commit.writes.append(&mut self.first_writes);
        let duplicates = u64::from(driver.submit(commit)?.duplicates);
        self.loaded.imported += events - duplicates;
        self.loaded.totals.known += duplicates;
        driver.settle()
    }
}
