//! A backup's file, frame by frame.

use std::{
    fs::File,
    io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{BACKUP_FORMAT, BackupSummary};
use crate::{Op, StoreError, VALUE_BYTES_MAX, codec, journal::varint};

const MAGIC: &[u8] = b"impresario backup\n";
const END: &[u8] = b"whole\n";
/// The kinds of frames.
const PLAIN: u8 = 1;
const LZ4: u8 = 2;
const SUMMARY: u8 = 3;

/// A frame is written once it holds so much.
const FRAME_BYTES: usize = 256 << 10;
/// What a frame may claim when it is read: the largest row and some room.
const FRAME_BYTES_MAX: usize = VALUE_BYTES_MAX + (1 << 20);
/// The file is synced every so often, so that the last sync is not one of everything.
const SYNC_BYTES: u64 = 8 << 20;

type FrameHash = [u8; 32];

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let what = format!("{what} {}", path.display());
    move |error| StoreError::Io { what, error }
}

/// Writes a backup.
pub(super) struct BackupWriter {
    path: PathBuf,
    out: BufWriter<File>,
    /// Bytes of the file so far.
    written: u64,
    unsynced: u64,
    chain: FrameHash,
    raw: Vec<u8>,
    pub(super) rows: u64,
    pub(super) row_bytes: u64,
}

impl BackupWriter {
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = File::create(path).map_err(io_error("make", path))?;
        let mut writer = Self {
            path: path.to_owned(),
            out: BufWriter::with_capacity(64 << 10, file),
            written: 0,
            unsynced: 0,
            chain: FrameHash::default(),
            raw: Vec::with_capacity(FRAME_BYTES * 2),
            rows: 0,
            row_bytes: 0,
        };
        writer.write(&[MAGIC, &BACKUP_FORMAT.to_be_bytes()])?;
        Ok(writer)
    }

    /// Rows as they were read: worth compressing, since nobody waits.
    pub(super) fn rows(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), StoreError> {
        for (key, value) in rows {
            self.row(key, Some(value));
            self.end_full_frame(LZ4)?;
        }
        self.end_frame(LZ4)
    }

    /// Writes as they were heard: most of it is blocks, which are compressed already.
    pub(super) fn writes(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        for op in ops {
            match op {
                Op::Put(key, value) | Op::PutNew(key, value) => self.row(key, Some(value)),
                Op::Delete(key) => self.row(key, None),
            }
            self.end_full_frame(PLAIN)?;
        }
        self.end_frame(PLAIN)
    }

    fn row(&mut self, key: &[u8], value: Option<&[u8]>) {
        varint::put(&mut self.raw, key.len() as u64);
        self.raw.extend_from_slice(key);
        varint::put(&mut self.raw, value.map_or(0, |value| value.len() as u64 + 1));
        self.raw.extend_from_slice(value.unwrap_or_default());
        self.rows += 1;
        self.row_bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
    }

    fn end_full_frame(&mut self, kind: u8) -> Result<(), StoreError> {
        if self.raw.len() < FRAME_BYTES { Ok(()) } else { self.end_frame(kind) }
    }

    fn end_frame(&mut self, kind: u8) -> Result<(), StoreError> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.raw);
        if kind == LZ4 {
            self.frame(kind, raw.len(), &lz4_flex::block::compress(&raw))?;
        } else {
            self.frame(kind, raw.len(), &raw)?;
        }
        self.raw = raw;
        self.raw.clear();
        self.raw.shrink_to(FRAME_BYTES * 2);
        if self.unsynced >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn frame(&mut self, kind: u8, raw_bytes: usize, stored: &[u8]) -> Result<(), StoreError> {
        self.chain = hash_after(&self.chain, kind, raw_bytes, stored);
        let chain = self.chain;
        let lengths = [raw_bytes as u32, stored.len() as u32].map(u32::to_be_bytes);
        self.write(&[&[kind], &lengths[0], &lengths[1], &chain, stored])
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), StoreError> {
        for part in parts {
            self.out.write_all(part).map_err(io_error("write", &self.path))?;
            self.written += part.len() as u64;
            self.unsynced += part.len() as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let synced = self.out.flush().and_then(|()| self.out.get_ref().sync_data());
        synced.map_err(io_error("sync", &self.path))?;
        self.unsynced = 0;
        Ok(())
    }

    /// Ends the file; it is whole on disk then.
    pub(super) fn end(mut self, summary: &BackupSummary) -> Result<(), StoreError> {
        let place = self.written;
        let summary = codec::encode(1, summary)?;
        self.frame(SUMMARY, summary.len(), &summary)?;
        self.write(&[&place.to_be_bytes(), END])?;
        self.sync()
    }
}

/// What is read of a backup.
pub(super) enum Part {
    Writes(Vec<Op>),
    End(BackupSummary),
}

/// Reads a backup.
pub(super) struct BackupReader {
    path: PathBuf,
    from: BufReader<File>,
    /// Where the last frame begins.
    last_at: u64,
    at: u64,
    chain: FrameHash,
}

