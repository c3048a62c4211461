//! The names a source speaks of.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::scope::{PERSON_ROOTS, has_field};

/// Unknown names that are told at most.
const ROOTS_MAX: usize = 64;
/// Fields that are kept at most.
const FIELDS_MAX: usize = 1_000;

/// The names a source speaks of, each with where it first does, in bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those it looks up.
    roots: BTreeMap<Box<str>, usize>,
    /// Fields of the person.
    pub(super) traits: BTreeSet<Box<str>>,
    /// Where it first speaks of all of a person.
    pub(super) whole: Option<usize>,
    /// The first fields of those it looks up.
    fields: BTreeMap<(Box<str>, Box<str>), usize>,
    own: BTreeSet<Box<str>>,
}

impl Names {
    /// It gives this name a value itself.
    pub(super) fn gives(&mut self, name: &str) {
        self.own.insert(name.into());
    }

    /// It looks this name up, and the field `first` of it.
    pub(super) fn looks_at(&mut self, root: &str, first: Option<&str>, at: usize) {
        self.roots.entry(root.into()).or_insert(at);
        if let Some(field) = first.filter(|_| self.fields.len() < FIELDS_MAX) {
            self.fields.entry((root.into(), field.into())).or_insert(at);
        }
        if PERSON_ROOTS.contains(&root) {
            match first {
                Some(name) => {
                    self.traits.insert(name.into());
                }
                None => self.whole = self.whole.or(Some(at)),
            }
        }
    }

    /// Those that are neither its own nor among `known`, at most so many.
    pub(super) fn unknown(&self, known: &[&str]) -> impl Iterator<Item = (&str, usize)> {
        let is_unknown = |root: &str| root != "forloop" && !known.contains(&root) && !self.own.contains(root);
        let roots = self.roots.iter().map(|(root, at)| (root.as_ref(), *at));
        roots.filter(move |(root, _)| is_unknown(root)).take(ROOTS_MAX)
    }

    /// The fields of names that are not its own, where nothing has such a field, at most so many.
    pub(super) fn unknown_fields(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        let fields = self.fields.iter().map(|((root, field), at)| (root.as_ref(), field.as_ref(), *at));
        fields.filter(|(root, field, _)| !self.own.contains(*root) && !has_field(root, field)).take(ROOTS_MAX)
    }
}
