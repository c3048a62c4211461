//! Rendering: with fuel, and a limit for every text.

use std::{borrow::Cow, cell::Cell, cmp::Ordering, collections::BTreeMap};

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{
    expression::{Comparison, Condition, Operand, Path, Piped, Stage, Test},
    filters::Around,
    html::{Spot, is_harmless},
    numbers,
    parse::{Loop, Node},
    texts,
    value::{self, is_blank, is_empty, is_true, weight},
};
use crate::content::limits;

/// What follows a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// One round of a loop.
struct Round<'a> {
    variable: &'a str,
    item: Value,
    at: usize,
    length: usize,
}

struct Run<'a> {
    scope: &'a Map<String, Value>,
    zone: &'a TimeZone,
    now_ms: i64,
    html: bool,
    fuel: Cell<u64>,
    /// What was assigned, and whether it is HTML already.
    own: BTreeMap<&'a str, (Value, bool)>,
    counts: BTreeMap<&'a str, i64>,
    cycles: BTreeMap<&'a str, usize>,
    /// Where the loops of a name stopped.
    stopped: BTreeMap<&'a str, usize>,
    rounds: Vec<Round<'a>>,
}

/// What is written, and its limit.
struct Out {
    text: String,
    bytes_max: usize,
}

impl Out {
    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > self.bytes_max {
            return Err(format!("it comes to more than {} bytes", self.bytes_max));
        }
        self.text.push_str(text);
        Ok(())
    }
}

pub(super) fn run(
    nodes: &[Node],
    scope: &Map<String, Value>,
    zone: &TimeZone,
    now_ms: i64,
    bytes_max: usize,
    html: bool,
) -> Result<String, String> {
    let mut run = Run {
        scope,
        zone,
        now_ms,
        html,
        fuel: Cell::new(limits::FUEL_MAX),
        own: BTreeMap::new(),
        counts: BTreeMap::new(),
        cycles: BTreeMap::new(),
        stopped: BTreeMap::new(),
        rounds: Vec::new(),
    };
    let mut out = Out { text: String::new(), bytes_max };
    run.nodes(nodes, &mut out)?;
    Ok(out.text)
}

impl<'a> Run<'a> {
    fn burn(&self, steps: usize) -> Result<(), String> {
        let left = self.fuel.get().checked_sub(steps as u64);
        self.fuel.set(left.ok_or_else(|| format!("it takes more than {} steps", limits::FUEL_MAX))?);
        Ok(())
    }

