//! How a value lies in sled: whole, or in pieces where it is large.
//!
//! ```text
//! whole:  0 | value
//! large:  1 | u32 bytes           at its key, and
//!         8 KiB of the value      at 0xff | u16 key length | key | u32 index, for each piece
//! ```

use std::ops::Range;

/// Bytes of one piece. sled puts larger items into files it never syncs: an item is a page of up to
/// 17 values, which must stay below a quarter of [`SEGMENT_BYTES`].
pub(super) const PIECE_BYTES: usize = 8 * 1024;
/// sled's unit of log space, and of one buffer on its way to the disk.
pub(super) const SEGMENT_BYTES: usize = 2 << 20;

const PIECES: u8 = 0xff;
const WHOLE: u8 = 0;
const IN_PIECES: u8 = 1;

/// What stands at a key.
pub(super) enum Stored {
    /// The value, after its first byte.
    Whole,
    /// The bytes of a value in pieces.
    InPieces(usize),
}

impl Stored {
    /// `None` for what this program never wrote.
    pub(super) fn of(stored: &[u8]) -> Option<Self> {
        match stored.split_first()? {
            (&WHOLE, _) => Some(Self::Whole),
            (&IN_PIECES, bytes) => Some(Self::InPieces(u32::from_be_bytes(bytes.try_into().ok()?) as usize)),
            _ => None,
        }
    }

    /// The bytes of the value behind what stands at a key; 0 for what this program never wrote.
    pub(super) fn value_bytes(stored: &[u8]) -> usize {
        match Self::of(stored) {
            Some(Self::Whole) => stored.len().saturating_sub(1),
            Some(Self::InPieces(bytes)) => bytes,
            None => 0,
        }
    }
}

pub(super) fn is_large(value: &[u8]) -> bool {
    value.len() >= PIECE_BYTES
}

pub(super) fn whole(value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + 1);
    stored.push(WHOLE);
    stored.extend_from_slice(value);
    stored
}

pub(super) fn head(value_bytes: usize) -> Vec<u8> {
    let mut stored = vec![IN_PIECES];
    stored.extend_from_slice(&(value_bytes as u32).to_be_bytes());
    stored
}

/// The numbers of the pieces of a value.
pub(super) fn indexes(value_bytes: usize) -> Range<u32> {
    0..value_bytes.div_ceil(PIECE_BYTES) as u32
}

pub(super) fn piece_key(key: &[u8], index: u32) -> Vec<u8> {
    let mut piece = Vec::with_capacity(key.len() + 7);
    piece.push(PIECES);
    piece.extend_from_slice(&(key.len() as u16).to_be_bytes());
    piece.extend_from_slice(key);
    piece.extend_from_slice(&index.to_be_bytes());
    piece
}
