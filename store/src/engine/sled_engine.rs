//! sled 0.34.7 behind the door, with the measures without which it loses data.

use std::{
    fs::{self, File},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{
    Durability, Engine, OWN_KEYS, Usage, WriteBatch,
    directory::{Directory, ENGINE, io_error, sync_directory},
    disk::{Disk, SystemDisk},
    large,
    pieces::{self, SEGMENT_BYTES, Stored},
    pool::{Seat, UNFLUSHED_BYTES_MAX},
    writes::{LIVE_KEY, Live, Part, Writes},
};
use crate::StoreError;

/// So much free room is enough on any disk: a share of a large one would be room never used.
pub const FREE_ENOUGH_BYTES: u64 = 4 << 30;

/// How sled is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Bytes of pages kept in memory.
    pub cache_bytes: u64,
    /// Writing stops when less than this share of the disk is free, and less than [`FREE_ENOUGH_BYTES`].
    pub free_min_percent: u8,
    /// How the disk is asked.
    pub disk: Arc<dyn Disk>,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, free_min_percent: 15, disk: Arc::new(SystemDisk) }
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
    /// Held by who changes pieces of large values, shared by who reads them.
    pieces: RwLock<()>,
    stopped: Mutex<Option<String>>,
    closed: AtomicBool,
    syncs: AtomicU64,
    flushes: AtomicU64,
    unflushed_bytes: AtomicU64,
    live: Live,
    seat: Seat,
    /// Last, so that the directory is let go of after sled's own files.
    directory: Option<Directory>,
}

