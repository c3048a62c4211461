//! Scenario files: their shape, how they write time, and what they mean.

mod awaited;
mod chance;
mod commands;
mod events;
mod expectations;
mod faults;
mod file;
mod messages;
mod people;
mod plan;
mod time;

pub(crate) use chance::Chance;
pub(crate) use faults::{shuffle_instants, with_faults};
pub(crate) use people::pick;

use serde_saphyr::{Location, Spanned};

use crate::{FormatError, Scenario, model::Variant};

/// Bytes of a scenario file at most.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// People at most, generated ones included.
pub(crate) const PEOPLE_MAX: usize = 20_000;
/// Events at most, generated ones included.
pub(crate) const EVENTS_MAX: usize = 200_000;

impl Scenario {
    /// Reads the text of a scenario file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        plan::plan(&Self::file(text)?, None)
    }

    /// The same world by another seed and with another policy; nothing is expected of it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_variant(text: &str, seed: u64, variant: &Variant) -> Result<Self, FormatError> {
        let mut file = Self::file(text)?;
        file.seed = seed;
        plan::plan(&file, Some(variant))
    }

    fn file(text: &str) -> Result<file::File, FormatError> {
        if text.len() > FILE_BYTES_MAX {
            let what = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
            return Err(FormatError { line: 1, column: 1, what });
        }
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let location = error.location().unwrap_or(Location::UNKNOWN);
            let what = plain(&error.without_snippet().to_string());
            FormatError { line: location.line(), column: location.column(), what }
        })
    }
}

/// serde's words without the place, which is told beside them.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    let line = line.split(" at line ").next().unwrap_or(line);
    line.split(", set DuplicateKeyPolicy").next().unwrap_or(line).to_owned()
}

/// An error at the place of `value`.
fn wrong<T>(value: &Spanned<T>, what: impl Into<String>) -> FormatError {
    FormatError { line: value.referenced.line(), column: value.referenced.column(), what: what.into() }
}

/// Reads `text` with `read`; an error gets its place.
fn read_at<R>(text: &Spanned<String>, read: impl FnOnce(&str) -> Result<R, String>) -> Result<R, FormatError> {
    read(&text.value).map_err(|what| wrong(text, what))
}
