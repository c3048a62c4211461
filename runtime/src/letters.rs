//! Dead letters: entries an agent could not fold, set aside until somebody looks.
//!
//! A letter's row outlives its retry until the entry can't come again in a refold: a set-aside entry
//! is skipped wherever it stands, and folded at the place of the entry that brings it again.

use std::{collections::BTreeMap, sync::Arc};

use impresario_store::{Commit, Journal, NameId, NewEntry, OUTSIDE, Op, Seq, StoreError, codec};
use serde::{Deserialize, Serialize};

use crate::{RuntimeError, Topic};

/// Letters one page may hold.
const PAGE_MAX: usize = 1_000;

/// An entry an agent could not fold was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The agent.
    pub agent: String,
    /// Which of its workers.
    pub worker: u32,
    /// The entry.
    pub entry: Seq,
    /// Why, without personal data.
    pub why: String,
}

impl Topic for DeadLetter {
    const NAME: &'static str = "letter.dead";
}

/// A dead letter that waits to be retried or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingLetter {
    /// The entry.
    pub seq: Seq,
    /// Which of the agent's workers.
    pub worker: usize,
    /// The entry's topic.
    pub topic: String,
    /// Journal time of the entry, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Why it was set aside.
    pub why: String,
}

/// Says to one worker that a letter of its is to be folded after all, or dropped for good.
#[derive(Serialize, Deserialize)]
pub(crate) struct LetterAgain {
    pub(crate) entry: Seq,
    pub(crate) drop: bool,
}

pub(crate) fn again_topic(agent: &str) -> String {
    format!("{agent}.letter.again")
}

fn owner_name(agent: &str, worker: usize) -> String {
    format!("{agent}/{worker}/dead")
}

/// How a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Set aside.
    Waiting,
    /// Folded after all, at the place of this entry.
    Retried(Seq),
    /// Not to be folded any more.
    Dropped,
}

#[derive(Serialize, Deserialize)]
struct StoredLetter {
    standing: Standing,
    why: String,
}

/// Letters of a worker kept in memory; older ones are looked up in the store.
const IN_MEMORY_MAX: usize = 10_000;

/// The letters of one worker: the newest in memory, all in the store.
pub(crate) struct Letters {
    journal: Arc<Journal>,
    owner: NameId,
    standing: BTreeMap<Seq, Standing>,
    /// Letters before this entry are in the store alone, but for those in `touched`.
    in_memory_from: Seq,
    /// Older letters written of late, which the store may not show yet.
    touched: BTreeMap<Seq, Standing>,
    waiting: usize,
    in_memory_max: usize,
}

impl Letters {
    pub(crate) fn read(journal: &Arc<Journal>, agent: &str, worker: usize) -> Result<Self, StoreError> {
        Self::read_bounded(journal, agent, worker, IN_MEMORY_MAX)
    }

    fn read_bounded(
        journal: &Arc<Journal>,
        agent: &str,
        worker: usize,
        in_memory_max: usize,
    ) -> Result<Self, StoreError> {
        let owner = journal.name(&owner_name(agent, worker))?;
        let journal = Arc::clone(journal);
        let (standing, touched) = (BTreeMap::new(), BTreeMap::new());
        let mut letters = Self { journal, owner, standing, in_memory_from: 0, touched, waiting: 0, in_memory_max };
        let reader = Arc::clone(&letters.journal);
        each_row(&reader, owner, 0, |seq, letter| {
            letters.keep(seq, letter.standing);
            letters.waiting += usize::from(letter.standing == Standing::Waiting);
            true
        })?;
        Ok(letters)
    }

