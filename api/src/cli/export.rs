//! `impresario export`: writes out what is in a data directory, for other programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};
use impresario_agents::{
    identity::Identity,
    profiles::{Found, KnownIdentifier, Profiles, look_at, node_of},
    segmentation::{Definitions, Segmentation},
    vocabulary::{IdentifierKind, ProfileId, Tracked},
};
use impresario_runtime::{AgentError, Driver, RuntimeError, Topic, each_entry, store::StoreError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{CommandError, Common, existing, output::Output};
use crate::{
    control::{Membership, person_view},
    directory::DataDirectory,
    ingest::{Call, instant},
    person_data::{EntryLines, end_line, profile_line, state_line},
};

/// People looked at in one page.
const PEOPLE_A_PAGE: usize = 1_000;

/// The arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// What to write.
    #[command(subcommand)]
    pub what: What,
    /// How it is written
    #[arg(long, value_enum, default_value = "jsonl", global = true, value_name = "FORMAT")]
    pub format: Format,
    /// The file to write [default: standard output]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What can be written.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// All events, as Segment calls that `import` reads back
    Events,
    /// All customers, with identifiers, traits, features and segments
    Profiles,
    /// Everything held of one person, with every event, as JSON lines
    Person {
        /// Who: `p_` and sixteen digits, or a kind and an identifier, e.g. `user_id:42`
        person: String,
    },
    /// The members of a segment
    Members {
        /// The segment's id
        segment: String,
    },
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// A table with a header; no cell begins as a formula would.
    Csv,
}

#[derive(Debug, Serialize)]
struct Report {
    written: u64,
    /// Events that are erased and left out.
    erased: u64,
    /// Events before this are forgotten with age; none where all are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten_before: Option<String>,
    file: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows written to {}", self.written, self.file)?;
        if self.erased > 0 {
            write!(f, "; {} erased events are left out", self.erased)?;
        }
        match &self.forgotten_before {
            Some(before) => write!(f, "; events from before {before} are forgotten with age"),
            None => Ok(()),
        }
    }
}

/// Where rows go.
enum Rows {
    Json(Box<dyn Write>),
    Csv(Box<csv::Writer<Box<dyn Write>>>, &'static [&'static str]),
}

impl Rows {
    fn open(args: &ExportArgs, columns: &'static [&'static str]) -> Result<Self, CommandError> {
        let out = out(args)?;
        Ok(match args.format {
            Format::Jsonl => Self::Json(out),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(columns).map_err(io::Error::from).map_err(unwritten)?;
                Self::Csv(Box::new(writer), columns)
            }
        })
    }

    /// Writes one row: all of it as JSON, or the columns of the table.
    fn write(&mut self, row: &impl Serialize) -> Result<(), CommandError> {
        match self {
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from).map_err(unwritten)?;
                out.write_all(b"\n").map_err(unwritten)
            }
            Self::Csv(writer, columns) => {
                let value = serde_json::to_value(row).map_err(io::Error::from).map_err(unwritten)?;
                let cells = columns.iter().map(|column| cell(value.get(column)));
                writer.write_record(cells).map_err(io::Error::from).map_err(unwritten)
            }
        }
    }

    fn end(self) -> Result<(), CommandError> {
        match self {
            Self::Json(mut out) => out.flush(),
            Self::Csv(mut writer, _) => writer.flush(),
        }
        .map_err(unwritten)
    }
}

fn out(args: &ExportArgs) -> Result<Box<dyn Write>, CommandError> {
    let Some(path) = &args.output else { return Ok(Box::new(BufWriter::new(io::stdout().lock()))) };
    let file =
        File::create(path).map_err(|error| CommandError::Io { what: format!("make {}", path.display()), error })?;
    Ok(Box::new(BufWriter::new(file)))
}

fn unwritten(error: io::Error) -> CommandError {
    CommandError::Io { what: "write the export".into(), error }
}

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => return number.to_string(),
        Some(other) => other.to_string(),
    };
    harmless(text)
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']) { format!("'{text}") } else { text }
}

/// Runs `export`.
///
/// # Errors
/// No such directory or segment, the file can't be written, or the directory's error.
pub fn run(common: &Common, args: &ExportArgs, output: &Output) -> Result<(), CommandError> {
    let directory = existing(common)?;
    let (written, erased) = match &args.what {
        What::Events => events(&directory.journal, Rows::open(args, EVENT_COLUMNS)?)?,
        What::Profiles => {
            let mut driver = at_rest(common, &directory)?;
            (profiles(&mut driver, Rows::open(args, PROFILE_COLUMNS)?)?, 0)
        }
        What::Person { person: who } => {
            let mut driver = at_rest(common, &directory)?;
            let found = person(&mut driver, who)?;
            if args.format == Format::Csv {
                return Err(CommandError::Usage("a person is written as JSON lines alone".into()));
            }
            (everything(&mut driver, found, out(args)?)?, 0)
        }
        What::Members { segment } => {
            let mut driver = at_rest(common, &directory)?;
            if !is_defined(&mut driver, segment)? {
                return Err(CommandError::No(format!("there is no segment `{segment}`")));
            }
            (members(&mut driver, segment, Rows::open(args, MEMBER_COLUMNS)?)?, 0)
        }
    };
    let with_events = matches!(args.what, What::Events | What::Person { .. });
    let horizon = directory.journal.horizon().filter(|_| with_events);
    let forgotten_before = horizon.map(|horizon| instant(horizon.since_ms).to_string());
    if let Some(path) = &args.output {
        output.answer(&Report { written, erased, forgotten_before, file: path.display().to_string() });
    } else if let Some(before) = forgotten_before {
        tracing::warn!(before, "events from before that are forgotten with age and left out");
    }
    Ok(())
}

