//! Rows that were not taken: counted, shown, and written to a file for whoever mends them.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde::Serialize;

use super::limits::REJECTS_KEPT_MAX;

/// One row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The file.
    pub file: String,
    /// The line the row begins on, from 1.
    pub line: u64,
    /// Why, without what its cells hold.
    pub reason: Cow<'static, str>,
}

/// All rows that were not taken.
pub struct Rejects {
    count: u64,
    first: Vec<Reject>,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    /// Counts, and writes to a CSV file where one is named.
    ///
    /// # Errors
    /// The system's.
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        let mut file = path.map(File::create).transpose()?.map(BufWriter::new);
        if let Some(file) = &mut file {
            writeln!(file, "file,line,reason")?;
        }
        Ok(Self { count: 0, first: Vec::new(), file })
    }

    /// Takes note of one.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&mut self, file: &str, line: u64, reason: Cow<'static, str>) -> io::Result<()> {
        self.count += 1;
        if let Some(out) = &mut self.file {
            let quoted = |text: &str| text.replace('"', "\"\"").replace(['\n', '\r'], " ");
            writeln!(out, "\"{}\",{line},\"{}\"", quoted(file), quoted(&reason))?;
        }
        if self.first.len() < REJECTS_KEPT_MAX {
            self.first.push(Reject { file: file.to_owned(), line, reason });
        }
        Ok(())
    }

    /// How many there are, and the first of them.
    ///
    /// # Errors
    /// The file can't be written to its end.
    pub fn end(mut self) -> io::Result<(u64, Vec<Reject>)> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        Ok((self.count, self.first))
    }
}
