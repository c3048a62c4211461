//! Writing behind: changed keys go to the store in rounds, neighbours together.
//!
//! A round takes all keys that have changed and writes them in the order of their bytes, page by page,
//! some with each step. So however many of a page's keys have changed, the page is written once a round.

use std::collections::{BTreeMap, VecDeque, btree_map};

use bytes::Bytes;
use impresario_store::{Journal, NameId, Op, Page, Seq, StateRow, StoreError, page_writes};

use super::{Slot, Slots};
use crate::{Agent, AgentKey, Checkpoint, RuntimeLimits};

/// A round is written in about so many steps.
const ROUND_STEPS: usize = 128;

/// How many times `write_keys_max` one step or one tick may write.
const WRITES_TO_CATCH_UP: usize = 16;

/// Changed keys on their way to the store.
pub(super) struct Round<K> {
    /// Everything up to here is written already.
    floor: Seq,
    /// What is left, in order of bytes.
    left: VecDeque<(Vec<u8>, K)>,
    /// Keys a step writes.
    share: usize,
}

/// Pages given to commits that are not in yet, which the store would show as they were before.
#[derive(Default)]
pub(super) struct OnTheWay {
    pages: BTreeMap<Vec<u8>, (u64, Page)>,
    order: VecDeque<(u64, Vec<u8>)>,
}

impl OnTheWay {
    fn add(&mut self, commit: u64, page: Page) {
        self.order.push_back((commit, page.low.to_vec()));
        self.pages.insert(page.low.to_vec(), (commit, page));
    }

    /// The store has everything up to `commit`.
    fn confirmed(&mut self, commit: u64) {
        while let Some((written_in, low)) = self.order.pop_front_if(|(written_in, _)| *written_in <= commit) {
            if let btree_map::Entry::Occupied(page) = self.pages.entry(low)
                && page.get().0 == written_in
            {
                page.remove();
            }
        }
    }

    /// The page that `key` belongs to, of these.
    fn of(&self, key: &[u8]) -> Option<&Page> {
        self.pages.range(..=key.to_vec()).next_back().map(|(_, (_, page))| page)
    }

    /// The low key of the first page after `low`.
    fn low_after(&self, low: &[u8]) -> Option<&[u8]> {
        let mut from = low.to_vec();
        from.push(0);
        self.pages.range(from..).next().map(|(low, _)| low.as_slice())
    }
}

/// The page that `key` belongs to as it will be once all on the way is in: its low key, its rows, and
/// the next page's low key.
fn page_of(
    journal: &Journal,
    worker: NameId,
    on_the_way: &OnTheWay,
    key: &[u8],
) -> Result<(Bytes, Vec<StateRow>, Option<Bytes>), StoreError> {
    let stored = journal.page(worker, key)?;
    let newer = on_the_way.of(key).filter(|newer| stored.as_ref().is_none_or(|stored| stored.low <= newer.low));
    let page = newer.or(stored.as_ref());
    let low = page.map(|page| page.low.clone()).unwrap_or_default();
    let rows = page.map(Page::rows).transpose()?.unwrap_or_default();
    let stored = journal.page_after(worker, &low)?.map(|page| page.low);
    let newer = on_the_way.low_after(&low).map(Bytes::copy_from_slice);
    Ok((low, rows, stored.into_iter().chain(newer).min()))
}

impl<A: Agent> Slots<A> {
    /// Everything up to here is written, if the worker stands at `cursor`.
    pub(crate) fn floor(&self, cursor: Seq) -> Seq {
        match &self.round {
            Some(round) => round.floor,
            None => self.changed.front().map_or(cursor, |(seq, _, _)| seq - 1),
        }
    }

