//! `impresario import`: takes in events of files, on the data's clock or as late events.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use impresario_runtime::{Clock, WallClock};
use jiff::Timestamp;
use serde::Serialize;

use super::{CommandError, Common, output::Output, progress, serve::FIRST, storage};
use crate::{
    config::Config,
    directory::DataDirectory,
    import::{
        Feed, FileFormat, Ledger, Mapping, Reject, Rejects, Rules, Source, Stop,
        load::{Carry, Far, Import, LoadError},
        pair,
        remote::{Remote, SendError, Sent},
    },
};

/// Rejected rows shown to a person; machines get those the report keeps.
const SHOWN_MAX: usize = 10;

/// The clock rows are folded under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportClock {
    /// The present: the rows are late events.
    Wall,
    /// The data's own time, carried along from row to row: timers fire in between.
    Data,
}

/// The arguments of `import`.
///
/// A file holds Segment calls (one JSON object a line, with its `type`) or a table. A column is named
/// as in the header or by its number from 1. Importing a file again with the same mapping, after a crash too, changes
/// nothing; with another mapping its rows are other rows, which needs `--again`. Two equal rows of one file are two events. Exit code 1 where more rows were rejected than
/// `--max-rejects`; the others are in.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The files; gzip is told by its first bytes
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Whose time the rows are folded under; `data` puts the rows of all files in the order of time
    #[arg(long, value_enum, default_value = "wall", value_name = "CLOCK")]
    pub clock: ImportClock,
    /// A TOML file that says what the columns mean; flags win over it
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// What the files hold [default: told by the first row]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// comma, semicolon, tab, pipe, whitespace, or a character [default: told by the first row]
    #[arg(long, value_name = "SEPARATOR")]
    pub separator: Option<String>,
    /// Whether the first row is a header [default: unless its time cell holds a time]
    #[arg(long, value_name = "true|false")]
    pub header: Option<bool>,
    /// Column of the person's id
    #[arg(long, value_name = "COLUMN")]
    pub user: Option<String>,
    /// Column of an anonymous id
    #[arg(long, value_name = "COLUMN")]
    pub anonymous: Option<String>,
    /// Column of the event's time
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// iso (also rfc3339), s, ms, or a pattern such as `%d/%m/%Y %H:%M` [default: iso]
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<String>,
    /// Zone of times without an offset [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Name of every event
    #[arg(long, value_name = "NAME", conflicts_with = "event_column")]
    pub event: Option<String>,
    /// Column of the event's name
    #[arg(long, value_name = "COLUMN")]
    pub event_column: Option<String>,
    /// The event's name where this column is below zero; the numbers of such a row lose their sign
    #[arg(long, value_name = "COLUMN=NAME", value_parser = pair)]
    pub event_if_negative: Vec<(String, String)>,
    /// Column of an id of the row, unique among all rows
    #[arg(long, value_name = "COLUMN")]
    pub message_id: Option<String>,
    /// A property: NAME=COLUMN or NAME=COLUMN*COLUMN, and :number, :string or :bool behind it
    #[arg(long, value_name = "NAME=COLUMN", value_parser = pair)]
    pub property: Vec<(String, String)>,
    /// A trait of the person, as a property is given
    #[arg(long = "trait", value_name = "NAME=COLUMN", value_parser = pair)]
    pub traits: Vec<(String, String)>,
    /// A property that is the same in every row
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Numbers are written 1.234,50
    #[arg(long)]
    pub decimal_comma: bool,
    /// Writes all rejected rows to this CSV file: file, line, reason
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Sends the events to a running server, http://HOST:PORT, instead of into a data directory
    #[arg(long, value_name = "URL", requires = "key", conflicts_with_all = ["clock", "client_source", "again"])]
    pub url: Option<String>,
    /// Its write key
    #[arg(long, value_name = "KEY", env = "IMPRESARIO_WRITE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// The source whose clients gave Segment calls their message ids: what one of them sends again, the door knows
    #[arg(long, default_value = FIRST, value_name = "NAME")]
    pub client_source: String,
    /// Lets a table count again that was imported before with another mapping
    #[arg(long)]
    pub again: bool,
    /// Rejected rows that still count as success
    #[arg(long, default_value_t = 0, value_name = "ROWS")]
    pub max_rejects: u64,
}

