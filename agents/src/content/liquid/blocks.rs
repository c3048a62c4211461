//! The blocks that choose and repeat. `case` is the crate's.

use std::io::Write;

use liquid_core::{
    Expression, Language, Renderable, Result, Runtime, TagTokenIter, Template, Value, ValueView,
    model::KString,
    parser::{BlockElement, BlockReflection, FilterChain, ParseBlock, TagBlock, TagToken},
    runtime::{Interrupt, InterruptRegister},
};

use super::{
    around::{around, burn, burn_copy, step},
    frames::Round,
    numbers,
    tags::{Arguments, put},
    values::{Kind, contains, equal, is_true, kind, order, sorted, text, weight},
};

macro_rules! block {
    ($block:ident, $start:literal, $end:literal) => {
        #[derive(Clone, Copy)]
        pub(super) struct $block;

        impl BlockReflection for $block {
            fn start_tag(&self) -> &str {
                $start
            }

            fn end_tag(&self) -> &str {
                $end
            }

            fn description(&self) -> &str {
                ""
            }
        }

        impl ParseBlock for $block {
            fn parse(
                &self,
                mut arguments: TagTokenIter<'_>,
                mut tokens: TagBlock<'_, '_>,
                options: &Language,
            ) -> Result<Box<dyn Renderable>> {
                let block = self.block(&mut arguments, &mut tokens, options)?;
                tokens.assert_empty();
                Ok(block)
            }

            fn reflection(&self) -> &dyn BlockReflection {
                self
            }
        }
    };
}

block!(IfBlock, "if", "endif");
block!(UnlessBlock, "unless", "endunless");
block!(ForBlock, "for", "endfor");
block!(TableBlock, "tablerow", "endtablerow");

/// How two values are compared.
#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

impl Comparison {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "==" => Self::Equal,
            "!=" | "<>" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            "contains" => Self::Contains,
            _ => return None,
        })
    }

    fn holds(self, one: &Value, other: &Value) -> bool {
        match self {
            Self::Equal => equal(one, other),
            Self::Unequal => !equal(one, other),
            Self::Less => order(one, other).is_some_and(std::cmp::Ordering::is_lt),
            Self::AtMost => order(one, other).is_some_and(std::cmp::Ordering::is_le),
            Self::More => order(one, other).is_some_and(std::cmp::Ordering::is_gt),
            Self::AtLeast => order(one, other).is_some_and(std::cmp::Ordering::is_ge),
            Self::Contains => contains(one, other),
        }
    }
}

/// A value that is true, or two that compare.
#[derive(Debug)]
struct Test {
    left: Expression,
    right: Option<(Comparison, Expression)>,
}

impl Test {
    fn holds(&self, runtime: &dyn Runtime) -> Result<bool> {
        burn(runtime, 1)?;
        let left = self.left.evaluate(runtime)?.into_owned();
        let Some((comparison, right)) = &self.right else { return Ok(is_true(&left)) };
        let right = right.evaluate(runtime)?.into_owned();
        burn(runtime, (weight(&left) + weight(&right)) / 16)?;
        Ok(comparison.holds(&left, &right))
    }
}

/// Tests joined by `and` and `or`; what is further right binds first, as Liquid has it (the crate's own `if` lets
/// `and` bind first).
#[derive(Debug)]
struct Condition {
    first: Test,
    /// Whether it is an `and`, and the next test.
    rest: Vec<(bool, Test)>,
}

impl Condition {
    fn parse(arguments: &mut TagTokenIter<'_>) -> Result<Self> {
        let (first, mut joined) = test(arguments)?;
        let mut rest = Vec::new();
        while let Some(and) = joined {
            let (next, then) = test(arguments)?;
            rest.push((and, next));
            joined = then;
        }
        Ok(Self { first, rest })
    }

    fn holds(&self, runtime: &dyn Runtime) -> Result<bool> {
        // From the last to the first.
        let mut tests: Vec<&Test> = vec![&self.first];
        tests.extend(self.rest.iter().map(|(_, test)| test));
        let mut holds = match tests.pop() {
            Some(last) => last.holds(runtime)?,
            None => return Ok(true),
        };
        for ((and, _), test) in self.rest.iter().rev().zip(tests.into_iter().rev()) {
            holds = if *and { test.holds(runtime)? && holds } else { test.holds(runtime)? || holds };
        }
        Ok(holds)
    }
}