    /// Keys that wait to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.changed.len() + self.round.as_ref().map_or(0, |round| round.left.len())
    }

    /// How many keys are to be written now, for a worker that stands at `cursor`, `now_ms`.
    pub(crate) fn due(&mut self, cursor: Seq, now_ms: i64, limits: &RuntimeLimits) -> usize {
        if self.round.is_none() && self.is_due(cursor, now_ms, limits) {
            self.begin_round();
        }
        match (A::CHECKPOINT, &self.round) {
            (_, None) => 0,
            (Checkpoint::Whole, Some(round)) => round.left.len(),
            (Checkpoint::ByKey, Some(round)) => {
                let max = limits.write_keys_max.saturating_mul(WRITES_TO_CATCH_UP);
                round.share.max(limits.write_keys_max).min(max)
            }
        }
    }

    fn is_due(&self, cursor: Seq, now_ms: i64, limits: &RuntimeLimits) -> bool {
        let Some((seq, since_ms, _)) = self.changed.front() else { return false };
        let keys_max = match A::CHECKPOINT {
            Checkpoint::Whole => limits.checkpoint_keys_max,
            Checkpoint::ByKey => limits.unwritten_keys_max,
        };
        self.changed.len() >= keys_max
            || cursor.saturating_sub(*seq) > limits.unwritten_entries_max
            || now_ms.saturating_sub(*since_ms) > limits.unwritten_ms_max
    }

    /// All that has changed is to be written, before what changes from now on.
    fn begin_round(&mut self) {
        let Some((first, _, _)) = self.changed.front() else { return };
        let floor = first - 1;
        let mut left: Vec<_> = self.changed.drain(..).map(|(_, _, key)| (key.encode(), key)).collect();
        left.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        self.round = Some(Round { floor, share: left.len() / ROUND_STEPS, left: left.into() });
    }

    /// How many keys one commit of a stop writes: all at once would be a batch beyond what the engine bears.
    pub(crate) fn all_due(&self, limits: &RuntimeLimits) -> usize {
        match A::CHECKPOINT {
            Checkpoint::Whole => self.unwritten(),
            Checkpoint::ByKey => self.unwritten().min(limits.write_keys_max.saturating_mul(WRITES_TO_CATCH_UP).max(1)),
        }
    }

    /// The writes of about `count` keys, whole pages of them; they go with the worker's commit `commit`.
    pub(crate) fn take_changed(&mut self, count: usize, commit: u64, writes: &mut Vec<Op>) -> Result<(), StoreError> {
        let mut taken = 0;
        while taken < count {
            if self.round.is_none() {
                self.begin_round();
            }
            let Some(round) = self.round.as_mut() else { break };
            let Some((first, _)) = round.left.front() else {
                self.round = None;
                continue;
            };
            let (low, rows, end) = page_of(&self.journal, self.worker, &self.on_the_way, first)?;
            let until = round.left.partition_point(|(key, _)| end.as_ref().is_none_or(|end| key < end));
            let keys: Vec<_> = round.left.drain(..until.max(1)).collect();
            if round.left.is_empty() {
                self.round = None;
            }
            taken += keys.len();
            let rows = self.merged(rows, keys, commit)?;
            let from = writes.len();
            page_writes(self.worker, &low, &rows, writes);
            for page in writes.iter().skip(from).filter_map(Page::written) {
                self.on_the_way.add(commit, page);
            }
        }
        Ok(())
    }

    /// A page's rows as they are to be: those of `keys` anew, the others as they were.
    fn merged(
        &mut self,
        rows: Vec<StateRow>,
        keys: Vec<(Vec<u8>, A::Key)>,
        commit: u64,
    ) -> Result<Vec<StateRow>, StoreError> {
        let mut merged = Vec::with_capacity(rows.len() + keys.len());
        let mut rows = rows.into_iter().peekable();
        for (bytes, key) in keys {
            while let Some(row) = rows.next_if(|row| row.key.as_ref() < bytes.as_slice()) {
                merged.push(row);
            }
            rows.next_if(|row| row.key.as_ref() == bytes.as_slice());
            let Some(slot) = self.map.get_mut(&key) else { continue };
            slot.changed = false;
            slot.written_in = commit;
            slot.stored = true;
            if !std::mem::replace(&mut slot.shown, !slot.gone) && !slot.gone {
                self.new_on_the_way.push_back((commit, bytes.clone()));
            }
            merged.push(StateRow { key: bytes.into(), seq: slot.seq, body: slot.body()? });
        }
        merged.extend(rows);
        Ok(merged)
    }

    /// The key's person is erased, with the entry at `seq`: all that stays is a mark of it. Its page is written
    /// with the worker's commit `commit`, whenever that of others comes.
    pub(crate) fn forget(
        &mut self,
        key: &A::Key,
        seq: Seq,
        commit: u64,
        writes: &mut Vec<Op>,
    ) -> Result<(), StoreError> {
        let slot = self.load(key)?;
        // Where it waits to be written, it goes on waiting: its place in the line stays its own.
        let (stored, changed) = (slot.stored, slot.changed);
        *slot = Slot { seq, base: seq, stored, changed, forgotten: seq, gone: true, ..Slot::new() };
        let bytes = key.encode();
        self.unstored.remove(&bytes);
        self.new_on_the_way.retain(|(_, new)| *new != bytes);
        let (low, rows, _) = page_of(&self.journal, self.worker, &self.on_the_way, &bytes)?;
        let rows = self.merged(rows, vec![(bytes, key.clone())], commit)?;
        if let Some(slot) = self.map.get_mut(key) {
            slot.changed = changed;
        }
        let from = writes.len();
        page_writes(self.worker, &low, &rows, writes);
        for page in writes.iter().skip(from).filter_map(Page::written) {
            self.on_the_way.add(commit, page);
        }
        Ok(())
    }

    /// The store has everything up to the worker's commit `commit`.
    pub(crate) fn confirmed(&mut self, commit: u64) {
        self.on_the_way.confirmed(commit);
        while let Some((_, bytes)) = self.new_on_the_way.pop_front_if(|(written_in, _)| *written_in <= commit) {
            self.unstored.remove(&bytes);
        }
    }
}
