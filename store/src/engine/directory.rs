//! The data directory: who holds it, of which format it is, and how it is made small again.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{Durability, Engine, Op, SledEngine, SledOptions, WriteBatch};
use crate::StoreError;

/// The format of a data directory that this program writes.
pub const DIRECTORY_FORMAT: u32 = 1;

const LOCK_FILE: &str = "impresario.lock";
const FORMAT_FILE: &str = "impresario.format";
const FRESH: &str = "sled.compacting";
const OLD: &str = "sled.before";
/// Where the engine's own files lie in a data directory.
pub(super) const ENGINE: &str = "sled";

/// A data directory held by this process.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    _lock: File,
}

pub(super) fn io_error(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let what = format!("{what} {}", path.display());
    move |error| StoreError::Io { what, error }
}

impl Directory {
    /// Takes hold of a directory, made where there is none.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(io_error("make the data directory", path))?;
        let lock_path = path.join(LOCK_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = open.map_err(io_error("open", &lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(StoreError::Locked { directory: path.display().to_string(), pid });
        }
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
        written.map_err(io_error("write", &lock_path))?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        directory.check_format()?;
        directory.end_compaction()?;
        directory.remove_half_snapshots()?;
        Ok(directory)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join(FORMAT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.path.join(ENGINE).exists() {
                    let what = "there is data, but no file that says of which format".into();
                    return Err(StoreError::Damaged { place: path.display().to_string(), what });
                }
                return write_synced(&path, DIRECTORY_FORMAT.to_string().as_bytes());
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let what = || format!("the data directory {}", self.path.display());
        match text.trim().parse::<u32>() {
            Ok(DIRECTORY_FORMAT) => Ok(()),
            Ok(found) => Err(StoreError::UnknownFormat { what: what(), found, known: DIRECTORY_FORMAT }),
            Err(_) => Err(StoreError::Damaged { place: path.display().to_string(), what: "it holds no number".into() }),
        }
    }

    /// A kill while sled writes a snapshot leaves a half one, with which it never opens again.
    fn remove_half_snapshots(&self) -> Result<(), StoreError> {
        let engine = self.path.join(ENGINE);
        if !engine.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&engine).map_err(io_error("list", &engine))? {
            let path = entry.map_err(io_error("list", &engine))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                tracing::warn!(file = name, "a half-written snapshot is removed");
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Ends a compaction that a crash cut short, one way or the other.
    fn end_compaction(&self) -> Result<(), StoreError> {
        let (engine, fresh, old) = (self.path.join(ENGINE), self.path.join(FRESH), self.path.join(OLD));
        if old.exists() && !engine.exists() {
            // The old files were moved away, and the new ones are whole: go on.
            let from = if fresh.exists() { &fresh } else { &old };
            fs::rename(from, &engine).map_err(io_error("rename", from))?;
        }
        for left in [&fresh, &old] {
            if left.exists() {
                fs::remove_dir_all(left).map_err(io_error("remove", left))?;
            }
        }
        Ok(())
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(io_error("write", path))
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("sync", path))
}

/// Writes what lives in a data directory into fresh files, which take the place of the old ones.
///
/// sled's files never shrink by themselves. The directory must not be in use. A crash at any point
/// leaves the old files or the new ones, whole.
///
/// # Errors
/// [`StoreError::Locked`] while a process uses it, the system's, or damage in what is read.
pub fn compact(path: &Path) -> Result<(u64, u64), StoreError> {
    const ROWS: usize = 512;
    let held = Directory::take(path)?;
    let engine = path.join(ENGINE);
    if !engine.exists() {
        return Ok((0, 0));
    }
    let (fresh, old) = (path.join(FRESH), path.join(OLD));
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    let from = SledEngine::open_files(&engine, None, &options)?;
    let to = SledEngine::open_files(&fresh, None, &options)?;
    let before = from.usage()?.file_bytes;
    let mut next = Vec::new();
    loop {
        let rows = from.scan(&next, None, ROWS)?;
        if let Some((key, _)) = rows.last() {
            next = key.to_vec();
            next.push(0);
        }
        let full = rows.len() == ROWS;
        let ops = rows.into_iter().map(|(key, value)| Op::PutNew(key.to_vec(), value)).collect();
        to.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written)?;
        if !full {
            break;
        }
    }
    to.close()?;
    let after = to.usage()?.file_bytes;
    drop(to);
    drop(from);
    sync_directory(&fresh)?;
    fs::rename(&engine, &old).map_err(io_error("rename", &engine))?;
    fs::rename(&fresh, &engine).map_err(io_error("rename", &fresh))?;
    sync_directory(path)?;
    fs::remove_dir_all(&old).map_err(io_error("remove", &old))?;
    drop(held);
    Ok((before, after))
}
