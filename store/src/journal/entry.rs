use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{StoreError, codec};

/// Place of an entry in the journal's total order; the first is 1, 0 means none.
pub type Seq = u64;

/// How many key partitions there are. Fixed: it is kept in every entry and in every directory.
pub const PARTITIONS: u16 = 64;

/// The writer of entries that came from outside: the door, an operator, a receipt.
pub const OUTSIDE: NameId = NameId(0);

/// The topic of marks in the place of what was forgotten by age: no topic has this number.
const FORGOTTEN: NameId = NameId(0);

/// The partition of a key's bytes: FNV-1a, 64 bits, folded. Never changes: directories depend on it.
pub fn partition_of(key: &[u8]) -> u16 {
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    ((hash ^ (hash >> 32)) % u64::from(PARTITIONS)) as u16
}

/// BLAKE3 of a body; stays when the body is erased.
pub type BodyHash = [u8; 32];

/// Bytes of what the chain holds of one entry.
pub(super) const LINK_BYTES: usize = 72;

/// A topic's or an agent's name as a small number; the directory holds the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u16);

/// One entry of the journal.
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// Journal time, milliseconds since 1970 UTC; never goes back.
    pub at_ms: i64,
    /// Key partition, below [`PARTITIONS`].
    pub partition: u16,
    /// What it is.
    pub topic: NameId,
    /// Who wrote it: an agent's name, or [`OUTSIDE`].
    pub writer: NameId,
    /// The entry it came of; 0 for none.
    pub cause: Seq,
    /// Keyed hash of the client's message id; 0 for none.
    pub dedup: u64,
    /// Hash of the body that was erased; `None` while the body is there.
    pub erased: Option<Box<BodyHash>>,
    /// Version byte and MessagePack; of an erased entry what was left of it, empty for nothing.
    pub body: Bytes,
    /// The body as its Rust type, once somebody has looked.
    decoded: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Entry {
    #[expect(clippy::too_many_arguments, reason = "the fields of one record, in their order on disk")]
    pub(crate) fn new(
        seq: Seq,
        at_ms: i64,
        partition: u16,
        topic: NameId,
        writer: NameId,
        cause: Seq,
        dedup: u64,
        body: Bytes,
        decoded: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Self {
        let cell = OnceLock::new();
        if let Some(value) = decoded {
            let _ = cell.set(value);
        }
        Self { seq, at_ms, partition, topic, writer, cause, dedup, erased: None, body, decoded: cell }
    }

    /// The body as `T`, decoded at most once however many readers ask.
    ///
    /// # Errors
    /// [`StoreError::Codec`] where the body is erased, unreadable, or another type.
    pub fn decode<T: DeserializeOwned + Send + Sync + 'static>(&self, version: u8) -> Result<&T, StoreError> {
        if self.erased.is_some() {
            return Err(StoreError::Codec(format!("entry {} is erased", self.seq)));
        }
        self.read(version)
    }

    /// What was left of an erased entry as `T`; `None` for nothing, or where it is not erased.
    ///
    /// # Errors
    /// [`StoreError::Codec`] where it is unreadable, or another type.
    pub fn remainder<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        version: u8,
    ) -> Result<Option<&T>, StoreError> {
        if self.erased.is_none() || self.body.is_empty() {
            return Ok(None);
        }
        self.read(version).map(Some)
    }

    fn read<T: DeserializeOwned + Send + Sync + 'static>(&self, version: u8) -> Result<&T, StoreError> {
        let known = match self.decoded.get() {
            Some(known) => known,
            None => {
                let value: T = codec::decode(version, &self.body)?;
                self.decoded.get_or_init(|| Arc::new(value))
            }
        };
        known.downcast_ref().ok_or_else(|| StoreError::Codec(format!("entry {} was decoded as another type", self.seq)))
    }

    /// What the chain is made of: every field in 40 bytes, then the hash of the body. So an erased
    /// entry keeps its link, and its other fields stay under the chain's guard.
    pub(super) fn link(&self) -> [u8; LINK_BYTES] {
        let mut link = [0_u8; LINK_BYTES];
        link[0..8].copy_from_slice(&self.seq.to_be_bytes());
        link[8..16].copy_from_slice(&self.at_ms.to_be_bytes());
        link[16..18].copy_from_slice(&self.partition.to_be_bytes());
        link[18..20].copy_from_slice(&self.topic.0.to_be_bytes());
        link[20..22].copy_from_slice(&self.writer.0.to_be_bytes());
        link[24..32].copy_from_slice(&self.cause.to_be_bytes());
        link[32..40].copy_from_slice(&self.dedup.to_be_bytes());
        link[40..LINK_BYTES].copy_from_slice(&self.body_hash());
        link
    }

    /// BLAKE3 of the body, also of one that is erased.
    pub fn body_hash(&self) -> BodyHash {
        self.erased.as_deref().copied().unwrap_or_else(|| *blake3::hash(&self.body).as_bytes())
    }

    /// A mark in the place of an entry that was forgotten by age: of it nothing is known any more.
    pub(super) fn forgotten(seq: Seq, at_ms: i64) -> Self {
        let mut entry = Self::new(seq, at_ms, 0, FORGOTTEN, OUTSIDE, 0, 0, Bytes::new(), None);
        entry.erased = Some(Box::default());
        entry
    }

    /// Whether it was forgotten by age. It counts as erased, too, and its topic, partition and cause are not
    /// known any more.
    pub fn is_forgotten(&self) -> bool {
        self.topic == FORGOTTEN
    }

    /// Forgets the body but for `left`; its hash stays.
    pub(super) fn erase(&mut self, left: Bytes) {
        self.erased = Some(Box::new(self.body_hash()));
        self.body = left;
        self.decoded = OnceLock::new();
    }
}

impl std::fmt::Debug for Entry {
    // The body may hold personal data and stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("seq", &self.seq)
            .field("at_ms", &self.at_ms)
            .field("partition", &self.partition)
            .field("topic", &self.topic)
            .field("writer", &self.writer)
            .field("cause", &self.cause)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Consecutive entries, handed from writer to readers as one piece.
#[derive(Debug)]
pub struct Chunk {
    /// At least one entry, consecutive by `seq`.
    pub entries: Vec<Entry>,
}

impl Chunk {
    /// The first entry's place.
    pub fn first(&self) -> Seq {
        self.entries.first().map_or(0, |entry| entry.seq)
    }

    /// The last entry's place.
    pub fn last(&self) -> Seq {
        self.entries.last().map_or(0, |entry| entry.seq)
    }

    /// The entry at `seq`, if it is in this chunk.
    pub fn get(&self, seq: Seq) -> Option<&Entry> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        self.entries.get(index)
    }

    /// The entries from `seq` on.
    pub fn from(&self, seq: Seq) -> &[Entry] {
        let skip = usize::try_from(seq.saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.entries.get(skip..).unwrap_or_default()
    }
}

impl Entry {
    /// An empty entry, for trying a handler with no journal.
    pub fn for_test(seq: Seq, at_ms: i64) -> Self {
        Self::new(seq, at_ms, 0, NameId(0), OUTSIDE, 0, 0, Bytes::new(), None)
    }
}
