//! Liquid, the field's template language: the `liquid` crates, wrapped with limits.
//!
//! The crates bring the grammar, the values, the blocks and part of the filters. What they leave open is here:
//! a template must end (fuel), stay small (a limit for every text), find nothing where there is nothing (no error
//! for what is missing, however deep), and escape what comes of data in HTML. [`prepare`] reads a source first:
//! it says what is wrong and where, finds out where in HTML every output stands, and writes the source anew as the
//! crates' parser takes it without ever failing. A source is compiled once; data never is.

mod around;
mod blocks;
mod dates;
#[cfg(test)]
mod differential;
mod filters;
mod frames;
mod html;
mod language;
mod lists;
mod names;
mod numbers;
mod prepare;
mod source;
mod tags;
#[cfg(test)]
mod tests;
mod texts;
mod tokens;
mod values;
mod words;

use jiff::tz::TimeZone;
use liquid_core::{Renderable, Template, parser};
use serde_json::{Map, Value};

use self::{around::Around, frames::Scope, language::LANGUAGE, names::Names, tags::Out};

/// What is said of a source that is prepared and is not taken.
const UNCOMPILED: &str = "this template can't be compiled, though nothing is wrong with it";

/// What is wrong with a source, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In which line, from 1.
    pub(super) line: u32,
    /// At which character of the line, from 1.
    pub(super) column: u32,
    /// What it is.
    pub(super) what: String,
}

/// A compiled source.
#[derive(Debug)]
pub(super) struct Program {
    template: Template,
    names: Names,
    html: bool,
}

impl Program {
    /// Compiles a source; in HTML what comes of data is escaped.
    ///
    /// # Errors
    /// What is not understood, and where.
    pub(super) fn parse(source: &str, html: bool) -> Result<Self, Fault> {
        let prepared = prepare::prepare(source, html)?;
        let nodes = parser::parse(&prepared.source, &LANGUAGE).map_err(|_| {
            // A defect of this house, which its tests look for.
            Fault { line: 1, column: 1, what: UNCOMPILED.to_owned() }
        })?;
        Ok(Self { template: Template::new(nodes), names: prepared.names, html })
    }

    /// Renders it.
    ///
    /// # Errors
    /// It takes too many steps or comes to too much, and in which line; without personal data.
    pub(super) fn render(
        &self,
        scope: &Map<String, Value>,
        zone: &TimeZone,
        now_ms: i64,
        bytes_max: usize,
    ) -> Result<String, String> {
        let scope = Scope::new(scope, Around::new(zone.clone(), now_ms, self.html));
        let mut out = Out::new(bytes_max);
        match self.template.render_to(&mut out, &scope) {
            Ok(()) => Ok(out.into_text()),
            Err(_) => Err(scope.fault(out.full())),
        }
    }

    /// The traits it looks at.
    pub(super) fn traits(&self) -> impl Iterator<Item = &str> {
        self.names.traits.iter().map(AsRef::as_ref)
    }

    /// What of `source`, which it was compiled of, may not be what was meant: names that are neither among
    /// `known` nor its own, fields that nothing has, and all of a person spoken of at once.
    pub(super) fn doubts(&self, source: &str, known: &[&str]) -> Vec<Fault> {
        let source = source::Source::new(source);
        let unknown = self.names.unknown(known);
        let unknown = unknown.map(|(root, at)| source.fault(at, format!("there is no `{root}` here: it is empty")));
        let fields = self.names.unknown_fields();
        let fields =
            fields.map(|(root, field, at)| source.fault(at, format!("there is no `{root}.{field}`: it is empty")));
        let what = "all of a person at once: name the trait, as in `person.first_name`";
        unknown.chain(fields).chain(self.names.whole.map(|at| source.fault(at, what))).collect()
    }
}
