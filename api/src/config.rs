//! The configuration: defaults, then one TOML file, then `IMPRESARIO_*`, then flags.
//!
//! Every key of the file is also a variable: `server.listen` is `IMPRESARIO_SERVER_LISTEN`. A key
//! or variable nobody knows is refused by name: a misspelt limit must not be silently no limit.
//! `impresario config` prints what is written here as a file.

mod reference;
mod setting;

use std::{net::SocketAddr, path::Path};

use impresario_agents::segmentation::Instant;
use impresario_runtime::{RETENTION_DAYS_MIN, Troupe};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

pub use self::reference::{Reference, SettingReference, reference};
use self::setting::{Allowed, PREFIX, Setting, number, section};
use crate::directory::DEFAULT_DIRECTORY;

/// Variables of the prefix that are no key of the file.
const OTHER_VARIABLES: &[&str] = &["IMPRESARIO_CONFIG", "IMPRESARIO_WRITE_KEY", "IMPRESARIO_ADMIN_KEY"];

/// One hour.
const HOUR_MS: i64 = 3_600_000;

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

impl Default for Config {
    fn default() -> Self {
        let TopConfig { data, clock } = TopConfig::default();
        Self {
            data,
            clock,
            server: ServerConfig::default(),
            ingest: IngestLimits::default(),
            agents: AgentsConfig::default(),
            storage: StorageConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// A part of the file.
struct Section {
    name: &'static str,
    about: &'static [&'static str],
    settings: &'static [Setting],
}

/// All parts of the file, in its order.
const SECTIONS: &[Section] = &[
    Section { name: "", about: TopConfig::ABOUT, settings: TopConfig::SETTINGS },
    Section { name: "server", about: ServerConfig::ABOUT, settings: ServerConfig::SETTINGS },
    Section { name: "ingest", about: IngestLimits::ABOUT, settings: IngestLimits::SETTINGS },
    Section { name: "agents", about: AgentsConfig::ABOUT, settings: AgentsConfig::SETTINGS },
    Section { name: "storage", about: StorageConfig::ABOUT, settings: StorageConfig::SETTINGS },
    Section { name: "log", about: LogConfig::ABOUT, settings: LogConfig::SETTINGS },
];

section! {
    /// What is in no section.
    "" TopConfig {
        /// The data directory.
        data: String = DEFAULT_DIRECTORY.into(), Allowed::Text { fits: |text| !text.is_empty(), what: "a path" };
        /// `wall`; `data` for a clock that only moves with the data; or the instant such a clock starts at.
        clock: String = "wall".into(), Allowed::Text {
            fits: |text| matches!(text, "wall" | "data") || text.parse::<Instant>().is_ok(),
            what: "`wall`, `data`, or an instant such as `1997-01-01` or `2026-05-04T08:00:00Z`",
        };
    }
}

section! {
    /// The server.
    "server" ServerConfig {
        /// Where it listens. Port 0 takes a free one.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)), Allowed::Text {
            fits: |text| text.parse::<SocketAddr>().is_ok(),
            what: "an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`",
        };
        /// Threads for HTTP; the agents have their own.
        threads: usize = 1, number(1, 256);
        /// Connections at once; more are closed unheard.
        connections_max: usize = 16_384, number(1, 1_000_000);
        /// How long a connection may take for the head of a request, or stay idle.
        header_ms_max: u64 = 25_000, number(100, HOUR_MS);
        /// How long the body of a request may take.
        body_ms_max: u64 = 20_000, number(100, HOUR_MS);
        /// How long a client may take to read any part of an answer.
        write_ms_max: u64 = 20_000, number(100, HOUR_MS);
        /// How long a stop waits for requests and agents before it goes on without them.
        drain_ms_max: u64 = 10_000, number(0, HOUR_MS);
        /// Bytes of request bodies held at once; beyond, the door says "busy".
        bodies_bytes_max: usize = 64 << 20, number(1 << 20, 1 << 40);
        /// Bytes of the body of a control request.
        control_body_bytes_max: usize = 256 * 1024, number(1_024, 16 << 20);
    }
    skipped {
        /// The ingest door only parses and answers, and keeps nothing: a yardstick, and no setting.
        parse_only: bool;
    }
}

section! {
    /// The limits of the ingest door, all in one place. Beyond them an event or request is refused.
    "ingest" IngestLimits {
        /// Bytes of one event's JSON.
        event_bytes_max: usize = 32 * 1024, number(256, 512 * 1024);
        /// Bytes of one batch's JSON, before and after gzip.
        batch_bytes_max: usize = 500 * 1024, number(1_024, 16 << 20);
        /// Events in one batch.
        batch_events_max: usize = 2_500, number(1, 100_000);
        /// Objects and arrays inside one another.
        depth_max: usize = 32, number(2, 100);
        /// Keys of one object.
        keys_max: usize = 255, number(8, 100_000);
    }
}

section! {
    /// The agents.
    "agents" AgentsConfig {
        /// Workers of each keyed agent. A data directory keeps the number it was made with.
        workers: usize = 1, number(1, 64);
        /// Threads for all agents.
        threads: usize = 2, number(1, 256);
        /// People each worker holds in memory, some 2 to 5 KiB each; others are read back from the store.
        states_max: usize = 400_000, number(1_000, 1_000_000_000);
    }
}

section! {
    /// The store.
    "storage" StorageConfig {
        /// Memory for pages of the data, mebibytes.
        cache_mib: u64 = 256, number(8, 1 << 20);
        /// Writing stops when less than this share of the disk is free, percent, and less than 4 GiB.
        free_min_percent: u8 = 15, number(0, 90);
        /// The directory that backups of a running server go to; without it none are taken over HTTP.
        backups: String = String::new(), Allowed::Text { fits: |_| true, what: "a directory" };
        /// Whether `serve` compacts a directory that has outgrown its data before it opens it.
        compact_at_start: CompactAtStart = CompactAtStart::Auto, Allowed::Text {
            fits: |text| matches!(text, "auto" | "never"),
            what: "`auto` or `never`",
        };
        /// After how many days what people have done is forgotten, from 30 to 36500; 0 keeps it for ever. Profiles and
        /// memberships stay as they are.
        retention_days: u32 = 0, Allowed::NumberOr { other: 0, min: RETENTION_DAYS_MIN as i64, max: 36_500 };
        /// What happens where an agent of a newer version is to fold its states again and part of the journal is
        /// forgotten with age: `refuse` to start, or go on `from-kept`.
        refold: Refold = Refold::Refuse, Allowed::Text {
            fits: |text| matches!(text, "refuse" | "from-kept"),
            what: "`refuse` or `from-kept`",
        };
        /// How long a `messageId` is remembered at least, days: an event that comes again is dropped so long.
        message_ids_days: usize = 1, number(1, 60);
        /// So many are remembered at most, whatever their age; up to 30 bytes of memory each.
        message_ids_max: usize = 16_000_000, number(1_000, 1_000_000_000);
    }
}

section! {
    /// The log, on standard error.
    "log" LogConfig {
        /// How lines look.
        format: LogFormat = LogFormat::Text, Allowed::Text {
            fits: |text| matches!(text, "text" | "json"),
            what: "`text` or `json`",
        };
        /// What is told.
        level: String = "info".into(), Allowed::Text {
            fits: |text| EnvFilter::try_new(text).is_ok(),
            what: "`error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,impresario_store=debug`",
        };
    }
}

/// Whether a directory that has outgrown its data is compacted at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompactAtStart {
    /// Where its file is more than six times its data, and the disk has room.
    Auto,
    /// By `impresario compact` alone.
    Never,
}

