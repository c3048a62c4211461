//! The log: lines on standard error, for people or machines.

use tracing_subscriber::EnvFilter;

use super::CommandError;
use crate::config::{LogConfig, LogFormat};

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// Directives that are none.
pub fn start(config: &LogConfig) -> Result<(), CommandError> {
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| CommandError::Usage(format!("log.level: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
