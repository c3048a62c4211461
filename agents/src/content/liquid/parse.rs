//! From a source to nodes.

use super::{
    Fault,
    expression::{Condition, Operand, Path, Piped, Words, Wrong},
    html::{Html, Spot},
    source::{Piece, PieceKind, Source},
};
use crate::content::limits;

/// One piece of a compiled source.
#[derive(Debug)]
pub(super) enum Node {
    /// Said as it is.
    Text(Box<str>),
    /// A value, said.
    Output { piped: Piped, spot: Spot },
    /// The first branch whose condition holds; one without a condition always does.
    If { branches: Vec<(Option<Wanted>, Vec<Node>)> },
    /// The first branch with an equal value; that of none where there is none.
    Case { subject: Operand, branches: Vec<(Option<Vec<Operand>>, Vec<Node>)> },
    /// Each of a list.
    For(Box<Loop>),
    /// A value under a name.
    Assign { name: Box<str>, piped: Piped },
    /// What is said, under a name.
    Capture { name: Box<str>, body: Vec<Node> },
    /// Adds one, or takes one away, and says it.
    Count { name: Box<str>, down: bool },
    /// The next of several in turn.
    Cycle { group: Box<str>, items: Vec<Operand> },
    /// Ends a loop.
    Break,
    /// Ends one round of a loop.
    Continue,
}

/// A condition, and whether it must hold or must not.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) condition: Condition,
    pub(super) holds: bool,
}

/// A loop.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) variable: Box<str>,
    pub(super) list: Operand,
    /// The name under which Liquid speaks of it.
    pub(super) name: Box<str>,
    pub(super) limit: Option<Operand>,
    pub(super) offset: Option<Operand>,
    /// `offset: continue`: where the last loop of this name stopped.
    pub(super) continues: bool,
    pub(super) reversed: bool,
    pub(super) body: Vec<Node>,
    pub(super) none: Vec<Node>,
}

/// The tag that ended a list of nodes.
struct Ended<'s> {
    name: &'s str,
    rest: &'s str,
    /// Where `rest` begins.
    rest_at: usize,
    /// Where the tag begins.
    at: usize,
}

struct Parser<'s> {
    source: Source<'s>,
    html: Option<Html>,
    depth: usize,
    loops: usize,
    /// The last piece takes the white space after it away.
    trims: bool,
}

/// Compiles `source`.
pub(super) fn parse(source: &str, html: bool) -> Result<Vec<Node>, Fault> {
    let mut parser =
        Parser { source: Source::new(source), html: html.then(Html::default), depth: 0, loops: 0, trims: false };
    let (nodes, ended) = parser.nodes(&[])?;
    match ended {
        None => Ok(nodes),
        Some(ended) => Err(parser.source.fault(ended.at, format!("`{}` ends nothing here", ended.name))),
    }
}

impl<'s> Parser<'s> {
    fn located<T>(&self, done: Result<T, Wrong>) -> Result<T, Fault> {
        done.map_err(|(at, what)| self.source.fault(at, what))
    }