/// What happens where states are to be folded again from a journal of which part is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refold {
    /// The program does not start.
    Refuse,
    /// They are folded from what is kept.
    FromKept,
}

impl StorageConfig {
    /// The troupe with what these settings say of the journal's age.
    #[must_use]
    pub fn govern(&self, troupe: Troupe) -> Troupe {
        let days = (self.retention_days > 0).then_some(self.retention_days);
        troupe.retention_days(days).refold_from_kept(self.refold == Refold::FromKept)
    }
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
    /// A file or variable that is not as it should be: its name, the value, and what is allowed.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            Some(path) => read_file(path)?,
            None => Table::new(),
        };
        for (name, text) in variables {
            if name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()) {
                set_variable(&mut table, &name, &text)?;
            }
        }
        Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Value { name: "settings".into(), what: error.to_string() })
    }
}

/// Whether a file of this text is one, `shown` being its name in what is said of it.
///
/// # Errors
/// As [`Config::load`].
pub fn check_text(text: &str, shown: &str) -> Result<(), ConfigError> {
    read_text(text, shown).map(drop)
}

/// Every key there is.
fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: shown.clone(), error })?;
    read_text(&text, &shown)
}

/// What a file says, `shown` being its name.
fn read_text(text: &str, shown: &str) -> Result<Table, ConfigError> {
    let wrong = |error: toml::de::Error| ConfigError::File { path: shown.to_owned(), what: error.to_string() };
    let table: Table = toml::from_str(text).map_err(wrong)?;
    for setting in settings() {
        let place = if setting.section.is_empty() { Some(&table) } else { section_of(&table, setting.section) };
        if let Some(what) = place.and_then(|place| place.get(setting.key)).and_then(|value| setting.wrong(value)) {
            return Err(ConfigError::Value { name: format!("{shown}: {}", setting.path()), what });
        }
    }
    // Whatever else is wrong, such as a key nobody knows, is named with its line and column.
    toml::from_str::<Config>(text).map_err(wrong)?;
    Ok(table)
}

fn section_of<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    table.get(name).and_then(Value::as_table)
}