/// What an import came to.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<String>,
    /// Rows of the files, without headers and empty lines.
    rows: u64,
    /// Events that are in the journal now and were not before.
    imported: u64,
    /// Rows the directory had already.
    already_there: u64,
    /// Rows that are no events.
    rejected: u64,
    /// Events that happened before the directory's time.
    late: u64,
    /// The directory's time at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    /// The first of the rejected rows.
    rejects: Vec<Reject>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, imported, already_there, rejected, late, .. } = self;
        write!(f, "{rows} rows: {imported} events imported, {already_there} rows already there, {rejected} rejected")?;
        if *late > 0 {
            write!(f, "\n{late} events happened before the directory's time and were folded as late ones")?;
        }
        if let Some(now) = &self.now {
            write!(f, "\nThe directory's time is {now}")?;
        }
        told(f, &self.rejects, *rejected)
    }
}

/// Runs `import`.
///
/// # Errors
/// A mapping that does not fit, a file that can't be read, the directory's error; "no" where too many
/// rows were rejected.
pub fn run(common: &Common, args: &ImportArgs, output: &Output) -> Result<(), CommandError> {
    let config = common.config()?;
    let mapping = mapping(args)?;
    let open = |path: &PathBuf| {
        Source::open(path).map_err(|error| CommandError::Io { what: format!("read {}", path.display()), error })
    };
    let sources = args.files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let bytes = sources.iter().map(Source::bytes).sum();
    let rejects_error = |error| CommandError::Io { what: "write the file of rejected rows".into(), error };
    let mut rejects = Rejects::new(args.rejects.as_deref()).map_err(rejects_error)?;
    let far = Far::default();
    if let Some(url) = &args.url {
        let sending = Sending { url, mapping: &mapping, sources, bytes, far: &far };
        let sent = sending.send(args, &config, &mut rejects)?;
        let (rejected, rejects) = rejects.end().map_err(rejects_error)?;
        output.answer(&SentReport::of(args, &sent, rejected + sent.too_large, rejects));
        return few_rejects(rejected + sent.too_large, args.max_rejects);
    }
    let path = PathBuf::from(&config.data);
    let directory = DataDirectory::open(&path, &storage(&config), super::journal_limits(&config))?;
    let import = Import {
        sources,
        mapping: &mapping,
        carry: if args.clock == ImportClock::Data { Carry::DataClock } else { Carry::Present },
        spool: &path,
        clock: &WallClock,
        limits: config.ingest.clone(),
        client_source: &args.client_source,
        again: args.again,
    };
    let read = Arc::clone(&far.bytes);
    let troupe = config.storage.govern((common.casting)(config.agents.workers));
    let loaded = progress::shown(bytes, &read, "reading and folding", || {
        import.run(&directory.journal, troupe, directory.seed, &mut rejects, &far)
    });
    directory.journal.close()?;
    let loaded = loaded.map_err(|error| match error {
        LoadError::Stop(Stop::Mapping(what)) => CommandError::Usage(what),
        LoadError::Stop(stop) => CommandError::No(stop.to_string()),
        LoadError::Runtime(error) => CommandError::Runtime(error),
    })?;
    let (rejected, rejects) = rejects.end().map_err(rejects_error)?;
    let now = Timestamp::from_millisecond(loaded.now_ms).ok().filter(|_| loaded.now_ms != 0);
    let report = Report {
        files: args.files.iter().map(|path| path.display().to_string()).collect(),
        rows: loaded.totals.rows,
        imported: loaded.imported,
        already_there: loaded.totals.known,
        rejected,
        late: loaded.late,
        now: now.map(|now| now.to_string()),
        rejects,
    };
    output.answer(&report);
    few_rejects(rejected, args.max_rejects)
}

fn few_rejects(rejected: u64, max: u64) -> Result<(), CommandError> {
    if rejected > max {
        return Err(CommandError::No(format!("{rejected} rows were rejected, {max} are allowed by --max-rejects")));
    }
    Ok(())
}

/// An import into a running server.
struct Sending<'a> {
    url: &'a str,
    mapping: &'a Mapping,
    sources: Vec<Source>,
    bytes: u64,
    far: &'a Far,
}

