//! The names a source speaks of.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    expression::{Condition, Operand, Path, Piped, Stage},
    parse::Node,
};
use crate::content::scope::PERSON_ROOTS;

/// Unknown names that are told at most.
const ROOTS_MAX: usize = 64;

/// The names a source speaks of, each with where it first does, in bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that are not its own.
    pub(super) roots: BTreeMap<Box<str>, usize>,
    /// Fields of the person.
    pub(super) traits: BTreeSet<Box<str>>,
    /// Where it first speaks of all of a person.
    pub(super) whole: Option<usize>,
    own: BTreeSet<Box<str>>,
}

impl Names {
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut names = Self::default();
        names.own.insert("forloop".into());
        names.nodes(nodes);
        let own = std::mem::take(&mut names.own);
        names.roots.retain(|root, _| !own.contains(root));
        while names.roots.len() > ROOTS_MAX {
            names.roots.pop_last();
        }
        names
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Output { piped, .. } => self.piped(piped),
                Node::If { branches } => {
                    for (wanted, body) in branches {
                        if let Some(wanted) = wanted {
                            self.condition(&wanted.condition);
                        }
                        self.nodes(body);
                    }
                }
                Node::Case { subject, branches } => {
                    self.operand(subject);
                    for (values, body) in branches {
                        values.iter().flatten().for_each(|value| self.operand(value));
                        self.nodes(body);
                    }
                }
                Node::For(each) => {
                    self.own.insert(each.variable.clone());
                    self.operand(&each.list);
                    each.limit.iter().chain(&each.offset).for_each(|operand| self.operand(operand));
                    self.nodes(&each.body);
                    self.nodes(&each.none);
                }
                Node::Assign { name, piped } => {
                    self.own.insert(name.clone());
                    self.piped(piped);
                }
                Node::Capture { name, body } => {
                    self.own.insert(name.clone());
                    self.nodes(body);
                }
                Node::Count { name, .. } => {
                    self.own.insert(name.clone());
                }
                Node::Cycle { items, .. } => items.iter().for_each(|item| self.operand(item)),
            }
        }
    }

    fn condition(&mut self, condition: &Condition) {
        for test in std::iter::once(&condition.first).chain(condition.rest.iter().map(|(_, test)| test)) {
            self.operand(&test.left);
            if let Some((_, right)) = &test.right {
                self.operand(right);
            }
        }
    }

    fn piped(&mut self, piped: &Piped) {
        self.operand(&piped.head);
        for call in &piped.calls {
            call.arguments.iter().for_each(|argument| self.operand(argument));
            call.named.iter().for_each(|(_, argument)| self.operand(argument));
        }
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Literal(_) | Operand::Empty | Operand::Blank => {}
            Operand::Range(from, to) => {
                self.operand(from);
                self.operand(to);
            }
            Operand::Path(path) => self.path(path),
        }
    }

    fn path(&mut self, path: &Path) {
        self.roots.entry(path.root.clone()).or_insert(path.at);
        if PERSON_ROOTS.contains(&path.root.as_ref()) {
            match path.steps.first() {
                Some(Stage::Field(name)) => {
                    self.traits.insert(name.clone());
                }
                _ => self.whole = self.whole.or(Some(path.at)),
            }
        }
        for step in &path.steps {
            if let Stage::Index(operand) = step {
                self.operand(operand);
            }
        }
    }
}
