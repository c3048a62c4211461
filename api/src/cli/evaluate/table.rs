use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use flate2::read::MultiGzDecoder;

use crate::cli::CommandError;

/// Rows of a table at most.
const ROWS_MAX: usize = 5_000_000;

/// A comma-separated file, plain or gzipped, its columns named by the first line or not at all.
pub(super) struct Table {
    path: PathBuf,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<csv::StringRecord>,
}

impl Table {
    /// Reads a file; `headed` where its first line names the columns.
    pub(super) fn read(path: &Path, headed: bool) -> Result<Self, CommandError> {
        let unread = |error| CommandError::Usage(format!("can't read {}: {error}", path.display()));
        let file = BufReader::new(File::open(path).map_err(unread)?);
        let gzipped = path.extension().is_some_and(|ending| ending == "gz");
        let bytes: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut reader = csv::ReaderBuilder::new().has_headers(headed).from_reader(bytes);
        let wrong = |error: &csv::Error| match error.position() {
            Some(position) => CommandError::Usage(format!("{}, line {}: {error}", path.display(), position.line())),
            None => CommandError::Usage(format!("{}: {error}", path.display())),
        };
        let columns =
            if headed { reader.headers().map_err(|error| wrong(&error))?.clone() } else { Default::default() };
        let mut rows = Vec::new();
        for row in reader.records() {
            rows.push(row.map_err(|error| wrong(&error))?);
            if rows.len() > ROWS_MAX {
                return Err(CommandError::Usage(format!("{} has more than {ROWS_MAX} rows", path.display())));
            }
        }
        if rows.is_empty() {
            return Err(CommandError::Usage(format!("{} has no rows", path.display())));
        }
        Ok(Self { path: path.to_path_buf(), columns: columns.iter().map(str::to_owned).collect(), rows })
    }

    /// Reads the one of the plain and the gzipped file that is there.
    pub(super) fn read_either(directory: &Path, name: &str, headed: bool) -> Result<Self, CommandError> {
        let plain = directory.join(name);
        let path = if plain.is_file() { plain } else { directory.join(format!("{name}.gz")) };
        Self::read(&path, headed)
    }

    /// The place of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize, CommandError> {
        let place = self.columns.iter().position(|column| column == name);
        place.ok_or_else(|| {
            let Self { path, columns, .. } = self;
            CommandError::Usage(format!(
                "{}, line 1: no column `{name}`; there are {}",
                path.display(),
                columns.join(", ")
            ))
        })
    }

    /// A cell's text.
    pub(super) fn text(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|row| row.get(column)).unwrap_or_default()
    }

    /// A cell as a number for which `is` holds.
    pub(super) fn number<T: FromStr>(
        &self,
        row: usize,
        column: usize,
        what: &str,
        is: impl Fn(&T) -> bool,
    ) -> Result<T, CommandError> {
        let text = self.text(row, column);
        text.trim().parse().ok().filter(is).ok_or_else(|| self.wrong(row, column, &format!("`{text}` is not {what}")))
    }

    /// What is wrong with a cell, and where it is.
    pub(super) fn wrong(&self, row: usize, column: usize, what: &str) -> CommandError {
        let position = self.rows.get(row).and_then(csv::StringRecord::position);
        let line = position.map_or(row as u64 + 1, csv::Position::line);
        let column = match self.columns.get(column) {
            Some(name) => format!("column {} ({name})", column + 1),
            None => format!("column {}", column + 1),
        };
        CommandError::Usage(format!("{}, line {line}, {column}: {what}", self.path.display()))
    }
}
