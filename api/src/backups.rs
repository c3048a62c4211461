//! Backups of a running server: into one configured directory, one at a time, named by their instant.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use impresario_runtime::{
    Clock, WallClock,
    store::{
        BackupProgress, BackupSummary, Disk, Journal, StoreError, SystemDisk, Usage, backup_summary, free_needed_bytes,
    },
};
use parking_lot::Mutex;

/// How the file of a backup begins and ends.
const PREFIX: &str = "impresario-";
const SUFFIX: &str = ".backup";

/// Backups under way and what came of the last one.
#[derive(Default)]
pub(crate) struct Backups {
    running: Mutex<Option<Running>>,
    outcomes: Arc<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    taken: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<(String, String)>>,
}

struct Running {
    name: String,
    progress: Arc<BackupProgress>,
    thread: JoinHandle<()>,
}

/// How a backup stands.
pub(crate) enum Standing {
    /// It is being written.
    Running {
        /// Bytes of rows written so far.
        row_bytes: u64,
    },
    /// It is whole.
    Whole {
        /// What it says of itself.
        summary: BackupSummary,
        /// Bytes of its file.
        file_bytes: u64,
    },
    /// It could not be taken, or its file is no backup.
    Failed {
        /// Why.
        why: String,
    },
}

/// Why no backup begins.
pub(crate) enum NotBegun {
    /// One is under way.
    Running(String),
    /// The disk has no room.
    NoRoom(StoreError),
    /// The system's error.
    Failed(StoreError),
}

impl Backups {
    /// Begins one on a thread of its own; its name.
    pub(crate) fn begin(&self, journal: &Arc<Journal>, place: &Path, free_percent: u8) -> Result<String, NotBegun> {
        let mut running = self.running.lock();
        if let Some(running) = running.as_ref().filter(|running| !running.thread.is_finished()) {
            return Err(NotBegun::Running(running.name.clone()));
        }
        let usage = journal.usage().map_err(NotBegun::Failed)?;
        ready_place(place, &usage, free_percent)?;
        let (name, progress) = (name_at(WallClock.now_ms(), journal.head()), Arc::<BackupProgress>::default());
        let (journal, to) = (Arc::clone(journal), place.join(&name));
        let (taking, outcomes) = (Arc::clone(&progress), Arc::clone(&self.outcomes));
        let taken_name = name.clone();
        let thread = std::thread::Builder::new().name("backup".into()).spawn(move || {
            outcomes.note(&taken_name, &journal.back_up(&to, &taking));
        });
        let thread = thread.map_err(|error| {
            NotBegun::Failed(StoreError::Io { what: "start a thread for the backup".into(), error })
        })?;
        *running = Some(Running { name: name.clone(), progress, thread });
        Ok(name)
    }

    /// The one under way.
    pub(crate) fn running(&self) -> Option<(String, Standing)> {
        let running = self.running.lock();
        let running = running.as_ref().filter(|running| !running.thread.is_finished())?;
        Some((running.name.clone(), Standing::Running { row_bytes: running.progress.bytes() }))
    }

    /// The last one that failed since the start.
    pub(crate) fn last_failure(&self) -> Option<(String, Standing)> {
        let failure = self.outcomes.last_failure.lock().clone();
        failure.map(|(name, why)| (name, Standing::Failed { why }))
    }

    /// How many were taken and how many failed since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.outcomes.taken.load(Ordering::Relaxed), self.outcomes.failed.load(Ordering::Relaxed))
    }

    /// Ends the one under way, unfinished.
    pub(crate) fn end(&self) {
        let Some(running) = self.running.lock().take() else { return };
        running.progress.cancel();
        // It looks whether it is wanted between two pages.
        let _ = running.thread.join();
    }
}

impl Outcomes {
    fn note(&self, name: &str, outcome: &Result<BackupSummary, StoreError>) {
        match outcome {
            Ok(summary) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                tracing::info!(name, head = summary.head, row_bytes = summary.row_bytes, "a backup was taken");
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                *self.last_failure.lock() = Some((name.to_owned(), error.to_string()));
                tracing::error!(name, %error, "a backup failed");
            }
        }
    }
}

/// The file name of a backup of this instant and entry.
pub(crate) fn name_at(now_ms: i64, head: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    format!("{PREFIX}{}-{head}{SUFFIX}", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// Makes the directory of backups, and looks whether its disk has room for one more.
pub(crate) fn ready_place(place: &Path, usage: &Usage, free_percent: u8) -> Result<(), NotBegun> {
    let failed =
        |what: &str, error| NotBegun::Failed(StoreError::Io { what: format!("{what} {}", place.display()), error });
    fs::create_dir_all(place).map_err(|error| failed("make the directory", error))?;
    let (free_bytes, disk_bytes) = SystemDisk.space(place).map_err(|error| failed("look at the disk of", error))?;
    // Compressed it is smaller than what lives; what is written meanwhile comes to it.
    let needed_bytes = usage.live_bytes.saturating_add(free_needed_bytes(disk_bytes, free_percent));
    if free_bytes < needed_bytes {
        return Err(NotBegun::NoRoom(StoreError::NoRoom { what: "a backup", free_bytes, needed_bytes }));
    }
    Ok(())
}

/// The names of the backups in `place` after the one named `after`, at most `limit`, oldest first.
pub(crate) fn names(place: &Path, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::Io { what: format!("list {}", place.display()), error };
    let mut found = std::collections::BTreeSet::new();
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_name(name) && *name > after) {
            found.insert(name.to_owned());
            if found.len() > limit {
                found.pop_last();
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// How the backup `name` in `place` stands; `None` where there is none.
pub(crate) fn standing(place: &Path, name: &str) -> Option<Standing> {
    let path: PathBuf = place.join(Some(name).filter(|name| is_name(name))?);
    let file_bytes = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
    Some(match backup_summary(&path) {
        Ok(summary) => Standing::Whole { summary, file_bytes },
        Err(error) => Standing::Failed { why: error.to_string() },
    })
}

/// Whether this may be the name of a backup: never a path.
fn is_name(name: &str) -> bool {
    let inner = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    inner
        .is_some_and(|inner| inner.len() < 64 && inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        assert!(is_name(&name_at(1_777_881_600_000, 77)));
        assert_eq!(name_at(1_777_881_600_000, 77), "impresario-20260504T080000Z-77.backup");
        for odd in ["", "a.backup", "impresario-.partial", "impresario-../../x.backup", "impresario-a/b.backup"] {
            assert!(!is_name(odd), "{odd}");
        }
    }
}
