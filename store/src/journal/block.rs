//! Blocks: how entries lie on disk.
//!
//! A block is one value of the engine: a header, then the entries, LZ4-compressed together.
//! The header carries the hash chain: `chain = BLAKE3(chain before, link of each entry)`, a link being
//! the entry's fields and the hash of its body. So a changed, missing or reordered entry is found, and
//! an erased one (whose body's hash is kept in place of its body) breaks nothing.
//!
//! A block that has been *thinned* by age holds only some of its entries. Nothing of the others is left but how many
//! they were, so the chain can't be worked out again from it: it goes on from the hash the block had when it
//! was whole, and the block carries one more hash, of its header and what it still holds.
//!
//! ```text
//! u8 format | u8 kind | 32 bytes chain | u64 first seq | i64 first instant | u16 entries | u32 raw bytes | LZ4
//! entry: varints instant-delta, partition, topic, writer, seq-cause (0: none), flags;
//!        8 bytes dedup if flag 1; 32 bytes body hash if flag 2; varint length and body unless flag 2 without 4
//! thinned: 32 bytes hash of the header and of the links of what is left, then of each entry varint places passed over, entry
//! ```

use bytes::Bytes;

use super::{
    entry::{Chunk, Entry, NameId, PARTITIONS, Seq},
    varint,
};
use crate::StoreError;

/// The format this program writes.
pub const BLOCK_FORMAT: u8 = 1;

const HEADER_BYTES: usize = 1 + 1 + 32 + 8 + 8 + 2 + 4;
const KIND_LZ4: u8 = 1;
const KIND_THINNED: u8 = 2;
const FLAG_DEDUP: u64 = 1;
const FLAG_ERASED: u64 = 2;
/// Of an erased entry something was left.
const FLAG_REMAINDER: u64 = 4;

/// Hash of the chain after a block.
pub type ChainHash = [u8; 32];

/// A decoded block and the chain hash it claims.
pub struct Block {
    /// Its entries.
    pub chunk: Chunk,
    /// The chain hash written in its header.
    pub chain: ChainHash,
    /// Some of its entries were forgotten by age: the chain can't be worked out from it.
    pub thinned: bool,
}

/// The chain after `entries`, from the chain before them.
pub fn chain_after<'a>(before: &ChainHash, entries: impl IntoIterator<Item = &'a Entry>) -> ChainHash {
    // In one piece: BLAKE3 is several times as fast on a long input as on many short ones.
    let mut linked = before.to_vec();
    entries.into_iter().for_each(|entry| linked.extend_from_slice(&entry.link()));
    *blake3::hash(&linked).as_bytes()
}

/// Writes one block; `entries` is not empty and at most 65,535 long.
pub fn encode(entries: &[&Entry], chain: &ChainHash) -> Bytes {
    let first_at = entries.first().map_or(0, |entry| entry.at_ms);
    let first_seq = entries.first().map_or(0, |entry| entry.seq);
    let mut raw = Vec::with_capacity(entries.iter().map(|entry| entry.body.len() + 24).sum());
    let mut before = first_at;
    for entry in entries {
        varint::put(&mut raw, entry.at_ms.wrapping_sub(before) as u64);
        before = entry.at_ms;
        put_entry(&mut raw, entry);
    }
    seal(KIND_LZ4, chain, (first_seq, first_at, entries.len()), &raw)
}

/// Writes what is left of a block: those of `entries` that are not forgotten, in place of all of them.
pub fn encode_thinned(entries: &[Entry], chain: &ChainHash) -> Bytes {
    let first = entries.first().map_or((0, 0), |entry| (entry.seq, entry.at_ms));
    let left = || entries.iter().filter(|entry| !entry.is_forgotten());
    let mut raw = left_hash(chain, (first.0, first.1, entries.len() as u16), left()).to_vec();
    let (mut place, mut before) = first;
    for entry in left() {
        varint::put(&mut raw, entry.seq - place);
        place = entry.seq + 1;
        varint::put(&mut raw, entry.at_ms.wrapping_sub(before) as u64);
        before = entry.at_ms;
        put_entry(&mut raw, entry);
    }
    seal(KIND_THINNED, chain, (first.0, first.1, entries.len()), &raw)
}

