use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    commit::{Commit, Receipt},
    core::{Core, Group, SharedEngine, each_row},
    entry::{Chunk, NameId, Seq},
    keys,
    limits::JournalLimits,
    names::Names,
    outbox::PendingEffect,
    tail::Tail,
    timers::TimerKey,
};
use crate::{Durability, Engine, Op, StoreError, Usage, WriteBatch};

/// The journal, shared by its writer and all its readers.
pub struct Journal {
    pub(super) engine: SharedEngine,
    core: Mutex<Core>,
    pub(super) tail: Tail,
    names: RwLock<Names>,
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
    /// Damage with its place, also where the end of what was acknowledged is gone; an unknown format;
    /// or the engine's own error.
    pub fn open(engine: Arc<dyn Engine>, limits: JournalLimits) -> Result<Arc<Self>, StoreError> {
        let core = Core::open(engine.as_ref(), limits.clone())?;
        let names = Names::open(engine.as_ref())?;
        let head = core.head();
        if let Some(synced) = engine.noted()?.filter(|synced| *synced > head) {
            let what = format!(
                "entries {} to {synced} were acknowledged and are gone; restore a backup, or remove the mark \
                 of how far the data was synced (impresario.synced) to go on without them",
                head + 1
            );
            return Err(StoreError::Damaged { place: format!("the journal after entry {head}"), what });
        }
        Ok(Arc::new(Self {
            head: AtomicU64::new(head),
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
    /// It needs no sync: whatever is durable was committed later, and commits become durable in order.
    ///
    /// # Errors
    /// Too many names, one that is too long, a full disk, or the engine's own error.
    pub fn name(&self, name: &str) -> Result<NameId, StoreError> {
        if let Some(id) = self.known_name(name) {
            return Ok(id);
        }
        let alone = self.hold_writing()?;
        let mut names = self.names.write();
        if let Some(id) = names.get(name) {
            return Ok(id);
        }
        let id = names.next(name)?;
        let ops = vec![Op::PutNew(keys::name(id), Bytes::copy_from_slice(name.as_bytes()))];
        let put = self.engine.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written);
        put.map_err(|error| self.fail(error))?;
        names.add(name);
        drop(alone);
        Ok(id)
    }

    /// The number of a name that is already there.
    pub fn known_name(&self, name: &str) -> Option<NameId> {
        self.names.read().get(name)
    }

    /// The name behind a number.
    pub fn name_of(&self, id: NameId) -> String {
        self.names.read().name_of(id).map(str::to_owned).unwrap_or_default()
    }

    /// Commits a group at `now_ms`: timers due by then first, then each commit in order.
    ///
    /// The outer error means nothing of the commits was written; an inner one refuses that commit
    /// alone. Readers see the entries at once; they are durable after [`Self::sync`].
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], after which all goes on once there is room; the engine's own error,
    /// kept: the journal answers every later call with it.
    pub fn commit(&self, now_ms: i64, mut commits: Vec<Commit>) -> Result<GroupOutcome, StoreError> {
        self.commit_or_keep(now_ms, &mut commits)
    }

    /// As [`Self::commit`]; where the disk is full, `commits` is left as it was.
    pub(super) fn commit_or_keep(&self, now_ms: i64, commits: &mut Vec<Commit>) -> Result<GroupOutcome, StoreError> {
        let mut core = self.hold_writing()?;
        loop {
            let mut timers = Group::default();
            let more = core.fire_due(now_ms, &mut timers);
            self.write(&mut core, &mut timers)?;
            if !more {
                break;
            }
            self.engine.room()?;
        }
        core.pass_time(now_ms);
        let mut group = Group::default();
        self.forget_expired(&mut core, &mut group)?;
        let receipts = commits.drain(..).map(|commit| core.admit(commit, &mut group)).collect();
        let effects = std::mem::take(&mut group.effects);
        self.write(&mut core, &mut group)?;
        self.last_at.store(core.last_at(), Ordering::Release);
        Ok((receipts, effects))
    }

    /// The place of the one who commits, where committing is possible at all.
    pub(super) fn hold_writing(&self) -> Result<MutexGuard<'_, Core>, StoreError> {
        let core = self.core.lock();
        self.check_alive()?;
        self.engine.room()?;
        Ok(core)
    }

    /// Removes rows of message ids that are past the horizon, some with each group.
    fn forget_expired(&self, core: &mut Core, group: &mut Group) -> Result<(), StoreError> {
        let expired = core.expired();
        if expired.from >= expired.to {
            return Ok(());
        }
        let rows_max = self.limits.expired_rows_per_group_max;
        let rows = self.engine.scan(&keys::dedup(expired.from), Some(&keys::dedup(expired.to)), rows_max)?;
        expired.from = match rows.last() {
            Some((key, _)) if rows.len() == rows_max => keys::seq_from(key).map_or(expired.to, |seq| seq + 1),
            _ => expired.to,
        };
        group.batch.ops.extend(rows.into_iter().map(|(key, _)| Op::Delete(key.to_vec())));
        Ok(())
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
        let head = self.head();
        let synced = self.engine.sync().and_then(|()| self.engine.note_synced(head));
        synced.map_err(|error| self.fail(error))
    }

    /// Stops the journal for good; the first error is kept.
    pub(super) fn fail(&self, error: StoreError) -> StoreError {
        self.failed.lock().get_or_insert_with(|| error.to_string());
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

    /// Syncs and closes the engine.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn close(&self) -> Result<(), StoreError> {
        let core = self.core.lock();
        self.engine.close()?;
        if self.check_alive().is_ok() { self.engine.note_synced(core.head()) } else { Ok(()) }
    }
}
