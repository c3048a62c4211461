//! The data directory: who holds it, of which format it is, and how far it was synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::StoreError;

/// The format of a data directory that this program writes.
pub const DIRECTORY_FORMAT: u32 = 1;

const LOCK_FILE: &str = "impresario.lock";
const FORMAT_FILE: &str = "impresario.format";
/// How far the data was synced: a mark and its check, written after each sync and never synced itself.
const SYNCED_FILE: &str = "impresario.synced";
/// Where compaction writes, and where it puts what it replaces.
pub(super) const FRESH: &str = "sled.compacting";
pub(super) const OLD: &str = "sled.before";
/// Where a restore writes.
pub(super) const RESTORING: &str = "sled.restoring";
/// Where the engine's own files lie in a data directory.
pub(super) const ENGINE: &str = "sled";

/// A data directory held by this process.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    synced: File,
    _lock: File,
}

pub(super) fn io_error(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let what = format!("{what} {}", path.display());
    move |error| StoreError::Io { what, error }
}

impl Directory {
    /// Takes hold of a directory, made where there is none.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let directory = Self::hold(path)?;
        if path.join(RESTORING).exists() {
            let what = "a restore into it was cut short; do it again, or name another directory".into();
            return Err(StoreError::Damaged { place: path.display().to_string(), what });
        }
        directory.end_compaction()?;
        directory.remove_half_snapshots()?;
        sync_directory(path)?;
        Ok(directory)
    }

    /// Takes hold of a directory that holds nothing, or what a restore cut short has left, which goes.
    pub(super) fn take_empty(path: &Path) -> Result<Self, StoreError> {
        let own = [LOCK_FILE, FORMAT_FILE, SYNCED_FILE, RESTORING];
        if path.exists() {
            for entry in fs::read_dir(path).map_err(io_error("list", path))? {
                let name = entry.map_err(io_error("list", path))?.file_name();
                if !own.iter().any(|known| name == *known) {
                    let what = format!("the directory {} is not empty: it holds {}", path.display(), name.display());
                    return Err(StoreError::Invalid(what));
                }
            }
        }
        let directory = Self::hold(path)?;
        // Between the look and the hold another process may have begun to use it.
        if path.join(ENGINE).exists() {
            return Err(StoreError::Invalid(format!("the directory {} is not empty", path.display())));
        }
        let half = path.join(RESTORING);
        if half.exists() {
            fs::remove_dir_all(&half).map_err(io_error("remove", &half))?;
        }
        sync_directory(path)?;
        Ok(directory)
    }

    fn hold(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(io_error("make the data directory", path))?;
        let lock_path = path.join(LOCK_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = open.map_err(io_error("open", &lock_path))?;
        if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK {
                return Err(io_error("lock", &lock_path)(error.into()));
            }
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(StoreError::Locked { directory: path.display().to_string(), pid });
        }
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
        written.map_err(io_error("write", &lock_path))?;
        check_format(path)?;
        let synced_path = path.join(SYNCED_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&synced_path);
        let synced = open.map_err(io_error("open", &synced_path))?;
        Ok(Self { path: path.to_owned(), synced, _lock: lock })
    }

    pub(super) fn note_synced(&self, mark: u64) -> Result<(), StoreError> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mark.to_be_bytes());
        bytes[8..].copy_from_slice(&(!mark).to_be_bytes());
        self.synced.write_all_at(&bytes, 0).map_err(io_error("write", &self.path.join(SYNCED_FILE)))
    }

    /// A mark that a power cut has spoilt is none: it promises nothing.
    pub(super) fn noted(&self) -> Result<Option<u64>, StoreError> {
        let mut bytes = [0; 16];
        match self.synced.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(io_error("read", &self.path.join(SYNCED_FILE))(error)),
        }
        let [mark, check] = [&bytes[..8], &bytes[8..]].map(|half| half.try_into().map_or(0, u64::from_be_bytes));
        Ok((check == !mark).then_some(mark))
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
        if !engine.exists() && fresh.exists() && !old.exists() {
            let what = "there are files of a compaction, but none of the data it was made from".into();
            return Err(StoreError::Damaged { place: self.path.display().to_string(), what });
        }
        if old.exists() && !engine.exists() {
            // The old files were moved away, and the new ones are whole: go on.
            let from = if fresh.exists() { &fresh } else { &old };
            fs::rename(from, &engine).map_err(io_error("rename", from))?;
            sync_directory(&self.path)?;
        }
        for left in [&fresh, &old] {
            if left.exists() {
                fs::remove_dir_all(left).map_err(io_error("remove", left))?;
            }
        }
        Ok(())
    }
}

/// Refuses a directory of another format; writes the format into a new one.
fn check_format(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join(FORMAT_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if [ENGINE, OLD].iter().any(|files| directory.join(files).exists()) {
                let what = "there is data, but no file that says of which format".into();
                return Err(StoreError::Damaged { place: path.display().to_string(), what });
            }
            return write_format(directory, &path);
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let what = || format!("the data directory {}", directory.display());
    match text.trim().parse::<u32>() {
        Ok(DIRECTORY_FORMAT) => Ok(()),
        Ok(found) => Err(StoreError::UnknownFormat { what: what(), found, known: DIRECTORY_FORMAT }),
        Err(_) => Err(StoreError::Damaged { place: path.display().to_string(), what: "it holds no number".into() }),
    }
}

/// Under another name first: a crash leaves the whole file or none.
fn write_format(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let half = path.with_extension("half");
    let text = DIRECTORY_FORMAT.to_string();
    let written =
        File::create(&half).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(io_error("write", &half))?;
    fs::rename(&half, path).map_err(io_error("rename", &half))?;
    sync_directory(directory)
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    // The parent of a relative path of one part has no name of its own.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("sync", path))
}
