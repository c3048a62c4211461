//! A source, read for what is wrong with it, and written anew as the crates' parser takes it: tags alone, each with
//! its line; outputs with where in HTML they stand; nothing in it that the parser would stop at.

use std::fmt::Write;

use super::{
    Fault,
    html::{Html, Spot},
    names::Names,
    source::{Piece, PieceKind, Source},
    tokens::Token,
    words::{Words, Wrong, known, quoted},
};
use crate::content::limits;

/// A source as the crates take it.
pub(super) struct Prepared {
    pub(super) source: String,
    pub(super) names: Names,
}

/// Reads a source.
///
/// # Errors
/// What is not understood, and where.
pub(super) fn prepare(source: &str, html: bool) -> Result<Prepared, Fault> {
    let mut preparer = Preparer {
        source: Source::new(source),
        html: html.then(Html::default),
        open: Vec::new(),
        trims: false,
        text: String::new(),
        line: 1,
        line_at: 0,
        whole: source,
        written: String::with_capacity(source.len() * 2),
        names: Names::default(),
    };
    preparer.pieces()?;
    Ok(Prepared { source: preparer.written, names: preparer.names })
}

/// A block that is open.
struct Open<'s> {
    name: &'s str,
    /// Where it begins.
    at: usize,
    /// Its last part has begun.
    last: bool,
    /// Whether it has branches, of which one is said; with where in HTML all of them begin, and where the first ends.
    branches: bool,
    before: Option<Html>,
    after: Option<Html>,
}

impl Open<'_> {
    /// The tags that may end the part that is open.
    fn ends(&self) -> &'static [&'static str] {
        match (self.name, self.last) {
            ("if", false) => &["elsif", "else", "endif"],
            ("unless", false) => &["elsif", "else", "endunless"],
            ("case", false) => &["when", "else", "endcase"],
            ("for", false) => &["else", "endfor"],
            ("if", true) => &["endif"],
            ("unless", true) => &["endunless"],
            ("case", true) => &["endcase"],
            ("for", true) => &["endfor"],
            ("tablerow", _) => &["endtablerow"],
            _ => &["endcapture"],
        }
    }

    /// A branch has ended; whether it was the last.
    fn branch_ended(&mut self, html: &mut Option<Html>, last: bool) {
        let after = self.after.get_or_insert_with(|| html.clone().unwrap_or_default());
        if html.is_some() {
            *html = if last { Some(after.clone()) } else { self.before.clone() };
        }
    }
}

/// One tag.
#[derive(Clone, Copy)]
struct Tag<'s> {
    name: &'s str,
    /// What follows the name, and where that begins.
    rest: &'s str,
    rest_at: usize,
    /// Where the tag begins.
    at: usize,
}

struct Preparer<'s> {
    source: Source<'s>,
    html: Option<Html>,
    open: Vec<Open<'s>>,
    /// The last piece takes the white space after it away.
    trims: bool,
    /// Text that is not written yet.
    text: String,
    /// The line of a place in the source.
    line: i64,
    line_at: usize,
    whole: &'s str,
    written: String,
    names: Names,
}

impl<'s> Preparer<'s> {
    fn pieces(&mut self) -> Result<(), Fault> {
        while let Some(piece) = self.source.next()? {
            let trims = std::mem::replace(&mut self.trims, piece.trims_after);
            if piece.trims_before {
                self.text.truncate(self.text.trim_end().len());
            }
            match piece.kind {
                PieceKind::Text => {
                    self.text(if trims { piece.text.trim_start() } else { piece.text });
                    // White space alone between two tags is taken away by either.
                    self.trims = trims && piece.text.trim_start().is_empty();
                }
                PieceKind::Output if piece.text.trim().is_empty() => {}
                PieceKind::Output => self.output(&piece, piece.text, piece.at)?,
                PieceKind::Tag => self.tag(&piece)?,
            }
        }
        self.flush();
        match self.open.last() {
            None => Ok(()),
            Some(open) => Err(self.source.fault(open.at, format!("`{0}` has no `end{0}`", open.name))),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(html) = &mut self.html {
            html.pass(text);
        }
        self.text.push_str(text);
    }

    /// Writes the text before a tag or an output: in quotes, which is where the grammar takes anything.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        let _ = write!(self.written, "{{%text {}", self.line);
        for (place, piece) in text.split('\'').enumerate() {
            if place > 0 {
                self.written.push_str(", \"'\"");
            }
            if !piece.is_empty() {
                let _ = write!(self.written, ", '{piece}'");
            }
        }
        self.written.push_str(" %}");
    }

    fn line_of(&mut self, at: usize) -> i64 {
        let passed = self.whole.get(self.line_at..at).unwrap_or_default();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as i64;
        self.line_at = at.max(self.line_at);
        self.line
    }

