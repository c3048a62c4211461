//! Making the files small again.

use std::{fs, path::Path};

use super::{
    Durability, Engine, Op, SledEngine, SledOptions, WriteBatch,
    directory::{Directory, ENGINE, FRESH, OLD, io_error, sync_directory},
    sled_engine::sync_names,
};
use crate::StoreError;

const ROWS: usize = 512;

/// Bytes of the files before a compaction and after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Before.
    pub before_bytes: u64,
    /// After.
    pub after_bytes: u64,
}

/// Writes what lives in a data directory into fresh files, which take the place of the old ones.
///
/// sled's files never shrink by themselves. The directory must not be in use, and the disk must have
/// room for what lives once more. A crash at any point leaves the old files or the new ones, whole.
///
/// # Errors
/// [`StoreError::Locked`] while a process uses it, the system's, or damage in what is read.
pub fn compact(path: &Path) -> Result<Compacted, StoreError> {
    let held = Directory::take(path)?;
    let engine = path.join(ENGINE);
    if !engine.exists() {
        return Ok(Compacted::default());
    }
    let (fresh, old) = (path.join(FRESH), path.join(OLD));
    let before_bytes = copy_living(&engine, &fresh)?;
    let after_bytes = files_bytes(&fresh)?;
    // From here on the new files are whole on disk; only names change.
    sync_names(&fresh)?;
    fs::rename(&engine, &old).map_err(io_error("rename", &engine))?;
    fs::rename(&fresh, &engine).map_err(io_error("rename", &fresh))?;
    sync_directory(path)?;
    fs::remove_dir_all(&old).map_err(io_error("remove", &old))?;
    drop(held);
    Ok(Compacted { before_bytes, after_bytes })
}

/// Copies every pair, and counts both sides afterwards; the bytes of the files copied from.
fn copy_living(engine: &Path, fresh: &Path) -> Result<u64, StoreError> {
    let options = SledOptions::default();
    let from = SledEngine::open_files(engine, None, &options)?;
    let to = SledEngine::open_files(fresh, None, &options)?;
    each_page(&from, |rows| {
        let ops = rows.into_iter().map(|(key, value)| Op::PutNew(key.to_vec(), value)).collect();
        to.commit(WriteBatch { expect: Vec::new(), ops }, Durability::Written)
    })?;
    to.close()?;
    let count = |engine: &SledEngine| {
        let mut pairs = 0;
        each_page(engine, |rows| {
            pairs += rows.len();
            Ok(())
        })
        .map(|()| pairs)
    };
    if count(&from)? != count(&to)? {
        let what = "the copy does not hold as many values as the data".into();
        return Err(StoreError::Damaged { place: fresh.display().to_string(), what });
    }
    files_bytes(engine)
}

fn each_page(
    engine: &SledEngine,
    mut visit: impl FnMut(Vec<(bytes::Bytes, bytes::Bytes)>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut next = Vec::new();
    loop {
        let rows = engine.scan(&next, None, ROWS)?;
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
