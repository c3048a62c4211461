//! The cells of one row.

use std::borrow::Cow;

/// What stands between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// One byte; cells may be in double quotes.
    Byte(u8),
    /// Any number of spaces and tabs; there are no quotes and no empty cells.
    Whitespace,
}

/// Cells a row may have.
pub const CELLS_MAX: usize = 1_024;

impl Separator {
    /// The separator behind a name or a character; `None` where it is neither.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "comma" => Some(Self::Byte(b',')),
            "semicolon" => Some(Self::Byte(b';')),
            "tab" | "\\t" => Some(Self::Byte(b'\t')),
            "pipe" => Some(Self::Byte(b'|')),
            "whitespace" | "space" => Some(Self::Whitespace),
            _ => match name.as_bytes() {
                [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && *byte != b'"' && *byte != b' ' => {
                    Some(Self::Byte(*byte))
                }
                _ => None,
            },
        }
    }

    /// The separator a first row seems to have: the commonest of tab, `;`, `,` and `|`, else white space.
    pub fn guess(row: &str) -> Self {
        let count = |byte: u8| row.bytes().filter(|found| *found == byte).count();
        let candidates = [b'\t', b';', b',', b'|'].map(|byte| (count(byte), byte));
        let best = candidates.into_iter().rev().max_by_key(|(count, _)| *count);
        match best {
            Some((count, byte)) if count > 0 => Self::Byte(byte),
            _ => Self::Whitespace,
        }
    }

    /// The cells of a row, white space around them taken off; `None` for more than [`CELLS_MAX`].
    pub fn split<'a>(self, row: &'a str, cells: &mut Vec<Cow<'a, str>>) -> Option<()> {
        cells.clear();
        match self {
            Self::Whitespace => cells.extend(row.split_ascii_whitespace().take(CELLS_MAX + 1).map(Cow::Borrowed)),
            Self::Byte(separator) => split_quoted(row, separator, cells),
        }
        (cells.len() <= CELLS_MAX).then_some(())
    }
}

fn split_quoted<'a>(row: &'a str, separator: u8, cells: &mut Vec<Cow<'a, str>>) {
    let separator = char::from(separator);
    let mut rest = row;
    while cells.len() <= CELLS_MAX {
        let (cell, later) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted, separator),
            None => match rest.split_once(separator) {
                Some((cell, later)) => (Cow::Borrowed(cell.trim()), Some(later)),
                None => (Cow::Borrowed(rest.trim()), None),
            },
        };
        cells.push(cell);
        match later {
            Some(later) => rest = later,
            None => return,
        }
    }
}

/// A cell whose opening quote is behind, and what follows its separator.
fn take_quoted(text: &str, separator: char) -> (Cow<'_, str>, Option<&str>) {
    let mut cell = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (part, later) = rest.split_once('"').unwrap_or((rest, ""));
        if cell.is_empty() {
            cell = Cow::Borrowed(part);
        } else {
            cell.to_mut().push_str(part);
        }
        if let Some(again) = later.strip_prefix('"') {
            cell.to_mut().push('"');
            rest = again;
            continue;
        }
        // What stands between the closing quote and the separator belongs to nothing.
        let later = later.split_once(separator).map(|(_, later)| later);
        return (cell, later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str, separator: Separator, expect: &[&str]) {
        let mut cells = Vec::new();
        separator.split(row, &mut cells).expect("few cells");
        assert_eq!(cells, expect, "{row:?}");
    }

    #[test]
    fn rows_are_split() {
        let comma = Separator::Byte(b',');
        check("a,b,c", comma, &["a", "b", "c"]);
        check(" a ,, c", comma, &["a", "", "c"]);
        check("", comma, &[""]);
        check("a,", comma, &["a", ""]);
        check("\"a,b\",c", comma, &["a,b", "c"]);
        check("\"say \"\"hi\"\"\",c", comma, &["say \"hi\"", "c"]);
        check("\"\",\"\"", comma, &["", ""]);
        check("\"a\nb\"", comma, &["a\nb"]);
        check("5\" disc,1", comma, &["5\" disc", "1"]);
        check(" 00001 19970101  1   11.77", Separator::Whitespace, &["00001", "19970101", "1", "11.77"]);
        check("a\tb c\t", Separator::Byte(b'\t'), &["a", "b c", ""]);
    }

    #[test]
    fn an_endless_row_is_refused() {
        let (most, more) = (",".repeat(CELLS_MAX - 1), ",".repeat(CELLS_MAX));
        assert_eq!(Separator::Byte(b',').split(&more, &mut Vec::new()), None);
        assert_eq!(Separator::Byte(b',').split(&most, &mut Vec::new()), Some(()));
    }

    #[test]
    fn the_separator_is_guessed() {
        assert_eq!(Separator::guess("age;job,or none;marital"), Separator::Byte(b';'));
        assert_eq!(Separator::guess("InvoiceNo,StockCode"), Separator::Byte(b','));
        assert_eq!(Separator::guess(" 00001 19970101  1   11.77"), Separator::Whitespace);
        assert_eq!(Separator::guess("a\tb"), Separator::Byte(b'\t'));
    }
}
