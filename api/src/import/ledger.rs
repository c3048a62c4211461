//! Which rows a directory has had before: durable, so that an import that is run again, after a
//! crash too, takes each row once.
//!
//! A row is known by its content and by which of the equal rows of its file it is, or by its message
//! id; and by the mapping, for a file may be read in two ways. A Segment call whose message id is in the
//! journal is known too, so that an archive may overlap with what the tracking clients sent. The ids of the rows of a commit are
//! written with that very commit, so there is never a row without its mark or a mark without its row.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};
use impresario_agents::vocabulary::Tracked;
use impresario_runtime::{
    RuntimeError, Topic, each_entry,
    store::{Journal, Op, StoreError},
};

/// The 128 bits a row is known by.
pub type RowId = u128;

/// What of an id is kept: among ten million known rows a new one is taken for a known one with a
/// chance of 5e-13.
fn short(id: RowId) -> u64 {
    id as u64
}

/// Which of the import's files a row was last seen in; rows of earlier imports are of none.
const EARLIER: u32 = 0;

/// What has become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is new, and known from now on.
    New(RowId),
    /// An earlier file or import had it.
    Known,
}

/// The rows of one mapping that a directory has had.
pub struct Ledger {
    prefix: String,
    mapping: [u8; 32],
    rows: HashMap<u64, Row, FixedState>,
    next_mark: u64,
}

#[derive(Clone, Copy)]
struct Row {
    file: u32,
    /// How many equal rows that file had so far.
    equal: u32,
}

