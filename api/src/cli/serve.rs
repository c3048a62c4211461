//! `impresario serve`: the server, on loopback unless told otherwise.

use std::{fmt, net::SocketAddr, path::Path};

use clap::Args;
use impresario_runtime::{
    Clock, WallClock,
    store::{Compacted, StoreError, compact_with},
};
use serde::Serialize;

use super::{CommandError, Common, log, output::Output, storage};
use crate::{
    config::{CompactAtStart, Config, LogFormat},
    directory::DataDirectory,
    keys::{KeyRing, Role},
    server,
};

/// The name of the source and key of the first start.
pub(super) const FIRST: &str = "default";

/// The arguments of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Listens on this port instead; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// wall; data for a clock that only moves with the data; or the instant such a clock starts at
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<String>,
    /// How log lines look, on standard error
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The ingest door only parses and answers; nothing is kept. A yardstick of `bench`.
    #[arg(long, hide = true)]
    pub parse_only: bool,
}

/// What is said once the server can be reached.
#[derive(Debug, Serialize)]
struct Started {
    /// Where.
    address: String,
    /// The data directory.
    data: String,
    /// The keys, at the first start alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<FirstKeys>,
}

#[derive(Debug, Serialize)]
struct FirstKeys {
    write_key: String,
    admin_key: String,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Impresario serves {} on {}", self.data, self.address)?;
        match &self.keys {
            Some(keys) => {
                writeln!(f, "  write key  {}", keys.write_key)?;
                writeln!(f, "  admin key  {}", keys.admin_key)?;
                write!(f, "Keep them: they are shown this once, and only their hashes are stored.")
            }
            None => write!(
                f,
                "Keys were shown at the first start. To rotate one: POST and DELETE /api/keys with the admin key, \
                 or, with the server stopped, `impresario keys replace admin`."
            ),
        }
    }
}

/// Runs `serve` until it is told to stop.
///
/// # Errors
/// The settings are wrong, the directory can't be opened, or the server can't start.
pub fn run(common: &Common, args: &ServeArgs, output: &Output) -> Result<(), CommandError> {
    let config = settings(common, args)?;
    let _log = log::start(&config.log)?;
    raise_descriptor_limit();
    let data = config.data.clone();
    let directory = opened(&config)?;
    let clock = server::clock_of(&config.clock, &directory).map_err(CommandError::Usage)?;
    let (ring, keys) = first_keys(&directory, clock.now_ms())?;
    let output = *output;
    server::run(directory, clock, config, ring, common.casting, move |address| {
        output.answer(&Started { address: format!("http://{address}"), data, keys });
    })?;
    Ok(())
}

/// The directory, compacted first where it has outgrown its data.
fn opened(config: &Config) -> Result<DataDirectory, CommandError> {
    let (path, storage) = (Path::new(&config.data), storage(config));
    let directory = DataDirectory::open(path, &storage, super::journal_limits(config))?;
    let usage = directory.journal.usage()?;
    if config.storage.compact_at_start == CompactAtStart::Never || !usage.wants_compaction() {
        return Ok(directory);
    }
    directory.journal.close()?;
    drop(directory);
    match compact_with(path, &storage) {
        Ok(Compacted { before_bytes, after_bytes }) => {
            tracing::info!(before_bytes, after_bytes, "the store's file had outgrown its data and was compacted");
        }
        Err(error @ StoreError::NoRoom { .. }) => {
            tracing::warn!(%error, "the store's file has outgrown its data and was not compacted");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(DataDirectory::open(path, &storage, super::journal_limits(config))?)
}

fn settings(common: &Common, args: &ServeArgs) -> Result<Config, CommandError> {
    let mut config = common.config()?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(port) = args.port {
        config.server.listen.set_port(port);
    }
    if let Some(clock) = &args.clock {
        config.clock.clone_from(clock);
    }
    if let Some(format) = args.log_format {
        config.log.format = format;
    }
    config.server.parse_only = args.parse_only;
    Ok(config)
}

/// The directory's keys; a fresh directory gets its first two.
fn first_keys(directory: &DataDirectory, now_ms: i64) -> Result<(KeyRing, Option<FirstKeys>), CommandError> {
    let journal = &directory.journal;
    let mut ring = KeyRing::load(journal)?;
    if !ring.is_empty() {
        return Ok((ring, None));
    }
    let wall_ms = WallClock.now_ms();
    let made = |error: crate::keys::KeyError| CommandError::No(error.to_string());
    let (write_key, write) = ring.issue(Role::Ingest, FIRST, wall_ms).map_err(made)?;
    let (admin_key, admin) = ring.issue(Role::Admin, FIRST, wall_ms).map_err(made)?;
    let commit = ring.commit(journal, &[&write, &admin], &[])?;
    journal.commit_one(now_ms, commit)?;
    let keys = FirstKeys { write_key: write_key.reveal().to_owned(), admin_key: admin_key.reveal().to_owned() };
    Ok((ring, Some(keys)))
}

/// As many descriptors as the system lets this process have: one a connection.
pub(super) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}
