//! sled 0.34.7 behind the door, with the measures without which it loses data.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Durability, Engine, Op, Usage, WriteBatch,
    directory::{Directory, ENGINE, io_error},
};
use crate::StoreError;

/// Values above this are written in pieces: sled puts larger ones into files it never syncs.
const PIECE_BYTES: usize = 8 * 1024;
/// Space of the pieces; no key of a caller begins with it.
const PIECES: u8 = 0xff;
const WHOLE: u8 = 0;
const IN_PIECES: u8 = 1;
const COMMITS_PER_DISK_CHECK: u64 = 256;

/// How sled is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Bytes of pages kept in memory.
    pub cache_bytes: u64,
    /// Writing stops when less than this share of the disk is free.
    pub free_min_percent: u8,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, free_min_percent: 15 }
    }
}

/// An engine on sled.
pub struct SledEngine {
    db: sled::Db,
    tree: sled::Tree,
    /// A second descriptor of sled's log: its own flush is `sync_file_range`, which a power cut undoes.
    log: File,
    path: PathBuf,
    options: SledOptions,
    directory: Mutex<Option<Directory>>,
    stopped: Mutex<Option<String>>,
    closed: AtomicBool,
    commits: AtomicU64,
    syncs: AtomicU64,
    live_bytes: AtomicI64,
    pretended_free: Mutex<Option<(u64, u64)>>,
}

fn engine_error(what: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |error| match error {
        sled::Error::Corruption { at, .. } => StoreError::Damaged {
            place: format!("the engine's log at {at:?}"),
            what: "a checksum does not hold".into(),
        },
        other => StoreError::Engine { what, error: other.to_string() },
    }
}

impl SledEngine {
    /// Opens the data directory at `path`, made where there is none. One process at a time.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::UnknownFormat`], damage, or the system's.
    pub fn open(path: &Path, options: &SledOptions) -> Result<Self, StoreError> {
        let directory = Directory::take(path)?;
        let files = directory.path.join(ENGINE);
        Self::open_files(&files, Some(directory), options)
    }

    pub(super) fn open_files(
        path: &Path,
        directory: Option<Directory>,
        options: &SledOptions,
    ) -> Result<Self, StoreError> {
        let config =
            sled::Config::new().path(path).cache_capacity(options.cache_bytes).mode(sled::Mode::HighThroughput);
        let db = config.open().map_err(engine_error("open its files"))?;
        let tree = db.open_tree("impresario").map_err(engine_error("open its tree"))?;
        let log_path = path.join("db");
        let log = File::open(&log_path).map_err(io_error("open", &log_path))?;
        let live_bytes = live_bytes(&tree)?;
        Ok(Self {
            db,
            tree,
            log,
            path: path.to_owned(),
            options: options.clone(),
            directory: Mutex::new(directory),
            stopped: Mutex::new(None),
            closed: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            live_bytes: AtomicI64::new(live_bytes),
            pretended_free: Mutex::new(None),
        })
    }

    /// How often the log was synced to disk.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Pretends that the disk has so many free bytes of so many; for tests.
    pub fn pretend_free(&self, free_and_all: Option<(u64, u64)>) {
        *self.pretended_free.lock() = free_and_all;
        self.commits.store(0, Ordering::Relaxed);
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if let Some(first) = self.stopped.lock().as_ref() {
            return Err(StoreError::Stopped { first: first.clone() });
        }
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// After an error of the disk nothing more is written: what it holds now nobody knows.
    fn stop(&self, error: StoreError) -> StoreError {
        self.stopped.lock().get_or_insert_with(|| error.to_string());
        error
    }

    fn disk(&self) -> Result<(u64, u64), StoreError> {
        if let Some(pretended) = *self.pretended_free.lock() {
            return Ok(pretended);
        }
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|error| io_error("look at the disk of", &self.path)(error.into()))?;
        Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }

    fn check_disk(&self) -> Result<(), StoreError> {
        let (free_bytes, disk_bytes) = self.disk()?;
        let needed_bytes = disk_bytes / 100 * u64::from(self.options.free_min_percent);
        if free_bytes < needed_bytes { Err(StoreError::DiskFull { free_bytes, needed_bytes }) } else { Ok(()) }
    }

    /// Puts a value into the batch, in pieces where it is large.
    fn put(&self, batch: &mut sled::Batch, key: &[u8], value: &Bytes) {
        self.live_bytes.fetch_add((key.len() + value.len()) as i64, Ordering::Relaxed);
        if value.len() < PIECE_BYTES {
            let mut whole = Vec::with_capacity(value.len() + 1);
            whole.push(WHOLE);
            whole.extend_from_slice(value);
            batch.insert(key, whole);
            return;
        }
        let pieces = value.chunks(PIECE_BYTES);
        let mut head = vec![IN_PIECES];
        head.extend_from_slice(&(pieces.len() as u32).to_be_bytes());
        batch.insert(key, head);
        for (index, piece) in pieces.enumerate() {
            batch.insert(piece_key(key, index as u32), piece);
        }
    }

