//! Values, paths, filters and conditions, as they are written.

use serde_json::Value;

use super::{
    filters::Filter,
    tokens::{Token, tokens},
};

/// Filters one after another at most.
const FILTERS_MAX: usize = 32;
/// Steps of one path at most.
const STEPS_MAX: usize = 32;
/// Comparisons of one condition at most.
const COMPARISONS_MAX: usize = 64;

/// Something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    Path(Path),
    Range(Box<Operand>, Box<Operand>),
    /// `empty`: whatever has a size of nought is equal to it.
    Empty,
    /// `blank`: whatever is not there, or is white space, is equal to it.
    Blank,
}

/// A name and the way from there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) root: Box<str>,
    pub(super) steps: Vec<Stage>,
    /// Where it is in the source, in bytes.
    pub(super) at: usize,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Field(Box<str>),
    Index(Operand),
}

/// A value that goes through filters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piped {
    pub(super) head: Operand,
    pub(super) calls: Vec<Call>,
}

/// One filter, called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) filter: Filter,
    pub(super) arguments: Vec<Operand>,
    pub(super) named: Vec<(Box<str>, Operand)>,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

/// A value that is true, or two that compare.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) left: Operand,
    pub(super) right: Option<(Comparison, Operand)>,
}

/// Tests joined by `and` and `or`; what is further right binds first, as Liquid has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) first: Test,
    /// Whether it is an `and`, and the next test.
    pub(super) rest: Vec<(bool, Test)>,
}

/// What is wrong, and where in the source.
pub(super) type Wrong = (usize, String);

/// The words of one tag, read from front to back.
pub(super) struct Words<'s> {
    tokens: Vec<(Token<'s>, usize)>,
    next: usize,
    /// Where the tag's text begins and ends in the source.
    base: usize,
    end: usize,
}

impl<'s> Words<'s> {
    pub(super) fn new(text: &'s str, base: usize) -> Result<Self, Wrong> {
        let tokens = tokens(text).map_err(|(at, what)| (base + at, what))?;
        Ok(Self { tokens, next: 0, base, end: base + text.trim_end().len() })
    }

