//! From files to batches of events, in the order of the files or in the order of time.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use impresario_agents::vocabulary::{Millis, ProfileId, RawJson, Tracked};
use impresario_runtime::{RuntimeError, store::Journal};

use super::{
    ledger::{Ledger, RowId, Seen},
    limits::{COMMIT_ROWS_MAX, RECORD_BYTES_MAX, ROWS_MAX},
    mapping::{FileFormat, Mapping},
    records::{Cut, Next, Record, Records},
    rejects::Rejects,
    segment,
    source::{Place, Source},
    table::{Fault, RowEvent, Table},
};
use crate::config::IngestLimits;

/// Why an import ends before its files do.
#[derive(Debug)]
pub enum Stop {
    /// The mapping and a file do not go together.
    Mapping(String),
    /// The system's error, at a file.
    Io(String, io::Error),
    /// More rows than an import takes.
    TooMany,
    /// Whoever takes the batches has ended.
    Gone,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mapping(what) => f.write_str(what),
            Self::Io(file, error) => write!(f, "could not read {file}: {error}"),
            Self::TooMany => write!(f, "there are more than {ROWS_MAX} rows; import the file in parts"),
            Self::Gone => f.write_str("the import has ended early"),
        }
    }
}

/// Rows that go into the journal together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The instant of all of them, in the order of time.
    pub at_ms: Millis,
    /// The events.
    pub events: Vec<Tracked>,
    /// Whether each of them came with the message id its client gave it.
    pub by_client: Vec<bool>,
    /// What their rows are known by.
    pub rows: Vec<RowId>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows, without headers and empty lines.
    pub rows: u64,
    /// Rows that an earlier import had, or whose message id came before.
    pub known: u64,
}

/// What a row must keep to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Rows later than this are refused: one slip of the pen must not carry a clock along.
    pub latest_ms: Millis,
    /// The limits of the door, for JSON lines.
    pub limits: IngestLimits,
}

/// How the rows of a file are read.
enum Shape {
    Segment,
    Table(Box<Table>),
}

impl Shape {
    fn of(source: &Source, mapping: &Mapping) -> Result<Self, Stop> {
        let reader = source.reader(&Arc::default()).map_err(|error| io_stop(source, error))?;
        let mut records = Records::new(reader, Cut::Lines, RECORD_BYTES_MAX);
        let first = loop {
            match records.read().map_err(|error| io_stop(source, error))? {
                Next::Record(record) => break String::from_utf8_lossy(record.bytes).into_owned(),
                Next::Refused { .. } => {}
                Next::End => return Ok(Self::Segment),
            }
        };
        let segment = match mapping.format {
            Some(format) => format == FileFormat::Segment,
            None => first.trim_start().starts_with('{') && !mapping.names_columns(),
        };
        if segment {
            return Ok(Self::Segment);
        }
        let wrong = |what| Stop::Mapping(format!("{}: {what}", source.path().display()));
        Table::new(mapping, &first).map(Box::new).map(Self::Table).map_err(wrong)
    }

    fn cut(&self) -> Cut {
        match self {
            Self::Segment => Cut::Lines,
            Self::Table(table) => table.quoted_separator().map_or(Cut::Lines, Cut::Quoted),
        }
    }

    fn is_segment(&self) -> bool {
        matches!(self, Self::Segment)
    }

    fn has_header(&self) -> bool {
        matches!(self, Self::Table(table) if table.has_header())
    }

    fn event(&self, bytes: &[u8], rules: &Rules) -> Result<RowEvent, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let row = match self {
            Self::Segment => RowEvent { event: segment::event(text, &rules.limits)?, traits: None },
            Self::Table(table) => table.event(text)?,
        };
        if row.event.at_ms > rules.latest_ms {
            return Err("its time lies in the future".into());
        }
        Ok(row)
    }
}

fn io_stop(source: &Source, error: io::Error) -> Stop {
    Stop::Io(source.path().display().to_string(), error)
}

/// The files of an import, ready to be read.
pub struct Feed<'a> {
    files: Vec<(Source, Shape)>,
    rules: Rules,
    read: Arc<AtomicU64>,
    ledger: &'a mut Ledger,
    rejects: &'a mut Rejects,
    /// The traits a person was last seen with; only in the order of time is the last also the newest.
    last_traits: Option<HashMap<ProfileId, RawJson, FixedState>>,
    totals: Totals,
}

impl<'a> Feed<'a> {
    /// Looks at the first row of each file.
    ///
    /// # Errors
    /// The mapping and a file do not go together; the system's.
    pub fn new(
        sources: Vec<Source>,
        mapping: &Mapping,
        rules: Rules,
        read: Arc<AtomicU64>,
        ledger: &'a mut Ledger,
        rejects: &'a mut Rejects,
    ) -> Result<Self, Stop> {
        let files = sources.into_iter().map(|source| {
            let shape = Shape::of(&source, mapping)?;
            Ok((source, shape))
        });
        let files = files.collect::<Result<_, Stop>>()?;
        Ok(Self { files, rules, read, ledger, rejects, last_traits: None, totals: Totals::default() })
    }