/// What a thinned block answers for: its header, and the entries that are left.
fn left_hash<'a>(
    chain: &ChainHash,
    (first_seq, first_at, count): (Seq, i64, u16),
    left: impl IntoIterator<Item = &'a Entry>,
) -> ChainHash {
    let mut header = chain.to_vec();
    header.extend_from_slice(&first_seq.to_be_bytes());
    header.extend_from_slice(&first_at.to_be_bytes());
    header.extend_from_slice(&count.to_be_bytes());
    chain_after(blake3::hash(&header).as_bytes(), left)
}

fn seal(kind: u8, chain: &ChainHash, (first_seq, first_at, count): (Seq, i64, usize), raw: &[u8]) -> Bytes {
    let mut value = Vec::with_capacity(HEADER_BYTES + lz4_flex::block::get_maximum_output_size(raw.len()));
    value.push(BLOCK_FORMAT);
    value.push(kind);
    value.extend_from_slice(chain);
    value.extend_from_slice(&first_seq.to_be_bytes());
    value.extend_from_slice(&first_at.to_be_bytes());
    value.extend_from_slice(&(count as u16).to_be_bytes());
    value.extend_from_slice(&(raw.len() as u32).to_be_bytes());
    value.extend_from_slice(&lz4_flex::block::compress(raw));
    Bytes::from(value)
}

fn put_entry(raw: &mut Vec<u8>, entry: &Entry) {
    varint::put(raw, u64::from(entry.partition));
    varint::put(raw, u64::from(entry.topic.0));
    varint::put(raw, u64::from(entry.writer.0));
    varint::put(raw, if entry.cause == 0 { 0 } else { entry.seq - entry.cause });
    let dedup = if entry.dedup == 0 { 0 } else { FLAG_DEDUP };
    let erased = match &entry.erased {
        Some(_) if entry.body.is_empty() => FLAG_ERASED,
        Some(_) => FLAG_ERASED | FLAG_REMAINDER,
        None => 0,
    };
    varint::put(raw, dedup | erased);
    if entry.dedup != 0 {
        raw.extend_from_slice(&entry.dedup.to_be_bytes());
    }
    if let Some(hash) = &entry.erased {
        raw.extend_from_slice(hash.as_slice());
    }
    if erased != FLAG_ERASED {
        varint::put(raw, entry.body.len() as u64);
        raw.extend_from_slice(&entry.body);
    }
}

/// Reads one block.
///
/// # Errors
/// [`StoreError::Damaged`] with the block's place; [`StoreError::UnknownFormat`] for a format of a
/// newer program. Whether the chain is right is for the caller, who knows the block before.
pub fn decode(value: &[u8], raw_bytes_max: usize) -> Result<Block, StoreError> {
    let mut rest = value;
    let header = Header::take(&mut rest).ok_or_else(|| damaged(0, "its header is cut short"))?;
    let unknown = |what: &str, found: u8, known: u8| {
        let what = format!("{what} at entry {}", header.first_seq);
        Err(StoreError::UnknownFormat { what, found: u32::from(found), known: u32::from(known) })
    };
    if header.format != BLOCK_FORMAT {
        return unknown("the journal block", header.format, BLOCK_FORMAT);
    }
    if header.kind != KIND_LZ4 && header.kind != KIND_THINNED {
        return unknown("the compression of the journal block", header.kind, KIND_LZ4);
    }
    let place = header.first_seq;
    if header.raw_bytes > raw_bytes_max {
        return Err(damaged(place, "it claims to be larger than a block may be"));
    }
    let raw = lz4_flex::block::decompress(rest, header.raw_bytes)
        .map_err(|error| damaged(place, &format!("it does not decompress: {error}")))?;
    let raw = Bytes::from(raw);
    if header.kind == KIND_THINNED {
        let entries = take_thinned(&raw, &header)?;
        return Ok(Block { chunk: Chunk { entries }, chain: header.chain, thinned: true });
    }
    let mut entries = Vec::with_capacity(usize::from(header.count));
    let mut at_ms = header.first_at;
    let mut reading = raw.as_ref();
    for index in 0..u64::from(header.count) {
        let entry = take_entry(&raw, &mut reading, place + index, &mut at_ms)
            .ok_or_else(|| damaged(place + index, "an entry is cut short"))?;
        entries.push(entry);
    }
    if !reading.is_empty() || entries.is_empty() {
        return Err(damaged(place, "its length and its count do not agree"));
    }
    Ok(Block { chunk: Chunk { entries }, chain: header.chain, thinned: false })
}

