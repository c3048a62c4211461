//! Taking a backup, while the journal is written or not.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    BackupProgress, BackupSummary,
    file::{BackupReader, BackupWriter, io_error},
};
use crate::{
    StoreError,
    engine::sync_directory,
    journal::{entry::Seq, keys, shared::Journal},
};

/// Rows read at once.
const PAGE_ROWS: usize = 64;
/// While others write, a backup rests so many times as long as it works: its share of one core is a
/// twentieth.
const REST_TIMES: u32 = 19;
/// The longest rest: what is heard meanwhile lies in memory.
const REST_MAX: Duration = Duration::from_millis(200);
/// How often a backup begins anew where entries are erased meanwhile.
const ATTEMPTS_MAX: usize = 3;

impl Journal {
    /// Writes a backup into the file `to`, which must not be there yet. Others may write meanwhile; all
    /// commits up to one point are in it, whole, and none after. On return it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where there is such a file, another backup is under way, or this one was
    /// cancelled or given up because its disk is too slow or entries were erased again and again; damage; or
    /// the system's. Nothing is left of it then, but for a crash, which leaves a file named `.partial`.
    pub fn back_up(&self, to: &Path, progress: &BackupProgress) -> Result<BackupSummary, StoreError> {
        if to.exists() {
            return Err(StoreError::Invalid(format!("there is a file {} already", to.display())));
        }
        let partial = partial_name(to);
        let mut attempts = 0;
        let summary = loop {
            attempts += 1;
            match self.attempt(&partial, progress) {
                Ok(Attempt::Whole(summary)) => break summary,
                Ok(Attempt::Lost(why)) if attempts == ATTEMPTS_MAX => {
                    return Err(StoreError::Invalid(format!("the backup was given up {attempts} times: {why}")));
                }
                Ok(Attempt::Lost(why)) => tracing::warn!(why, "a backup begins anew"),
                Err(error) => return Err(error),
            }
        };
        fs::rename(&partial, to).map_err(io_error("rename", &partial))?;
        sync_directory(to.parent().unwrap_or(Path::new("")))?;
        Ok(summary)
    }

    fn attempt(&self, partial: &Path, progress: &BackupProgress) -> Result<Attempt, StoreError> {
        let Some(start) = self.at_rest(|core| self.tap.listen().then(|| core.head()))? else {
            return Err(StoreError::Invalid("another backup is under way".into()));
        };
        let listening = Listening(self);
        let outcome = BackupWriter::create(partial).and_then(|writer| self.write_all(start, writer, progress));
        drop(listening);
        if !matches!(outcome, Ok(Attempt::Whole(_))) {
            let _ = fs::remove_file(partial);
        }
        outcome
    }

    /// Writes rows and heard writes until there is a point at which both are complete.
    fn write_all(
        &self,
        start: Seq,
        mut writer: BackupWriter,
        progress: &BackupProgress,
    ) -> Result<Attempt, StoreError> {
        // Blocks after this one are heard.
        let blocks_end = keys::block(start + 1);
        let blocks_after = keys::space(keys::BLOCK).1.to_vec();
        let (mut next, mut seen) = (Vec::new(), start);
        loop {
            if progress.is_cancelled() {
                return Err(StoreError::Invalid("the backup was cancelled".into()));
            }
            let worked = clock();
            if let Some(why) = self.write_heard(&mut writer)? {
                return Ok(Attempt::Lost(why));
            }
            let to = (next < blocks_end).then_some(blocks_end.as_slice());
            let rows = self.engine.scan(&next, to, PAGE_ROWS)?;
            writer.rows(&rows)?;
            progress.set(writer.row_bytes);
            match rows.last() {
                Some((key, _)) if rows.len() == PAGE_ROWS => {
                    next = key.to_vec();
                    next.push(0);
                }
                _ if to.is_some() => next.clone_from(&blocks_after),
                _ => break,
            }
            let head = self.head();
            if head != seen {
                seen = head;
                thread::sleep((worked.elapsed() * REST_TIMES).min(REST_MAX));
            }
        }
        if let Some(why) = self.write_heard(&mut writer)? {
            return Ok(Attempt::Lost(why));
        }
        let (last, head, at_ms, chain) = self.at_rest(|core| {
            let last = self.tap.heard();
            self.tap.end();
            (last, core.head(), core.last_at(), core.chain_hash())
        })?;
        if let Some(why) = last.lost {
            return Ok(Attempt::Lost(why));
        }
        writer.writes(&last.ops)?;
        let summary = BackupSummary {
            head,
            at_ms: (at_ms != i64::MIN).then_some(at_ms),
            head_hash: chain.iter().map(|byte| format!("{byte:02x}")).collect(),
            rows: writer.rows,
            row_bytes: writer.row_bytes,
        };
        writer.end(&summary)?;
        progress.set(summary.row_bytes);
        Ok(Attempt::Whole(summary))
    }

    /// Writes down what was heard; why nothing more is heard, if so.
    fn write_heard(&self, writer: &mut BackupWriter) -> Result<Option<&'static str>, StoreError> {
        let heard = self.tap.heard();
        if heard.lost.is_some() {
            return Ok(heard.lost);
        }
        writer.writes(&heard.ops)?;
        Ok(None)
    }
}

/// What a backup says of itself; whether all of it is whole shows when it is restored.
///
/// # Errors
/// It is no backup, was never whole, or is of a format this program does not know.
pub fn backup_summary(backup: &Path) -> Result<BackupSummary, StoreError> {
    BackupReader::peek(backup)
}

enum Attempt {
    Whole(BackupSummary),
    Lost(&'static str),
}

/// Ends the listening, however the backup ends.
struct Listening<'a>(&'a Journal);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.tap.end();
    }
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = OsString::from(to);
    name.push(".partial");
    name.into()
}

#[expect(clippy::disallowed_methods, reason = "how long a page took, to rest accordingly; no entry depends on it")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