/// The troupe over the directory, with everything folded.
pub(super) fn at_rest(common: &Common, directory: &DataDirectory) -> Result<Driver, CommandError> {
    let config = common.config()?;
    let troupe = config.storage.govern((common.casting)(config.agents.workers)).retention_days(None);
    let journal = Arc::clone(&directory.journal);
    let now_ms = journal.last_at().unwrap_or_default();
    let mut driver = Driver::start(journal, troupe, directory.seed, now_ms)?;
    driver.settle()?;
    Ok(driver)
}

const EVENT_COLUMNS: &[&str] = &[
    "type",
    "messageId",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "event",
    "name",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "properties",
    "traits",
    "context",
];

fn events(journal: &impresario_runtime::store::Journal, mut rows: Rows) -> Result<(u64, u64), CommandError> {
    let Some(topic) = journal.known_name(Tracked::NAME) else { return Ok((0, 0)) };
    let (mut written, mut erased) = (0, 0);
    each_entry(journal, 1, |entry| {
        if entry.topic != topic {
            return Ok(());
        }
        if entry.erased.is_some() {
            erased += 1;
            return Ok(());
        }
        rows.write(&Call::of(entry.decode(Tracked::VERSION)?))?;
        written += 1;
        Ok::<(), CommandError>(())
    })?;
    rows.end()?;
    Ok((written, erased))
}

