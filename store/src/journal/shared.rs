use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    commit::{Commit, Receipt, RequestKey},
    core::{Core, Group, SharedEngine, each_row},
    entry::{NameId, Seq},
    horizon::Horizons,
    ids::{EffectId, TimerKey},
    keys,
    limits::JournalLimits,
    names::Names,
    outbox::PendingEffect,
    pages::forget_old_states,
    tail::Tail,
    tap::Tap,
};
use crate::{Durability, Engine, Op, StoreError, Usage, WriteBatch};

/// The journal, shared by its writer and all its readers.
pub struct Journal {
    pub(super) engine: SharedEngine,
    /// The same engine, to listen to its writes.
    pub(super) tap: Arc<Tap>,
    core: Mutex<Core>,
    pub(super) tail: Tail,
    names: RwLock<Names>,
    head: AtomicU64,
    last_at: AtomicI64,
    failed: Mutex<Option<String>>,
    /// What was forgotten by age, oldest first.
    pub(super) horizons: RwLock<Horizons>,
    /// Entries that may wait before the engine gets them.
    held_max: AtomicUsize,
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
        forget_old_states(engine.as_ref(), &names)?;
        let head = core.head();
        let horizons = Horizons::open(engine.as_ref())?;
        if let Some(synced) = engine.noted()?.filter(|synced| *synced > head) {
            let what = format!(
                "entries {} to {synced} were acknowledged and are gone; restore a backup, or remove the mark \
                 of how far the data was synced (impresario.synced) to go on without them",
                head + 1
            );
            return Err(StoreError::Damaged { place: format!("the journal after entry {head}"), what });
        }
        let tap = Arc::new(Tap::new(engine));
        Ok(Arc::new(Self {
            head: AtomicU64::new(head),
            last_at: AtomicI64::new(core.last_at()),
            core: Mutex::new(core),
            tail: Tail::new(limits.tail_entries_max, limits.tail_bytes_max),
            names: RwLock::new(names),
            failed: Mutex::new(None),
            horizons: RwLock::new(horizons),
            held_max: AtomicUsize::new(0),
            engine: Arc::<Tap>::clone(&tap),
            tap,
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
            let mut timers = core.take_waiting();
            let more = core.fire_due(now_ms, &mut timers);
            self.write(&mut core, timers)?;
            if !more {
                break;
            }
            self.engine.room()?;
        }
        if core.pass_time(now_ms) {
            let waiting = core.take_waiting();
            self.put(&mut core, waiting)?;
        }
        let mut group = core.take_waiting();
        self.forget_expired(&mut core, &mut group)?;
        let receipts = commits.drain(..).map(|commit| core.admit(commit, &mut group)).collect();
        let effects = std::mem::take(&mut group.effects);
        self.write(&mut core, group)?;
        self.last_at.store(core.last_at(), Ordering::Release);
        Ok((receipts, effects))
    }

    /// Lets commits wait in memory until there are so many entries, state is among them, or a sync is
    /// asked for: one engine batch then does for many. Readers see them at once, as ever; a crash loses no
    /// more than what was not synced. 0, as at the start, writes each group by itself.
    pub fn hold_back(&self, entries_max: usize) {
        // Until the engine has them, they are read from the tail.
        self.held_max.store(entries_max.min(self.limits.tail_entries_max / 2), Ordering::Relaxed);
    }

    /// Gives the engine what has waited; the last entry it has then.
    pub(super) fn write_held(&self) -> Result<Seq, StoreError> {
        let mut core = self.core.lock();
        let group = core.take_waiting();
        self.put(&mut core, group)?;
        Ok(core.head())
    }

    /// The place of the one who commits, where committing is possible at all.
    pub(super) fn hold_writing(&self) -> Result<MutexGuard<'_, Core>, StoreError> {
        let core = self.core.lock();
        self.check_alive()?;
        self.engine.room()?;
        Ok(core)
    }

    /// Looks on between two commits, with everything committed so far in the engine.
    pub(super) fn at_rest<R>(&self, look: impl FnOnce(&Core) -> R) -> Result<R, StoreError> {
        let mut core = self.core.lock();
        self.check_alive()?;
        let waiting = core.take_waiting();
        self.put(&mut core, waiting)?;
        Ok(look(&core))
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

    /// Shows a group to readers, and gives it to the engine or lets it wait for others.
    fn write(&self, core: &mut Core, mut group: Group) -> Result<(), StoreError> {
        let held_max = self.held_max.load(Ordering::Relaxed);
        let bytes_max = self.limits.group_bytes_max.min(self.limits.tail_bytes_max / 2);
        if held_max == 0 || !group.may_wait(held_max, bytes_max) {
            return self.put(core, group);
        }
        self.show(core, &mut group);
        core.let_wait(group);
        Ok(())
    }

    /// Gives a group to the engine, then shows it to readers.
    pub(super) fn put(&self, core: &mut Core, mut group: Group) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        let batch = core.seal(&mut group);
        if let Err(error) = self.engine.commit(batch, Durability::Written) {
            return Err(self.fail(error));
        }
        self.show(core, &mut group);
        Ok(())
    }

    fn show(&self, core: &Core, group: &mut Group) {
        self.tail.push(group.show());
        self.head.store(core.head(), Ordering::Release);
        self.last_at.store(core.last_at(), Ordering::Release);
    }

    /// Makes everything committed durable.
    ///
    /// # Errors
    /// The engine's own error; the journal has stopped then.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_alive()?;
        // Where nothing is held back, the engine has all that readers see, and the one who commits goes on meanwhile.
        let holds = self.held_max.load(Ordering::Relaxed) > 0;
        let head = if holds { self.write_held()? } else { self.head() };
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

    /// The limits it was opened with.
    pub fn limits(&self) -> &JournalLimits {
        &self.limits
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

    /// Up to `limit` pending timers after `after`, with topics and bodies, in order of firing.
    pub fn timers_after(&self, after: Option<&TimerKey>, limit: usize) -> Vec<(TimerKey, NameId, Bytes)> {
        let core = self.core.lock();
        let timers = core.timers_after(after, limit);
        timers.map(|(key, waiting)| (*key, waiting.topic, waiting.body.clone())).collect()
    }

    /// Whether an effect still waits for its answer.
    pub fn has_effect(&self, id: &EffectId) -> bool {
        self.core.lock().has_effect(id)
    }

    /// Where the first commit of a request went, if there was one: the answer is to be the same again.
    pub fn answered(&self, key: &RequestKey) -> Option<Seq> {
        self.core.lock().request(key)
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
        self.write_held()?;
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
        if self.check_alive().is_ok() {
            self.write_held()?;
        }
        let core = self.core.lock();
        self.engine.close()?;
        if self.check_alive().is_ok() { self.engine.note_synced(core.head()) } else { Ok(()) }
    }
}