/// Puts a variable's value where its key is.
fn set_variable(table: &mut Table, name: &str, text: &str) -> Result<(), ConfigError> {
    let setting = settings().find(|setting| setting.variable() == name);
    let setting = setting.ok_or_else(|| ConfigError::UnknownVariable(name.to_owned()))?;
    let value = setting.read(text);
    if let Some(what) = setting.wrong(&value) {
        return Err(ConfigError::Value { name: name.to_owned(), what });
    }
    let place = if setting.section.is_empty() {
        table
    } else {
        let place = table.entry(setting.section).or_insert_with(|| Value::Table(Table::new()));
        let Some(place) = place.as_table_mut() else { return Ok(()) };
        place
    };
    place.insert(setting.key.to_owned(), value);
    Ok(())
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
    fn every_key_of_the_file_is_a_setting_and_its_variable_counts() {
        let defaults = Table::try_from(Config::default()).expect("a table");
        let mut keys = Vec::new();
        for (section, value) in &defaults {
            match value.as_table() {
                Some(inner) => keys.extend(inner.keys().map(|key| format!("{section}.{key}"))),
                None => keys.push(section.clone()),
            }
        }
        let mut known: Vec<_> = settings().map(Setting::path).collect();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
        for setting in settings() {
            // Another value than the default, where there is one that all texts of its kind may be.
            let text = match setting.allowed {
                Allowed::Number { min, .. } | Allowed::NumberOr { min, .. } => (min + 2).to_string(),
                Allowed::Text { .. } => match setting.key {
                    "listen" => "127.0.0.1:9".into(),
                    "format" => "json".into(),
                    "level" => "warn".into(),
                    "compact_at_start" => "never".into(),
                    "refold" => "from-kept".into(),
                    _ => "data".into(),
                },
            };
            let config = Config::load(None, [(setting.variable(), text)]).expect("settings");
            assert_ne!(config, Config::default(), "{} changes nothing", setting.variable());
        }
    }

    #[test]
    fn the_reference_says_what_holds_without_a_file_and_tells_of_every_key() {
        let text = reference().to_string();
        let parsed: Config = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(parsed, Config::default());
        for setting in settings() {
            assert!(text.lines().any(|line| line.starts_with(&format!("{} = ", setting.key))), "{}", setting.path());
            assert!(text.contains(&format!("Variable {}: {}", setting.variable(), setting.allowed())));
            assert!(!setting.about.is_empty(), "nothing is told of {}", setting.path());
        }
        for value in reference().settings {
            let setting = settings().find(|setting| setting.path() == value.key).expect("a setting");
            assert_eq!(setting.wrong(&value.default), None, "the default of {} is not allowed", value.key);
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_key_value_and_what_is_allowed() {
        for (text, named) in [
            ("[server]\nlissten = \"127.0.0.1:1\"\n", &["line 2", "lissten"][..]),
            ("colour = 1\n", &["line 1", "colour"]),
            ("[server\n", &["line 1"]),
            ("server = 5\n", &["server"]),
            ("[ingest]\ndepth_max = \"deep\"\n", &["a.toml: ingest.depth_max", "\"deep\"", "from 2 to 100"]),
            ("[ingest]\ndepth_max = 1000\n", &["a.toml: ingest.depth_max", "1000", "from 2 to 100"]),
            ("[server]\nthreads = -1\n", &["server.threads", "-1", "from 1 to 256"]),
            ("[server]\nlisten = \"here\"\n", &["server.listen", "\"here\"", "an address and a port"]),
            ("clock = \"soon\"\n", &["clock", "\"soon\"", "`wall`, `data`, or an instant"]),
            ("[log]\nformat = \"xml\"\n", &["log.format", "\"xml\"", "`text` or `json`"]),
            ("[log]\nlevel = \"a=b=c\"\n", &["log.level", "a=b=c", "`error`"]),
            ("[storage]\nretention_days = 29\n", &["storage.retention_days", "29", "0, or", "from 30 to 36500"]),
            ("[storage]\nfree_min_percent = 91\n", &["storage.free_min_percent", "91", "from 0 to 90"]),
        ] {
            let error = read_text(text, "a.toml").expect_err(text).to_string();
            assert!(named.iter().all(|named| error.contains(named)), "{text}: {error}");
        }
        for (name, text, named) in [
            ("IMPRESARIO_SERVER_PORT", "1", &["IMPRESARIO_SERVER_PORT"][..]),
            ("IMPRESARIO_SERVER_THREADS", "many", &["IMPRESARIO_SERVER_THREADS", "\"many\"", "from 1 to 256"]),
            ("IMPRESARIO_AGENTS_WORKERS", "65", &["IMPRESARIO_AGENTS_WORKERS", "65", "from 1 to 64"]),
        ] {
            let error = Config::load(None, variables(&[(name, text)])).expect_err(name).to_string();
            assert!(named.iter().all(|named| error.contains(named)), "{name}: {error}");
        }
    }
}
