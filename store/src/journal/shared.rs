use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{
    commit::{Commit, Receipt},
    core::{Core, Group, SharedEngine, each_row},
    entry::{Chunk, NameId, Seq},
    keys,
    limits::JournalLimits,
    outbox::PendingEffect,
    tail::Tail,
    timers::TimerKey,
};
use crate::{Durability, Engine, Op, StoreError, Usage};

/// The journal, shared by its writer and all its readers.
pub struct Journal {
    pub(super) engine: SharedEngine,
    core: Mutex<Core>,
    pub(super) tail: Tail,
    names: RwLock<Vec<String>>,
    head: AtomicU64,
    last_at: AtomicI64,
    failed: Mutex<Option<String>>,
    pub(super) limits: JournalLimits,
}

/// One value of a worker's state, as it was written behind.
pub struct StateRow {
    /// The key's bytes.
    pub key: Bytes,
    /// The last entry folded into it.
    pub seq: Seq,
    /// Version byte and MessagePack.
    pub body: Bytes,
}

/// How far a worker's state is written behind, and what its keys share.
pub struct WorkerMark {
    /// Everything up to here is in the written state of every key.
    pub floor: Seq,
    /// What all keys of the worker share, as of `floor` at the latest.
    pub shared: Bytes,
}

/// What became of each commit of a group, and the effects they ask for.
pub type GroupOutcome = (Vec<Result<Receipt, StoreError>>, Vec<PendingEffect>);

impl Journal {
    /// Opens the journal that lies in `engine`.
    ///
    /// # Errors
    /// Damage with its place, an unknown format, or the engine's own error.
    pub fn open(engine: Arc<dyn Engine>, limits: JournalLimits) -> Result<Arc<Self>, StoreError> {
        let core = Core::open(engine.as_ref(), limits.clone())?;
        let mut names = vec![String::from("outside")];
        each_row(engine.as_ref(), keys::NAME, |_, value| {
            names.push(String::from_utf8_lossy(value).into_owned());
            Ok(())
        })?;
        Ok(Arc::new(Self {
            head: AtomicU64::new(core.head()),
            last_at: AtomicI64::new(core.last_at()),
            core: Mutex::new(core),
            tail: Tail::new(limits.tail_entries_max, limits.tail_bytes_max),
            names: RwLock::new(names),
            failed: Mutex::new(None),
            engine,
            limits,
        }))
    }

    /// The number of a topic's, an agent's or a worker's name; a new name is written down at once.
    ///
    /// # Errors
    /// More than 65,535 names, or the engine's own error.
    pub fn name(&self, name: &str) -> Result<NameId, StoreError> {
        if let Some(id) = self.known_name(name) {
            return Ok(id);
        }
        let mut names = self.names.write();
        if let Some(index) = names.iter().position(|known| known == name) {
            return Ok(NameId(index as u16));
        }
        let id = u16::try_from(names.len()).map(NameId).map_err(|_| StoreError::TooLarge {
            what: "table of names".into(),
            bytes: names.len(),
            max: usize::from(u16::MAX),
        })?;
        let mut batch = crate::WriteBatch::default();
        batch.ops.push(Op::PutNew(keys::name(id), Bytes::copy_from_slice(name.as_bytes())));
        self.engine.commit(batch, Durability::Written)?;
        names.push(name.to_owned());
        Ok(id)
    }

    /// The number of a name that is already there.
    pub fn known_name(&self, name: &str) -> Option<NameId> {
        self.names.read().iter().position(|known| known == name).map(|index| NameId(index as u16))
    }

    /// The name behind a number.
    pub fn name_of(&self, id: NameId) -> String {
        self.names.read().get(usize::from(id.0)).cloned().unwrap_or_default()
    }

