//! The configuration: defaults, then one TOML file, then `IMPRESARIO_*`, then flags.
//!
//! Every key of the file is also a variable: `server.listen` is `IMPRESARIO_SERVER_LISTEN`. A key
//! or variable nobody knows is refused by name: a misspelt limit must not be silently no limit.

use std::{net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::directory::DEFAULT_DIRECTORY;

const PREFIX: &str = "IMPRESARIO_";
/// Variables of the prefix that are no key of the file.
const OTHER_VARIABLES: &[&str] = &["IMPRESARIO_CONFIG"];

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: String,
    /// `wall`; `data` for a clock that only moves with the data; or the instant such a clock starts at.
    pub clock: String,
    /// The server.
    pub server: ServerConfig,
    /// What the ingest door takes.
    pub ingest: IngestLimits,
    /// The agents.
    pub agents: AgentsConfig,
    /// The store.
    pub storage: StorageConfig,
    /// The log.
    pub log: LogConfig,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads for HTTP; the agents have their own.
    pub threads: usize,
    /// Connections at once; more are closed unheard.
    pub connections_max: usize,
    /// How long a connection may take for the head of a request, or stay idle.
    pub header_ms_max: u64,
    /// How long the body of a request may take.
    pub body_ms_max: u64,
    /// How long a client may take to read any part of an answer.
    pub write_ms_max: u64,
    /// How long a stop waits for requests and agents before it goes on without them.
    pub drain_ms_max: u64,
    /// Bytes of request bodies held at once; beyond, the door says "busy".
    pub bodies_bytes_max: usize,
    /// Bytes of the body of a control request.
    pub control_body_bytes_max: usize,
    /// The ingest door only parses and answers, and keeps nothing: a yardstick, and no setting.
    #[serde(skip)]
    pub parse_only: bool,
}

/// The limits of the ingest door, all in one place. Beyond them an event or request is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestLimits {
    /// Bytes of one event's JSON.
    pub event_bytes_max: usize,
    /// Bytes of one batch's JSON, before and after gzip.
    pub batch_bytes_max: usize,
    /// Events in one batch.
    pub batch_events_max: usize,
    /// Objects and arrays inside one another.
    pub depth_max: usize,
    /// Keys of one object.
    pub keys_max: usize,
}

/// The agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentsConfig {
    /// Workers of each keyed agent. A data directory keeps the number it was made with.
    pub workers: usize,
    /// Threads for all agents.
    pub threads: usize,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Memory for pages of the data, mebibytes.
    pub cache_mib: u64,
    /// Writing stops when less than this share of the disk is free, percent, and less than 4 GiB.
    pub free_min_percent: u8,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,impresario_store=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DEFAULT_DIRECTORY.into(),
            clock: "wall".into(),
            server: ServerConfig::default(),
            ingest: IngestLimits::default(),
            agents: AgentsConfig::default(),
            storage: StorageConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: 2,
            connections_max: 16_384,
            header_ms_max: 25_000,
            body_ms_max: 20_000,
            write_ms_max: 20_000,
            drain_ms_max: 10_000,
            bodies_bytes_max: 128 << 20,
            control_body_bytes_max: 256 * 1024,
            parse_only: false,
        }
    }
}

impl Default for IngestLimits {
    fn default() -> Self {
        // Segment's own: 32 KB a call, 500 KB and 2,500 events a batch.
        Self {
            event_bytes_max: 32 * 1024,
            batch_bytes_max: 500 * 1024,
            batch_events_max: 2_500,
            depth_max: 32,
            keys_max: 255,
        }
    }
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self { workers: 1, threads: 2 }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { cache_mib: 256, free_min_percent: 15 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("could not read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is not TOML, has a key nobody knows, or a value of the wrong kind.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: String,
        /// What is wrong, with the place.
        what: String,
    },
    /// A variable nobody knows.
    #[error("there is no setting behind the variable {0}")]
    UnknownVariable(String),
    /// A value that can't be.
    #[error("{name}: {what}")]
    Value {
        /// The variable or key.
        name: String,
        /// What is wrong.
        what: String,
    },
}

impl Config {
    /// Reads the file, if one is named, and the variables over it.
    ///
    /// # Errors
    /// A file or variable that is not as it should be, by name.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = Table::new();
        if let Some(path) = file {
            let shown = path.display().to_string();
            let text =
                std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: shown.clone(), error })?;
            let wrong = |error: toml::de::Error| ConfigError::File { path: shown.clone(), what: error.to_string() };
            // Read as a whole first: its errors name line and column of the file.
            toml::from_str::<Self>(&text).map_err(wrong)?;
            table = toml::from_str(&text).map_err(wrong)?;
        }
        let known = Table::try_from(Self::default())
            .map_err(|error| ConfigError::Value { name: "defaults".into(), what: error.to_string() })?;
        for (name, text) in variables {
            if name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()) {
                set_variable(&mut table, &known, &name, &text)?;
            }
        }
        let config: Self = Value::Table(table).try_into().map_err(|error: toml::de::Error| ConfigError::Value {
            name: "settings".into(),
            what: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("server.threads", self.server.threads, 1, 256),
            ("server.connections_max", self.server.connections_max, 1, 1_000_000),
            ("server.bodies_bytes_max", self.server.bodies_bytes_max, 1 << 20, 1 << 40),
            ("server.control_body_bytes_max", self.server.control_body_bytes_max, 1_024, 16 << 20),
            ("ingest.event_bytes_max", self.ingest.event_bytes_max, 256, 512 * 1024),
            ("ingest.batch_bytes_max", self.ingest.batch_bytes_max, 1_024, 16 << 20),
            ("ingest.batch_events_max", self.ingest.batch_events_max, 1, 100_000),
            ("ingest.depth_max", self.ingest.depth_max, 2, 100),
            ("ingest.keys_max", self.ingest.keys_max, 8, 100_000),
            ("agents.workers", self.agents.workers, 1, 64),
            ("agents.threads", self.agents.threads, 1, 256),
        ];
        for (name, value, min, max) in counts {
            if value < min || value > max {
                let what = format!("{value} is not between {min} and {max}");
                return Err(ConfigError::Value { name: name.into(), what });
            }
        }
        if self.storage.free_min_percent > 90 {
            let what = format!("{} is more than 90", self.storage.free_min_percent);
            return Err(ConfigError::Value { name: "storage.free_min_percent".into(), what });
        }
        Ok(())
    }
}

