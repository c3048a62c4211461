//! Values, paths, filters and conditions, as they are written: read for what is wrong with them, and written anew
//! as the crate's grammar takes them.

use std::fmt::Write;

use super::{
    filters::Filter,
    names::Names,
    tokens::{Token, tokens},
};
use crate::content::limits;

/// Filters one after another at most.
const FILTERS_MAX: usize = 32;
/// Steps of one path at most.
const STEPS_MAX: usize = 32;
/// Comparisons of one condition at most.
const COMPARISONS_MAX: usize = 64;

/// How a name inside of brackets begins, where no name of an author does.
pub(super) const INDEX_MARK: &str = "_i";
/// The filter that makes a range of a number.
pub(super) const RANGE: &str = "_range";

/// What is wrong, and where in the source.
pub(super) type Wrong = (usize, String);

/// Whether what comes of something is HTML already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    No,
    Yes,
    /// If that of this name is.
    As(String),
}

impl Safe {
    /// As the tags take it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::No => "0".to_owned(),
            Self::Yes => "1".to_owned(),
            Self::As(name) => format!("'{name}'"),
        }
    }
}

/// A name as the crate's grammar takes it: its own words would be taken for the beginning of a name (`nullable`),
/// and other letters than ASCII not at all. Two names never become one.
pub(super) fn known(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let begins = ["nil", "null", "empty", "blank", "true", "false", "_"].into_iter().any(|word| name.starts_with(word));
    if !begins && name.chars().all(|c| is_plain(c) || c == '_') {
        return name.to_owned();
    }
    let mut known = String::from("_v");
    for c in name.chars() {
        match c {
            '_' => known.push_str("__"),
            _ if is_plain(c) => known.push(c),
            _ => known.push_str(&format!("_{:x}_", c as u32)),
        }
    }
    known
}

/// A text in quotes; in the other ones if it has a quote in it. A text of a source never has both.
pub(super) fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}

/// The words of one tag, read from front to back.
pub(super) struct Words<'s> {
    tokens: Vec<(Token<'s>, usize)>,
    next: usize,
    /// Where the tag's text begins and ends in the source.
    base: usize,
    end: usize,
    pub(super) names: Names,
    /// What was read, as the crate takes it.
    pub(super) written: String,
}

impl<'s> Words<'s> {
    pub(super) fn new(text: &'s str, base: usize, names: Names) -> Result<Self, Wrong> {
        let tokens = tokens(text).map_err(|(at, what)| (base + at, what))?;
        let end = base + text.trim_end().len();
        Ok(Self { tokens, next: 0, base, end, names, written: String::new() })
    }

