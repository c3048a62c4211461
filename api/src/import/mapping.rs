//! How a file's columns become events: by flags, by a TOML file, or both (a flag wins).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Segment calls, one JSON object a line.
    Segment,
    /// Rows of cells.
    Table,
}

/// How a file's columns become events. A column is named as in the header, or by its number from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// What the file holds; by its first byte where nobody says.
    pub format: Option<FileFormat>,
    /// What stands between cells: `comma`, `semicolon`, `tab`, `pipe`, `whitespace` or a character;
    /// by the first row where nobody says.
    pub separator: Option<String>,
    /// Whether the first row is a header; where nobody says, it is one unless its time cell holds a time.
    pub header: Option<bool>,
    /// Column of the person's id in the shop's own database.
    pub user: Option<String>,
    /// Column of an anonymous id.
    pub anonymous: Option<String>,
    /// Column of the event's time.
    pub time: Option<String>,
    /// `iso` (default), `s`, `ms`, or a pattern as of `strftime`.
    pub time_format: Option<String>,
    /// Time zone of times without an offset, an IANA name; UTC where nobody says.
    pub zone: Option<String>,
    /// Name of every event.
    pub event: Option<String>,
    /// Column of the event's name.
    pub event_column: Option<String>,
    /// Column and the event's name where its number is below zero, e.g. a return. The numbers of such
    /// a row lose their sign: the name says it.
    pub event_if_negative: BTreeMap<String, String>,
    /// Column of an id of the row, unique among all rows; without it a row is known by its content.
    pub message_id: Option<String>,
    /// Name of a property, and its column: `COLUMN` or `COLUMN*COLUMN`, then `:number`, `:string` or
    /// `:bool` where it is not to be told by the cell.
    pub properties: BTreeMap<String, String>,
    /// Name of a trait of the person, and its column.
    pub traits: BTreeMap<String, String>,
    /// Properties that are the same in every row.
    pub set: BTreeMap<String, String>,
    /// Whether numbers are written `1.234,50`.
    pub decimal_comma: bool,
}

impl Mapping {
    /// A mapping out of a TOML file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// This mapping where it says something, else `other`.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (mine, theirs) in [
            (&mut self.event_if_negative, other.event_if_negative),
            (&mut self.properties, other.properties),
            (&mut self.traits, other.traits),
            (&mut self.set, other.set),
        ] {
            for (name, value) in theirs {
                mine.entry(name).or_insert(value);
            }
        }
        // A name given here is not to be overruled by a column given there.
        let names = self.event.is_some() || self.event_column.is_some();
        let events = if names { (self.event, self.event_column) } else { (other.event, other.event_column) };
        Self {
            format: self.format.or(other.format),
            separator: self.separator.or(other.separator),
            header: self.header.or(other.header),
            user: self.user.or(other.user),
            anonymous: self.anonymous.or(other.anonymous),
            time: self.time.or(other.time),
            time_format: self.time_format.or(other.time_format),
            zone: self.zone.or(other.zone),
            event: events.0,
            event_column: events.1,
            event_if_negative: self.event_if_negative,
            message_id: self.message_id.or(other.message_id),
            properties: self.properties,
            traits: self.traits,
            set: self.set,
            decimal_comma: self.decimal_comma || other.decimal_comma,
        }
    }

    /// Whether anything in it is about columns.
    pub fn names_columns(&self) -> bool {
        self.user.is_some() || self.time.is_some() || self.anonymous.is_some()
    }

    /// What stands for it in the ledger: two mappings that say the same have the same digest.
    pub fn digest(&self) -> [u8; 32] {
        // A struct of texts and ordered maps has one text in JSON, and always has one.
        let text = serde_json::to_vec(self).unwrap_or_default();
        *blake3::hash(&text).as_bytes()
    }
}

/// A pair of the command line, `NAME=VALUE`.
///
/// # Errors
/// There is no `=`, or nothing before or after it.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{text}` is not of the form NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_flags_say_the_same() {
        let text = r#"
            user = "CustomerID"
            time = "InvoiceDate"
            event = "Order Completed"
            event_if_negative = { Quantity = "Order Refunded" }
            [properties]
            revenue = "Quantity*UnitPrice"
            [set]
            currency = "GBP"
        "#;
        let from_file = Mapping::from_toml(text).expect("a mapping");
        let mut flags = Mapping { user: Some("CustomerID".into()), ..Mapping::default() };
        flags.time = Some("InvoiceDate".into());
        flags.event = Some("Order Completed".into());
        flags.event_if_negative.insert("Quantity".into(), "Order Refunded".into());
        flags.properties.insert("revenue".into(), "Quantity*UnitPrice".into());
        flags.set.insert("currency".into(), "GBP".into());
        assert_eq!(from_file.digest(), flags.digest());
        assert_eq!(Mapping::default().or(flags.clone()), from_file);
        let other = Mapping { event_column: Some("What".into()), ..Mapping::default() }.or(flags);
        assert_eq!((other.event, other.event_column.as_deref()), (None, Some("What")));
        assert!(Mapping::from_toml("usr = 'CustomerID'").is_err());
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        assert_eq!(pair("revenue=a=b"), Ok(("revenue".into(), "a=b".into())));
        assert!(pair("revenue").is_err());
        assert!(pair("=x").is_err());
    }
}