/// Goes through the people of every worker of [`Profiles`], page by page.
fn each_page(
    driver: &mut Driver,
    mut look: impl FnMut(&mut Driver, usize, &[ProfileId]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    for worker in 0..driver.workers::<Profiles>() {
        let mut from = Vec::new();
        loop {
            let page = driver.read_worker::<Profiles, _>(worker, |reading| reading.keys_from(&from, PEOPLE_A_PAGE))?;
            let page = page.map_err(unreadable)?;
            look(driver, worker, &page)?;
            match page.last() {
                Some(last) if page.len() == PEOPLE_A_PAGE => {
                    from = impresario_runtime::AgentKey::encode(last);
                    from.push(0);
                }
                _ => break,
            }
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unreadable(error: AgentError) -> CommandError {
    CommandError::Store(StoreError::Codec(error.to_string()))
}

/// Pointers followed from an identifier to its profile at most.
const HOPS_MAX: usize = 64;

/// The live profile that a text names.
pub(super) fn person(driver: &mut Driver, text: &str) -> Result<ProfileId, CommandError> {
    let wrong = || {
        let what = "a person is named by `p_` and sixteen digits, or by a kind and an identifier, e.g. `user_id:42`";
        CommandError::Usage(what.into())
    };
    let mut id = node_of(text).ok_or_else(wrong)?;
    for _ in 0..HOPS_MAX {
        match driver.read::<Profiles, _>(&id, |reading| look_at(reading, id, |_| ()))?.map_err(unreadable)? {
            Found::Live(()) => return Ok(id),
            Found::At(next) => id = next,
            Found::Nobody => break,
        }
    }
    Err(CommandError::No("nobody has this identifier".into()))
}

/// Writes everything held of one person; how many entries that were.
fn everything(driver: &mut Driver, id: ProfileId, mut out: Box<dyn Write>) -> Result<u64, CommandError> {
    let unsaid = |error: serde_json::Error| unwritten(error.into());
    let now_ms = driver.now_ms();
    let memberships = segments_of(driver, &[id])?.remove(&id).unwrap_or_default().into_iter();
    let memberships = memberships.map(|(segment, since_ms)| Membership { segment: segment.into(), since_ms }).collect();
    let worker = impresario_runtime::AgentKey::partition(&id) as usize % driver.workers::<Profiles>();
    let disputed = disputed_of(driver, worker, &[id])?.remove(&id).unwrap_or_default();
    let view = driver.read::<Profiles, _>(&id, |reading| {
        Ok(reading.get(&id)?.map(|profile| person_view(id, profile, memberships, &disputed, now_ms)))
    })?;
    out.write_all(&profile_line(&view.map_err(unreadable)?).map_err(unsaid)?).map_err(unwritten)?;
    for status in driver.status() {
        match driver.state_json(&status.agent, &id.to_string()) {
            Ok(Some(state)) => out.write_all(&state_line(&status.agent, &state).map_err(unsaid)?).map_err(unwritten)?,
            // Its keys are no people, or it keeps nothing of this one.
            Ok(None) | Err(RuntimeError::UnknownKey { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let journal = Arc::clone(driver.journal());
    let mut lines = EntryLines::of(&journal);
    driver.gather(id.into(), |entry| out.write_all(&lines.line(entry).map_err(unsaid)?).map_err(unwritten))?;
    out.write_all(&end_line(lines.count).map_err(unsaid)?).map_err(unwritten)?;
    out.flush().map_err(unwritten)?;
    Ok(lines.count)
}

const PROFILE_COLUMNS: &[&str] = &["id", "identifiers", "traits", "features", "time_zone", "segments"];

fn profiles(driver: &mut Driver, mut rows: Rows) -> Result<u64, CommandError> {
    let now_ms = driver.now_ms();
    let mut written = 0;
    each_page(driver, |driver, worker, people| {
        let mut segments = segments_of(driver, people)?;
        let disputed = disputed_of(driver, worker, people)?;
        let views = driver.read_worker::<Profiles, _>(worker, |reading| {
            let mut views = Vec::with_capacity(people.len());
            for person in people {
                let memberships = segments.remove(person).unwrap_or_default();
                let memberships =
                    memberships.into_iter().map(|(segment, since_ms)| Membership { segment: segment.into(), since_ms });
                if let Some(profile) = reading.get(person)?.filter(|profile| profile.events > 0) {
                    let disputed = disputed.get(person).cloned().unwrap_or_default();
                    views.push(person_view(*person, profile, memberships.collect(), &disputed, now_ms));
                }
            }
            Ok::<_, AgentError>(views)
        })?;
        for view in views.map_err(unreadable)? {
            rows.write(&view)?;
            written += 1;
        }
        Ok(())
    })?;
    rows.end()?;
    Ok(written)
}

type Segments = BTreeMap<ProfileId, Vec<(Box<str>, i64)>>;

fn segments_of(driver: &mut Driver, people: &[ProfileId]) -> Result<Segments, CommandError> {
    let mut all = BTreeMap::new();
    for person in people {
        let found = driver.read::<Segmentation, _>(person, |reading| {
            let definitions = reading.shared::<Definitions>();
            let person = reading.get(person)?;
            let found = person.zip(definitions);
            Ok(found.map(|(person, definitions)| Segmentation::memberships(person, definitions)))
        })?;
        all.extend(found.map_err(unreadable)?.map(|found| (*person, found)));
    }
    Ok(all)
}

/// The identifiers people were seen with that are somebody else's.
fn disputed_of(driver: &mut Driver, worker: usize, people: &[ProfileId]) -> Result<Disputed, CommandError> {
    let nodes = driver.read_worker::<Profiles, _>(worker, |reading| {
        let mut nodes = Vec::new();
        for person in people {
            let known =
                reading.get(person)?.map(|profile| profile.identifiers.iter().filter_map(KnownIdentifier::node));
            nodes.extend(known.into_iter().flatten().map(|node| (*person, node)));
        }
        Ok::<_, AgentError>(nodes)
    })?;
    let nodes = nodes.map_err(unreadable)?;
    let found = driver.read_worker::<Identity, _>(0, |reading| {
        let mut found = Disputed::new();
        for (person, node) in nodes {
            if reading.get(&node)?.is_some_and(|known| known.person(node) != person) {
                found.entry(person).or_default().insert(node);
            }
        }
        Ok::<_, AgentError>(found)
    })?;
    found.map_err(unreadable)
}

type Disputed = BTreeMap<ProfileId, BTreeSet<ProfileId>>;

fn is_defined(driver: &mut Driver, segment: &str) -> Result<bool, RuntimeError> {
    driver.read_worker::<Segmentation, _>(0, |reading| {
        reading.shared::<Definitions>().is_some_and(|definitions| definitions.get(segment).is_some())
    })
}

const MEMBER_COLUMNS: &[&str] = &["segment", "profile", "user_id", "since"];

fn members(driver: &mut Driver, segment: &str, mut rows: Rows) -> Result<u64, CommandError> {
    let mut written = 0;
    each_page(driver, |driver, worker, people| {
        let segments = segments_of(driver, people)?;
        for (person, memberships) in segments {
            let Some((_, since_ms)) = memberships.iter().find(|(id, _)| &**id == segment) else { continue };
            let user_id = driver.read_worker::<Profiles, _>(worker, |reading| {
                let profile = reading.get(&person)?;
                let known = profile.map(|profile| &profile.identifiers);
                let user = known.and_then(|known| known.iter().find(|known| known.kind == IdentifierKind::UserId));
                Ok(user.map(|user| user.value.to_string()))
            })?;
            let mut row = Map::new();
            row.insert("segment".into(), segment.into());
            row.insert("profile".into(), person.to_string().into());
            row.insert("user_id".into(), user_id.map_err(unreadable)?.into());
            row.insert("since".into(), instant(*since_ms).into());
            rows.write(&row)?;
            written += 1;
        }
        Ok(())
    })?;
    rows.end()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expect) in [
            ("=1+1", "'=1+1"),
            ("+48600", "'+48600"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(cell(Some(&Value::from(text))), expect);
        }
        assert_eq!(cell(Some(&Value::from(-1))), "-1");
        assert_eq!(cell(None), "");
    }
}
