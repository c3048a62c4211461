//! `impresario backup`: writes a backup, by itself or through the server that holds the directory.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use clap::Args;
use impresario_runtime::{
    Clock, RuntimeError, WallClock,
    store::{BackupProgress, BackupSummary, StoreError},
};
use serde::Serialize;
use serde_json::Value;

use super::{CommandError, Common, existing, existing_path, output::Output, progress};
use crate::{
    backups::{NotBegun, name_at, ready_place},
    directory::DataDirectory,
    http::{Client, ClientError},
};

/// How often a running server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The arguments of `backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The directory the backup goes to; while a server runs, the one of its setting storage.backups
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Where the running server listens [default: the setting server.listen]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub server: Option<SocketAddr>,
    /// An admin key, for a running server
    #[arg(env = "IMPRESARIO_ADMIN_KEY", hide_env_values = true, hide = true)]
    pub key: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    backup: PathBuf,
    head: u64,
    head_hash: String,
    row_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} entries and all that belongs to them", self.backup.display(), self.head)?;
        write!(f, "  the chain's hash there is {}", self.head_hash)
    }
}

/// Runs `backup`.
///
/// # Errors
/// There is no such directory, no room, no key for the server that holds it; or the backup failed.
pub fn run(common: &Common, args: &BackupArgs, output: &Output) -> Result<(), CommandError> {
    let report = match existing(common) {
        Ok(directory) => of_directory(common, &directory, &args.to)?,
        Err(CommandError::Runtime(RuntimeError::Store(error @ StoreError::Locked { .. }))) => {
            through_server(common, args, &error)?
        }
        Err(error) => return Err(error),
    };
    output.answer(&report);
    Ok(())
}

fn of_directory(common: &Common, directory: &DataDirectory, to: &Path) -> Result<Report, CommandError> {
    let journal = &directory.journal;
    let usage = journal.usage()?;
    ready_place(to, &usage, common.config()?.storage.free_min_percent).map_err(|error| match error {
        NotBegun::Running(name) => CommandError::No(format!("the backup {name} is under way")),
        NotBegun::NoRoom(error) | NotBegun::Failed(error) => error.into(),
    })?;
    let backup = to.join(name_at(WallClock.now_ms(), journal.head()));
    let far = BackupProgress::default();
    let taken = progress::shown(usage.live_bytes, &far.counter(), "backing up", || journal.back_up(&backup, &far));
    let BackupSummary { head, head_hash, row_bytes, .. } = taken?;
    journal.close()?;
    Ok(Report { backup, head, head_hash, row_bytes })
}

/// Asks the server that holds the directory.
fn through_server(common: &Common, args: &BackupArgs, locked: &StoreError) -> Result<Report, CommandError> {
    let (config, _) = existing_path(common)?;
    let Some(key) = &args.key else {
        let what = format!("{locked}; or give an admin key of the server in IMPRESARIO_ADMIN_KEY");
        return Err(CommandError::No(what));
    };
    let mut client = Client::connect(args.server.unwrap_or(config.server.listen), key)?;
    let list = client.json("GET", "/api/backups?limit=1", b"")?;
    let place = list["directory"].as_str().unwrap_or_default();
    if place.is_empty() {
        let what = "the server has no directory for backups: set its storage.backups and start it again";
        return Err(CommandError::No(what.into()));
    }
    if !is_same_place(&args.to, Path::new(place)) {
        let what = format!("the server writes backups to {place} alone (storage.backups): name that with --to");
        return Err(CommandError::Usage(what));
    }
    let begun = client.json("POST", "/api/backups", b"")?;
    let name = begun["name"].as_str().unwrap_or_default().to_owned();
    let far = BackupProgress::default();
    let counter = far.counter();
    let done = progress::shown(config.storage.cache_mib << 20, &counter, "backing up", || {
        loop {
            let found = client.json("GET", &format!("/api/backups/{name}"), b"")?;
            if found["state"] != "running" {
                return Ok::<Value, ClientError>(found);
            }
            counter.store(found["row_bytes"].as_u64().unwrap_or_default(), Ordering::Relaxed);
            std::thread::sleep(ASK_EVERY);
        }
    })?;
    if done["state"] != "whole" {
        return Err(CommandError::No(format!("the backup failed: {}", done["why"].as_str().unwrap_or("no reason"))));
    }
    Ok(Report {
        backup: Path::new(place).join(name),
        head: done["head"].as_u64().unwrap_or_default(),
        head_hash: done["head_hash"].as_str().unwrap_or_default().to_owned(),
        row_bytes: done["row_bytes"].as_u64().unwrap_or_default(),
    })
}

/// Whether both name one directory; one that is not there yet is compared by its name.
fn is_same_place(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        Self::No(error.to_string())
    }
}