    pub(super) fn peek(&self) -> Option<Token<'s>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    /// The word after the next.
    pub(super) fn peek_second(&self) -> Option<Token<'s>> {
        self.tokens.get(self.next + 1).map(|(token, _)| *token)
    }

    /// Where the next word is in the source.
    fn at(&self) -> usize {
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

    /// A name that gets a value here.
    pub(super) fn given_name(&mut self) -> Result<&'s str, Wrong> {
        let name = self.name()?;
        self.names.gives(name);
        Ok(name)
    }

    pub(super) fn gives(&mut self, name: &str) {
        self.names.gives(name);
    }

    pub(super) fn mark(&mut self, mark: &str) -> Result<(), Wrong> {
        if self.take_mark(mark) { Ok(()) } else { self.wrong(format!("`{mark}` is missing")) }
    }

    /// One value; whether it is HTML already.
    pub(super) fn operand(&mut self) -> Result<Safe, Wrong> {
        let at = self.at();
        let literal = match self.peek() {
            Some(Token::Text(text)) => quoted(text),
            Some(Token::Whole(number)) => number.to_string(),
            Some(Token::Fraction(number)) => {
                let written = number.to_string();
                if written.contains('.') { written } else { written + ".0" }
            }
            Some(Token::Name(name)) => {
                self.next += 1;
                let is_path = matches!(self.peek(), Some(Token::Mark("." | "[")));
                if !is_path && matches!(name, "nil" | "null" | "true" | "false" | "empty" | "blank") {
                    self.written.push_str(name);
                    return Ok(Safe::Yes);
                }
                return self.path(name, at, "");
            }
            Some(Token::Mark("(")) => return self.wrong("a range stands at the beginning of an output or after `in`"),
            Some(token) => return self.wrong(format!("{} is no value", shown(token))),
            None => return self.wrong("a value is missing"),
        };
        self.next += 1;
        self.written.push_str(&literal);
        Ok(Safe::Yes)
    }

    fn path(&mut self, root: &str, at: usize, mark: &str) -> Result<Safe, Wrong> {
        let _ = write!(self.written, "{mark}{}", known(root));
        let first = match (self.peek(), self.tokens.get(self.next + 1)) {
            (Some(Token::Mark(".")), Some((Token::Name(name), _)))
            | (Some(Token::Mark("[")), Some((Token::Text(name), _))) => Some(*name),
            _ => None,
        };
        self.names.looks_at(root, first, at);
        let mut steps = 0;
        loop {
            if steps > STEPS_MAX {
                return self.wrong(format!("a path may have {STEPS_MAX} steps"));
            }
            steps += 1;
            if self.take_mark(".") {
                match self.take() {
                    Some(Token::Name(name)) => {
                        let _ = write!(self.written, "['{name}']");
                    }
                    _ => return Err((at, format!("a name is missing after `{root}.`"))),
                }
            } else if mark.is_empty() && self.take_mark("[") {
                self.written.push('[');
                match self.take() {
                    Some(Token::Text(text)) => self.written.push_str(&quoted(text)),
                    Some(Token::Whole(number)) => {
                        let _ = write!(self.written, "{number}");
                    }
                    // One name in brackets: a path in a path would nest without end.
                    Some(Token::Name(name)) => {
                        self.path(name, at, INDEX_MARK)?;
                    }
                    _ => return Err((at, format!("`{root}[..]` holds a name, a number or a text in quotes"))),
                }
                self.mark("]")?;
                self.written.push(']');
            } else {
                return Ok(if steps == 1 { Safe::As(known(root)) } else { Safe::No });
            }
        }
    }

    /// A value, or a range, which becomes a filter of its first number.
    pub(super) fn list(&mut self) -> Result<Safe, Wrong> {
        if !self.take_mark("(") {
            return self.operand();
        }
        self.range_end()?;
        self.mark("..")?;
        let _ = write!(self.written, " | {RANGE}: ");
        self.range_end()?;
        self.mark(")")?;
        Ok(Safe::No)
    }

    /// One end of a range, which holds no range itself.
    fn range_end(&mut self) -> Result<(), Wrong> {
        if matches!(self.peek(), Some(Token::Mark("("))) {
            return self.wrong("a range begins and ends with a number");
        }
        self.operand().map(drop)
    }

    /// A value that goes through filters.
    pub(super) fn piped(&mut self) -> Result<Safe, Wrong> {
        let mut safe = self.list()?;
        let mut calls = 0;
        while self.take_mark("|") {
            calls += 1;
            if calls > FILTERS_MAX {
                return self.wrong(format!("at most {FILTERS_MAX} filters"));
            }
            safe = if self.call()?.is_safe() { Safe::Yes } else { Safe::No };
        }
        Ok(safe)
    }

    fn call(&mut self) -> Result<Filter, Wrong> {
        let at = self.at();
        let name = self.name()?;
        let filter = Filter::of(name).ok_or_else(|| (at, format!("there is no filter `{name}`")))?;
        let _ = write!(self.written, " | {name}");
        let mut given = 0;
        if self.take_mark(":") {
            let mut before = ": ";
            loop {
                self.written.push_str(before);
                let is_named = matches!(
                    (self.peek(), self.tokens.get(self.next + 1)),
                    (Some(Token::Name(_)), Some((Token::Mark(":"), _)))
                );
                if is_named {
                    let name = self.name()?;
                    self.mark(":")?;
                    let _ = write!(self.written, "{}: ", known(name));
                } else {
                    given += 1;
                }
                self.operand()?;
                if !self.take_mark(",") {
                    break;
                }
                before = ", ";
            }
        }
        let (least, most) = filter.arguments();
        if given < least || given > most {
            let what = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            return Err((at, format!("filter `{name}` takes {what} values, and has {given}")));
        }
        Ok(filter)
    }

    /// Tests joined by `and` and `or`.
    pub(super) fn condition(&mut self) -> Result<(), Wrong> {
        let mut tests = 1;
        loop {
            self.test()?;
            let word = if self.take_word("and") {
                " and "
            } else if self.take_word("or") {
                " or "
            } else {
                return Ok(());
            };
            if tests > COMPARISONS_MAX {
                return self.wrong(format!("at most {COMPARISONS_MAX} comparisons"));
            }
            tests += 1;
            self.written.push_str(word);
        }
    }

    fn test(&mut self) -> Result<(), Wrong> {
        self.operand()?;
        let comparison = match self.peek() {
            Some(Token::Mark(mark @ ("==" | "!=" | "<>" | "<" | "<=" | ">" | ">="))) => mark,
            Some(Token::Name("contains")) => "contains",
            _ => return Ok(()),
        };
        self.next += 1;
        let _ = write!(self.written, " {comparison} ");
        self.operand().map(drop)
    }

    /// Values after one another, all of them written as one list.
    pub(super) fn items(&mut self, between: &[&str]) -> Result<(), Wrong> {
        let mut items = 0;
        loop {
            self.operand()?;
            items += 1;
            if !between.iter().any(|word| self.take_mark(word) || self.take_word(word)) {
                return Ok(());
            }
            if items >= limits::TAG_BYTES_MAX {
                return self.wrong("too many values");
            }
            self.written.push_str(", ");
        }
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
