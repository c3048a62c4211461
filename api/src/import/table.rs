//! Rows of cells as events.

use std::borrow::Cow;

use impresario_agents::vocabulary::{EventKind, KeptNode, RawJson, Text, Tracked};
use jiff::tz::TimeZone;

use super::{Decimal, Mapping, Separator, TimeFormat, limits::TABLE_NAME_BYTES_MAX};
use crate::ingest::check_order;

/// Why a row is no event; without what its cells hold, which may be personal.
pub type Fault = Cow<'static, str>;

/// What one row says.
#[derive(Debug)]
pub struct RowEvent {
    /// What happened. Its message id is empty where the row has none; it counts as received when it
    /// happened.
    pub event: Tracked,
    /// Traits of the person beside it.
    pub traits: Option<RawJson>,
}

impl RowEvent {
    /// The `identify` call that says the traits, at the same instant.
    pub fn identify(&self, traits: RawJson) -> Tracked {
        Tracked {
            kind: EventKind::Identify,
            message_id: format!("{}-traits", self.event.message_id).into(),
            name: "".into(),
            properties: traits,
            context: RawJson::default(),
            ..self.event.clone()
        }
    }
}

/// A mapping, resolved against the columns of one file.
#[derive(Debug)]
pub struct Table {
    separator: Separator,
    has_header: bool,
    user: Option<usize>,
    anonymous: Option<usize>,
    time: usize,
    time_format: TimeFormat,
    time_format_name: String,
    zone: TimeZone,
    event: Event,
    negative: Vec<(usize, Box<str>)>,
    message_id: Option<usize>,
    properties: Vec<Field>,
    traits: Vec<Field>,
    /// Properties that never change, as JSON without braces.
    fixed: String,
    decimal_comma: bool,
}

#[derive(Debug)]
enum Event {
    /// Who the person is, and nothing they did.
    Identify,
    Named(Box<str>),
    Column(usize),
}

#[derive(Debug)]
struct Field {
    name: String,
    /// `"name":`
    key: String,
    from: From,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Cell(usize),
    Product(usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number where the cell is one, and `true` and `false`; else a text.
    Auto,
    Number,
    String,
    Bool,
}

/// The columns of a file, for finding one.
struct Columns<'a> {
    header: Option<Vec<Cow<'a, str>>>,
    count: usize,
}

impl Columns<'_> {
    fn find(&self, name: &str) -> Result<usize, String> {
        let wanted = name.trim();
        if let Some(header) = &self.header {
            let exact = header.iter().position(|column| column == wanted);
            let found = exact.or_else(|| header.iter().position(|column| column.eq_ignore_ascii_case(wanted)));
            if let Some(found) = found {
                return Ok(found);
            }
        }
        match wanted.strip_prefix('#').unwrap_or(wanted).parse::<usize>() {
            Ok(number) if (1..=self.count).contains(&number) => Ok(number - 1),
            _ => Err(match &self.header {
                Some(header) => format!("there is no column `{wanted}`; there are: {}", header.join(", ")),
                None => format!("there is no column `{wanted}`; there is no header, and {} columns", self.count),
            }),
        }
    }

    fn optional(&self, name: Option<&String>) -> Result<Option<usize>, String> {
        name.map(|name| self.find(name)).transpose()
    }

    fn field(&self, name: &str, from: &str) -> Result<Field, String> {
        let (from, kind) = match from.rsplit_once(':') {
            Some((from, "number")) => (from, Kind::Number),
            Some((from, "string")) => (from, Kind::String),
            Some((from, "bool")) => (from, Kind::Bool),
            _ => (from, Kind::Auto),
        };
        let key = format!("{}:", serde_json::Value::from(name));
        let name = name.to_owned();
        if let Ok(cell) = self.find(from) {
            return Ok(Field { name, key, from: From::Cell(cell), kind });
        }
        match from.split_once('*') {
            Some((left, right)) => {
                let from = From::Product(self.find(left)?, self.find(right)?);
                Ok(Field { name, key, from, kind: Kind::Number })
            }
            None => self.find(from).map(|cell| Field { name, key, from: From::Cell(cell), kind }),
        }
    }
}