    /// How the letter of this entry stands, if there is one.
    pub(crate) fn standing(&self, seq: Seq) -> Result<Option<Standing>, StoreError> {
        if let Some(standing) = self.standing.get(&seq).or_else(|| self.touched.get(&seq)) {
            return Ok(Some(*standing));
        }
        if seq >= self.in_memory_from {
            return Ok(None);
        }
        let row = self.journal.state(self.owner, &seq.to_be_bytes())?;
        row.map(|row| Ok(codec::decode::<StoredLetter>(1, &row.body)?.standing)).transpose()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    fn keep(&mut self, seq: Seq, standing: Standing) {
        if seq < self.in_memory_from {
            self.touched.insert(seq, standing);
            if self.touched.len() > self.in_memory_max {
                self.touched.pop_first();
            }
            return;
        }
        self.standing.insert(seq, standing);
        if self.standing.len() > self.in_memory_max
            && let Some((oldest, _)) = self.standing.pop_first()
        {
            self.in_memory_from = self.in_memory_from.max(oldest + 1);
        }
    }

    /// The write that keeps how a letter stands from now on.
    pub(crate) fn put(&mut self, seq: Seq, standing: Standing, why: &str) -> Result<Op, StoreError> {
        let waited = self.standing(seq)? == Some(Standing::Waiting);
        self.waiting = self.waiting + usize::from(standing == Standing::Waiting) - usize::from(waited);
        self.keep(seq, standing);
        let body = codec::encode(1, &StoredLetter { standing, why: why.to_owned() })?;
        Ok(Journal::state_write(self.owner, &seq.to_be_bytes(), seq, &body))
    }

    /// Forgets settled letters that no refold from `floor` on can meet again.
    pub(crate) fn forget(&mut self, floor: Seq) -> Vec<Op> {
        let over = |seq: Seq, standing: Standing| match standing {
            Standing::Waiting => false,
            Standing::Retried(at) => at <= floor,
            Standing::Dropped => seq <= floor,
        };
        let gone = self.standing.iter().filter(|(seq, standing)| over(**seq, **standing));
        let gone: Vec<_> = gone.map(|(seq, _)| *seq).collect();
        self.standing.retain(|seq, standing| !over(*seq, *standing));
        gone.iter().map(|seq| Journal::state_delete(self.owner, &seq.to_be_bytes())).collect()
    }
}

fn each_row(
    journal: &Journal,
    owner: NameId,
    from: Seq,
    mut look: impl FnMut(Seq, StoredLetter) -> bool,
) -> Result<(), StoreError> {
    let mut next = from.to_be_bytes().to_vec();
    loop {
        let rows = journal.states(owner, &next, PAGE_MAX)?;
        for row in &rows {
            if !look(row.seq, codec::decode(1, &row.body)?) {
                return Ok(());
            }
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE_MAX => {
                next = last.key.to_vec();
                next.push(0);
            }
            _ => return Ok(()),
        }
    }
}

/// The letters of an agent that wait, after the entry `after`, at most `limit` (1,000), in order.
pub(crate) fn list(
    journal: &Journal,
    agent: &str,
    workers: usize,
    after: Seq,
    limit: usize,
) -> Result<Vec<WaitingLetter>, RuntimeError> {
    let limit = limit.min(PAGE_MAX);
    let mut found = Vec::new();
    for worker in 0..workers {
        let Some(owner) = journal.known_name(&owner_name(agent, worker)) else { continue };
        let mut left = limit;
        each_row(journal, owner, after.saturating_add(1), |seq, letter| {
            if left > 0 && letter.standing == Standing::Waiting {
                left -= 1;
                found.push(WaitingLetter { seq, worker, topic: String::new(), at_ms: 0, why: letter.why });
            }
            left > 0
        })?;
    }
    found.sort_by_key(|letter| (letter.seq, letter.worker));
    found.truncate(limit);
    for letter in &mut found {
        let chunk = journal.chunk(letter.seq)?;
        if let Some(entry) = chunk.as_ref().and_then(|chunk| chunk.get(letter.seq)) {
            letter.topic = journal.name_of(entry.topic);
            letter.at_ms = entry.at_ms;
        }
    }
    Ok(found)
}

/// The letter `seq` of an agent, if it waits, with what its entry says.
pub(crate) fn one(
    journal: &Journal,
    agent: &str,
    workers: usize,
    seq: Seq,
) -> Result<(WaitingLetter, serde_json::Value), RuntimeError> {
    let unknown = || RuntimeError::UnknownLetter { agent: agent.to_owned(), seq };
    let before = seq.checked_sub(1).ok_or_else(unknown)?;
    let letter = list(journal, agent, workers, before, 1)?.into_iter().find(|letter| letter.seq == seq);
    let letter = letter.ok_or_else(unknown)?;
    let chunk = journal.chunk(seq)?;
    let said = chunk.as_ref().and_then(|chunk| chunk.get(seq)).filter(|entry| entry.erased.is_none());
    // Read as no type in particular: bodies name their fields.
    let said = said.map(|entry| codec::decode(u8::MAX, &entry.body)).transpose()?.unwrap_or_default();
    Ok((letter, said))
}

/// The commit that has the letter `seq` folded again, or dropped, by each worker that set it aside.
pub(crate) fn again(
    journal: &Journal,
    agent: &str,
    workers: usize,
    seq: Seq,
    drop: bool,
) -> Result<Commit, RuntimeError> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = impresario_store::Durability::Synced;
    for worker in 0..workers {
        let Some(owner) = journal.known_name(&owner_name(agent, worker)) else { continue };
        let Some(row) = journal.state(owner, &seq.to_be_bytes())? else { continue };
        let letter: StoredLetter = codec::decode(1, &row.body)?;
        if letter.standing != Standing::Waiting {
            continue;
        }
        commit.entries.push(NewEntry {
            partition: worker as u16,
            topic: journal.name(&again_topic(agent))?,
            cause: seq,
            dedup: 0,
            fingerprint: 0,
            body: codec::encode(1, &LetterAgain { entry: seq, drop })?,
            decoded: None,
        });
    }
    if commit.entries.is_empty() {
        return Err(RuntimeError::UnknownLetter { agent: agent.to_owned(), seq });
    }
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use impresario_store::{JournalLimits, MemoryEngine};

    use super::*;

    #[test]
    fn only_the_newest_letters_are_in_memory_and_all_are_known() {
        let journal = Journal::open(Arc::new(MemoryEngine::new()), JournalLimits::default()).expect("a journal");
        let commit = |write| {
            let mut commit = Commit::new(OUTSIDE);
            commit.writes.push(write);
            journal.commit_one(0, commit).expect("a commit");
        };
        let mut letters = Letters::read_bounded(&journal, "toy", 0, 3).expect("letters");
        for seq in 1..=9 {
            commit(letters.put(seq * 10, Standing::Waiting, "odd").expect("a write"));
        }
        for mut letters in [letters, Letters::read_bounded(&journal, "toy", 0, 3).expect("letters")] {
            assert_eq!((letters.standing.len(), letters.waiting()), (3, 9));
            let found: Vec<_> = (1..=99).filter(|seq| letters.standing(*seq).expect("a look").is_some()).collect();
            assert_eq!(found, (1..=9).map(|seq| seq * 10).collect::<Vec<_>>());
            commit(letters.put(10, Standing::Dropped, "").expect("a write"));
            commit(letters.put(90, Standing::Retried(95), "").expect("a write"));
            assert_eq!(letters.waiting(), 7);
            assert_eq!(letters.standing(10).expect("a look"), Some(Standing::Dropped));
            commit(letters.put(10, Standing::Waiting, "again").expect("a write"));
            commit(letters.put(90, Standing::Waiting, "again").expect("a write"));
            assert_eq!(letters.waiting(), 9);
        }
    }
}
