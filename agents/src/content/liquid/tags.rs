//! The tags that say and keep something. They are not the author's but those of a prepared source: every one begins
//! with its line.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use liquid_core::{
    Expression, Language, ParseTag, Renderable, Result, Runtime, TagReflection, TagTokenIter, Template, Value,
    ValueView,
    error::ResultLiquidReplaceExt,
    model::KString,
    parser::{BlockReflection, FilterChain, ParseBlock, TagBlock},
};

use super::{
    around::{around, burn, burn_copy, fail, step},
    html::is_harmless,
    texts,
    values::{Kind, kind, text},
};
use crate::content::limits;

/// What is written, and its limit.
pub(super) struct Out {
    text: Vec<u8>,
    bytes_max: usize,
    full: bool,
}

impl Out {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { text: Vec::new(), bytes_max, full: false }
    }

    /// The limit, where it was reached.
    pub(super) fn full(&self) -> Option<usize> {
        self.full.then_some(self.bytes_max)
    }

    pub(super) fn into_text(self) -> String {
        // Nothing but whole texts is written.
        String::from_utf8(self.text).unwrap_or_default()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.bytes_max {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a text.
pub(super) fn put(writer: &mut dyn Write, text: &str) -> Result<()> {
    writer.write_all(text.as_bytes()).replace("it comes to too much")
}

/// The words of a prepared tag.
pub(super) trait Arguments {
    /// A value as written.
    fn literal(&mut self) -> Result<Value>;
    /// A value.
    fn value(&mut self) -> Result<Expression>;
    /// A value with filters.
    fn filtered(&mut self, options: &Language) -> Result<FilterChain>;
    /// A comma.
    fn comma(&mut self) -> Result<()>;

    /// A whole number as written, and a comma.
    fn number(&mut self) -> Result<i64> {
        let literal = self.literal()?;
        self.comma()?;
        Ok(literal.as_scalar().and_then(|scalar| scalar.to_integer()).unwrap_or_default())
    }

    /// A text as written, and a comma.
    fn text(&mut self) -> Result<KString> {
        let literal = self.literal()?;
        self.comma()?;
        Ok(text(&literal).into())
    }
}

const MISSING: &str = "something is missing";

impl Arguments for TagTokenIter<'_> {
    fn literal(&mut self) -> Result<Value> {
        self.expect_next(MISSING)?.expect_literal().into_result()
    }

    fn value(&mut self) -> Result<Expression> {
        self.expect_next(MISSING)?.expect_value().into_result()
    }

    fn filtered(&mut self, options: &Language) -> Result<FilterChain> {
        self.expect_next(MISSING)?.expect_filter_chain(options).into_result()
    }

    fn comma(&mut self) -> Result<()> {
        self.expect_next(MISSING)?.expect_str(",").into_result()
    }
}

/// Where a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Plain,
    Html,
    Address,
}

impl Spot {
    fn of(number: i64) -> Self {
        match number {
            0 => Self::Plain,
            1 => Self::Html,
            _ => Self::Address,
        }
    }

    /// A text as it may stand there.
    fn placed(self, said: &str, safe: bool) -> Cow<'_, str> {
        match self {
            Self::Plain => said.into(),
            Self::Address if !is_harmless(said) => "#".into(),
            Self::Html | Self::Address if safe => said.into(),
            Self::Html | Self::Address => texts::escape(said),
        }
    }
}

/// Says a value where it may stand.
fn say(writer: &mut dyn Write, runtime: &dyn Runtime, value: &Value, spot: Spot, safe: bool) -> Result<()> {
    let said = match kind(value) {
        Kind::Text(text) => text,
        _ => text(value).into(),
    };
    burn(runtime, said.len() / 16)?;
    put(writer, &spot.placed(&said, safe))
}

/// Whether a value is HTML already.
#[derive(Debug)]
enum Safe {
    No,
    Yes,
    As(KString),
}

impl Safe {
    fn of(literal: &Value) -> Self {
        match literal.as_scalar().map(|scalar| (scalar.type_name() == "string", scalar.to_integer())) {
            Some((true, _)) => Self::As(text(literal).into()),
            Some((false, Some(1))) => Self::Yes,
            _ => Self::No,
        }
    }

    fn is(&self, runtime: &dyn Runtime) -> bool {
        let around = around(runtime);
        around.html
            && match self {
                Self::No => false,
                Self::Yes => true,
                Self::As(name) => around.safe.contains(name) && !around.rounds.contains(name),
            }
    }
}

macro_rules! tag {
    ($parser:ident, $name:literal, $parse:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $parser;

        impl ParseTag for $parser {
            fn parse(&self, mut arguments: TagTokenIter<'_>, options: &Language) -> Result<Box<dyn Renderable>> {
                let node = $parse(&mut arguments, options)?;
                arguments.expect_nothing()?;
                Ok(Box::new(node))
            }

            fn reflection(&self) -> &dyn TagReflection {
                self
            }
        }

        impl TagReflection for $parser {
            fn tag(&self) -> &str {
                $name
            }

            fn description(&self) -> &str {
                ""
            }
        }
    };
}