impl Table {
    /// Resolves `mapping` against the first row of a file.
    ///
    /// # Errors
    /// What is missing in the mapping, or not in the file.
    pub fn new(mapping: &Mapping, first: &str) -> Result<Self, String> {
        let separator = match &mapping.separator {
            None => Separator::guess(first),
            Some(name) if name == "auto" => Separator::guess(first),
            Some(name) => Separator::from_name(name).ok_or_else(|| format!("`{name}` is no separator"))?,
        };
        let time_format_name = mapping.time_format.clone().unwrap_or_else(|| "iso".into());
        let time_format = TimeFormat::from_name(&time_format_name)?;
        let zone_name = mapping.zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(zone_name).map_err(|_| format!("there is no time zone `{zone_name}`"))?;
        let time = mapping.time.as_ref().ok_or("say which column holds the time (`--time COLUMN`)")?;
        if mapping.user.is_none() && mapping.anonymous.is_none() {
            return Err("say which column holds the person's id (`--user COLUMN` or `--anonymous COLUMN`)".into());
        }
        let mut cells = Vec::new();
        separator.split(first, &mut cells).ok_or("the first row has too many cells")?;
        let count = cells.len();
        let headed = Columns { header: Some(cells.clone()), count };
        let bare = Columns { header: None, count };
        let has_header = mapping.header.unwrap_or_else(|| {
            let by_number = bare.find(time).ok().and_then(|time| cells.get(time));
            by_number.is_none_or(|cell| time_format.parse(cell, &zone).is_none())
        });
        let columns = if has_header { headed } else { bare };
        let event = match (&mapping.event, &mapping.event_column) {
            (Some(_), Some(_)) => return Err("the event's name is given as a constant and as a column".into()),
            (Some(name), None) => Event::Named(checked_name(name)?.into()),
            (None, Some(column)) => Event::Column(columns.find(column)?),
            (None, None) if !mapping.traits.is_empty() && mapping.properties.is_empty() => Event::Identify,
            (None, None) => {
                return Err("say what happened: `--event NAME`, or `--event-column COLUMN` (or traits alone)".into());
            }
        };
        let negative = mapping.event_if_negative.iter();
        let negative = negative.map(|(column, name)| Ok((columns.find(column)?, checked_name(name)?.into())));
        let fixed = mapping.set.iter().map(|(name, value)| {
            format!("{}:{}", serde_json::Value::from(name.as_str()), auto_value(value, mapping.decimal_comma))
        });
        Ok(Self {
            user: columns.optional(mapping.user.as_ref())?,
            anonymous: columns.optional(mapping.anonymous.as_ref())?,
            time: columns.find(time)?,
            event,
            negative: negative.collect::<Result<_, String>>()?,
            message_id: columns.optional(mapping.message_id.as_ref())?,
            properties: fields(&columns, &mapping.properties)?,
            traits: fields(&columns, &mapping.traits)?,
            fixed: fixed.collect::<Vec<_>>().join(","),
            decimal_comma: mapping.decimal_comma,
            separator,
            has_header,
            time_format,
            time_format_name,
            zone,
        })
    }

    /// Whether the first row names the columns.
    pub fn has_header(&self) -> bool {
        self.has_header
    }

    /// The byte between cells, where cells may be quoted.
    pub fn quoted_separator(&self) -> Option<u8> {
        match self.separator {
            Separator::Byte(byte) => Some(byte),
            Separator::Whitespace => None,
        }
    }

    /// A row as an event.
    ///
    /// # Errors
    /// Why it is none.
    pub fn event(&self, row: &str) -> Result<RowEvent, Fault> {
        let mut cells = Vec::with_capacity(16);
        self.separator.split(row, &mut cells).ok_or("it has too many cells")?;
        let at_ms = self.instant(&cells)?;
        let user_id = self.id(&cells, self.user, "user id")?;
        let anonymous_id = self.id(&cells, self.anonymous, "anonymous id")?;
        if user_id.is_none() && anonymous_id.is_none() {
            return Err("it names no person".into());
        }
        let mut name = match &self.event {
            Event::Identify => "",
            Event::Named(name) => name,
            Event::Column(column) => {
                let name = cell(&cells, *column);
                if name.is_empty() {
                    return Err("it names no event".into());
                }
                checked_name(name).map_err(Fault::from)?
            }
        };
        let mut unsigned = false;
        for (column, refund) in &self.negative {
            let number = Decimal::parse(cell(&cells, *column), self.decimal_comma);
            if number.is_some_and(Decimal::is_negative) {
                name = refund;
                unsigned = true;
            }
        }
        let message_id = self.message_id.map(|column| cell(&cells, column)).unwrap_or_default();
        if self.message_id.is_some() && (message_id.is_empty() || message_id.chars().count() > 90) {
            return Err("its message id is empty, or longer than 90 characters".into());
        }
        let mut properties = String::with_capacity(128);
        properties.push('{');
        properties.push_str(&self.fixed);
        self.put_fields(&self.properties, &cells, unsigned, &mut properties)?;
        properties.push('}');
        check_order(EventKind::Track, name, &properties).map_err(|reason| reason.to_string())?;
        let mut traits = String::new();
        if !self.traits.is_empty() {
            traits.push('{');
            self.put_fields(&self.traits, &cells, false, &mut traits)?;
            traits.push('}');
        }
        let identify = matches!(self.event, Event::Identify);
        let beside = (!identify && traits.len() > 2).then(|| RawJson::from_checked(traits.as_str()));
        let event = Tracked {
            kind: if identify { EventKind::Identify } else { EventKind::Track },
            message_id: message_id.into(),
            user_id,
            anonymous_id,
            previous_id: None,
            group_id: None,
            name: name.into(),
            at_ms,
            original_at_ms: Some(at_ms),
            sent_at_ms: None,
            received_at_ms: at_ms,
            properties: RawJson::from_checked(if identify { traits } else { properties }),
            context: RawJson::default(),
            source: "import".into(),
            kept_node: KeptNode::default(),
        };
        Ok(RowEvent { event, traits: beside })
    }