    /// Reads the words of a tag and writes it anew: `before`, then what was read.
    fn words<T>(
        &mut self,
        (text, at): (&'s str, usize),
        read: impl FnOnce(&mut Words<'s>) -> Result<T, Wrong>,
    ) -> Result<(T, String), Fault> {
        let names = std::mem::take(&mut self.names);
        let read = Words::new(text, at, names).and_then(|mut words| {
            let told = read(&mut words)?;
            words.end()?;
            Ok((told, words))
        });
        let (told, words) = read.map_err(|(at, what)| self.source.fault(at, what))?;
        self.names = words.names;
        Ok((told, words.written))
    }

    fn write(&mut self, tag: std::fmt::Arguments<'_>) {
        let _ = write!(self.written, "{{%{tag} %}}");
    }

    /// Where an output stands in HTML, as its tag takes it.
    fn spot(&mut self, piece: &Piece<'s>) -> Result<u8, Fault> {
        let spot = match &mut self.html {
            None => Ok(Spot::Plain),
            Some(html) => html.spot(),
        };
        let spot = spot.map_err(|what| self.source.fault(piece.at.saturating_sub(2), what))?;
        Ok(match spot {
            Spot::Plain => 0,
            Spot::Html => 1,
            Spot::Address => 2,
        })
    }

    fn output(&mut self, piece: &Piece<'s>, text: &'s str, at: usize) -> Result<(), Fault> {
        let spot = self.spot(piece)?;
        let (safe, chain) = self.words((text, at), Words::piped)?;
        self.flush();
        let line = self.line_of(at);
        self.write(format_args!("say {line}, {spot}, {}, {chain}", safe.written()));
        Ok(())
    }

    fn tag(&mut self, piece: &Piece<'s>) -> Result<(), Fault> {
        let text = piece.text;
        let start = text.len() - text.trim_start().len();
        let inside = text.get(start..).unwrap_or_default();
        let length = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (name, rest) = inside.split_at_checked(length).unwrap_or((inside, ""));
        let tag = Tag { name, rest, at: piece.at + start, rest_at: piece.at + start + length };
        let words = (tag.rest, tag.rest_at);
        if inside.starts_with('#') {
            return Ok(());
        }
        match name {
            "comment" => {
                let skipped = self.source.up_to_tag("endcomment");
                let (_, _, after) = skipped.ok_or_else(|| self.unended(&tag))?;
                self.trims = after;
                return Ok(());
            }
            "raw" => {
                let trims = std::mem::replace(&mut self.trims, false);
                let (text, before, after) = self.source.up_to_tag("endraw").ok_or_else(|| self.unended(&tag))?;
                let text = if trims { text.trim_start() } else { text };
                self.text(if before { text.trim_end() } else { text });
                self.trims = after;
                return Ok(());
            }
            "echo" => return self.output(piece, rest, tag.rest_at),
            _ => {}
        }
        self.flush();
        let line = self.line_of(tag.at);
        match name {
            "if" | "unless" => {
                let ((), condition) = self.words(words, Words::condition)?;
                self.begin(&tag, true)?;
                self.write(format_args!("{name} {line}, {condition}"));
            }
            "case" => {
                let (_, subject) = self.words(words, Words::operand)?;
                self.begin(&tag, true)?;
                self.write(format_args!("at {line}"));
                self.write(format_args!("case {subject}"));
            }
            "for" | "tablerow" => {
                let (head, list) = self.words(words, |words| head_of_loop(words, name))?;
                let in_text = self.html.as_ref().is_none_or(Html::is_text);
                if name == "tablerow" && !in_text {
                    return Err(self.source.fault(tag.at, "`tablerow` makes rows of a table, and none can stand here"));
                }
                self.begin(&tag, false)?;
                self.write(format_args!("{name} {line}, {head}, {list}"));
            }
            "capture" => {
                let (name, _) = self.words(words, |words| {
                    let Some(Token::Name(name) | Token::Text(name)) = words.take() else {
                        return words.wrong("a name is missing");
                    };
                    words.gives(name);
                    Ok(name)
                })?;
                self.begin(&tag, false)?;
                self.write(format_args!("capture {line}, '{}'", known(name)));
            }
            "assign" => {
                let ((name, safe), chain) = self.words(words, |words| {
                    let name = words.given_name()?;
                    words.mark("=")?;
                    Ok((name, words.piped()?))
                })?;
                self.write(format_args!("assign {line}, {}, '{}', {chain}", safe.written(), known(name)));
            }
            "increment" | "decrement" => {
                let (counted, _) = self.words(words, Words::given_name)?;
                self.write(format_args!("at {line}"));
                self.write(format_args!("{name} {}", known(counted)));
            }
            "cycle" => {
                let (group, items) = self.words(words, cycle)?;
                let spot = u8::from(self.html.is_some());
                if self.html.as_mut().is_some_and(|html| html.spot().is_err()) {
                    return Err(self.source.fault(tag.at, "data stands in text, or in an attribute's value in quotes"));
                }
                self.write(format_args!("cycle {line}, {spot}, {}, {items}", quoted(&group)));
            }
            "break" | "continue" => {
                self.words(words, |_| Ok(()))?;
                if !self.open.iter().any(|open| matches!(open.name, "for" | "tablerow") && !open.last) {
                    return Err(self.source.fault(tag.at, format!("`{name}` is in no `for`")));
                }
                self.write(format_args!("{name}"));
            }
            "" => return Err(self.source.fault(tag.at, "a tag begins with a name")),
            _ if name.starts_with("end") || matches!(name, "else" | "elsif" | "when") => self.part(&tag, line)?,
            _ => return Err(self.source.fault(tag.at, format!("there is no tag `{name}`"))),
        }
        Ok(())
    }

    fn unended(&self, tag: &Tag<'_>) -> Fault {
        self.source.fault(tag.at, format!("`{0}` has no `end{0}`", tag.name))
    }

    fn begin(&mut self, tag: &Tag<'s>, branches: bool) -> Result<(), Fault> {
        if self.open.len() >= limits::DEPTH_MAX {
            return Err(self.source.fault(tag.at, format!("blocks may be nested {} deep", limits::DEPTH_MAX)));
        }
        let before = if branches { self.html.clone() } else { None };
        self.open.push(Open { name: tag.name, at: tag.at, last: false, branches, before, after: None });
        Ok(())
    }

    /// The next part of the block that is open, or its end.
    fn part(&mut self, tag: &Tag<'s>, line: i64) -> Result<(), Fault> {
        let name = tag.name;
        let Some(mut open) = self.open.pop() else {
            return Err(self.source.fault(tag.at, format!("`{name}` ends nothing here")));
        };
        let ends = open.ends();
        if !ends.contains(&name) {
            let quoted: Vec<_> = ends.iter().map(|name| format!("`{name}`")).collect();
            return Err(self.source.fault(tag.at, format!("`{name}` where {} was awaited", quoted.join(" or "))));
        }
        let is_end = name.starts_with("end");
        // What stands before the first `when` is no branch.
        let is_branch = open.branches && (open.name != "case" || open.after.is_some() || open.last);
        if is_branch {
            open.branch_ended(&mut self.html, is_end);
        } else if open.name == "case" && !is_end {
            open.before = self.html.clone();
        }
        open.last |= name == "else";
        match name {
            "elsif" => {
                let ((), condition) = self.words((tag.rest, tag.rest_at), Words::condition)?;
                self.write(format_args!("elsif {line}, {condition}"));
            }
            "when" => {
                let ((), values) = self.words((tag.rest, tag.rest_at), |words| words.items(&[",", "or"]))?;
                self.write(format_args!("when {values}"));
            }
            _ => self.write(format_args!("{name}")),
        }
        if !is_end {
            self.open.push(open);
        }
        Ok(())
    }
}

/// A loop's variable and bounds, as its tag takes them; the list is what is written.
fn head_of_loop(words: &mut Words<'_>, tag: &str) -> Result<String, Wrong> {
    let variable = words.given_name()?;
    if !words.take_word("in") {
        return words.wrong("`in` is missing");
    }
    words.list()?;
    let list = std::mem::take(&mut words.written);
    let (mut limit, mut offset, mut other) = ("nil".to_owned(), "nil".to_owned(), "0".to_owned());
    loop {
        words.take_mark(",");
        if tag == "for" && words.take_word("reversed") {
            other = "1".to_owned();
        } else if tag == "tablerow" && words.take_word("cols") {
            other = bound(words)?;
        } else if words.take_word("limit") {
            limit = bound(words)?;
        } else if words.take_word("offset") {
            offset = if matches!(words.peek_second(), Some(Token::Name("continue"))) {
                words.mark(":")?;
                words.take();
                "'continue'".to_owned()
            } else {
                bound(words)?
            };
        } else {
            break;
        }
    }
    // The name under which Liquid speaks of it.
    let name = format!("{variable}-{list}").replace(['\'', '"'], "`");
    words.written = list;
    Ok(format!("'{}', '{name}', {limit}, {offset}, {other}", known(variable)))
}

fn bound(words: &mut Words<'_>) -> Result<String, Wrong> {
    words.mark(":")?;
    words.operand()?;
    Ok(std::mem::take(&mut words.written))
}

/// The group of a `cycle`; its items are what is written, each with whether it is the author's.
fn cycle(words: &mut Words<'_>) -> Result<String, Wrong> {
    let item = |words: &mut Words<'_>| -> Result<String, Wrong> {
        let safe = words.operand()?;
        let is_own = u8::from(safe == super::words::Safe::Yes);
        Ok(format!("{is_own}, {}", std::mem::take(&mut words.written)))
    };
    let first = item(words)?;
    let (group, mut items) = if words.take_mark(":") { (Some(first), item(words)?) } else { (None, first) };
    while words.take_mark(",") {
        items.push_str(", ");
        items.push_str(&item(words)?);
    }
    let group = group.unwrap_or_else(|| items.clone()).replace(['\'', '"'], "`");
    words.written = items;
    Ok(group)
}