    pub(super) fn peek(&self) -> Option<Token<'s>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    /// Where the next word is in the source.
    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(_, at)| self.base + at)
    }

    pub(super) fn take(&mut self) -> Option<Token<'s>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    pub(super) fn take_mark(&mut self, mark: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Mark(next)) if next == mark);
        self.next += usize::from(is_next);
        is_next
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Name(next)) if next == word);
        self.next += usize::from(is_next);
        is_next
    }

    pub(super) fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Wrong> {
        Err((self.at(), what.into()))
    }

    pub(super) fn end(&self) -> Result<(), Wrong> {
        match self.peek() {
            None => Ok(()),
            Some(token) => self.wrong(format!("{} is not understood here", shown(token))),
        }
    }

    pub(super) fn name(&mut self) -> Result<&'s str, Wrong> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.next += 1;
                Ok(name)
            }
            _ => self.wrong("a name is missing"),
        }
    }

    pub(super) fn mark(&mut self, mark: &str) -> Result<(), Wrong> {
        if self.take_mark(mark) { Ok(()) } else { self.wrong(format!("`{mark}` is missing")) }
    }

    pub(super) fn operand(&mut self) -> Result<Operand, Wrong> {
        let at = self.at();
        match self.peek() {
            Some(Token::Text(text)) => self.literal(text.into()),
            Some(Token::Whole(number)) => self.literal(number.into()),
            Some(Token::Fraction(number)) => self.literal(number.into()),
            Some(Token::Mark("(")) => {
                self.next += 1;
                let from = self.range_end()?;
                self.mark("..")?;
                let to = self.range_end()?;
                self.mark(")")?;
                Ok(Operand::Range(Box::new(from), Box::new(to)))
            }
            Some(Token::Name(name)) => {
                self.next += 1;
                let is_path = matches!(self.peek(), Some(Token::Mark("." | "[")));
                match name {
                    _ if is_path => self.path(name, at),
                    "nil" | "null" => Ok(Operand::Literal(Value::Null)),
                    "true" => Ok(Operand::Literal(true.into())),
                    "false" => Ok(Operand::Literal(false.into())),
                    "empty" => Ok(Operand::Empty),
                    "blank" => Ok(Operand::Blank),
                    _ => self.path(name, at),
                }
            }
            Some(token) => self.wrong(format!("{} is no value", shown(token))),
            None => self.wrong("a value is missing"),
        }
    }

    /// One end of a range, which holds no range itself.
    fn range_end(&mut self) -> Result<Operand, Wrong> {
        if matches!(self.peek(), Some(Token::Mark("("))) {
            return self.wrong("a range begins and ends with a number");
        }
        self.operand()
    }

    fn literal(&mut self, value: Value) -> Result<Operand, Wrong> {
        self.next += 1;
        Ok(Operand::Literal(value))
    }

    fn path(&mut self, root: &str, at: usize) -> Result<Operand, Wrong> {
        let mut steps = Vec::new();
        loop {
            if steps.len() > STEPS_MAX {
                return self.wrong(format!("a path may have {STEPS_MAX} steps"));
            }
            if self.take_mark(".") {
                match self.take() {
                    Some(Token::Name(name)) => steps.push(Stage::Field(name.into())),
                    _ => return Err((at, format!("a name is missing after `{root}.`"))),
                }
            } else if self.take_mark("[") {
                let index = match self.take() {
                    Some(Token::Text(text)) => Stage::Field(text.into()),
                    Some(Token::Whole(number)) => Stage::Index(Operand::Literal(number.into())),
                    // One name in brackets: a path in a path would nest without end.
                    Some(Token::Name(name)) => Stage::Index(self.flat_path(name, at)?),
                    _ => return Err((at, format!("`{root}[..]` holds a name, a number or a text in quotes"))),
                };
                self.mark("]")?;
                steps.push(index);
            } else {
                return Ok(Operand::Path(Path { root: root.into(), steps, at }));
            }
        }
    }

    /// A path with fields alone, inside of brackets.
    fn flat_path(&mut self, root: &str, at: usize) -> Result<Operand, Wrong> {
        let mut steps = Vec::new();
        while self.take_mark(".") {
            steps.push(Stage::Field(self.name()?.into()));
            if steps.len() > STEPS_MAX {
                return self.wrong(format!("a path may have {STEPS_MAX} steps"));
            }
        }
        Ok(Operand::Path(Path { root: root.into(), steps, at }))
    }

    pub(super) fn piped(&mut self) -> Result<Piped, Wrong> {
        let head = self.operand()?;
        let mut calls = Vec::new();
        while self.take_mark("|") {
            if calls.len() >= FILTERS_MAX {
                return self.wrong(format!("at most {FILTERS_MAX} filters"));
            }
            calls.push(self.call()?);
        }
        Ok(Piped { head, calls })
    }

    fn call(&mut self) -> Result<Call, Wrong> {
        let at = self.at();
        let name = self.name()?;
        let filter = Filter::of(name).ok_or_else(|| (at, format!("there is no filter `{name}`")))?;
        let (mut arguments, mut named) = (Vec::new(), Vec::new());
        if self.take_mark(":") {
            loop {
                let is_named = matches!(
                    (self.peek(), self.tokens.get(self.next + 1)),
                    (Some(Token::Name(_)), Some((Token::Mark(":"), _)))
                );
                if is_named {
                    let name = self.name()?;
                    self.mark(":")?;
                    named.push((name.into(), self.operand()?));
                } else {
                    arguments.push(self.operand()?);
                }
                if !self.take_mark(",") {
                    break;
                }
            }
        }
        let (least, most) = filter.arguments();
        if arguments.len() < least || arguments.len() > most {
            let what = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            return Err((at, format!("filter `{name}` takes {what} values, and has {}", arguments.len())));
        }
        Ok(Call { filter, arguments, named })
    }

    pub(super) fn condition(&mut self) -> Result<Condition, Wrong> {
        let first = self.test()?;
        let mut rest = Vec::new();
        loop {
            let and = self.take_word("and");
            if !and && !self.take_word("or") {
                return Ok(Condition { first, rest });
            }
            if rest.len() >= COMPARISONS_MAX {
                return self.wrong(format!("at most {COMPARISONS_MAX} comparisons"));
            }
            rest.push((and, self.test()?));
        }
    }

    fn test(&mut self) -> Result<Test, Wrong> {
        let left = self.operand()?;
        let comparison = match self.peek() {
            Some(Token::Mark("==")) => Comparison::Equal,
            Some(Token::Mark("!=" | "<>")) => Comparison::Unequal,
            Some(Token::Mark("<")) => Comparison::Less,
            Some(Token::Mark("<=")) => Comparison::AtMost,
            Some(Token::Mark(">")) => Comparison::More,
            Some(Token::Mark(">=")) => Comparison::AtLeast,
            Some(Token::Name("contains")) => Comparison::Contains,
            _ => return Ok(Test { left, right: None }),
        };
        self.next += 1;
        Ok(Test { left, right: Some((comparison, self.operand()?)) })
    }
}

fn shown(token: Token<'_>) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Text(_) => "a text".to_owned(),
        Token::Whole(number) => format!("`{number}`"),
        Token::Fraction(number) => format!("`{number}`"),
        Token::Mark(mark) => format!("`{mark}`"),
    }
}