impl Sending<'_> {
    fn send(self, args: &ImportArgs, config: &Config, rejects: &mut Rejects) -> Result<Sent, CommandError> {
        const DAY_MS: i64 = 86_400_000;
        let key = args.key.clone().unwrap_or_default();
        let remote = Remote::new(self.url, key, config.ingest.clone()).map_err(CommandError::Usage)?;
        let mut ledger = Ledger::fresh(self.mapping.digest(), String::new());
        let rules = Rules { latest_ms: WallClock.now_ms().saturating_add(DAY_MS), limits: config.ingest.clone() };
        let read = Arc::clone(&self.far.bytes);
        let feed = Feed::new(self.sources, self.mapping, rules, Arc::clone(&read), &mut ledger, rejects);
        let wrong = |stop: Stop| match stop {
            Stop::Mapping(what) => CommandError::Usage(what),
            stop => CommandError::No(stop.to_string()),
        };
        let feed = feed.map_err(wrong)?;
        let sent = progress::shown(self.bytes, &read, "reading and sending", || {
            remote.send(feed, self.far, &std::thread::sleep)
        });
        sent.map_err(|error| match error {
            SendError::Stop(stop) => wrong(stop),
            SendError::Server(what) => CommandError::No(what),
        })
    }
}

/// What an import into a running server came to.
#[derive(Debug, Serialize)]
struct SentReport {
    files: Vec<String>,
    url: Option<String>,
    /// Rows of the files, without headers and empty lines.
    rows: u64,
    /// Events the server has acknowledged: on its disk, unless it knew them.
    acknowledged: u64,
    /// Rows that came twice in the files, by their ids.
    twice: u64,
    /// Rows that are no events.
    rejected: u64,
    /// Requests that were sent again.
    sent_again: u64,
    /// The first of the rejected rows.
    rejects: Vec<Reject>,
}

impl SentReport {
    fn of(args: &ImportArgs, sent: &Sent, rejected: u64, rejects: Vec<Reject>) -> Self {
        Self {
            files: args.files.iter().map(|path| path.display().to_string()).collect(),
            url: args.url.clone(),
            rows: sent.totals.rows,
            acknowledged: sent.events,
            twice: sent.totals.known,
            rejected,
            sent_again: sent.again,
            rejects,
        }
    }
}

impl fmt::Display for SentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, acknowledged, twice, rejected, sent_again, .. } = self;
        write!(
            f,
            "{rows} rows: {acknowledged} events acknowledged, {twice} rows twice in the files, {rejected} rejected"
        )?;
        if *sent_again > 0 {
            write!(f, "\n{sent_again} requests had to be sent again")?;
        }
        write!(
            f,
            "\nThe server knows an event by its id for a day or two: sent again within that time, with the same \
             mapping, the files change nothing; later they count again"
        )?;
        told(f, &self.rejects, *rejected)
    }
}

fn told(f: &mut fmt::Formatter<'_>, rejects: &[Reject], rejected: u64) -> fmt::Result {
    for reject in rejects.iter().take(SHOWN_MAX) {
        write!(f, "\n  {} line {}: {}", reject.file, reject.line, reject.reason)?;
    }
    if rejected > SHOWN_MAX as u64 {
        write!(f, "\n  and {} more; `--rejects FILE` writes all", rejected - SHOWN_MAX as u64)?;
    }
    Ok(())
}

fn mapping(args: &ImportArgs) -> Result<Mapping, CommandError> {
    let named = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    let flags = Mapping {
        format: args.format,
        separator: args.separator.clone(),
        header: args.header,
        user: args.user.clone(),
        anonymous: args.anonymous.clone(),
        time: args.time.clone(),
        time_format: args.time_format.clone(),
        zone: args.zone.clone(),
        event: args.event.clone(),
        event_column: args.event_column.clone(),
        event_if_negative: named(&args.event_if_negative),
        message_id: args.message_id.clone(),
        properties: named(&args.property),
        traits: named(&args.traits),
        set: named(&args.set),
        decimal_comma: args.decimal_comma,
    };
    let Some(path) = &args.mapping else { return Ok(flags) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::Io { what: format!("read {}", path.display()), error })?;
    let file = Mapping::from_toml(&text).map_err(|what| CommandError::Usage(format!("{}: {what}", path.display())))?;
    Ok(flags.or(file))
}