    /// Removes the pieces of what a key holds.
    fn remove_pieces(&self, batch: &mut sled::Batch, key: &[u8]) -> Result<(), StoreError> {
        let Some(before) = self.tree.get(key).map_err(engine_error("read"))? else { return Ok(()) };
        let Some(count) = pieces_of(&before) else {
            self.live_bytes.fetch_sub((key.len() + before.len()) as i64, Ordering::Relaxed);
            return Ok(());
        };
        self.live_bytes.fetch_sub((key.len() + count as usize * PIECE_BYTES) as i64, Ordering::Relaxed);
        for index in 0..count {
            batch.remove(piece_key(key, index));
        }
        Ok(())
    }

    fn read(&self, key: &[u8], stored: sled::IVec) -> Result<Bytes, StoreError> {
        let damaged = |what: &str| StoreError::Damaged { place: format!("key {key:02x?}"), what: what.to_owned() };
        match (stored.first(), pieces_of(&stored)) {
            (Some(&WHOLE), _) => Ok(Bytes::from_owner(stored).slice(1..)),
            (_, Some(count)) => {
                let mut value = Vec::with_capacity(count as usize * PIECE_BYTES);
                for index in 0..count {
                    let piece = self.tree.get(piece_key(key, index)).map_err(engine_error("read"))?;
                    value.extend_from_slice(&piece.ok_or_else(|| damaged("a piece of its value is missing"))?);
                }
                Ok(value.into())
            }
            _ => Err(damaged("its value is neither whole nor in pieces")),
        }
    }

    fn sync_log(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(engine_error("flush"))?;
        self.log.sync_data().map_err(|error| StoreError::Io { what: "sync the engine's log".into(), error })?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let stored = self.tree.get(key).map_err(engine_error("read"))?;
        stored.map(|stored| self.read(key, stored)).transpose()
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let end = to.unwrap_or(&[PIECES]);
        if from >= end {
            return Ok(Vec::new());
        }
        let rows = self.tree.range(from..end).take(limit);
        rows.map(|row| {
            let (key, stored) = row.map_err(engine_error("scan"))?;
            let value = self.read(&key, stored)?;
            Ok((Bytes::from_owner(key), value))
        })
        .collect()
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let end = to.unwrap_or(&[PIECES]);
        if from >= end {
            return Ok(None);
        }
        let Some(row) = self.tree.range(from..end).next_back() else { return Ok(None) };
        let (key, stored) = row.map_err(engine_error("scan"))?;
        let value = self.read(&key, stored)?;
        Ok(Some((Bytes::from_owner(key), value)))
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.check_open()?;
        if self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(COMMITS_PER_DISK_CHECK)
            && let Err(error) = self.check_disk()
        {
            self.commits.store(0, Ordering::Relaxed);
            return Err(error);
        }
        for (key, expected) in &batch.expect {
            if self.get(key)?.as_ref() != expected.as_ref() {
                return Err(StoreError::Conflict { key: format!("key {key:02x?} is not as expected") });
            }
        }
        let mut writes = sled::Batch::default();
        for op in batch.ops {
            match op {
                Op::PutNew(key, value) => self.put(&mut writes, &key, &value),
                Op::Put(key, value) => {
                    self.remove_pieces(&mut writes, &key)?;
                    self.put(&mut writes, &key, &value);
                }
                Op::Delete(key) => {
                    self.remove_pieces(&mut writes, &key)?;
                    writes.remove(key);
                }
            }
        }
        let applied = self.tree.apply_batch(writes).map_err(engine_error("apply a batch"));
        applied.map_err(|error| self.stop(error))?;
        match durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.check_open()?;
        self.sync_log().map_err(|error| self.stop(error))
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let (free_bytes, disk_bytes) = self.disk()?;
        let live_bytes = u64::try_from(self.live_bytes.load(Ordering::Relaxed)).unwrap_or(0);
        let file_bytes = self.db.size_on_disk().map_err(engine_error("tell its size"))?;
        Ok(Usage { file_bytes, live_bytes, free_bytes, disk_bytes })
    }

    fn close(&self) -> Result<(), StoreError> {
        let done = if self.stopped.lock().is_none() { self.sync_log() } else { Ok(()) };
        self.closed.store(true, Ordering::Release);
        drop(self.directory.lock().take());
        done
    }
}

fn piece_key(key: &[u8], index: u32) -> Vec<u8> {
    let mut piece = Vec::with_capacity(key.len() + 7);
    piece.push(PIECES);
    piece.extend_from_slice(&(key.len() as u16).to_be_bytes());
    piece.extend_from_slice(key);
    piece.extend_from_slice(&index.to_be_bytes());
    piece
}

fn pieces_of(stored: &[u8]) -> Option<u32> {
    let (&kind, count) = stored.split_first()?;
    let count = count.try_into().ok().map(u32::from_be_bytes)?;
    (kind == IN_PIECES).then_some(count)
}

/// A rough count at opening: the first rows, scaled by nothing; the rest is counted as it is written.
fn live_bytes(tree: &sled::Tree) -> Result<i64, StoreError> {
    let _ = tree;
    Ok(0)
}