    /// The files that are read by the mapping.
    pub fn tables(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|(_, shape)| !shape.is_segment()).map(|(source, _)| source)
    }

    /// Makes known what the journal holds already, where Segment calls are among the rows: their message
    /// ids are those the clients gave them, while a table's may be any number.
    ///
    /// # Errors
    /// The journal's.
    pub fn know_events(&mut self, journal: &Journal) -> Result<(), RuntimeError> {
        let calls = self.files.iter().any(|(_, shape)| shape.is_segment());
        if calls { self.ledger.know_events(journal) } else { Ok(()) }
    }

    /// Gives the rows in the order of the files, in batches.
    ///
    /// # Errors
    /// As [`Stop`] says.
    pub fn by_file(mut self, mut give: impl FnMut(Batch) -> Result<(), Stop>) -> Result<Totals, Stop> {
        let mut batch = Batch::default();
        for (index, (source, shape)) in std::mem::take(&mut self.files).iter().enumerate() {
            let reader = source.reader(&self.read).map_err(|error| io_stop(source, error))?;
            self.each_row(source, shape, reader, |feed, record, row| {
                feed.take(number(index), shape, record.bytes, row, &mut batch);
                if batch.rows.len() < COMMIT_ROWS_MAX {
                    return Ok(());
                }
                give(std::mem::take(&mut batch))
            })?;
        }
        if !batch.rows.is_empty() {
            give(batch)?;
        }
        Ok(self.totals)
    }

    /// Gives the rows of all files in the order of time, in batches of one instant each. `spool` is a
    /// directory for the text of gzipped files.
    ///
    /// # Errors
    /// As [`Stop`] says.
    pub fn by_time(mut self, spool: &Path, mut give: impl FnMut(Batch) -> Result<(), Stop>) -> Result<Totals, Stop> {
        self.last_traits = Some(HashMap::default());
        let files = std::mem::take(&mut self.files);
        let mut order = Vec::new();
        let mut places: Vec<Place> = Vec::new();
        for (index, (source, shape)) in files.iter().enumerate() {
            let place = source.place(spool).map_err(|error| io_stop(source, error))?;
            let reader = source.reader(&self.read).and_then(|reader| place.keep(reader));
            let reader = reader.map_err(|error| io_stop(source, error))?;
            self.each_row(source, shape, reader, |_, record, row| {
                let length = record.bytes.len() as u32;
                order.push(Placed { at_ms: row.event.at_ms, file: number(index), offset: record.offset, length });
                Ok(())
            })?;
            places.push(place);
        }
        order.sort_unstable();
        let mut batch = Batch::default();
        let mut bytes = Vec::new();
        for placed in order {
            let index = placed.file as usize - 1;
            let (Some((source, shape)), Some(place)) = (files.get(index), places.get(index)) else { continue };
            place.read(placed.offset, placed.length, &mut bytes).map_err(|error| io_stop(source, error))?;
            let changed = |what: Fault| Stop::Mapping(format!("{} has changed: {what}", source.path().display()));
            let row = shape.event(&bytes, &self.rules).map_err(changed)?;
            let full = batch.at_ms != placed.at_ms || batch.rows.len() == COMMIT_ROWS_MAX;
            if full && !batch.rows.is_empty() {
                give(std::mem::take(&mut batch))?;
            }
            batch.at_ms = placed.at_ms;
            self.take(placed.file, shape, &bytes, row, &mut batch);
        }
        if !batch.rows.is_empty() {
            give(batch)?;
        }
        Ok(self.totals)
    }

    /// Puts a row into the batch, unless it was had before.
    fn take(&mut self, file: u32, shape: &Shape, content: &[u8], mut row: RowEvent, batch: &mut Batch) {
        let traits = row.traits.take().filter(|traits| self.are_new(row.event.node(), traits));
        let seen = match &*row.event.message_id {
            "" => self.ledger.see_content(file, content),
            id => self.ledger.see_id(file, id),
        };
        let Seen::New(id) = seen else {
            self.totals.known += 1;
            return;
        };
        let has_own_id = !row.event.message_id.is_empty();
        if !has_own_id {
            row.event.message_id = format!("import-{id:032x}").into();
        }
        if let Some(traits) = traits {
            batch.events.push(row.identify(traits));
            batch.by_client.push(false);
        }
        batch.events.push(row.event);
        // The ids of a table may be any number; they are not those of the clients.
        batch.by_client.push(has_own_id && shape.is_segment());
        batch.rows.push(id);
    }

    fn are_new(&mut self, person: ProfileId, traits: &RawJson) -> bool {
        let Some(last) = &mut self.last_traits else { return true };
        last.insert(person, traits.clone()).is_none_or(|before| before != *traits)
    }

    fn each_row(
        &mut self,
        source: &Source,
        shape: &Shape,
        reader: Box<dyn Read + Send>,
        mut look: impl FnMut(&mut Self, Record<'_>, RowEvent) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let name = source.path().display().to_string();
        let mut records = Records::new(reader, shape.cut(), RECORD_BYTES_MAX);
        let mut header = shape.has_header();
        loop {
            let (line, fault) = match records.read().map_err(|error| io_stop(source, error))? {
                Next::End => return Ok(()),
                _ if std::mem::take(&mut header) => continue,
                Next::Refused { line, why } => (line, why.into()),
                Next::Record(record) => match shape.event(record.bytes, &self.rules) {
                    Ok(row) => {
                        self.count()?;
                        look(self, record, row)?;
                        continue;
                    }
                    Err(fault) => (record.line, fault),
                },
            };
            self.count()?;
            self.rejects
                .add(&name, line, fault)
                .map_err(|error| Stop::Io("the file of rejected rows".into(), error))?;
        }
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.totals.rows += 1;
        if self.totals.rows > ROWS_MAX { Err(Stop::TooMany) } else { Ok(()) }
    }
}

/// Files are numbered from 1.
fn number(index: usize) -> u32 {
    index as u32 + 1
}

/// Where a row lies, in the order of time; rows of one instant in the order of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    at_ms: Millis,
    file: u32,
    offset: u64,
    length: u32,
}
