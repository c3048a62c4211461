//! Writing a directory's files anew: smaller ones, or those of a backup.

use std::{fs, path::Path, sync::Arc};

use super::{
    Durability, Engine, Op, SledEngine, SledOptions, WriteBatch,
    directory::{Directory, ENGINE, FRESH, OLD, RESTORING, io_error, sync_directory},
    sled_engine::sync_names,
};
use crate::StoreError;

/// Rows read at once.
const PAGE_ROWS: usize = 128;
/// Bytes that go into one batch of a copy.
const BATCH_BYTES: usize = 1 << 20;
/// sled's log holds a fresh copy in less than so many times its living bytes, and some room.
const ROOM_TIMES_LIVE: u64 = 2;
const ROOM_BYTES: u64 = 16 << 20;

/// Bytes of the files before a compaction and after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Before.
    pub before_bytes: u64,
    /// After.
    pub after_bytes: u64,
}

/// Writes what lives in a data directory into fresh files, which take the place of the old ones once
/// `check` finds them good.
///
/// A crash or an error at any point leaves the old files or the new ones, whole.
pub(crate) fn rewrite(
    path: &Path,
    options: &SledOptions,
    check: impl FnOnce(Arc<dyn Engine>) -> Result<(), StoreError>,
) -> Result<Compacted, StoreError> {
    let held = Directory::take(path)?;
    let engine = path.join(ENGINE);
    if !engine.exists() {
        return Ok(Compacted::default());
    }
    let (fresh, old) = (path.join(FRESH), path.join(OLD));
    let copied = copy_living(&engine, &fresh, options, check).and_then(|before_bytes| {
        let after_bytes = files_bytes(&fresh)?;
        sync_names(&fresh)?;
        Ok(Compacted { before_bytes, after_bytes })
    });
    let compacted = copied.inspect_err(|_| {
        // A disk that was filled by the copy is to be as free as before; the next opening tries again.
        let _ = fs::remove_dir_all(&fresh);
    })?;
    // From here on the new files are whole on disk; only names change.
    fs::rename(&engine, &old).map_err(io_error("rename", &engine))?;
    fs::rename(&fresh, &engine).map_err(io_error("rename", &fresh))?;
    sync_directory(path)?;
    fs::remove_dir_all(&old).map_err(io_error("remove", &old))?;
    drop(held);
    Ok(compacted)
}

/// Makes the files of an empty directory: `fill` writes what is to be in them, and tells how far the data
/// counts as synced and what the caller wants to know.
///
/// A crash or an error at any point leaves a directory with no data.
pub(crate) fn rebuild<R>(
    path: &Path,
    options: &SledOptions,
    live_bytes: u64,
    fill: impl FnOnce(Arc<dyn Engine>) -> Result<(u64, R), StoreError>,
) -> Result<R, StoreError> {
    let held = Directory::take_empty(path)?;
    room_for_copy("a restore", live_bytes, options, path)?;
    let (engine, fresh) = (path.join(ENGINE), path.join(RESTORING));
    let filled = SledEngine::open_files(&fresh, None, options).map(Arc::new).and_then(|to| {
        let filled = fill(Arc::<SledEngine>::clone(&to))?;
        to.close()?;
        Ok(filled)
    });
    let filled = filled.and_then(|filled| sync_names(&fresh).map(|()| filled));
    let (mark, answer) = filled.inspect_err(|_| {
        let _ = fs::remove_dir_all(&fresh);
    })?;
    held.note_synced(mark)?;
    fs::rename(&fresh, &engine).map_err(io_error("rename", &fresh))?;
    sync_directory(path)?;
    Ok(answer)
}

/// Copies every pair and compares both sides afterwards; the bytes of the files copied from.
fn copy_living(
    engine: &Path,
    fresh: &Path,
    options: &SledOptions,
    check: impl FnOnce(Arc<dyn Engine>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let from = SledEngine::open_files(engine, None, options)?;
    room_for_copy("a compaction", from.usage()?.live_bytes, options, engine)?;
    let to = Arc::new(SledEngine::open_files(fresh, None, options)?);
    let mut read = blake3::Hasher::new();
    each_page(&from, |rows| {
        rows.iter().for_each(|row| digest_row(&mut read, row));
        put_all(to.as_ref(), rows.into_iter().map(|(key, value)| Op::PutNew(key.to_vec(), value)))
    })?;
    let mut written = blake3::Hasher::new();
    each_page(to.as_ref(), |rows| {
        rows.iter().for_each(|row| digest_row(&mut written, row));
        Ok(())
    })?;
    if read.finalize() != written.finalize() {
        let what = "the copy is not as the data it was made from".into();
        return Err(StoreError::Damaged { place: fresh.display().to_string(), what });
    }
    check(Arc::<SledEngine>::clone(&to))?;
    to.close()?;
    files_bytes(engine)
}

/// Whether the disk has room for what lives once more.
fn room_for_copy(what: &'static str, live_bytes: u64, options: &SledOptions, place: &Path) -> Result<(), StoreError> {
    let (free_bytes, _) = options.disk.space(place).map_err(io_error("look at the disk of", place))?;
    let needed_bytes = live_bytes.saturating_mul(ROOM_TIMES_LIVE).saturating_add(ROOM_BYTES);
    if free_bytes < needed_bytes { Err(StoreError::NoRoom { what, free_bytes, needed_bytes }) } else { Ok(()) }
}

/// Commits writes in batches of a size the engine bears well. Not atomic.
pub(crate) fn put_all(to: &dyn Engine, writes: impl IntoIterator<Item = Op>) -> Result<(), StoreError> {
    let (mut batch, mut bytes) = (WriteBatch::default(), 0);
    for write in writes {
        bytes += write.key().len() + write.value_bytes();
        batch.ops.push(write);
        if bytes >= BATCH_BYTES {
            to.commit(std::mem::take(&mut batch), Durability::Written)?;
            bytes = 0;
        }
    }
    to.commit(batch, Durability::Written)
}

fn digest_row(hasher: &mut blake3::Hasher, (key, value): &(bytes::Bytes, bytes::Bytes)) {
    for part in [key, value] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
}

fn each_page(
    engine: &SledEngine,
    mut visit: impl FnMut(Vec<(bytes::Bytes, bytes::Bytes)>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut next = Vec::new();
    loop {
        let rows = engine.scan(&next, None, PAGE_ROWS)?;
        let Some((key, _)) = rows.last() else { return Ok(()) };
        next = key.to_vec();
        next.push(0);
        visit(rows)?;
    }
}

fn files_bytes(path: &Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let entry = entry.map_err(io_error("list", path))?;
        let about = entry.metadata().map_err(io_error("look at", &entry.path()))?;
        bytes += if about.is_file() { about.len() } else { 0 };
    }
    Ok(bytes)
}