pub(super) fn engine_error(what: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |error| match error {
        sled::Error::Corruption { at, .. } => StoreError::Damaged {
            place: at.map_or_else(|| "the engine's files".into(), |at| format!("the engine's log at {at:?}")),
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
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::HighThroughput);
        // On some damage sled panics while it reads its log.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = config.open()?;
            let tree = db.open_tree("impresario")?;
            Ok((db, tree))
        }));
        let unreadable =
            || StoreError::Damaged { place: path.display().to_string(), what: "the engine can't read its log".into() };
        let seat = Seat::take();
        let (db, tree) = opened.map_err(|_| unreadable())?.map_err(engine_error("open its files"))?;
        let log_path = path.join("db");
        let log = File::open(&log_path).map_err(io_error("open", &log_path))?;
        sync_names(path)?;
        large::finish(&db, &tree)?;
        let live = Live::read(&tree)?;
        Ok(Self {
            db,
            tree,
            log,
            path: path.to_owned(),
            options: options.clone(),
            pieces: RwLock::new(()),
            stopped: Mutex::new(None),
            closed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
            live,
            seat,
            directory,
        })
    }

    /// How often the log was synced to disk.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
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

    fn space(&self) -> Result<(u64, u64), StoreError> {
        self.options.disk.space(&self.path).map_err(io_error("look at the disk of", &self.path))
    }

    #[cfg(test)]
    pub(super) fn tree(&self) -> &sled::Tree {
        &self.tree
    }

    fn stored(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.tree.get(key).map_err(engine_error("read"))
    }

    /// The value behind what stood at a key; `None` where it has gone since.
    fn read(&self, key: &[u8], stored: sled::IVec) -> Result<Option<Bytes>, StoreError> {
        match Stored::of(&stored) {
            Some(Stored::Whole) => Ok(Some(Bytes::from_owner(stored).slice(1..))),
            Some(Stored::InPieces(_)) => self.read_pieces(key),
            None => Err(damaged_value(key, "it is neither whole nor in pieces")),
        }
    }

    fn read_pieces(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let _unchanged = self.pieces.read();
        // Looked at again: between the first look and now it may have been written anew.
        let Some(stored) = self.stored(key)? else { return Ok(None) };
        let bytes = match Stored::of(&stored) {
            Some(Stored::Whole) => return Ok(Some(Bytes::from_owner(stored).slice(1..))),
            Some(Stored::InPieces(bytes)) => bytes,
            None => return Err(damaged_value(key, "it is neither whole nor in pieces")),
        };
        let mut value = Vec::with_capacity(bytes);
        for index in pieces::indexes(bytes) {
            let piece = self.stored(&pieces::piece_key(key, index))?;
            value.extend_from_slice(&piece.ok_or_else(|| damaged_value(key, "a piece of it is missing"))?);
        }
        if value.len() == bytes {
            Ok(Some(value.into()))
        } else {
            Err(damaged_value(key, "a piece of it is cut short"))
        }
    }

    /// Waits for the buffers under way where there would be too many of them.
    fn make_way(&self, batch_bytes: usize) -> Result<(), StoreError> {
        let batch_bytes = batch_bytes as u64;
        if self.unflushed_bytes.fetch_add(batch_bytes, Ordering::Relaxed) + batch_bytes > UNFLUSHED_BYTES_MAX {
            self.flush()?;
            self.unflushed_bytes.store(batch_bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Puts the parts of a commit in, one after the other.
    fn apply(&self, writes: Writes) -> Result<(), StoreError> {
        let _alone = writes.in_pieces.then(|| self.pieces.write());
        for Part { batch, bytes } in writes.parts() {
            self.make_way(bytes)?;
            self.tree.apply_batch(batch).map_err(engine_error("apply a batch"))?;
        }
        Ok(())
    }

    fn apply_large(&self, batch: &WriteBatch, writes: Writes) -> Result<(), StoreError> {
        large::write_down(&self.tree, &batch.ops, |bytes| self.make_way(bytes))?;
        self.apply(writes)?;
        large::strike(&self.tree)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(engine_error("flush"))?;
        self.unflushed_bytes.store(0, Ordering::Relaxed);
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn sync_log(&self) -> Result<(), StoreError> {
        let turn = self.seat.turn();
        self.flush()?;
        drop(turn);
        let synced = self.options.disk.sync_data(&self.log);
        synced.map_err(|error| StoreError::Io { what: "sync the engine's log".into(), error })?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn rows(&self, from: &[u8], to: Option<&[u8]>) -> Option<sled::Iter> {
        let end = to.filter(|to| *to < [OWN_KEYS].as_slice()).unwrap_or(&[OWN_KEYS]);
        (from < end).then(|| self.tree.range(from..end))
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.stored(key)? {
            Some(stored) => self.read(key, stored),
            None => Ok(None),
        }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let Some(rows) = self.rows(from, to) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for row in rows {
            if found.len() == limit {
                break;
            }
            let (key, stored) = row.map_err(engine_error("scan"))?;
            if let Some(value) = self.read(&key, stored)? {
                found.push((Bytes::from_owner(key), value));
            }
        }
        Ok(found)
    }

    fn last(&self, from: &[u8], to: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let Some(rows) = self.rows(from, to) else { return Ok(None) };
        for row in rows.rev() {
            let (key, stored) = row.map_err(engine_error("scan"))?;
            if let Some(value) = self.read(&key, stored)? {
                return Ok(Some((Bytes::from_owner(key), value)));
            }
        }
        Ok(None)
    }

    fn room(&self) -> Result<(), StoreError> {
        let (free_bytes, disk_bytes) = self.space()?;
        let needed_bytes = free_needed_bytes(disk_bytes, self.options.free_min_percent);
        if free_bytes < needed_bytes { Err(StoreError::DiskFull { free_bytes, needed_bytes }) } else { Ok(()) }
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.check_open()?;
        batch.check()?;
        for (key, expected) in &batch.expect {
            if self.get(key)?.as_ref() != expected.as_ref() {
                return Err(StoreError::Conflict { key: format!("key {key:02x?} is not as expected") });
            }
        }
        let turn = self.seat.turn();
        let is_large = large::is_large(&batch.ops);
        let part_bytes_max = if is_large { large::PART_BYTES } else { usize::MAX };
        let mut writes = Writes::of(&batch.ops, part_bytes_max, |key| self.stored(key))?;
        self.live.count(&mut writes);
        let applied = if is_large { self.apply_large(&batch, writes) } else { self.apply(writes) };
        // Whoever writes next is not to find this engine's buffers under way.
        let ended = applied.and_then(|()| if turn.is_some() { self.flush() } else { Ok(()) });
        drop(turn);
        ended.map_err(|error| self.stop(error))?;
        match durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.check_open()?;
        self.sync_log().map_err(|error| self.stop(error))
    }

    fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        self.directory.as_ref().map_or(Ok(()), |directory| directory.note_synced(mark))
    }

    fn noted(&self) -> Result<Option<u64>, StoreError> {
        self.directory.as_ref().map_or(Ok(None), Directory::noted)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let (free_bytes, disk_bytes) = self.space()?;
        let live_bytes = u64::try_from(self.live.bytes.load(Ordering::Relaxed)).unwrap_or(0);
        let file_bytes = self.db.size_on_disk().map_err(engine_error("tell its size"))?;
        Ok(Usage { file_bytes, live_bytes, free_bytes, disk_bytes })
    }

    fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) || self.stopped.lock().is_some() {
            return Ok(());
        }
        let live = self.live.bytes.load(Ordering::Relaxed).to_be_bytes();
        let written = self.tree.insert(LIVE_KEY, live.as_slice()).map_err(engine_error("write"));
        written.and_then(|_| self.sync_log()).map_err(|error| self.stop(error))
    }
}

/// Free bytes below which writing stops on a disk of `disk_bytes`.
pub fn free_needed_bytes(disk_bytes: u64, free_min_percent: u8) -> u64 {
    (disk_bytes / 100 * u64::from(free_min_percent)).min(FREE_ENOUGH_BYTES)
}

/// Makes the names of new files survive a power cut, and sled's parameters, which it never syncs.
pub(super) fn sync_names(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let file = entry.map_err(io_error("list", path))?.path();
        if file.is_file() {
            File::open(&file).and_then(|file| file.sync_all()).map_err(io_error("sync", &file))?;
        }
    }
    sync_directory(path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn damaged_value(key: &[u8], what: &str) -> StoreError {
    let place = match key.split_first() {
        Some((space, rest)) => format!("the value at {}:{rest:02x?}", char::from(*space)),
        None => "the value of no key".into(),
    };
    StoreError::Damaged { place, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{super::Op, *};

    /// Too many buffers under way at once, and sled may hang for good.
    #[test]
    fn what_is_on_its_way_to_the_disk_stays_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
        let engine = SledEngine::open(directory.path(), &options).expect("an engine");
        let mut written = 0;
        for number in 0..40_u8 {
            let value = Bytes::from(vec![number; 400_000]);
            written += value.len() as u64;
            let batch = WriteBatch { expect: Vec::new(), ops: vec![Op::Put(vec![number % 3], value)] };
            engine.commit(batch, Durability::Written).expect("a commit");
            assert!(engine.unflushed_bytes.load(Ordering::Relaxed) <= UNFLUSHED_BYTES_MAX);
        }
        assert_eq!(engine.syncs(), 0);
        assert!(engine.flushes.load(Ordering::Relaxed) >= written / UNFLUSHED_BYTES_MAX);
    }
}
