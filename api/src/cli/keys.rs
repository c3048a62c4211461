//! `impresario keys`: for whoever is locked out. The server must be stopped.

use std::fmt;

use clap::{Args, Subcommand};
use impresario_runtime::{Clock, WallClock};
use serde::Serialize;

use super::{CommandError, Common, output::Output};
use crate::{
    directory::DataDirectory,
    keys::{KeyError, KeyRecord, KeyRing, Role},
};

/// The arguments of `keys`.
#[derive(Args, Debug)]
pub struct KeysArgs {
    /// What to do with them
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub enum Action {
    /// Lists all keys, without what is secret of them
    List,
    /// Makes a key
    Create {
        /// What it may do
        role: Role,
        /// Its name; of an ingest key, the source of its events
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Makes a key and revokes all others of its role and name
    Replace {
        /// What it may do
        role: Role,
        /// Its name; of an ingest key, the source of its events
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Revokes a key
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Serialize)]
struct KeyList {
    keys: Vec<KeyRow>,
}

#[derive(Serialize)]
struct KeyRow {
    id: String,
    role: Role,
    name: String,
    prefix: String,
    created_at_ms: i64,
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, key) in self.keys.iter().enumerate() {
            let end = if place + 1 == self.keys.len() { "" } else { "\n" };
            write!(f, "{}  {:<8}  {:<20}  {}..{end}", key.id, key.role.name(), key.name, key.prefix)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct MadeKey {
    id: String,
    role: Role,
    name: String,
    key: String,
    revoked: Vec<String>,
}

impl fmt::Display for MadeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} key {} ({}): {}", self.role.name(), self.id, self.name, self.key)?;
        write!(f, "Keep it: it is shown this once. Revoked: {}.", self.revoked.len())
    }
}

#[derive(Serialize)]
struct RevokedKey {
    revoked: String,
}

impl fmt::Display for RevokedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is revoked.", self.revoked)
    }
}

/// Runs `keys`.
///
/// # Errors
/// The directory is in use or can't be opened, or the keys don't allow it.
pub fn run(common: &Common, args: &KeysArgs, output: &Output) -> Result<(), CommandError> {
    let config = common.config()?;
    let directory =
        DataDirectory::open(config.data.as_ref(), &super::storage(&config), super::journal_limits(&config))?;
    let journal = &directory.journal;
    let mut ring = KeyRing::load(journal)?;
    let now_ms = WallClock.now_ms();
    match &args.action {
        Action::List => output.answer(&KeyList { keys: ring.records().iter().map(row).collect() }),
        Action::Create { role, name } => {
            let (secret, record) = ring.issue(*role, name, now_ms)?;
            keep(&directory, &ring, &[&record], &[])?;
            output.answer(&made(secret.reveal(), &record, &[]));
        }
        Action::Replace { role, name } => {
            let (secret, record, gone) = ring.replace(*role, name, now_ms)?;
            keep(&directory, &ring, &[&record], &gone.iter().collect::<Vec<_>>())?;
            output.answer(&made(secret.reveal(), &record, &gone));
        }
        Action::Revoke { id } => {
            let gone = ring.revoke(id)?;
            keep(&directory, &ring, &[], &[&gone])?;
            output.answer(&RevokedKey { revoked: gone.id });
        }
    }
    journal.close()?;
    Ok(())
}

/// At the directory's last instant: a clock that moves with the data is not to be moved by this.
fn keep(
    directory: &DataDirectory,
    ring: &KeyRing,
    issued: &[&KeyRecord],
    revoked: &[&KeyRecord],
) -> Result<(), CommandError> {
    let journal = &directory.journal;
    let commit = ring.commit(journal, issued, revoked)?;
    journal.commit_one(journal.last_at().unwrap_or_else(|| WallClock.now_ms()), commit)?;
    Ok(())
}

fn row(record: &KeyRecord) -> KeyRow {
    KeyRow {
        id: record.id.clone(),
        role: record.role,
        name: record.name.to_string(),
        prefix: record.prefix.clone(),
        created_at_ms: record.created_at_ms,
    }
}

fn made(secret: &str, record: &KeyRecord, gone: &[KeyRecord]) -> MadeKey {
    MadeKey {
        id: record.id.clone(),
        role: record.role,
        name: record.name.to_string(),
        key: secret.to_owned(),
        revoked: gone.iter().map(|record| record.id.clone()).collect(),
    }
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Name => Self::Usage(error.to_string()),
            _ => Self::No(error.to_string()),
        }
    }
}
