//! The states of one worker: what is in memory, what has changed, what is written.

mod behind;
mod undo;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map};
use impresario_store::{Journal, NameId, Seq, StoreError, codec};

use behind::{OnTheWay, Round};
use undo::Undo;

use crate::{Agent, AgentError, AgentKey};

/// In place of a version byte: this key's state has gone to another key.
const MOVED: u8 = 0xff;
/// In place of a version byte: this key was forgotten, at the entry whose place follows; then what has come
/// to be under it since.
const FORGOTTEN: u8 = 0xfe;
/// Bytes of the mark and the place.
const FORGOTTEN_BYTES: usize = 9;

/// In place of a version byte: this key has been a pointer and is itself again, or was begun anew.
const REVIVED: u8 = 0xfd;

/// Times a key was a pointer before that are remembered: a refold reaches back some seconds.
const PAST_POINTERS_MAX: usize = 16;

/// Bytes of one key; the store's own prefix comes before it.
const KEY_BYTES: usize = impresario_store::KEY_BYTES_MAX - 24;

pub(crate) struct Slot<A: Agent> {
    pub(crate) state: A::State,
    /// The last entry folded in.
    pub(crate) seq: Seq,
    /// The last entry that was in it when it was read from the store. What comes again after a
    /// restart up to here is in it already.
    base: Seq,
    changed: bool,
    /// It is in the store, or on its way there.
    stored: bool,
    /// The worker's commit that wrote it last.
    written_in: u64,
    /// Whose it has become.
    pub(crate) moved: Option<A::Key>,
    /// The entry at which its person was erased; 0 for never.
    forgotten: Seq,
    /// Nothing has come to be under it since.
    gone: bool,
    /// A scan of the store shows it, or will.
    shown: bool,
    /// Where it pointed earlier, before it became itself again.
    past: Past,
}

/// When a key was begun anew, and where it pointed before.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Past {
    /// The last entry that began it anew; 0 for never. States that left for it before come too late.
    #[serde(rename = "b")]
    begun_at: Seq,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pointers: Vec<PastPointer>,
}

/// The key was a pointer after the entry `from`, up to and including the entry `until`.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct PastPointer {
    #[serde(rename = "f")]
    from: Seq,
    #[serde(rename = "u")]
    until: Seq,
    #[serde(rename = "t")]
    to: Vec<u8>,
}

impl<A: Agent> Slot<A> {
    fn new() -> Self {
        Self {
            state: A::State::default(),
            seq: 0,
            base: 0,
            changed: false,
            stored: false,
            written_in: 0,
            moved: None,
            forgotten: 0,
            gone: false,
            shown: false,
            past: Past::default(),
        }
    }

    /// Where it pointed just before the entry at `seq`.
    ///
    /// After a restart a slot may stand later than the entry that comes again.
    pub(crate) fn pointer_before(&self, seq: Seq) -> Option<A::Key> {
        if self.seq < seq && self.moved.is_some() {
            return self.moved.clone();
        }
        let then = self.past.pointers.iter().find(|pointer| pointer.from < seq && seq <= pointer.until)?;
        A::Key::decode(&then.to)
    }

    /// The entry that last began it anew, if that came before the entry at `seq`; 0 for never.
    pub(crate) fn begun_before(&self, seq: Seq) -> Seq {
        if self.past.begun_at < seq { self.past.begun_at } else { 0 }
    }

    /// Begins it anew with the entry at `seq`, as a pointer to `to` or as itself.
    pub(crate) fn begin_anew(&mut self, seq: Seq, to: Option<A::Key>) -> A::State {
        if let Some(pointer) = std::mem::replace(&mut self.moved, to) {
            self.past.pointers.push(PastPointer { from: self.seq, until: seq, to: pointer.encode() });
            if self.past.pointers.len() > PAST_POINTERS_MAX {
                self.past.pointers.remove(0);
            }
        }
        self.past.begun_at = seq;
        std::mem::take(&mut self.state)
    }

    /// Whether the entry at `seq` is in it already: it comes again after a restart.
    pub(crate) fn holds(&self, seq: Seq) -> bool {
        self.base >= seq
    }

    /// Whether an entry does not count for it: it comes again after a restart, or it came of what was
    /// before its person was erased.
    pub(crate) fn passes_over(&self, seq: Seq, cause: Seq) -> bool {
        self.holds(seq) || seq <= self.forgotten || (cause != 0 && cause <= self.forgotten)
    }

    /// Whether an entry ever changed it, since its person was last erased.
    pub(crate) fn exists(&self) -> bool {
        (self.stored || self.changed) && !self.gone
    }

    /// Whether it has a state of its own.
    fn is_live(&self) -> bool {
        self.moved.is_none() && !self.gone
    }