/// A test, and whether `and` or `or` follows.
fn test(arguments: &mut TagTokenIter<'_>) -> Result<(Test, Option<bool>)> {
    let left = arguments.value()?;
    let mut next = arguments.next();
    let mut right = None;
    if let Some(comparison) = next.as_ref().map(TagToken::as_str).and_then(Comparison::of) {
        right = Some((comparison, arguments.value()?));
        next = arguments.next();
    }
    let joined = match next {
        None => None,
        Some(word) if word.as_str() == "and" => Some(true),
        Some(word) => {
            word.expect_str("or").into_result()?;
            Some(false)
        }
    };
    Ok((Test { left, right }, joined))
}

/// One branch; the condition, whether it must hold or must not, and its line.
#[derive(Debug)]
struct Branch {
    wanted: Option<(Condition, bool, i64)>,
    body: Template,
}

/// The first branch whose condition holds; one without a condition always does.
#[derive(Debug)]
struct Branches {
    branches: Vec<Branch>,
}

impl IfBlock {
    fn block(
        self,
        arguments: &mut TagTokenIter<'_>,
        tokens: &mut TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        branches(arguments, tokens, options, true)
    }
}

impl UnlessBlock {
    fn block(
        self,
        arguments: &mut TagTokenIter<'_>,
        tokens: &mut TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        branches(arguments, tokens, options, false)
    }
}

fn branches(
    arguments: &mut TagTokenIter<'_>,
    tokens: &mut TagBlock<'_, '_>,
    options: &Language,
    holds: bool,
) -> Result<Box<dyn Renderable>> {
    let line = arguments.number()?;
    let mut wanted = Some((Condition::parse(arguments)?, holds, line));
    let mut branches = Vec::new();
    let mut body = Vec::new();
    while let Some(element) = tokens.next()? {
        let element = match element {
            BlockElement::Tag(mut tag) if matches!(tag.name(), "elsif" | "else") => {
                branches.push(Branch { wanted: wanted.take(), body: Template::new(std::mem::take(&mut body)) });
                if tag.name() == "elsif" {
                    let line = tag.tokens().number()?;
                    wanted = Some((Condition::parse(tag.tokens())?, true, line));
                }
                continue;
            }
            element => element,
        };
        body.push(element.parse(tokens, options)?);
    }
    branches.push(Branch { wanted, body: Template::new(body) });
    Ok(Box::new(Branches { branches }))
}

impl Renderable for Branches {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        for Branch { wanted, body } in &self.branches {
            let chosen = match wanted {
                Some((condition, holds, line)) => {
                    step(runtime, *line)?;
                    condition.holds(runtime)? == *holds
                }
                None => true,
            };
            if chosen {
                return body.render_to(writer, runtime);
            }
        }
        Ok(())
    }
}

/// Each of a list; of a table where it has columns.
#[derive(Debug)]
struct Loop {
    line: i64,
    variable: KString,
    /// The name under which Liquid speaks of it.
    name: KString,
    limit: Expression,
    offset: Expression,
    reversed: bool,
    columns: Option<Expression>,
    list: FilterChain,
    body: Template,
    none: Template,
}

impl ForBlock {
    fn block(
        self,
        arguments: &mut TagTokenIter<'_>,
        tokens: &mut TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        each(arguments, tokens, options, false)
    }
}

impl TableBlock {
    fn block(
        self,
        arguments: &mut TagTokenIter<'_>,
        tokens: &mut TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        each(arguments, tokens, options, true)
    }
}