    fn instant(&self, cells: &[Cow<'_, str>]) -> Result<i64, Fault> {
        let text = cell(cells, self.time);
        if text.is_empty() {
            return Err("it has no time".into());
        }
        let at_ms = self.time_format.parse(text, &self.zone);
        at_ms.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("its time `{shown}` is not of the format `{}`", self.time_format_name).into()
        })
    }

    fn id(&self, cells: &[Cow<'_, str>], column: Option<usize>, what: &str) -> Result<Option<Text>, Fault> {
        let text = column.map(|column| cell(cells, column)).unwrap_or_default();
        if text.len() > TABLE_NAME_BYTES_MAX || text.contains('\0') {
            return Err(format!("its {what} is longer than {TABLE_NAME_BYTES_MAX} bytes, or holds a NUL").into());
        }
        Ok(Some(text).filter(|text| !text.is_empty()).map(Into::into))
    }

    fn put_fields(
        &self,
        fields: &[Field],
        cells: &[Cow<'_, str>],
        unsigned: bool,
        json: &mut String,
    ) -> Result<(), Fault> {
        for field in fields {
            let Some(value) = self.value(field, cells, unsigned)? else { continue };
            if !json.ends_with('{') {
                json.push(',');
            }
            json.push_str(&field.key);
            json.push_str(&value);
        }
        Ok(())
    }

    /// A field's value as JSON; `None` for an empty cell.
    fn value(&self, field: &Field, cells: &[Cow<'_, str>], unsigned: bool) -> Result<Option<String>, Fault> {
        let signed = |number: Decimal| if unsigned { number.abs() } else { number };
        let wrong = |what: &str| Fault::from(format!("`{}` is no {what}", field.name));
        let text = match field.from {
            From::Cell(column) => cell(cells, column),
            From::Product(left, right) => {
                let (left, right) = (cell(cells, left), cell(cells, right));
                if left.is_empty() || right.is_empty() {
                    return Ok(None);
                }
                let left = Decimal::parse(left, self.decimal_comma).ok_or_else(|| wrong("number"))?;
                let right = Decimal::parse(right, self.decimal_comma).ok_or_else(|| wrong("number"))?;
                let product = left.times(right).ok_or_else(|| wrong("number of a sensible size"))?;
                return Ok(Some(signed(product).to_string()));
            }
        };
        if text.is_empty() {
            return Ok(None);
        }
        let number = || Decimal::parse(text, self.decimal_comma);
        let value = match field.kind {
            Kind::Number => signed(number().ok_or_else(|| wrong("number"))?).to_string(),
            Kind::String => serde_json::Value::from(text).to_string(),
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => "true".into(),
                "false" | "f" | "no" | "n" | "0" => "false".into(),
                _ => return Err(wrong("yes or no")),
            },
            Kind::Auto => match number().filter(|_| is_plain_number(text)) {
                Some(number) => signed(number).to_string(),
                None => auto_value(text, self.decimal_comma),
            },
        };
        Ok(Some(value))
    }
}

fn fields(columns: &Columns<'_>, named: &std::collections::BTreeMap<String, String>) -> Result<Vec<Field>, String> {
    named.iter().map(|(name, from)| columns.field(checked_name(name)?, from)).collect()
}

fn cell<'a>(cells: &'a [Cow<'_, str>], column: usize) -> &'a str {
    cells.get(column).map(|cell| cell.trim()).unwrap_or_default()
}

fn checked_name(name: &str) -> Result<&str, String> {
    if name.is_empty() || name.len() > TABLE_NAME_BYTES_MAX || name.contains('\0') {
        return Err(format!("a name is 1 to {TABLE_NAME_BYTES_MAX} bytes with no NUL"));
    }
    Ok(name)
}

/// A number that reads the same as a text: `0012` is an article, not twelve.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let padded =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    !padded && digits.starts_with(|first: char| first.is_ascii_digit())
}

fn auto_value(text: &str, decimal_comma: bool) -> String {
    match Decimal::parse(text, decimal_comma).filter(|_| is_plain_number(text)) {
        Some(number) => number.to_string(),
        None if text == "true" || text == "false" => text.to_owned(),
        None => serde_json::Value::from(text).to_string(),
    }
}