    fn body(&self) -> Result<bytes::Bytes, StoreError> {
        let body = match &self.moved {
            _ if self.gone => bytes::Bytes::new(),
            Some(to) => [&[MOVED], to.encode().as_slice()].concat().into(),
            None => codec::encode(A::STATE_VERSION, &self.state)?,
        };
        let body = if self.past.begun_at == 0 || self.gone {
            body
        } else {
            let past = codec::encode(1, &self.past)?;
            let length = u32::try_from(past.len()).unwrap_or(u32::MAX);
            [[REVIVED].as_slice(), length.to_le_bytes().as_slice(), &past, &body].concat().into()
        };
        match self.forgotten {
            0 => Ok(body),
            at => Ok([&[FORGOTTEN], at.to_be_bytes().as_slice(), &body].concat().into()),
        }
    }
}

pub(crate) struct Slots<A: Agent> {
    journal: Arc<Journal>,
    worker: NameId,
    map: HashMap<A::Key, Slot<A>, FixedState>,
    /// Every key there is is in memory: then the store needs not be asked about a new one.
    complete: bool,
    /// Changed keys, by the entry that first changed them since they were written.
    changed: VecDeque<(Seq, i64, A::Key)>,
    /// The changed keys that are being written now.
    round: Option<Round<A::Key>>,
    /// Pages that the store may not have yet.
    on_the_way: OnTheWay,
    /// Keys that a scan of the store may not show yet, by their bytes.
    unstored: BTreeMap<Vec<u8>, A::Key>,
    /// Keys written for the first time, by the commit that is on its way.
    new_on_the_way: VecDeque<(u64, Vec<u8>)>,
    /// So many keys in memory make it worth looking for some to forget.
    crowded_at: usize,
    /// What the entry at hand has touched, where it may have to be taken back.
    undo: Option<Undo<A>>,
}

impl<A: Agent> Slots<A> {
    /// The states of `worker`, of which the store has those that were written behind.
    ///
    /// # Errors
    /// The store's error.
    pub(crate) fn open(journal: Arc<Journal>, worker: NameId) -> Result<Self, StoreError> {
        let complete = journal.page(worker, &[])?.is_none();
        Ok(Self {
            journal,
            worker,
            map: HashMap::default(),
            complete,
            changed: VecDeque::new(),
            round: None,
            on_the_way: OnTheWay::default(),
            unstored: BTreeMap::new(),
            new_on_the_way: VecDeque::new(),
            crowded_at: 0,
            undo: None,
        })
    }

    /// The slot of a key, read from the store or made new.
    pub(crate) fn load(&mut self, key: &A::Key) -> Result<&mut Slot<A>, StoreError> {
        let Self { journal, worker, map, complete, undo, .. } = self;
        match map.entry_ref(key) {
            hash_map::EntryRef::Occupied(known) => {
                let slot = known.into_mut();
                if let Some(undo) = undo {
                    undo.touch(key, Some(slot))?;
                }
                Ok(slot)
            }
            hash_map::EntryRef::Vacant(vacant) => {
                let stored = if *complete { None } else { read_slot::<A>(journal, *worker, key)? };
                if let Some(undo) = undo {
                    undo.touch(key, stored.as_ref())?;
                }
                Ok(vacant.insert_entry_with_key(key.clone(), stored.unwrap_or_else(Slot::new)).into_mut())
            }
        }
    }

    /// Reads a little of a key's state, where it is in memory.
    pub(crate) fn touch(&self, key: &A::Key) -> usize {
        self.map.get(key).map_or(0, |slot| A::touch(&slot.state))
    }

    /// The entry at which a key was last forgotten; 0 for never.
    pub(crate) fn forgotten_at(&mut self, key: &A::Key) -> Result<Seq, StoreError> {
        let forgotten = self.load(key)?.forgotten;
        self.untouched(key);
        Ok(forgotten)
    }

    /// The slot of a key that has state.
    pub(crate) fn find(&mut self, key: &A::Key) -> Result<Option<&mut Slot<A>>, StoreError> {
        if !self.complete && !self.map.contains_key(key) {
            let Some(slot) = read_slot::<A>(&self.journal, self.worker, key)? else { return Ok(None) };
            self.map.insert(key.clone(), slot);
        }
        Ok(self.map.get_mut(key).filter(|slot| slot.exists()))
    }

    /// The key's state has changed with the entry at `seq`; `now_ms` is for its age alone.
    ///
    /// # Errors
    /// A new key that is longer than the store takes.
    pub(crate) fn mark(&mut self, key: &A::Key, seq: Seq, now_ms: i64) -> Result<(), AgentError> {
        let Some(slot) = self.map.get_mut(key) else { return Ok(()) };
        slot.seq = seq;
        let is_back = std::mem::take(&mut slot.gone);
        if (is_back || !slot.changed) && !slot.shown {
            let bytes = key.encode();
            if bytes.len() > KEY_BYTES {
                return Err(AgentError::Reject(format!("a key of {} bytes is longer than {KEY_BYTES}", bytes.len())));
            }
            self.unstored.insert(bytes, key.clone());
        }
        if !slot.changed {
            slot.changed = true;
            self.changed.push_back((seq, now_ms, key.clone()));
        }
        Ok(())
    }