fn each(
    arguments: &mut TagTokenIter<'_>,
    tokens: &mut TagBlock<'_, '_>,
    options: &Language,
    table: bool,
) -> Result<Box<dyn Renderable>> {
    let (line, variable, name) = (arguments.number()?, arguments.text()?, arguments.text()?);
    let mut bound = || -> Result<Expression> {
        let bound = arguments.value()?;
        arguments.comma()?;
        Ok(bound)
    };
    let (limit, offset, other) = (bound()?, bound()?, bound()?);
    let list = arguments.filtered(options)?;
    arguments.expect_nothing()?;
    let reversed = !table && other.clone().into_literal().is_some_and(|literal| text(&literal) == "1");
    let columns = table.then_some(other);
    let (mut body, mut none, mut is_none) = (Vec::new(), Vec::new(), false);
    while let Some(element) = tokens.next()? {
        if matches!(&element, BlockElement::Tag(tag) if tag.name() == "else") {
            is_none = true;
            continue;
        }
        let part = if is_none { &mut none } else { &mut body };
        part.push(element.parse(tokens, options)?);
    }
    let (body, none) = (Template::new(body), Template::new(none));
    Ok(Box::new(Loop { line, variable, name, limit, offset, reversed, columns, list, body, none }))
}

impl Loop {
    /// The items it goes through.
    fn items(&self, runtime: &dyn Runtime) -> Result<Vec<Value>> {
        let list = self.list.evaluate(runtime)?.into_owned();
        burn_copy(runtime, &list)?;
        let items = match list {
            Value::Array(items) => items,
            Value::Object(fields) => {
                let pair = |(name, value): (&str, &Value)| vec![Value::scalar(name.to_owned()), value.clone()];
                sorted(&fields).into_iter().map(|field| Value::Array(pair(field))).collect()
            }
            other => match kind(&other) {
                Kind::Text(text) if !text.is_empty() => vec![other],
                _ => Vec::new(),
            },
        };
        let bound = |bound: &Expression| -> Result<Option<Value>> {
            let bound = bound.evaluate(runtime)?.into_owned();
            Ok(if bound.is_nil() { None } else { Some(bound) })
        };
        let number = |value: &Value| usize::try_from(numbers::whole(value).unwrap_or(0)).unwrap_or(0);
        let from = match bound(&self.offset)? {
            Some(offset) if text(&offset) == "continue" => {
                around(runtime).stopped.get(&self.name).copied().unwrap_or(0)
            }
            Some(offset) => number(&offset),
            None => 0,
        };
        let limit = bound(&self.limit)?.map_or(usize::MAX, |limit| number(&limit));
        let mut chosen: Vec<Value> = items.into_iter().skip(from).take(limit).collect();
        around(runtime).stopped.insert(self.name.clone(), from.saturating_add(chosen.len()));
        if self.reversed {
            chosen.reverse();
        }
        Ok(chosen)
    }

    /// What stands around an item of a table.
    fn cell(columns: Option<usize>, at: usize, length: usize) -> (String, &'static str) {
        let Some(columns) = columns else { return (String::new(), "") };
        let (row, column) = (at / columns + 1, at % columns + 1);
        let before = if column == 1 { format!("<tr class=\"row{row}\">") } else { String::new() };
        let ends_row = column == columns || at + 1 == length;
        let after = if ends_row { "</td></tr>" } else { "</td>" };
        (format!("{before}<td class=\"col{column}\">"), after)
    }
}

impl Renderable for Loop {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        let items = self.items(runtime)?;
        if items.is_empty() {
            return self.none.render_to(writer, runtime);
        }
        let length = items.len();
        let columns = match &self.columns {
            Some(columns) => {
                let columns = numbers::whole(&columns.evaluate(runtime)?.into_owned()).unwrap_or(0);
                Some(usize::try_from(columns).ok().filter(|columns| *columns > 0).unwrap_or(length))
            }
            None => None,
        };
        for (at, item) in items.iter().enumerate() {
            step(runtime, self.line)?;
            let (before, after) = Self::cell(columns, at, length);
            put(writer, &before)?;
            around(runtime).rounds.push(self.variable.clone());
            let round = Round { outer: runtime, variable: &self.variable, item, at, length };
            let done = self.body.render_to(writer, &round);
            around(runtime).rounds.pop();
            done?;
            let interrupt = runtime.registers().get_mut::<InterruptRegister>().reset();
            put(writer, after)?;
            if interrupt == Some(Interrupt::Break) {
                break;
            }
        }
        Ok(())
    }
}
