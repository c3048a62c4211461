//! A source, cut into text, outputs and tags.

use super::Fault;
use crate::content::limits;

/// One piece of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'s> {
    pub(super) kind: PieceKind,
    /// The text; of an output or a tag what is between the marks.
    pub(super) text: &'s str,
    /// Where that begins, in bytes.
    pub(super) at: usize,
    /// Whether white space before it is taken away.
    pub(super) trims_before: bool,
    /// Whether white space after it is taken away.
    pub(super) trims_after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    Text,
    Output,
    Tag,
}

/// A source that is read from front to back.
pub(super) struct Source<'s> {
    whole: &'s str,
    at: usize,
}

impl<'s> Source<'s> {
    pub(super) fn new(whole: &'s str) -> Self {
        Self { whole, at: 0 }
    }

    /// What is wrong, at a place.
    pub(super) fn fault(&self, at: usize, what: impl Into<String>) -> Fault {
        let (line, column) = self.place(at);
        Fault { line, column, what: what.into() }
    }

    /// Line and column, both from 1.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let before = self.whole.get(..at).unwrap_or(self.whole);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
        (line, column)
    }

    fn rest(&self) -> &'s str {
        self.whole.get(self.at..).unwrap_or_default()
    }

    /// The next piece; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'s>>, Fault> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let (kind, close) = match rest.get(..2) {
            Some("{{") => (PieceKind::Output, "}}"),
            Some("{%") => (PieceKind::Tag, "%}"),
            _ => return Ok(Some(self.text())),
        };
        let at = self.at + 2;
        let after = rest.get(2..).unwrap_or_default();
        let Some(end) = end_of(after, close) else {
            let open = rest.get(..2).unwrap_or_default();
            let what = format!("`{open}` has no `{close}` within {} bytes", limits::TAG_BYTES_MAX);
            return Err(self.fault(self.at, what));
        };
        self.at = at + end + 2;
        let inside = after.get(..end).unwrap_or_default();
        let (inside, trims_before) = inside.strip_prefix('-').map_or((inside, false), |inside| (inside, true));
        let at = at + usize::from(trims_before);
        let (inside, trims_after) = inside.strip_suffix('-').map_or((inside, false), |inside| (inside, true));
        Ok(Some(Piece { kind, text: inside, at, trims_before, trims_after }))
    }

    fn text(&mut self) -> Piece<'s> {
        let rest = self.rest();
        let mark = rest.match_indices('{').find(|(at, _)| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%')));
        let end = mark.map_or(rest.len(), |(at, _)| at);
        let piece = Piece {
            kind: PieceKind::Text,
            text: rest.get(..end).unwrap_or_default(),
            at: self.at,
            trims_before: false,
            trims_after: false,
        };
        self.at += end;
        piece
    }

    /// Everything up to the tag `name`, which is passed over, and whether that tag takes white space before and
    /// after it away; none where it does not come.
    pub(super) fn up_to_tag(&mut self, name: &str) -> Option<(&'s str, bool, bool)> {
        let rest = self.rest();
        for (start, _) in rest.match_indices("{%") {
            let after = rest.get(start + 2..)?;
            let (inside, before) = after.strip_prefix('-').map_or((after, false), |inside| (inside, true));
            let Some(tail) = inside.trim_start().strip_prefix(name) else { continue };
            let tail = tail.trim_start();
            let (tail, behind) = tail.strip_prefix('-').map_or((tail, false), |tail| (tail, true));
            let Some(tail) = tail.strip_prefix("%}") else { continue };
            self.at = self.whole.len() - tail.len();
            return Some((rest.get(..start)?, before, behind));
        }
        None
    }
}

/// Where `close` begins: outside of quotes, or else anywhere.
fn end_of(text: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut anywhere = None;
    for (at, byte) in text.bytes().enumerate().take(limits::TAG_BYTES_MAX) {
        let closes = text.as_bytes().get(at..at + 2) == Some(close.as_bytes());
        match (quote, byte) {
            (None, _) if closes => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) if closes => anywhere = anywhere.or(Some(at)),
            _ => {}
        }
    }
    anywhere
}