impl Ledger {
    /// Reads the ledger of a mapping.
    ///
    /// # Errors
    /// The store's.
    pub fn open(journal: &Journal, mapping: [u8; 32]) -> Result<Self, StoreError> {
        let hex: String = mapping.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut ledger = Self::fresh(mapping, format!("import/{hex}/"));
        let prefix = ledger.prefix.clone();
        journal.metas(&prefix, |name, value| {
            let mark = name.strip_prefix(&prefix).and_then(|mark| u64::from_str_radix(mark, 16).ok());
            ledger.next_mark = ledger.next_mark.max(mark.unwrap_or_default() + 1);
            for id in value.chunks_exact(8) {
                let id = id.try_into().map(u64::from_be_bytes).unwrap_or_default();
                ledger.rows.insert(id, Row { file: EARLIER, equal: 0 });
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(ledger)
    }

    /// A ledger that knows no row.
    pub fn fresh(mapping: [u8; 32], prefix: String) -> Self {
        Self { prefix, mapping, rows: HashMap::default(), next_mark: 0 }
    }

    /// How many rows it knows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Looks at the next row of a file (numbered from 1), known by its content. The second of two
    /// equal rows of one file is a row of its own.
    pub fn see_content(&mut self, file: u32, content: &[u8]) -> Seen {
        let first = self.id(b"row", content, 0);
        let known = match self.rows.entry(short(first)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Row { file, equal: 1 });
                return Seen::New(first);
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        if known.file != file {
            *known = Row { file, equal: 1 };
            return Seen::Known;
        }
        let equal = known.equal;
        known.equal = equal.saturating_add(1);
        let again = self.id(b"row", content, equal);
        match self.rows.insert(short(again), Row { file, equal: 0 }) {
            None => Seen::New(again),
            Some(_) => Seen::Known,
        }
    }

    /// Looks at a row known by its message id: one id is one row, whichever file it comes in.
    pub fn see_id(&mut self, file: u32, message_id: &str) -> Seen {
        let id = self.id(b"id", message_id.as_bytes(), 0);
        match self.rows.insert(short(id), Row { file, equal: 0 }) {
            None => Seen::New(id),
            Some(_) => Seen::Known,
        }
    }

    /// Makes known every message id the journal holds, whichever door its event came through.
    ///
    /// # Errors
    /// The store's, and damage with its place.
    pub fn know_events(&mut self, journal: &Journal) -> Result<(), RuntimeError> {
        let Some(topic) = journal.known_name(Tracked::NAME) else { return Ok(()) };
        each_entry(journal, 1, |entry| {
            if entry.topic == topic && entry.erased.is_none() {
                self.see_id(EARLIER, &entry.decode::<Tracked>(Tracked::VERSION)?.message_id);
            }
            Ok(())
        })
    }

    fn id(&self, kind: &[u8], content: &[u8], equal: u32) -> RowId {
        let mut hasher = blake3::Hasher::new_keyed(&self.mapping);
        hasher.update(kind);
        hasher.update(&equal.to_le_bytes());
        hasher.update(content);
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *hasher.finalize().as_bytes();
        u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// The marks that follow those the directory has.
    pub fn marks(&self) -> Marks {
        Marks { prefix: self.prefix.clone(), next: self.next_mark }
    }
}

/// Writes down which rows a directory has had.
pub struct Marks {
    prefix: String,
    next: u64,
}

impl Marks {
    /// The write that makes these rows known for good; it belongs into the commit that holds them.
    pub fn write(&mut self, rows: &[RowId]) -> Op {
        let mut value = Vec::with_capacity(rows.len() * 8);
        for row in rows {
            value.extend_from_slice(&short(*row).to_be_bytes());
        }
        let name = format!("{}{:016x}", self.prefix, self.next);
        self.next += 1;
        Journal::meta_write(&name, &value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use impresario_runtime::store::{Commit, JournalLimits, MemoryEngine, OUTSIDE};

    use super::*;

    fn is_new(seen: Seen) -> bool {
        matches!(seen, Seen::New(_))
    }

    #[test]
    fn equal_rows_of_one_file_are_two_and_the_same_file_again_is_none() {
        let mut ledger = Ledger::fresh([1; 32], "import/x/".into());
        let rows: [&[u8]; 5] = [b"a", b"b", b"a", b"a", b"b"];
        let first: Vec<_> = rows.iter().map(|row| ledger.see_content(1, row)).collect();
        assert!(first.iter().all(|seen| is_new(*seen)), "{first:?}");
        assert!(rows.iter().all(|row| ledger.see_content(2, row) == Seen::Known));
        // A file with one more of them has one new row.
        let more: Vec<_> = [b"a", b"a", b"a", b"a"].iter().map(|row| is_new(ledger.see_content(3, *row))).collect();
        assert_eq!(more, [false, false, false, true]);
    }

    #[test]
    fn what_is_marked_is_known_after_opening_again() {
        let journal = Journal::open(Arc::new(MemoryEngine::default()), JournalLimits::default()).expect("a journal");
        let mut ledger = Ledger::open(&journal, [1; 32]).expect("a ledger");
        let mut marks = ledger.marks();
        for content in [b"a", b"a", b"b"] {
            let Seen::New(row) = ledger.see_content(1, content) else { panic!("it is new") };
            let mut commit = Commit::new(OUTSIDE);
            commit.writes.push(marks.write(&[row]));
            journal.commit_one(0, commit).expect("a commit");
        }
        assert!(is_new(ledger.see_content(1, b"c")), "not marked");
        let mut again = Ledger::open(&journal, [1; 32]).expect("a ledger");
        assert_eq!(again.len(), 3);
        let seen: Vec<_> =
            [b"a", b"b", b"c", b"a", b"a"].iter().map(|row| is_new(again.see_content(1, *row))).collect();
        assert_eq!(seen, [false, false, true, false, true]);
        let mut other = Ledger::open(&journal, [2; 32]).expect("a ledger");
        assert!(is_new(other.see_content(1, b"a")), "another mapping is another file");
    }

    #[test]
    fn a_message_id_is_one_row() {
        let mut ledger = Ledger::fresh([1; 32], "import/x/".into());
        assert!(is_new(ledger.see_id(1, "a")));
        assert_eq!(ledger.see_id(1, "a"), Seen::Known);
        assert!(is_new(ledger.see_id(1, "b")));
    }
}