    /// The key was looked at and is as it was; one that never was is forgotten.
    pub(crate) fn untouched(&mut self, key: &A::Key) {
        if self.map.get(key).is_some_and(|slot| !slot.stored && !slot.changed) {
            self.map.remove(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Forgets keys that the store has, once too many are in memory: a key whose last commit is
    /// still on its way would be read back as it was before.
    pub(crate) fn evict(&mut self, keys_max: usize, confirmed: u64) {
        if self.map.len() <= keys_max.max(self.crowded_at) {
            return;
        }
        let mut surplus = self.map.len() - keys_max / 5 * 4;
        self.complete = false;
        self.map.retain(|_, slot| {
            let goes = surplus > 0 && slot.stored && !slot.changed && slot.written_in <= confirmed;
            surplus -= usize::from(goes);
            !goes
        });
        // Where most of what is left can't go, the next look is not to come at every step.
        self.crowded_at = self.map.len() + keys_max / 20;
    }

    /// Up to `limit` keys with state at or after `from`, in order; moved ones are not among them.
    pub(crate) fn keys_from(
        &self,
        from: &[u8],
        limit: usize,
        owns: impl Fn(&A::Key) -> bool,
    ) -> Result<Vec<A::Key>, StoreError> {
        let mut found = BTreeSet::new();
        let mut page = self.journal.page(self.worker, from)?;
        while let Some(here) = page.filter(|_| found.len() < limit) {
            for row in here.rows()?.into_iter().filter(|row| row.key.as_ref() >= from) {
                let known = A::Key::decode(&row.key).filter(&owns);
                let is_live = |key: &A::Key| match self.map.get(key) {
                    Some(slot) => slot.is_live(),
                    None => is_state(&row.body),
                };
                found.extend(known.filter(is_live));
            }
            page = self.journal.page_after(self.worker, &here.low)?;
        }
        let memory = self.unstored.range(from.to_vec()..).map(|(_, key)| key);
        let memory = memory.filter(|key| self.map.get(*key).is_some_and(Slot::is_live));
        found.extend(memory.take(limit).cloned());
        Ok(found.into_iter().take(limit).collect())
    }

    /// Every key this worker has, in no order of meaning: its bytes, and what would be written for it now.
    pub(crate) fn each_body(
        &self,
        owns: impl Fn(&A::Key) -> bool,
        mut look: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        for (key, slot) in self.map.iter().filter(|(_, slot)| slot.exists()) {
            look(&key.encode(), &slot.body()?);
        }
        let mut page = self.journal.page(self.worker, &[])?;
        while let Some(here) = page {
            for row in here.rows()? {
                let key = A::Key::decode(&row.key).filter(|_| !is_gone(&row.body));
                if key.is_some_and(|key| owns(&key) && !self.map.contains_key(&key)) {
                    look(&row.key, &row.body);
                }
            }
            page = self.journal.page_after(self.worker, &here.low)?;
        }
        Ok(())
    }
}

fn read_slot<A: Agent>(journal: &Journal, worker: NameId, key: &A::Key) -> Result<Option<Slot<A>>, StoreError> {
    let Some(row) = journal.paged_state(worker, &key.encode())? else { return Ok(None) };
    // The entry that asks for this state is not to blame for it, so it must not look like a bad body.
    let damaged = |what: String| StoreError::Damaged { place: format!("a state of agent `{}`", A::NAME), what };
    let mut slot = Slot { seq: row.seq, base: row.seq, stored: true, ..Slot::new() };
    let (forgotten, body) = split_forgotten(&row.body);
    slot.forgotten = forgotten;
    slot.gone = forgotten != 0 && body.is_empty();
    slot.shown = !slot.gone;
    let (past, body) = split_past(body).ok_or_else(|| damaged("it ends before its past does".into()))?;
    if let Some(past) = past {
        slot.past = codec::decode(1, past).map_err(|error| damaged(error.to_string()))?;
    }
    match body.split_first() {
        None if slot.gone => {}
        Some((&MOVED, to)) => {
            slot.moved = Some(A::Key::decode(to).ok_or_else(|| damaged("a moved key names no key".into()))?);
        }
        _ => {
            let state = codec::decode(A::STATE_VERSION, body);
            slot.state = state.map_err(|error| damaged(error.to_string()))?;
        }
    }
    Ok(Some(slot))
}

/// At which entry a key was forgotten, 0 for never, and what has come to be under it since.
fn split_forgotten(body: &[u8]) -> (Seq, &[u8]) {
    match body.split_first_chunk::<FORGOTTEN_BYTES>() {
        Some(([FORGOTTEN, at @ ..], rest)) => (Seq::from_be_bytes(*at), rest),
        _ => (0, body),
    }
}

/// Whether it is a state, and no pointer and no mark of something forgotten.
fn is_state(body: &[u8]) -> bool {
    split_past(split_forgotten(body).1).is_some_and(|(_, now)| now.first().is_some_and(|first| *first != MOVED))
}

/// Whether it marks something forgotten, and nothing has come to be there since.
fn is_gone(body: &[u8]) -> bool {
    let (forgotten, body) = split_forgotten(body);
    forgotten != 0 && body.is_empty()
}

/// What a key was before, and what it is now, out of a stored body.
fn split_past(body: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let Some((&REVIVED, rest)) = body.split_first() else { return Some((None, body)) };
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (past, now) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((Some(past), now))
}
