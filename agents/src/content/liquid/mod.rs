//! Liquid, the field's template language, with limits.
//!
//! Written for this house, since a template here must end (fuel), stay small (a limit for every text), find
//! nothing where there is nothing (no error for what is missing, however deep), and escape what comes of data in
//! HTML. A source is compiled once; data never is.

mod dates;
mod expression;
mod filters;
mod html;
mod names;
mod numbers;
mod parse;
mod run;
mod source;
#[cfg(test)]
mod tests;
mod texts;
mod tokens;
mod value;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use self::{names::Names, parse::Node};

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
    nodes: Vec<Node>,
    names: Names,
    html: bool,
}

impl Program {
    /// Compiles a source; in HTML what comes of data is escaped.
    ///
    /// # Errors
    /// What is not understood, and where.
    pub(super) fn parse(source: &str, html: bool) -> Result<Self, Fault> {
        let nodes = parse::parse(source, html)?;
        let names = Names::of(&nodes);
        Ok(Self { nodes, names, html })
    }

    /// Renders it.
    ///
    /// # Errors
    /// It takes too many steps or comes to too much; without personal data.
    pub(super) fn render(
        &self,
        scope: &Map<String, Value>,
        zone: &TimeZone,
        now_ms: i64,
        bytes_max: usize,
    ) -> Result<String, String> {
        run::run(&self.nodes, scope, zone, now_ms, bytes_max, self.html)
    }

    /// The traits it looks at.
    pub(super) fn traits(&self) -> impl Iterator<Item = &str> {
        self.names.traits.iter().map(AsRef::as_ref)
    }

    /// What of `source`, which it was compiled of, may not be what was meant: names that are neither among
    /// `known` nor its own, and all of a person spoken of at once.
    pub(super) fn doubts(&self, source: &str, known: &[&str]) -> Vec<Fault> {
        let source = source::Source::new(source);
        let unknown = self.names.roots.iter().filter(|(root, _)| !known.contains(&root.as_ref()));
        let unknown = unknown.map(|(root, at)| source.fault(*at, format!("there is no `{root}` here: it is empty")));
        let what = "all of a person at once: name the trait, as in `person.first_name`";
        unknown.chain(self.names.whole.map(|at| source.fault(at, what))).collect()
    }
}