    fn nodes(&mut self, nodes: &'a [Node], out: &mut Out) -> Result<Flow, String> {
        for node in nodes {
            self.burn(1)?;
            let flow = self.node(node, out)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &'a Node, out: &mut Out) -> Result<Flow, String> {
        match node {
            Node::Text(text) => out.push(text)?,
            Node::Output { piped, spot } => {
                let (value, safe) = self.piped(piped)?;
                let said = value::text(&value);
                self.burn(said.len() / 16)?;
                out.push(&placed(said, *spot, safe))?;
            }
            Node::If { branches } => {
                for (wanted, body) in branches {
                    let holds = match wanted {
                        Some(wanted) => self.holds(&wanted.condition)? == wanted.holds,
                        None => true,
                    };
                    if holds {
                        return self.nodes(body, out);
                    }
                }
            }
            Node::Case { subject, branches } => {
                let mut chosen = None;
                for (values, body) in branches {
                    match values {
                        Some(values) => {
                            for value in values {
                                if self.compare(subject, Comparison::Equal, value)? {
                                    chosen = Some(body);
                                    break;
                                }
                            }
                        }
                        None => chosen = Some(body),
                    }
                    if chosen.is_some() {
                        break;
                    }
                }
                if let Some(body) = chosen {
                    return self.nodes(body, out);
                }
            }
            Node::For(each) => return self.each(each, out),
            Node::Assign { name, piped } => {
                let (value, safe) = self.piped(piped)?;
                let value = value.into_owned();
                self.burn(weight(&value) / 16)?;
                self.own.insert(name, (value, safe));
            }
            Node::Capture { name, body } => {
                let mut captured = Out { text: String::new(), bytes_max: limits::VALUE_BYTES_MAX };
                let flow = self.nodes(body, &mut captured)?;
                self.burn(captured.text.len() / 16)?;
                self.own.insert(name, (Value::String(captured.text), self.html));
                return Ok(flow);
            }
            Node::Count { name, down } => {
                let count = self.counts.entry(name).or_insert(0);
                let said = if *down {
                    *count = count.saturating_sub(1);
                    *count
                } else {
                    *count = count.saturating_add(1);
                    count.saturating_sub(1)
                };
                out.push(&said.to_string())?;
            }
            Node::Cycle { group, items } => {
                let turn = self.cycles.entry(group).or_insert(0);
                let item = items.get(*turn % items.len().max(1));
                *turn = turn.wrapping_add(1);
                if let Some(item) = item {
                    let said = value::text(self.operand(item)?.as_ref());
                    self.burn(said.len() / 16)?;
                    let spot = if self.html { Spot::Html } else { Spot::Plain };
                    out.push(&placed(said, spot, matches!(item, Operand::Literal(_))))?;
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn each(&mut self, each: &'a Loop, out: &mut Out) -> Result<Flow, String> {
        let list = self.operand(&each.list)?;
        self.burn(weight(&list) / 16)?;
        let items: Vec<Value> = match list.as_ref() {
            Value::Array(items) => items.clone(),
            Value::Object(fields) => fields.iter().map(|(name, value)| json!([name, value])).collect(),
            Value::String(text) if !text.is_empty() => vec![list.as_ref().clone()],
            _ => Vec::new(),
        };
        let bound = |operand: &Option<Operand>| -> Result<Option<usize>, String> {
            let Some(operand) = operand else { return Ok(None) };
            let number = numbers::whole(self.operand(operand)?.as_ref()).unwrap_or(0);
            Ok(Some(usize::try_from(number).unwrap_or(0)))
        };
        let resumed = if each.continues { self.stopped.get(each.name.as_ref()).copied() } else { None };
        let from = bound(&each.offset)?.or(resumed).unwrap_or(0);
        let limit = bound(&each.limit)?.unwrap_or(usize::MAX);
        let mut chosen: Vec<Value> = items.into_iter().skip(from).take(limit).collect();
        self.stopped.insert(&each.name, from.saturating_add(chosen.len()));
        if each.reversed {
            chosen.reverse();
        }
        if chosen.is_empty() {
            return self.nodes(&each.none, out);
        }
        let length = chosen.len();
        for (at, item) in chosen.into_iter().enumerate() {
            self.burn(1)?;
            self.rounds.push(Round { variable: &each.variable, item, at, length });
            let flow = self.nodes(&each.body, out);
            self.rounds.pop();
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// A value after its filters, and whether it is HTML already.
    fn piped(&self, piped: &'a Piped) -> Result<(Cow<'_, Value>, bool), String> {
        let mut value = self.operand(&piped.head)?;
        let mut safe = match &piped.head {
            Operand::Path(path) if path.steps.is_empty() && piped.calls.is_empty() => self.is_safe(&path.root),
            // What the author wrote.
            Operand::Literal(_) => piped.calls.is_empty(),
            _ => false,
        };
        for call in &piped.calls {
            let mut arguments = Vec::with_capacity(call.arguments.len());
            for argument in &call.arguments {
                arguments.push(self.operand(argument)?);
            }
            let mut allow_false = false;
            for (name, operand) in &call.named {
                allow_false |= name.as_ref() == "allow_false" && is_true(self.operand(operand)?.as_ref());
            }
            let taken = weight(&value) + arguments.iter().map(|argument| weight(argument)).sum::<usize>();
            self.burn(1 + taken / 16)?;
            let around = Around { zone: self.zone, now_ms: self.now_ms, html: self.html, allow_false };
            let done = call.filter.apply(&value, &arguments, &around)?;
            let bytes = weight(&done);
            self.burn(bytes / 16)?;
            if done.is_string() && bytes > limits::VALUE_BYTES_MAX {
                return Err("a value on its way through the filters is too large".to_owned());
            }
            value = Cow::Owned(done);
            safe = call.filter.is_safe();
        }
        Ok((value, safe && self.html))
    }

    fn is_safe(&self, root: &str) -> bool {
        let is_of_loop = self.rounds.iter().any(|round| round.variable == root);
        !is_of_loop && self.own.get(root).is_some_and(|(_, safe)| *safe)
    }

    fn operand<'s>(&'s self, operand: &'s Operand) -> Result<Cow<'s, Value>, String> {
        Ok(match operand {
            Operand::Literal(value) => Cow::Borrowed(value),
            Operand::Path(path) => self.path(path)?.unwrap_or(Cow::Owned(Value::Null)),
            Operand::Range(from, to) => Cow::Owned(self.range(from, to)?),
            Operand::Empty | Operand::Blank => Cow::Owned(Value::String(String::new())),
        })
    }

    fn range(&self, from: &Operand, to: &Operand) -> Result<Value, String> {
        let from = numbers::whole(self.operand(from)?.as_ref()).unwrap_or(0);
        let to = numbers::whole(self.operand(to)?.as_ref()).unwrap_or(0);
        let length = usize::try_from(to.saturating_sub(from).saturating_add(1)).unwrap_or(0);
        if length > limits::LIST_MAX {
            return Err(format!("a range may have {} numbers", limits::LIST_MAX));
        }
        self.burn(length)?;
        Ok((from..=to).take(length).map(Value::from).collect())
    }

    fn path<'s>(&'s self, path: &'s Path) -> Result<Option<Cow<'s, Value>>, String> {
        self.burn(1 + path.steps.len())?;
        let mut steps = path.steps.iter();
        let Some(mut value) = self.root(&path.root, &mut steps) else { return Ok(None) };
        for step in steps {
            let found = match (step, &value) {
                (Stage::Field(name), Cow::Borrowed(value)) => value::field(value, name),
                (Stage::Field(name), Cow::Owned(value)) => {
                    value::field(value, name).map(|found| Cow::Owned(found.into_owned()))
                }
                (Stage::Index(operand), value) => {
                    let index = self.operand(operand)?;
                    match (index.as_ref(), value) {
                        (Value::String(name), Cow::Borrowed(value)) => {
                            value::field(value, name).map(|found| Cow::Owned(found.into_owned()))
                        }
                        (Value::String(name), Cow::Owned(value)) => {
                            value::field(value, name).map(|found| Cow::Owned(found.into_owned()))
                        }
                        (index, value) => {
                            let place = numbers::whole(index);
                            let items = value.as_array();
                            let item = items.zip(place).and_then(|(items, place)| value::at(items, place));
                            item.map(|item| Cow::Owned(item.clone()))
                        }
                    }
                }
            };
            let Some(found) = found else { return Ok(None) };
            if let Cow::Owned(copied) = &found {
                self.burn(weight(copied) / 16)?;
            }
            value = found;
        }
        Ok(Some(value))
    }

    /// The value of a name; of `forloop` the steps up to the loop meant are taken.
    fn root<'s>(&'s self, root: &str, steps: &mut std::slice::Iter<'_, Stage>) -> Option<Cow<'s, Value>> {
        if let Some(round) = self.rounds.iter().rev().find(|round| round.variable == root) {
            return Some(Cow::Borrowed(&round.item));
        }
        if root == "forloop" {
            let mut round = self.rounds.len().checked_sub(1)?;
            while matches!(steps.as_slice().first(), Some(Stage::Field(name)) if name.as_ref() == "parentloop") {
                steps.next();
                round = round.checked_sub(1)?;
            }
            let Round { at, length, .. } = self.rounds.get(round)?;
            return Some(Cow::Owned(json!({
                "index": at + 1, "index0": at, "rindex": length - at, "rindex0": length - at - 1,
                "first": *at == 0, "last": at + 1 == *length, "length": length,
            })));
        }
        let own = self.own.get(root).map(|(value, _)| Cow::Borrowed(value));
        let given = || self.scope.get(root).map(Cow::Borrowed);
        let count = || self.counts.get(root).map(|count| Cow::Owned((*count).into()));
        own.or_else(given).or_else(count)
    }

    fn holds(&self, condition: &Condition) -> Result<bool, String> {
        // What is further right binds first: from the last to the first.
        let mut tests: Vec<&Test> = vec![&condition.first];
        tests.extend(condition.rest.iter().map(|(_, test)| test));
        let mut holds = match tests.pop() {
            Some(last) => self.test(last)?,
            None => return Ok(true),
        };
        for ((and, _), test) in condition.rest.iter().rev().zip(tests.into_iter().rev()) {
            holds = if *and { self.test(test)? && holds } else { self.test(test)? || holds };
        }
        Ok(holds)
    }

    fn test(&self, test: &Test) -> Result<bool, String> {
        self.burn(1)?;
        match &test.right {
            Some((comparison, right)) => self.compare(&test.left, *comparison, right),
            None => Ok(match &test.left {
                Operand::Empty | Operand::Blank => true,
                left => is_true(self.operand(left)?.as_ref()),
            }),
        }
    }

    fn compare(&self, left: &Operand, comparison: Comparison, right: &Operand) -> Result<bool, String> {
        let (one, other) = (self.operand(left)?, self.operand(right)?);
        self.burn((weight(&one) + weight(&other)) / 16)?;
        let equal = || match (left, right) {
            (Operand::Empty, _) => is_empty(&other),
            (_, Operand::Empty) => is_empty(&one),
            (Operand::Blank, _) => is_blank(&other),
            (_, Operand::Blank) => is_blank(&one),
            _ => value::equal(&one, &other),
        };
        let order = || value::order(&one, &other);
        Ok(match comparison {
            Comparison::Equal => equal(),
            Comparison::Unequal => !equal(),
            Comparison::Less => order() == Some(Ordering::Less),
            Comparison::AtMost => order().is_some_and(Ordering::is_le),
            Comparison::More => order() == Some(Ordering::Greater),
            Comparison::AtLeast => order().is_some_and(Ordering::is_ge),
            Comparison::Contains => value::contains(&one, &other),
        })
    }
}

/// A text as it may stand in a spot.
fn placed(said: String, spot: Spot, safe: bool) -> String {
    match spot {
        Spot::Plain => said,
        Spot::Address if !is_harmless(&said) => "#".to_owned(),
        Spot::Html | Spot::Address if safe => said,
        Spot::Html | Spot::Address => texts::escape(&said),
    }
}
