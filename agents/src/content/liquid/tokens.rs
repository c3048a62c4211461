//! The words inside of an output or a tag.

/// One word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'s> {
    /// A name: letters, digits, `_` and `-`, perhaps a `?` at its end.
    Name(&'s str),
    /// A text in quotes.
    Text(&'s str),
    /// A whole number.
    Whole(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// `.`, `..`, `[`, `]`, `(`, `)`, `|`, `:`, `,`, `=`, `==`, `!=`, `<>`, `<`, `<=`, `>`, `>=`.
    Mark(&'static str),
}

const MARKS: [&str; 17] = ["==", "!=", "<>", "<=", ">=", "..", ".", "[", "]", "(", ")", "|", ":", ",", "=", "<", ">"];

/// The words of `text`, each with where it begins; else where something is that is no word.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, (usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let (token, bytes) = token(rest, first, found.last().map(|(token, _)| *token)).map_err(|what| (at, what))?;
        found.push((token, at));
        at += bytes;
    }
    Ok(found)
}

fn token<'s>(rest: &'s str, first: char, before: Option<Token<'s>>) -> Result<(Token<'s>, usize), String> {
    if first == '"' || first == '\'' {
        let inside = rest.get(1..).unwrap_or_default();
        let end = inside.find(first).ok_or_else(|| format!("{first} is not closed"))?;
        return Ok((Token::Text(inside.get(..end).unwrap_or_default()), end + 2));
    }
    let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let after_dot = matches!(before, Some(Token::Mark(".")));
    if !after_dot && (first.is_ascii_digit() || (first == '-' && second_is_digit)) {
        return number(rest);
    }
    let is_in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if first.is_alphanumeric() || first == '_' {
        let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
        let end = if rest.get(end..).is_some_and(|tail| tail.starts_with('?')) { end + 1 } else { end };
        return Ok((Token::Name(rest.get(..end).unwrap_or_default()), end));
    }
    let mark = MARKS.iter().find(|mark| rest.starts_with(**mark));
    mark.map(|mark| (Token::Mark(mark), mark.len())).ok_or_else(|| format!("`{first}` is not understood here"))
}

fn number(rest: &str) -> Result<(Token<'_>, usize), String> {
    let digits = |from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        from + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
    };
    let mut end = digits(1);
    let dot = rest.as_bytes().get(end) == Some(&b'.') && rest.as_bytes().get(end + 1).is_some_and(u8::is_ascii_digit);
    if dot {
        end = digits(end + 1);
    }
    let text = rest.get(..end).unwrap_or_default();
    let too_large = || format!("`{text}` is too large a number");
    let token = if dot {
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Token::Fraction)
    } else {
        text.parse().ok().map(Token::Whole)
    };
    Ok((token.ok_or_else(too_large)?, end))
}
