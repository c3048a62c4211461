//! Cutting a stream of bytes into records: lines, or rows whose quoted cells may hold line ends.
//!
//! Memory is bounded whatever comes: a record longer than the limit is refused and skipped, and a
//! quote that never ends costs its own line alone.

use std::io::{self, Read};

const READ_BYTES: usize = 256 << 10;

/// One record of a file, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Where it begins in the stream, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A record; never an empty one.
    Record(Record<'a>),
    /// What can't be a record, with its line.
    Refused {
        /// The line it begins on, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The stream has ended.
    End,
}

/// How records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A record is a line.
    Lines,
    /// A record is a row whose cells may be in double quotes (RFC 4180), with this separator.
    Quoted(u8),
}

/// A reader of records.
pub struct Records<R> {
    reader: R,
    cut: Cut,
    record_bytes_max: usize,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    line: u64,
    ended: bool,
    begun: bool,
}

enum Found {
    /// A record of so many bytes; the line end after it is so long; it spans so many lines.
    Whole { length: usize, end: usize, lines: u64 },
    /// The first line, of so many bytes with its end, opens a quote that does not close.
    Open { skip: usize },
    /// Not all of it is in the buffer.
    More,
}

impl<R: Read> Records<R> {
    /// Reads records of at most `record_bytes_max` bytes.
    pub fn new(reader: R, cut: Cut, record_bytes_max: usize) -> Self {
        Self {
            reader,
            cut,
            record_bytes_max,
            buffer: Vec::with_capacity(READ_BYTES),
            start: 0,
            offset: 0,
            line: 1,
            ended: false,
            begun: false,
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// The reader's.
    pub fn read(&mut self) -> io::Result<Next<'_>> {
        if !self.begun {
            self.begun = true;
            self.skip_byte_order_mark()?;
        }
        loop {
            let found = find(self.buffer.get(self.start..).unwrap_or_default(), self.cut, self.ended);
            match found {
                Found::Whole { length, end, lines } if length <= self.record_bytes_max => {
                    let (line, offset, from) = (self.line, self.offset, self.start);
                    self.take(length + end, lines);
                    if length == 0 {
                        if self.is_done() {
                            return Ok(Next::End);
                        }
                        continue;
                    }
                    let bytes = self.buffer.get(from..from + length).unwrap_or_default();
                    return Ok(Next::Record(Record { line, offset, bytes }));
                }
                Found::Open { skip } if self.ended || self.waiting() > self.record_bytes_max => {
                    let line = self.line;
                    self.take(skip, 1);
                    return Ok(Next::Refused { line, why: "a quote is opened and not closed" });
                }
                Found::Whole { .. } => return self.refuse_long(),
                Found::More if self.waiting() > self.record_bytes_max => return self.refuse_long(),
                Found::More if self.is_done() => return Ok(Next::End),
                Found::More | Found::Open { .. } => self.fill()?,
            }
        }
    }

    /// Bytes of the stream that are behind.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn is_done(&self) -> bool {
        self.ended && self.waiting() == 0
    }

    fn take(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.line += lines;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.reader.read(self.buffer.get_mut(before..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.buffer.truncate(before);
                return Err(error);
            }
        };
        self.buffer.truncate(before + read);
        self.ended = read == 0;
        Ok(())
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
        while self.waiting() < MARK.len() && !self.ended {
            self.fill()?;
        }
        if self.buffer.get(self.start..).is_some_and(|bytes| bytes.starts_with(MARK)) {
            self.take(MARK.len(), 0);
        }
        Ok(())
    }

    /// Skips to the end of the line, however far that is, keeping nothing of it.
    fn refuse_long(&mut self) -> io::Result<Next<'static>> {
        let line = self.line;
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                self.take(end + 1, 1);
                break;
            }
            self.take(rest.len(), 0);
            if self.ended {
                break;
            }
            self.fill()?;
        }
        Ok(Next::Refused { line, why: "it is longer than a row may be" })
    }
}

fn find(bytes: &[u8], cut: Cut, ended: bool) -> Found {
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.get(..newline.unwrap_or(bytes.len())).unwrap_or_default();
    if let Cut::Quoted(separator) = cut
        && line.contains(&b'"')
    {
        return find_quoted(bytes, separator, newline, ended);
    }
    match newline {
        Some(at) => whole(bytes, at, 1, 1),
        None if ended && !bytes.is_empty() => whole(bytes, bytes.len(), 0, 1),
        None => Found::More,
    }
}

