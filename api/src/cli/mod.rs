//! The command line: one file a command, all with `Args` and `run`.
//!
//! Exit codes: 0 done, 1 the answer is "no" or the work failed, 2 the call was wrong.

pub mod backup;
pub mod bench;
mod bench_door;
pub mod compact;
pub mod config;
pub mod erase;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod keys;
pub mod log;
pub mod output;
mod progress;
pub mod replay;
pub mod restore;
pub mod serve;
pub mod verify;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use impresario_agents::Casting;
use impresario_runtime::{
    RuntimeError,
    store::{JournalLimits, SledOptions, StoreError},
};

use crate::{
    config::{Config, ConfigError},
    directory::DataDirectory,
    server::ServerError,
};
use output::Output;

/// A self-hosted engine for autonomous marketing. With no command it serves.
#[derive(Parser, Debug)]
#[command(name = "impresario", version, about)]
pub struct Cli {
    /// What all commands have in common.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What all commands have in common.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The data directory [default: impresario-data]
    #[arg(long, global = true, value_name = "DIR", env = "IMPRESARIO_DATA")]
    pub data: Option<PathBuf>,
    /// A configuration file (TOML); every key of it is also a variable, IMPRESARIO_SERVER_LISTEN and so on
    #[arg(long, global = true, value_name = "FILE", env = "IMPRESARIO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Prints for machines
    #[arg(long, global = true)]
    pub json: bool,
    /// Who plays
    #[arg(skip = impresario_agents::troupe as Casting)]
    pub casting: Casting,
}

impl Common {
    /// The settings: the file, the variables, and `--data` over both.
    ///
    /// # Errors
    /// A file or variable that is not as it should be, by name.
    pub fn config(&self) -> Result<Config, CommandError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data) = &self.data {
            config.data = data.display().to_string();
        }
        Ok(config)
    }

    /// The data directory.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn data(&self) -> Result<PathBuf, CommandError> {
        Ok(self.config()?.data.into())
    }
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serves: takes in events, answers questions (what is done where no command is named)
    Serve(serve::ServeArgs),
    /// Lists, makes and revokes keys, with the server stopped
    Keys(keys::KeysArgs),
    /// Takes in events of a file
    Import(Box<import::ImportArgs>),
    /// Writes out what is in a data directory
    Export(export::ExportArgs),
    /// Writes a backup of a data directory, while a server runs on it or not
    Backup(backup::BackupArgs),
    /// Makes a data directory of a backup
    Restore(restore::RestoreArgs),
    /// Makes the files of a data directory small again, with the server stopped
    Compact(compact::CompactArgs),
    /// Forgets one person and erases everything of them, with the server stopped
    Erase(erase::EraseArgs),
    /// Checks every block and the hash chain of a data directory
    Verify(verify::VerifyArgs),
    /// Plays scenarios and checks what they expect
    Replay(replay::ReplayArgs),
    /// Prints the configuration file with every key at its default, and what it may be
    Config(config::ConfigArgs),
    /// Measures what learns: regret, long-run value, replay of logs
    Evaluate(evaluate::EvaluateArgs),
    /// Measures the real program
    Bench(bench::BenchArgs),
}

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The answer is "no".
    #[error("{0}")]
    No(String),
    /// The call was wrong.
    #[error("{0}")]
    Usage(String),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime's error.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server's error.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The system's error.
    #[error("could not {what}: {error}")]
    Io {
        /// What was tried, on which file.
        what: String,
        /// The system's error.
        error: std::io::Error,
    },
}

impl CommandError {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::No(_) | Self::Store(_) | Self::Runtime(_) | Self::Server(_) | Self::Io { .. } => 1,
        }
    }
}

/// The settings and the data directory of a command that must not make one.
fn existing_path(common: &Common) -> Result<(Config, PathBuf), CommandError> {
    let config = common.config()?;
    let path = PathBuf::from(&config.data);
    if !path.is_dir() {
        return Err(CommandError::Usage(format!("there is no data directory {}; name one with --data", config.data)));
    }
    Ok((config, path))
}

/// Opens the data directory of a command that must not make one.
fn existing(common: &Common) -> Result<DataDirectory, CommandError> {
    let (config, path) = existing_path(common)?;
    Ok(DataDirectory::open(&path, &storage(&config), journal_limits(&config))?)
}

/// How the store is opened under these settings.
fn storage(config: &Config) -> SledOptions {
    SledOptions {
        cache_bytes: config.storage.cache_mib << 20,
        free_min_percent: config.storage.free_min_percent,
        ..SledOptions::default()
    }
}

/// The journal's limits under these settings.
fn journal_limits(config: &Config) -> JournalLimits {
    JournalLimits {
        dedup_horizon: Duration::from_secs(config.storage.message_ids_days as u64 * 86_400),
        dedup_ids_max: config.storage.message_ids_max,
        ..JournalLimits::default()
    }
}

/// The whole program, from its arguments to its exit code, with this troupe in every command.
pub fn main(casting: Casting) -> ExitCode {
    let mut cli = Cli::parse();
    cli.common.casting = casting;
    let output = Output::new(cli.common.json);
    match run(&cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough, as `head` has.
        Err(CommandError::Io { error, .. }) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli, output: &Output) -> Result<(), CommandError> {
    let common = &cli.common;
    match &cli.command {
        None => serve::run(common, &serve::ServeArgs::default(), output),
        Some(Command::Serve(args)) => serve::run(common, args, output),
        Some(Command::Keys(args)) => keys::run(common, args, output),
        Some(Command::Import(args)) => import::run(common, args, output),
        Some(Command::Export(args)) => export::run(common, args, output),
        Some(Command::Backup(args)) => backup::run(common, args, output),
        Some(Command::Restore(args)) => restore::run(common, args, output),
        Some(Command::Compact(args)) => compact::run(common, args, output),
        Some(Command::Erase(args)) => erase::run(common, args, output),
        Some(Command::Verify(args)) => verify::run(common, args, output),
        Some(Command::Replay(args)) => replay::run(common, args, output),
        Some(Command::Config(args)) => config::run(common, args, output),
        Some(Command::Evaluate(args)) => evaluate::run(common, args, output),
        Some(Command::Bench(args)) => bench::run(common, args, output),
    }
}
