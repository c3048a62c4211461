//! The states of one worker: what is in memory, what has changed, what is written.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map};
use impresario_store::{Journal, NameId, Op, Seq, StoreError, codec};

use crate::{Agent, AgentKey, Checkpoint, RuntimeLimits};

/// In place of a version byte: this key's state has gone to another key.
const MOVED: u8 = 0xff;

pub(crate) struct Slot<A: Agent> {
    pub(crate) state: A::State,
    /// The last entry folded in.
    pub(crate) seq: Seq,
    changed: bool,
    stored: bool,
    /// Whose it has become.
    pub(crate) moved: Option<A::Key>,
}

pub(crate) struct Slots<A: Agent> {
    journal: Arc<Journal>,
    owner: NameId,
    map: HashMap<A::Key, Slot<A>, FixedState>,
    /// Changed keys, by the entry that first changed them since they were written.
    changed: VecDeque<(Seq, i64, A::Key)>,
    /// Keys that are in memory only.
    unstored: BTreeSet<A::Key>,
}

impl<A: Agent> Slots<A> {
    pub(crate) fn new(journal: Arc<Journal>, owner: NameId) -> Self {
        Self { journal, owner, map: HashMap::default(), changed: VecDeque::new(), unstored: BTreeSet::new() }
    }

    /// The slot of a key, read from the store or made new.
    pub(crate) fn load(&mut self, key: &A::Key) -> Result<&mut Slot<A>, StoreError> {
        match self.map.entry_ref(key) {
            hash_map::EntryRef::Occupied(known) => Ok(known.into_mut()),
            hash_map::EntryRef::Vacant(vacant) => {
                let slot = read_slot::<A>(&self.journal, self.owner, key)?.unwrap_or_else(|| Slot {
                    state: A::State::default(),
                    seq: 0,
                    changed: false,
                    stored: false,
                    moved: None,
                });
                Ok(vacant.insert_entry_with_key(key.clone(), slot).into_mut())
            }
        }
    }

    /// The slot of a key that has state.
    pub(crate) fn find(&mut self, key: &A::Key) -> Result<Option<&mut Slot<A>>, StoreError> {
        if !self.map.contains_key(key) {
            let Some(slot) = read_slot::<A>(&self.journal, self.owner, key)? else { return Ok(None) };
            self.map.insert(key.clone(), slot);
        }
        Ok(self.map.get_mut(key))
    }

    /// The key's state has changed with the entry at `seq`.
    pub(crate) fn mark(&mut self, key: &A::Key, seq: Seq, at_ms: i64) {
        let Some(slot) = self.map.get_mut(key) else { return };
        slot.seq = seq;
        if !slot.changed {
            slot.changed = true;
            if !slot.stored {
                self.unstored.insert(key.clone());
            }
            self.changed.push_back((seq, at_ms, key.clone()));
        }
    }

    /// The key was looked at and is as it was; one that never was is forgotten.
    pub(crate) fn untouched(&mut self, key: &A::Key) {
        if self.map.get(key).is_some_and(|slot| !slot.stored && !slot.changed) {
            self.map.remove(key);
        }
    }

    /// Everything up to here is written, if the worker stands at `cursor`.
    pub(crate) fn floor(&self, cursor: Seq) -> Seq {
        self.changed.front().map_or(cursor, |(seq, _, _)| seq - 1)
    }

    pub(crate) fn changed_len(&self) -> usize {
        self.changed.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many keys are to be written now, for a worker that stands at `cursor`, `now_ms`.
    pub(crate) fn due(&self, cursor: Seq, now_ms: i64, limits: &RuntimeLimits) -> usize {
        let Some((oldest, since_ms, _)) = self.changed.front() else { return 0 };
        let late = cursor.saturating_sub(*oldest) > limits.unwritten_entries_max
            || now_ms.saturating_sub(*since_ms) > limits.unwritten_ms_max;
        match A::CHECKPOINT {
            Checkpoint::Whole if late || self.changed.len() >= limits.checkpoint_keys_max => self.changed.len(),
            Checkpoint::Whole => 0,
            Checkpoint::ByKey if late || self.changed.len() >= limits.unwritten_keys_max => limits.write_keys_max,
            Checkpoint::ByKey => 0,
        }
    }

    /// The writes of the `count` keys that have waited longest.
    pub(crate) fn take_changed(&mut self, count: usize, writes: &mut Vec<Op>) -> Result<(), StoreError> {
        for _ in 0..count {
            let Some((_, _, key)) = self.changed.pop_front() else { break };
            let Some(slot) = self.map.get_mut(&key) else { continue };
            let bytes = key.encode();
            let body = match &slot.moved {
                Some(to) => [&[MOVED], to.encode().as_slice()].concat(),
                None => codec::encode(A::STATE_VERSION, &slot.state)?.to_vec(),
            };
            writes.push(Journal::state_write(self.owner, &bytes, slot.seq, &body));
            slot.changed = false;
            if !slot.stored {
                slot.stored = true;
                self.unstored.remove(&key);
            }
        }
        Ok(())
    }

    /// Forgets keys that are written, once too many are in memory.
    pub(crate) fn evict(&mut self, keys_max: usize) {
        if self.map.len() <= keys_max {
            return;
        }
        let mut surplus = self.map.len() - keys_max / 5 * 4;
        self.map.retain(|_, slot| {
            let goes = surplus > 0 && slot.stored && !slot.changed;
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Up to `limit` keys with state at or after `from`, in order; moved ones are not among them.
    pub(crate) fn keys_from(
        &self,
        from: &[u8],
        limit: usize,
        owns: impl Fn(&A::Key) -> bool,
    ) -> Result<Vec<A::Key>, StoreError> {
        let mut found = BTreeSet::new();
        let mut next = from.to_vec();
        loop {
            let rows = self.journal.states(self.owner, &next, limit)?;
            let last = rows.last().map(|row| row.key.to_vec());
            let full = rows.len() == limit;
            for row in rows {
                let known = A::Key::decode(&row.key).filter(|key| row.body.first() != Some(&MOVED) && owns(key));
                found.extend(known.filter(|key| self.map.get(key).is_none_or(|slot| slot.moved.is_none())));
            }
            let enough = found.len() >= limit;
            match last {
                Some(last) if full && !enough => {
                    next = last;
                    next.push(0);
                }
                _ => break,
            }
        }
        let memory = self.unstored.iter().filter(|key| key.encode().as_slice() >= from);
        let memory = memory.filter(|key| self.map.get(*key).is_some_and(|slot| slot.moved.is_none()));
        found.extend(memory.take(limit).cloned());
        Ok(found.into_iter().take(limit).collect())
    }
}

fn read_slot<A: Agent>(journal: &Journal, owner: NameId, key: &A::Key) -> Result<Option<Slot<A>>, StoreError> {
    let Some(row) = journal.state(owner, &key.encode())? else { return Ok(None) };
    let mut slot = Slot { state: A::State::default(), seq: row.seq, changed: false, stored: true, moved: None };
    match row.body.split_first() {
        Some((&MOVED, to)) => {
            let damaged = || StoreError::Codec(format!("agent `{}`: a moved key names no key", A::NAME));
            slot.moved = Some(A::Key::decode(to).ok_or_else(damaged)?);
        }
        _ => slot.state = codec::decode(A::STATE_VERSION, &row.body)?,
    }
    Ok(Some(slot))
}