fn whole(bytes: &[u8], at: usize, end: usize, lines: u64) -> Found {
    let carriage = at > 0 && bytes.get(at - 1) == Some(&b'\r');
    let carriage = usize::from(carriage);
    Found::Whole { length: at - carriage, end: end + carriage, lines }
}

fn find_quoted(bytes: &[u8], separator: u8, newline: Option<usize>, ended: bool) -> Found {
    let mut inside = false;
    let mut cell_begins = true;
    let mut lines = 1;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            // A doubled quote closes and opens again: the same as a quote inside.
            b'"' if inside => inside = false,
            b'"' if cell_begins || bytes.get(at.wrapping_sub(1)) == Some(&b'"') => inside = true,
            b'\n' if !inside => return whole(bytes, at, 1, lines),
            b'\n' => lines += 1,
            _ => {}
        }
        cell_begins = !inside && *byte == separator;
    }
    if ended && !inside {
        return whole(bytes, bytes.len(), 0, lines);
    }
    if inside { Found::Open { skip: newline.map_or(bytes.len(), |at| at + 1) } } else { Found::More }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in pieces of three bytes, so that every boundary falls inside something.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(3).min(into.len());
            let (now, later) = self.0.split_at(take);
            into[..take].copy_from_slice(now);
            self.0 = later;
            Ok(take)
        }
    }

    fn check(text: &str, cut: Cut, expect: &[(u64, &str)]) {
        let mut records = Records::new(Drip(text.as_bytes()), cut, 16);
        let mut found = Vec::new();
        loop {
            match records.read().expect("memory can be read") {
                Next::Record(record) => {
                    let bytes = String::from_utf8_lossy(record.bytes).into_owned();
                    let from = usize::try_from(record.offset).expect("a short text");
                    assert_eq!(&text[from..from + bytes.len()], bytes, "the offset of line {}", record.line);
                    found.push((record.line, bytes));
                }
                Next::Refused { line, why } => found.push((line, format!("! {why}"))),
                Next::End => break,
            }
        }
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn lines_are_cut() {
        check("a\nb\r\n\nc", Cut::Lines, &[(1, "a"), (2, "b"), (4, "c")]);
        check("", Cut::Lines, &[]);
        check("\n\r\n", Cut::Lines, &[]);
        check("\u{feff}a\n", Cut::Lines, &[(1, "a")]);
        check("say \"a\nb\"\n", Cut::Lines, &[(1, "say \"a"), (2, "b\"")]);
    }

    #[test]
    fn a_long_line_is_refused_and_the_next_one_read() {
        let long = "x".repeat(1_000);
        check(&format!("a\n{long}\nb\n"), Cut::Lines, &[(1, "a"), (2, "! it is longer than a row may be"), (3, "b")]);
        check(&long, Cut::Quoted(b','), &[(1, "! it is longer than a row may be")]);
        check("0123456789abcdef\n", Cut::Lines, &[(1, "0123456789abcdef")]);
        check("0123456789abcdef!\n", Cut::Lines, &[(1, "! it is longer than a row may be")]);
    }

    #[test]
    fn quoted_cells_may_hold_line_ends() {
        let cut = Cut::Quoted(b',');
        check("a,\"b\nc\"\nd\n", cut, &[(1, "a,\"b\nc\""), (3, "d")]);
        check("\"say \"\"hi\"\"\"\nd", cut, &[(1, "\"say \"\"hi\"\"\""), (2, "d")]);
        check("5\" disc,1\nd", cut, &[(1, "5\" disc,1"), (2, "d")]);
        check("\"a\",\"\"\n\"\",b\n", cut, &[(1, "\"a\",\"\""), (2, "\"\",b")]);
    }

    #[test]
    fn a_quote_that_never_ends_costs_its_line_alone() {
        let cut = Cut::Quoted(b',');
        check("\"a\nb\nc\n", cut, &[(1, "! a quote is opened and not closed"), (2, "b"), (3, "c")]);
        let many = format!("\"a\n{}", "b\n".repeat(20));
        let mut expect = vec![(1, "! a quote is opened and not closed")];
        expect.extend((2..22).map(|line| (line, "b")));
        check(&many, cut, &expect);
    }
}