    /// Nodes up to the end, or to a tag of one of these names.
    fn nodes(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Option<Ended<'s>>), Fault> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.source.next()? {
            let trims = std::mem::replace(&mut self.trims, piece.trims_after);
            if piece.trims_before {
                trim_last(&mut nodes);
            }
            match piece.kind {
                PieceKind::Text => {
                    self.text(&mut nodes, if trims { piece.text.trim_start() } else { piece.text });
                    // White space alone between two tags is taken away by either.
                    self.trims = trims && piece.text.trim_start().is_empty();
                }
                PieceKind::Output => {
                    if piece.text.trim().is_empty() {
                        continue;
                    }
                    let spot = self.spot(&piece)?;
                    let piped = self.located(whole_piped(piece.text, piece.at))?;
                    nodes.push(Node::Output { piped, spot });
                }
                PieceKind::Tag => {
                    if let Some(ended) = self.tag(&piece, ends, &mut nodes)? {
                        return Ok((nodes, Some(ended)));
                    }
                }
            }
        }
        Ok((nodes, None))
    }

    fn text(&mut self, nodes: &mut Vec<Node>, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(html) = &mut self.html {
            html.pass(text);
        }
        nodes.push(Node::Text(text.into()));
    }

    /// Where an output stands in HTML.
    fn spot(&mut self, piece: &Piece<'s>) -> Result<Spot, Fault> {
        match &mut self.html {
            None => Ok(Spot::Plain),
            Some(html) => html.spot().map_err(|what| self.source.fault(piece.at.saturating_sub(2), what)),
        }
    }

    fn tag(&mut self, piece: &Piece<'s>, ends: &[&str], nodes: &mut Vec<Node>) -> Result<Option<Ended<'s>>, Fault> {
        let text = piece.text;
        let start = text.len() - text.trim_start().len();
        let inside = text.get(start..).unwrap_or_default();
        let length = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (name, rest) = inside.split_at_checked(length).unwrap_or((inside, ""));
        let (at, rest_at) = (piece.at + start, piece.at + start + length);
        if ends.contains(&name) {
            return Ok(Some(Ended { name, rest, rest_at, at }));
        }
        if inside.starts_with('#') {
            return Ok(None);
        }
        let place = Ended { name, rest, rest_at, at };
        let deeper = matches!(name, "if" | "unless" | "case" | "for" | "capture");
        if deeper {
            self.depth += 1;
            if self.depth > limits::DEPTH_MAX {
                return Err(self.source.fault(at, format!("blocks may be nested {} deep", limits::DEPTH_MAX)));
            }
        }
        match name {
            "if" => nodes.push(self.branches(&place, true)?),
            "unless" => nodes.push(self.branches(&place, false)?),
            "case" => nodes.push(self.case(&place)?),
            "for" => nodes.push(self.for_each(&place)?),
            "capture" => nodes.push(self.capture(&place)?),
            "raw" => self.raw(&place, nodes)?,
            "comment" => {
                let skipped = self.source.up_to_tag("endcomment");
                let (_, _, after) = skipped.ok_or_else(|| self.unended(&place))?;
                self.trims = after;
            }
            "assign" | "echo" | "increment" | "decrement" | "cycle" => {
                if name == "echo" {
                    let spot = self.spot(piece)?;
                    let piped = self.located(whole_piped(rest, rest_at))?;
                    nodes.push(Node::Output { piped, spot });
                } else {
                    nodes.push(self.located(simple(name, rest, rest_at))?);
                }
            }
            "break" | "continue" => {
                self.located(Words::new(rest, rest_at).and_then(|words| words.end()))?;
                if self.loops == 0 {
                    return Err(self.source.fault(at, format!("`{name}` is in no `for`")));
                }
                nodes.push(if name == "break" { Node::Break } else { Node::Continue });
            }
            "" => return Err(self.source.fault(at, "a tag begins with a name")),
            _ if name.starts_with("end") || matches!(name, "else" | "elsif" | "when") => {
                let what = match ends {
                    [] => format!("`{name}` ends nothing here"),
                    _ => format!("`{name}` where {} was awaited", one_of(ends)),
                };
                return Err(self.source.fault(at, what));
            }
            _ => return Err(self.source.fault(at, format!("there is no tag `{name}`"))),
        }
        self.depth -= usize::from(deeper);
        Ok(None)
    }

    fn unended(&self, begun: &Ended<'s>) -> Fault {
        self.source.fault(begun.at, format!("`{0}` has no `end{0}`", begun.name))
    }

    fn block(&mut self, begun: &Ended<'s>, ends: &[&str]) -> Result<(Vec<Node>, Ended<'s>), Fault> {
        let (nodes, ended) = self.nodes(ends)?;
        Ok((nodes, ended.ok_or_else(|| self.unended(begun))?))
    }

    fn condition(&self, place: &Ended<'s>) -> Result<Condition, Fault> {
        let parsed = Words::new(place.rest, place.rest_at).and_then(|mut words| {
            let condition = words.condition()?;
            words.end()?;
            Ok(condition)
        });
        self.located(parsed)
    }

    fn branches(&mut self, begun: &Ended<'s>, holds: bool) -> Result<Node, Fault> {
        let end = if holds { "endif" } else { "endunless" };
        let mut wanted = Some(Wanted { condition: self.condition(begun)?, holds });
        let mut branches = Vec::new();
        let mut branching = Branching::new(self.html.as_ref());
        loop {
            let is_last = wanted.is_none();
            let ends: &[&str] = if is_last { &[end] } else { &["elsif", "else", end] };
            let (nodes, ended) = self.block(begun, ends)?;
            branching.ended(&mut self.html, ended.name == end);
            branches.push((wanted, nodes));
            wanted = match ended.name {
                "elsif" => Some(Wanted { condition: self.condition(&ended)?, holds: true }),
                "else" => None,
                _ => return Ok(Node::If { branches }),
            };
        }
    }

    fn case(&mut self, begun: &Ended<'s>) -> Result<Node, Fault> {
        let parsed = Words::new(begun.rest, begun.rest_at).and_then(|mut words| {
            let subject = words.operand()?;
            words.end()?;
            Ok(subject)
        });
        let subject = self.located(parsed)?;
        // What stands before the first `when` is said never.
        let (_, mut ended) = self.block(begun, &["when", "else", "endcase"])?;
        let mut branches = Vec::new();
        let mut branching = Branching::new(self.html.as_ref());
        loop {
            let values = match ended.name {
                "when" => Some(self.located(when(ended.rest, ended.rest_at))?),
                "else" => None,
                _ => return Ok(Node::Case { subject, branches }),
            };
            let ends: &[&str] = if values.is_none() { &["endcase"] } else { &["when", "else", "endcase"] };
            let (nodes, next) = self.block(begun, ends)?;
            branching.ended(&mut self.html, next.name == "endcase");
            branches.push((values, nodes));
            ended = next;
        }
    }

    fn for_each(&mut self, begun: &Ended<'s>) -> Result<Node, Fault> {
        let mut loop_ = self.located(head_of_loop(begun.rest, begun.rest_at))?;
        self.loops += 1;
        let (body, ended) = self.block(begun, &["else", "endfor"])?;
        self.loops -= 1;
        loop_.body = body;
        if ended.name == "else" {
            let (none, _) = self.block(begun, &["endfor"])?;
            loop_.none = none;
        }
        Ok(Node::For(Box::new(loop_)))
    }

    fn capture(&mut self, begun: &Ended<'s>) -> Result<Node, Fault> {
        let parsed = Words::new(begun.rest, begun.rest_at).and_then(|mut words| {
            let name = match words.take() {
                Some(super::tokens::Token::Name(name) | super::tokens::Token::Text(name)) => name,
                _ => return words.wrong("a name is missing"),
            };
            words.end()?;
            Ok(name)
        });
        let name = self.located(parsed)?.into();
        let (body, _) = self.block(begun, &["endcapture"])?;
        Ok(Node::Capture { name, body })
    }

    fn raw(&mut self, begun: &Ended<'s>, nodes: &mut Vec<Node>) -> Result<(), Fault> {
        let trims = std::mem::replace(&mut self.trims, false);
        let (text, before, after) = self.source.up_to_tag("endraw").ok_or_else(|| self.unended(begun))?;
        let text = if trims { text.trim_start() } else { text };
        self.text(nodes, if before { text.trim_end() } else { text });
        self.trims = after;
        Ok(())
    }
}

