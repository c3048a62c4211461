//! Filters on texts.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is in an address.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// HTML's own marks as HTML writes them.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out.into()
}

/// The first letter large, the others small.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

/// As it is written in an address.
pub(super) fn url_encode(text: &str) -> String {
    utf8_percent_encode(text, &KEPT).to_string()
}

/// The text that an address writes so.
pub(super) fn url_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// In base 64.
pub(super) fn base64_encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// The text that is so in base 64; nothing where it is none.
pub(super) fn base64_decode(text: &str) -> String {
    let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One space wherever there is white space.
pub(super) fn normalize_whitespace(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_whitespace() {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    out
}

/// Small letters and digits, and one `-` for whatever is between them.
pub(super) fn slugify(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Items as a sentence has them: `a, b, and c`.
pub(super) fn sentence(items: &[String], and: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} {and} {other}"),
        [most @ .., last] => format!("{}, {and} {last}", most.join(", ")),
    }
}

/// At most so many characters, those of `end` among them.
pub(super) fn truncate(text: &str, chars_max: i64, end: &str) -> String {
    let chars_max = usize::try_from(chars_max).unwrap_or(0);
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(end.chars().count());
    text.chars().take(kept).collect::<String>() + end
}

/// At most so many words, and `end` after them where there were more.
pub(super) fn truncate_words(text: &str, words_max: i64, end: &str) -> String {
    let words_max = usize::try_from(words_max).unwrap_or(0).max(1);
    let mut words = text.split_whitespace();
    let kept: Vec<&str> = words.by_ref().take(words_max).collect();
    if words.next().is_none() {
        return text.to_owned();
    }
    kept.join(" ") + end
}

/// So many of `length` things from `start` on, which counts from the end below nought: first and behind the last.
pub(super) fn slice(length: usize, start: i64, count: i64) -> (usize, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from = if start < 0 { start.saturating_add(length) } else { start };
    if from < 0 || count <= 0 {
        return (0, 0);
    }
    let to = from.saturating_add(count).min(length);
    let place = |place: i64| usize::try_from(place).unwrap_or(0);
    if from >= to { (0, 0) } else { (place(from), place(to)) }
}

/// Bytes of `text` with every `from` made `to`.
pub(super) fn replaced_bytes(text: &str, from: &str, to: &str) -> usize {
    let found = if from.is_empty() { text.chars().count() + 1 } else { text.matches(from).count() };
    text.len().saturating_add(found.saturating_mul(to.len()))
}

/// The last `from` made `to`.
pub(super) fn replace_last(text: &str, from: &str, to: &str) -> String {
    match text.rsplit_once(from) {
        Some((before, after)) => format!("{before}{to}{after}"),
        None => text.to_owned(),
    }
}