    /// Commits a group at `now_ms`: timers due by then first, then each commit in order.
    ///
    /// The outer error means nothing was written and the journal has stopped; an inner one refuses
    /// that commit alone. Readers see the entries at once; they are durable after [`Self::sync`].
    ///
    /// # Errors
    /// The engine's own error, kept: the journal answers every later call with it.
    pub fn commit(&self, now_ms: i64, commits: Vec<Commit>) -> Result<GroupOutcome, StoreError> {
        self.check_alive()?;
        let mut core = self.core.lock();
        loop {
            let mut timers = Group::default();
            let more = core.fire_due(now_ms, &mut timers);
            self.write(&mut core, &mut timers)?;
            if !more {
                break;
            }
        }
        core.pass_time(now_ms);
        let mut group = Group::default();
        let receipts = commits.into_iter().map(|commit| core.admit(commit, &mut group)).collect();
        let effects = std::mem::take(&mut group.effects);
        self.write(&mut core, &mut group)?;
        self.last_at.store(core.last_at(), Ordering::Release);
        Ok((receipts, effects))
    }

    /// Commits one, and waits for the disk if it asks for that.
    ///
    /// # Errors
    /// As [`Self::commit`], and the refusal of the commit itself.
    pub fn commit_one(&self, now_ms: i64, commit: Commit) -> Result<(Receipt, Vec<PendingEffect>), StoreError> {
        let synced = commit.durability == Durability::Synced;
        let (mut receipts, effects) = self.commit(now_ms, vec![commit])?;
        if synced {
            self.sync()?;
        }
        let receipt = receipts.pop().unwrap_or(Err(StoreError::Closed))?;
        Ok((receipt, effects))
    }

    fn write(&self, core: &mut Core, group: &mut Group) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        let batch = core.seal(group);
        if let Err(error) = self.engine.commit(batch, Durability::Written) {
            return Err(self.fail(error));
        }
        if !group.entries.is_empty() {
            self.tail.push(Arc::new(Chunk { entries: std::mem::take(&mut group.entries) }));
        }
        self.head.store(core.head(), Ordering::Release);
        self.last_at.store(core.last_at(), Ordering::Release);
        Ok(())
    }

    /// Makes everything committed durable.
    ///
    /// # Errors
    /// The engine's own error; the journal has stopped then.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_alive()?;
        self.engine.sync().map_err(|error| self.fail(error))
    }

    fn fail(&self, error: StoreError) -> StoreError {
        *self.failed.lock() = Some(error.to_string());
        error
    }

    fn check_alive(&self) -> Result<(), StoreError> {
        match self.failed.lock().as_ref() {
            Some(first) => Err(StoreError::Stopped { first: first.clone() }),
            None => Ok(()),
        }
    }

    /// The last entry's place; 0 for an empty journal.
    pub fn head(&self) -> Seq {
        self.head.load(Ordering::Acquire)
    }

    /// Journal time; `None` for an empty journal.
    pub fn last_at(&self) -> Option<i64> {
        Some(self.last_at.load(Ordering::Acquire)).filter(|at| *at != i64::MIN)
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<i64> {
        self.core.lock().next_due()
    }

    /// How many timers wait.
    pub fn timers_len(&self) -> usize {
        self.core.lock().timers_len()
    }

    /// How many message ids are remembered.
    pub fn dedup_len(&self) -> usize {
        self.core.lock().dedup_len()
    }

    /// The pending timers with their topics, in order of firing.
    pub fn timers(&self) -> Vec<(TimerKey, NameId)> {
        self.core.lock().timers().map(|(key, waiting)| (*key, waiting.topic)).collect()
    }

    /// Where a worker's cursor is durable or about to be.
    pub fn cursor(&self, worker: NameId) -> Seq {
        self.core.lock().cursor(worker)
    }

    /// The effects asked for and not yet answered.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn pending_effects(&self) -> Result<Vec<PendingEffect>, StoreError> {
        let mut pending = Vec::new();
        each_row(self.engine.as_ref(), keys::OUTBOX, |key, value| {
            pending.push(PendingEffect::decode(key, value)?);
            Ok(())
        })?;
        Ok(pending)
    }

    /// Size of the data on disk.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        self.engine.usage()
    }

    /// Flushes and closes the engine.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}
