//! The log: lines on standard error, for people or machines; traces besides, where the program is built for them.

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::CommandError;
use crate::config::{LogConfig, LogFormat};

/// The log of this process, until it is dropped.
#[must_use]
pub struct Log {
    #[cfg(feature = "otlp")]
    _exporting: Option<crate::otlp::Exporting>,
}

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// Directives that are none; traces that can't be sent.
pub fn start(config: &LogConfig) -> Result<Log, CommandError> {
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| CommandError::Usage(format!("log.level: {error}")))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    start_with(filter, lines)
}

type Lines = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;

#[cfg(not(feature = "otlp"))]
fn start_with(filter: EnvFilter, lines: Lines) -> Result<Log, CommandError> {
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    Ok(Log {})
}

#[cfg(feature = "otlp")]
fn start_with(filter: EnvFilter, lines: Lines) -> Result<Log, CommandError> {
    let traces = crate::otlp::layer().map_err(|error| CommandError::Usage(format!("traces: {error}")))?;
    let (traces, exporting) = traces.unzip();
    // Each has a filter of its own: traces are finer than lines.
    let lines = lines.with_filter(filter);
    let _ = tracing_subscriber::registry().with(lines).with(traces).try_init();
    Ok(Log { _exporting: exporting })
}