tag!(TextTag, "text", |arguments: &mut TagTokenIter<'_>, _: &Language| {
    let line = text(&arguments.literal()?).parse().unwrap_or_default();
    let mut said = String::new();
    while let Some(comma) = arguments.next() {
        comma.expect_str(",").into_result()?;
        said.push_str(&text(&arguments.literal()?));
    }
    Ok::<_, liquid_core::Error>(TextNode { line, said })
});
tag!(AtTag, "at", |arguments: &mut TagTokenIter<'_>, _: &Language| {
    let line = text(&arguments.literal()?).parse().unwrap_or_default();
    Ok::<_, liquid_core::Error>(AtNode { line })
});
tag!(SayTag, "say", |arguments: &mut TagTokenIter<'_>, options: &Language| {
    let (line, spot) = (arguments.number()?, Spot::of(arguments.number()?));
    let safe = Safe::of(&arguments.literal()?);
    arguments.comma()?;
    Ok::<_, liquid_core::Error>(SayNode { line, spot, safe, chain: arguments.filtered(options)? })
});
tag!(AssignTag, "assign", |arguments: &mut TagTokenIter<'_>, options: &Language| {
    let (line, safe) = (arguments.number()?, Safe::of(&arguments.literal()?));
    arguments.comma()?;
    let name = arguments.text()?;
    Ok::<_, liquid_core::Error>(AssignNode { line, safe, name, chain: arguments.filtered(options)? })
});
tag!(CycleTag, "cycle", |arguments: &mut TagTokenIter<'_>, _: &Language| {
    let (line, spot, group) = (arguments.number()?, Spot::of(arguments.number()?), arguments.text()?);
    let mut items = Vec::new();
    loop {
        items.push((arguments.number()? == 1, arguments.value()?));
        match arguments.next() {
            None => break,
            Some(comma) => comma.expect_str(",").into_result()?,
        }
    }
    Ok::<_, liquid_core::Error>(CycleNode { line, spot, group, items })
});

/// Said as it is.
#[derive(Debug)]
struct TextNode {
    line: i64,
    said: String,
}

impl Renderable for TextNode {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        put(writer, &self.said)
    }
}

/// Tells the line of the tag after it, which is the crates' own.
#[derive(Debug)]
struct AtNode {
    line: i64,
}

impl Renderable for AtNode {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)
    }
}

/// A value, said.
#[derive(Debug)]
struct SayNode {
    line: i64,
    spot: Spot,
    safe: Safe,
    chain: FilterChain,
}

impl Renderable for SayNode {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        let value = self.chain.evaluate(runtime)?.into_owned();
        say(writer, runtime, &value, self.spot, self.safe.is(runtime))
    }
}

/// A value under a name.
#[derive(Debug)]
struct AssignNode {
    line: i64,
    safe: Safe,
    name: KString,
    chain: FilterChain,
}

impl Renderable for AssignNode {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        let value = self.chain.evaluate(runtime)?.into_owned();
        burn_copy(runtime, &value)?;
        keep(runtime, &self.name, value, self.safe.is(runtime));
        Ok(())
    }
}

fn keep(runtime: &dyn Runtime, name: &KString, value: Value, safe: bool) {
    runtime.set_global(name.clone(), value);
    let mut around = around(runtime);
    if safe {
        around.safe.insert(name.clone());
    } else {
        around.safe.remove(name);
    }
}

/// The next of several in turn.
#[derive(Debug)]
struct CycleNode {
    line: i64,
    spot: Spot,
    group: KString,
    /// Each with whether it is the author's.
    items: Vec<(bool, Expression)>,
}

impl Renderable for CycleNode {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        let turn = {
            let mut around = around(runtime);
            let turn = around.cycles.entry(self.group.clone()).or_insert(0);
            *turn = turn.wrapping_add(1);
            turn.wrapping_sub(1)
        };
        let Some((is_own, item)) = self.items.get(turn % self.items.len().max(1)) else { return Ok(()) };
        let value = item.evaluate(runtime)?.into_owned();
        say(writer, runtime, &value, self.spot, *is_own)
    }
}

/// What is said, under a name.
#[derive(Clone, Copy)]
pub(super) struct CaptureBlock;

impl BlockReflection for CaptureBlock {
    fn start_tag(&self) -> &str {
        "capture"
    }

    fn end_tag(&self) -> &str {
        "endcapture"
    }

    fn description(&self) -> &str {
        ""
    }
}

impl ParseBlock for CaptureBlock {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut tokens: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let (line, name) = (arguments.number()?, text(&arguments.literal()?).into());
        arguments.expect_nothing()?;
        let body = Template::new(tokens.parse_all(options)?);
        tokens.assert_empty();
        Ok(Box::new(Capture { line, name, body }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

#[derive(Debug)]
struct Capture {
    line: i64,
    name: KString,
    body: Template,
}

impl Renderable for Capture {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime, self.line)?;
        let mut captured = Out::new(limits::VALUE_BYTES_MAX);
        if let Err(error) = self.body.render_to(&mut captured, runtime) {
            let what = format!("what is captured comes to more than {} bytes", limits::VALUE_BYTES_MAX);
            return Err(if captured.full().is_some() { fail(runtime, &what) } else { error });
        }
        let captured = captured.into_text();
        burn(runtime, captured.len() / 16)?;
        let html = around(runtime).html;
        keep(runtime, &self.name, Value::scalar(captured), html);
        Ok(())
    }
}