/// The entries of a thinned block, with marks in the places of those that are forgotten.
fn take_thinned(raw: &Bytes, header: &Header) -> Result<Vec<Entry>, StoreError> {
    let cut = || damaged(header.first_seq, "what is left of it is cut short");
    let end = header.first_seq + u64::from(header.count);
    let mut reading = raw.as_ref();
    let claimed: ChainHash = varint::take_array(&mut reading).ok_or_else(cut)?;
    let (mut place, mut at_ms) = (header.first_seq, header.first_at);
    let mut entries: Vec<Entry> = Vec::with_capacity(usize::from(header.count));
    while !reading.is_empty() {
        let passed = varint::take(&mut reading).ok_or_else(cut)?;
        let next = place.checked_add(passed).filter(|next| *next < end).ok_or_else(cut)?;
        entries.extend((place..next).map(|seq| Entry::forgotten(seq, at_ms)));
        entries.push(take_entry(raw, &mut reading, next, &mut at_ms).ok_or_else(cut)?);
        place = next + 1;
    }
    entries.extend((place..end).map(|seq| Entry::forgotten(seq, at_ms)));
    let left = entries.iter().filter(|entry| !entry.is_forgotten());
    let known = (header.first_seq, header.first_at, header.count);
    if entries.is_empty() || left_hash(&header.chain, known, left) != claimed {
        return Err(damaged(header.first_seq, "what is left of it was changed"));
    }
    Ok(entries)
}

/// The first instant a block claims, without reading the rest of it.
pub fn claimed_first_at(value: &[u8]) -> Option<i64> {
    Header::take(&mut &*value).map(|header| header.first_at)
}

struct Header {
    format: u8,
    kind: u8,
    chain: ChainHash,
    first_seq: Seq,
    first_at: i64,
    count: u16,
    raw_bytes: usize,
}

impl Header {
    fn take(rest: &mut &[u8]) -> Option<Self> {
        let [format, kind] = varint::take_array(rest)?;
        Some(Self {
            format,
            kind,
            chain: varint::take_array(rest)?,
            first_seq: u64::from_be_bytes(varint::take_array(rest)?),
            first_at: i64::from_be_bytes(varint::take_array(rest)?),
            count: u16::from_be_bytes(varint::take_array(rest)?),
            raw_bytes: u32::from_be_bytes(varint::take_array(rest)?) as usize,
        })
    }
}

fn take_entry(raw: &Bytes, rest: &mut &[u8], seq: Seq, at_ms: &mut i64) -> Option<Entry> {
    *at_ms = at_ms.checked_add_unsigned(varint::take(rest)?)?;
    let partition = u16::try_from(varint::take(rest)?).ok().filter(|partition| *partition < PARTITIONS)?;
    let topic = NameId(u16::try_from(varint::take(rest)?).ok()?);
    let writer = NameId(u16::try_from(varint::take(rest)?).ok()?);
    let cause = match varint::take(rest)? {
        0 => 0,
        back => seq.checked_sub(back)?,
    };
    let flags = varint::take(rest)?;
    let dedup = if flags & FLAG_DEDUP == 0 { 0 } else { u64::from_be_bytes(varint::take_array(rest)?) };
    let erased = if flags & FLAG_ERASED == 0 { None } else { Some(varint::take_array(rest)?) };
    let body = if erased.is_some() && flags & FLAG_REMAINDER == 0 {
        Bytes::new()
    } else {
        let length = usize::try_from(varint::take(rest)?).ok()?;
        raw.slice_ref(varint::take_bytes(rest, length)?)
    };
    let mut entry = Entry::new(seq, *at_ms, partition, topic, writer, cause, dedup, body, None);
    entry.erased = erased.map(Box::new);
    Some(entry)
}

fn damaged(seq: Seq, what: &str) -> StoreError {
    StoreError::Damaged { place: format!("journal block at entry {seq}"), what: what.to_owned() }
}

/// The chain hash a block claims, also where the rest of it can't be read.
pub fn claimed_chain(value: &[u8]) -> Option<ChainHash> {
    value.get(2..34).and_then(|hash| hash.try_into().ok())
}