/// Puts a variable's value where its key is, read as what the default is.
fn set_variable(table: &mut Table, known: &Table, name: &str, text: &str) -> Result<(), ConfigError> {
    let key = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    if let Some(default) = known.get(&key).filter(|value| !value.is_table()) {
        table.insert(key, read_as(default, name, text)?);
        return Ok(());
    }
    for (section, keys) in known.iter().filter_map(|(section, value)| Some((section, value.as_table()?))) {
        let inner = key.strip_prefix(section.as_str()).and_then(|rest| rest.strip_prefix('_'));
        let Some((inner, default)) = inner.and_then(|inner| Some((inner, keys.get(inner)?))) else { continue };
        let value = read_as(default, name, text)?;
        let place = table.entry(section.as_str()).or_insert_with(|| Value::Table(Table::new()));
        if let Some(place) = place.as_table_mut() {
            place.insert(inner.to_owned(), value);
        }
        return Ok(());
    }
    Err(ConfigError::UnknownVariable(name.to_owned()))
}

fn read_as(default: &Value, name: &str, text: &str) -> Result<Value, ConfigError> {
    match default {
        Value::Integer(_) => text
            .trim()
            .parse()
            .map(Value::Integer)
            .map_err(|_| ConfigError::Value { name: name.to_owned(), what: format!("`{text}` is not a whole number") }),
        _ => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn with_no_file_it_runs_on_loopback() {
        let config = Config::load(None, []).expect("defaults");
        assert_eq!(config, Config::default());
        assert!(config.server.listen.ip().is_loopback());
    }

    #[test]
    fn every_key_of_the_file_is_a_variable_and_the_variable_counts() {
        let known = Table::try_from(Config::default()).expect("a table");
        let mut names = Vec::new();
        for (section, value) in &known {
            match value.as_table() {
                Some(keys) => names.extend(keys.keys().map(|key| format!("{PREFIX}{section}_{key}").to_uppercase())),
                None => names.push(format!("{PREFIX}{section}").to_uppercase()),
            }
        }
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let mut table = Table::new();
            set_variable(&mut table, &known, &name, "7").unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!table.is_empty());
        }
        let set = variables(&[("IMPRESARIO_SERVER_LISTEN", "127.0.0.1:9"), ("IMPRESARIO_INGEST_DEPTH_MAX", "8")]);
        let config = Config::load(None, set).expect("settings");
        assert_eq!((config.server.listen.port(), config.ingest.depth_max), (9, 8));
    }

    #[test]
    fn what_nobody_knows_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("impresario.toml");
        for (text, named) in [
            ("[server]\nlissten = \"127.0.0.1:1\"\n", "lissten"),
            ("colour = 1\n", "colour"),
            ("[ingest]\ndepth_max = \"deep\"\n", "depth_max"),
            ("[ingest]\ndepth_max = 1000\n", "ingest.depth_max"),
            ("[server\n", "line 1"),
        ] {
            std::fs::write(&path, text).expect("a file");
            let error = Config::load(Some(&path), []).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
        let error = Config::load(None, variables(&[("IMPRESARIO_SERVER_PORT", "1")])).expect_err("no such key");
        assert!(error.to_string().contains("IMPRESARIO_SERVER_PORT"), "{error}");
    }
}