/// Where in HTML the branches of a block begin, all of them at one place, and where the first of them ends.
struct Branching {
    before: Option<Html>,
    after: Option<Html>,
}

impl Branching {
    fn new(html: Option<&Html>) -> Self {
        Self { before: html.cloned(), after: None }
    }

    /// A branch has ended; whether it was the last.
    fn ended(&mut self, html: &mut Option<Html>, last: bool) {
        let after = self.after.get_or_insert_with(|| html.clone().unwrap_or_default());
        if html.is_some() {
            *html = if last { Some(after.clone()) } else { self.before.clone() };
        }
    }
}

fn trim_last(nodes: &mut [Node]) {
    if let Some(Node::Text(text)) = nodes.last_mut() {
        *text = text.trim_end().into();
    }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" or ")
}

fn whole_piped(text: &str, at: usize) -> Result<Piped, Wrong> {
    let mut words = Words::new(text, at)?;
    let piped = words.piped()?;
    words.end()?;
    Ok(piped)
}

fn when(text: &str, at: usize) -> Result<Vec<Operand>, Wrong> {
    let mut words = Words::new(text, at)?;
    let mut values = vec![words.operand()?];
    while words.take_mark(",") || words.take_word("or") {
        values.push(words.operand()?);
    }
    words.end()?;
    Ok(values)
}

fn simple(name: &str, text: &str, at: usize) -> Result<Node, Wrong> {
    let mut words = Words::new(text, at)?;
    let node = match name {
        "assign" => {
            let name = words.name()?.into();
            words.mark("=")?;
            Node::Assign { name, piped: words.piped()? }
        }
        "increment" | "decrement" => Node::Count { name: words.name()?.into(), down: name == "decrement" },
        _ => {
            let mut items = vec![words.operand()?];
            let group = if words.take_mark(":") { items.pop() } else { None };
            if group.is_some() {
                items.push(words.operand()?);
            }
            while words.take_mark(",") {
                items.push(words.operand()?);
            }
            let group =
                group.map_or_else(|| format!("{:?}", unplaced(&items)), |group| format!("{:?}", unplaced(&[group])));
            Node::Cycle { group: group.into(), items }
        }
    };
    words.end()?;
    Ok(node)
}

/// The same with no places, so that two of a kind are one.
fn unplaced(items: &[Operand]) -> Vec<Operand> {
    let unplaced = |operand: &Operand| match operand {
        Operand::Path(path) => Operand::Path(Path { at: 0, ..path.clone() }),
        other => other.clone(),
    };
    items.iter().map(unplaced).collect()
}

fn head_of_loop(text: &str, at: usize) -> Result<Loop, Wrong> {
    let mut words = Words::new(text, at)?;
    let variable: Box<str> = words.name()?.into();
    if !words.take_word("in") {
        return words.wrong("`in` is missing");
    }
    let list = words.operand()?;
    let name = format!("{variable}-{:?}", unplaced(std::slice::from_ref(&list))).into();
    let mut loop_ = Loop {
        variable,
        list,
        name,
        limit: None,
        offset: None,
        continues: false,
        reversed: false,
        body: Vec::new(),
        none: Vec::new(),
    };
    loop {
        words.take_mark(",");
        if words.take_word("reversed") {
            loop_.reversed = true;
        } else if words.take_word("limit") {
            words.mark(":")?;
            loop_.limit = Some(words.operand()?);
        } else if words.take_word("offset") {
            words.mark(":")?;
            if words.take_word("continue") {
                loop_.continues = true;
            } else {
                loop_.offset = Some(words.operand()?);
            }
        } else {
            break;
        }
    }
    words.end()?;
    Ok(loop_)
}