impl BackupReader {
    /// Opens a whole backup.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut from = BufReader::with_capacity(1 << 20, File::open(path).map_err(io_error("open", path))?);
        let no_backup = |what: &str| StoreError::Damaged { place: path.display().to_string(), what: what.to_owned() };
        let mut magic = [0; 18];
        let mut format = [0; 4];
        let read = from.read_exact(&mut magic).and_then(|()| from.read_exact(&mut format));
        read.map_err(|error| cut_short(path, error))?;
        if magic != MAGIC {
            return Err(no_backup("it is no backup of this program"));
        }
        let found = u32::from_be_bytes(format);
        if found != BACKUP_FORMAT {
            let what = format!("the backup {}", path.display());
            return Err(StoreError::UnknownFormat { what, found, known: BACKUP_FORMAT });
        }
        let start = (magic.len() + format.len()) as u64;
        let mut end = [0; 8 + END.len()];
        let length = from.seek(SeekFrom::End(0)).map_err(io_error("read", path))?;
        let end_at = length.checked_sub(end.len() as u64).filter(|at| *at > start);
        let end_at = end_at.ok_or_else(|| no_backup("it is cut short: it was never whole"))?;
        let read = from.seek(SeekFrom::Start(end_at)).and_then(|_| from.read_exact(&mut end));
        read.map_err(io_error("read", path))?;
        let (place, mark) = end.split_at(8);
        let last_at = place.try_into().map_or(0, u64::from_be_bytes);
        if mark != END || last_at < start || last_at >= end_at {
            return Err(no_backup("it is cut short: it was never whole"));
        }
        from.seek(SeekFrom::Start(start)).map_err(io_error("read", path))?;
        Ok(Self { path: path.to_owned(), from, last_at, at: start, chain: FrameHash::default() })
    }

    /// What it says of itself, read from its end; whether the rest is whole shows when it is read.
    pub(super) fn peek(path: &Path) -> Result<BackupSummary, StoreError> {
        let mut reader = Self::open(path)?;
        let sought = reader.from.seek(SeekFrom::Start(reader.last_at));
        sought.map_err(io_error("read", path))?;
        reader.at = reader.last_at;
        let (kind, _, _, stored) = reader.read_frame()?;
        if kind == SUMMARY { codec::decode(1, &stored) } else { Err(reader.damaged("its last part is not its end")) }
    }

    /// Reads on.
    pub(super) fn read_on(&mut self) -> Result<Part, StoreError> {
        let at = self.at;
        let (kind, raw_bytes, hash, stored) = self.read_frame()?;
        self.chain = hash_after(&self.chain, kind, raw_bytes, &stored);
        if self.chain != hash {
            return Err(damaged(&self.path, at, "its hash does not hold"));
        }
        if (kind == SUMMARY) != (at == self.last_at) {
            return Err(damaged(&self.path, at, "its parts are out of place"));
        }
        let raw = match kind {
            PLAIN => Bytes::from(stored),
            LZ4 => {
                let raw = lz4_flex::block::decompress(&stored, raw_bytes);
                Bytes::from(raw.map_err(|error| damaged(&self.path, at, &format!("it does not decompress: {error}")))?)
            }
            SUMMARY => return Ok(Part::End(codec::decode(1, &stored)?)),
            _ => return Err(damaged(&self.path, at, "it is of a kind this program does not know")),
        };
        ops_of(&raw).map(Part::Writes).ok_or_else(|| damaged(&self.path, at, "a row in it is cut short"))
    }

    fn read_frame(&mut self) -> Result<(u8, usize, FrameHash, Vec<u8>), StoreError> {
        let mut head = [0; 1 + 4 + 4 + 32];
        self.from.read_exact(&mut head).map_err(|error| cut_short(&self.path, error))?;
        let mut rest = head.as_slice();
        let fields = (|| {
            let [kind] = varint::take_array(&mut rest)?;
            let lengths: [usize; 2] = [varint::take_array(&mut rest)?, varint::take_array(&mut rest)?]
                .map(|four| u32::from_be_bytes(four) as usize);
            Some((kind, lengths, varint::take_array(&mut rest)?))
        })();
        let (kind, [raw_bytes, stored_bytes], hash) = fields.ok_or_else(|| self.damaged("a part is cut short"))?;
        if raw_bytes > FRAME_BYTES_MAX || stored_bytes > FRAME_BYTES_MAX {
            return Err(self.damaged("it claims to be larger than a part may be"));
        }
        let mut stored = vec![0; stored_bytes];
        self.from.read_exact(&mut stored).map_err(|error| cut_short(&self.path, error))?;
        self.at += (head.len() + stored.len()) as u64;
        Ok((kind, raw_bytes, hash, stored))
    }

    fn damaged(&self, what: &str) -> StoreError {
        damaged(&self.path, self.at, what)
    }
}

fn damaged(path: &Path, at: u64, what: &str) -> StoreError {
    StoreError::Damaged { place: format!("the backup {} at byte {at}", path.display()), what: what.to_owned() }
}

fn cut_short(path: &Path, error: std::io::Error) -> StoreError {
    if error.kind() == ErrorKind::UnexpectedEof {
        let what = "it is cut short: it was never whole".to_owned();
        return StoreError::Damaged { place: path.display().to_string(), what };
    }
    io_error("read", path)(error)
}

fn hash_after(before: &FrameHash, kind: u8, raw_bytes: usize, stored: &[u8]) -> FrameHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(&[kind]).update(&(raw_bytes as u64).to_be_bytes());
    hasher.update(&(stored.len() as u64).to_be_bytes()).update(stored);
    *hasher.finalize().as_bytes()
}

fn ops_of(raw: &Bytes) -> Option<Vec<Op>> {
    let mut rest = raw.as_ref();
    let mut ops = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(varint::take(&mut rest)?).ok()?;
        let key = varint::take_bytes(&mut rest, length)?.to_vec();
        ops.push(match varint::take(&mut rest)? {
            0 => Op::Delete(key),
            length => {
                let value = varint::take_bytes(&mut rest, usize::try_from(length - 1).ok()?)?;
                Op::Put(key, raw.slice_ref(value))
            }
        });
    }
    Some(ops)
}
