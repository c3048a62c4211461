//! Raw JSON that is kept unparsed must be such that every later reader can parse it.
//!
//! serde_json skips a raw value without looking at surrogates, the range of numbers or depth. One
//! pass over the bytes, without branches, says what a text can't have; only a text that might
//! have it is looked at closely.

use serde_json::Value;

use super::reject::Reason;
use crate::config::IngestLimits;

/// Digits from which a number may be out of range.
const LONG_NUMBER: usize = 256;

/// Checks the raw text of an object or array that lies `depth` levels inside its event.
pub(super) fn check_raw(text: &str, depth: usize, limits: &IngestLimits) -> Result<(), Reason> {
    let bytes = text.as_bytes();
    let survey = survey(bytes);
    let depth_left = limits.depth_max.saturating_sub(depth);
    if survey.openings as usize > depth_left || survey.colons as usize > limits.keys_max {
        check_shape(bytes, depth_left, limits.keys_max)?;
    }
    if survey.backslash {
        check_escapes(bytes)?;
    }
    // Deep texts are refused above, so that parsing can't run out of stack.
    if (survey.exponent || has_long_number(bytes)) && serde_json::from_str::<Value>(text).is_err() {
        return Err(Reason::NumberOutOfRange);
    }
    Ok(())
}

struct Survey {
    openings: u32,
    colons: u32,
    backslash: bool,
    exponent: bool,
}

fn survey(bytes: &[u8]) -> Survey {
    let mut openings = 0_u32;
    let mut colons = 0_u32;
    let mut backslash = 0_u8;
    let mut exponent = 0_u8;
    let next = bytes.get(1..).unwrap_or_default();
    for (byte, after) in bytes.iter().zip(next) {
        openings += u32::from(*byte | 0x20 == b'{');
        colons += u32::from(*byte == b':');
        backslash |= u8::from(*byte == b'\\');
        exponent |= u8::from(byte.is_ascii_digit() & (*after | 0x20 == b'e'));
    }
    Survey { openings, colons, backslash: backslash != 0, exponent: exponent != 0 }
}

/// A run of more than [`LONG_NUMBER`] digits covers one of the places looked at.
fn has_long_number(bytes: &[u8]) -> bool {
    let mut places = (0..bytes.len()).step_by(LONG_NUMBER);
    places.any(|place| bytes.get(place).is_some_and(u8::is_ascii_digit) && run_around(bytes, place) >= LONG_NUMBER)
}

fn run_around(bytes: &[u8], place: usize) -> usize {
    let (before, after) = bytes.split_at(place);
    let before = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).take(LONG_NUMBER).count();
    before + after.iter().take_while(|byte| byte.is_ascii_digit()).take(LONG_NUMBER).count()
}

/// Depth and keys, exactly. The text is known to be JSON.
fn check_shape(bytes: &[u8], depth_max: usize, keys_max: usize) -> Result<(), Reason> {
    let mut keys: Vec<usize> = Vec::with_capacity(depth_max);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b'{' | b'[' => {
                if keys.len() >= depth_max {
                    return Err(Reason::TooDeep);
                }
                keys.push(0);
            }
            b'}' | b']' => drop(keys.pop()),
            b':' => {
                if let Some(count) = keys.last_mut() {
                    *count += 1;
                    if *count > keys_max {
                        return Err(Reason::TooManyKeys);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(rest.next()),
            _ => {}
        }
    }
}

/// Every `\u` of a surrogate has its other half. The text is known to be JSON.
fn check_escapes(bytes: &[u8]) -> Result<(), Reason> {
    let mut rest = bytes;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        rest = rest.get(place + 1..).unwrap_or_default();
        if rest.first() != Some(&b'u') {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let unit = hex(rest.get(1..5));
        rest = rest.get(5..).unwrap_or_default();
        match unit {
            Some(0xd800..=0xdbff) => {
                let low = rest.strip_prefix(b"\\u").and_then(|after| hex(after.get(..4)));
                if !matches!(low, Some(0xdc00..=0xdfff)) {
                    return Err(Reason::LoneSurrogate);
                }
                rest = rest.get(6..).unwrap_or_default();
            }
            Some(0xdc00..=0xdfff) => return Err(Reason::LoneSurrogate),
            _ => {}
        }
    }
    Ok(())
}

fn hex(digits: Option<&[u8]>) -> Option<u16> {
    let text = std::str::from_utf8(digits?).ok()?;
    u16::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), Reason> {
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok(), "not JSON: {text}");
        check_raw(text, 1, &IngestLimits::default())
    }

    #[test]
    fn depth_is_counted_from_the_event() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(31)), Ok(()));
        assert_eq!(check(&nested(32)), Err(Reason::TooDeep));
        assert_eq!(check(&nested(100_000)), Err(Reason::TooDeep));
        // Wide is not deep, and brackets in a text are no brackets.
        assert_eq!(check(&format!("[{}1]", "[],".repeat(500))), Ok(()));
        assert_eq!(check(&format!("{{\"a\":\"{}\\\"[\"}}", "[".repeat(500))), Ok(()));
    }

    #[test]
    fn keys_are_counted_an_object() {
        let object = |keys: usize| {
            let list: Vec<_> = (0..keys).map(|key| format!("\"k{key}\":{{\"a\":1}}")).collect();
            format!("{{{}}}", list.join(","))
        };
        assert_eq!(check(&object(255)), Ok(()));
        assert_eq!(check(&object(256)), Err(Reason::TooManyKeys));
    }

    #[test]
    fn what_parses_later_is_exactly_what_is_taken() {
        let long = "9".repeat(400);
        let spaced = format!("{}{}", " ".repeat(100), "9".repeat(310));
        let texts = [
            r#"{"a":"\ud83d\ude00"}"#.to_owned(),
            r#"{"a":"\ud83d"}"#.into(),
            r#"{"a":"\ude00\ud83d"}"#.into(),
            r#"{"\ud800":1}"#.into(),
            r#"{"a":"\\ud800"}"#.into(),
            r#"{"a":"\\\ud800"}"#.into(),
            r#"{"a":"\ud800x\udc00"}"#.into(),
            r#"{"a":"\u0000"}"#.into(),
            r#"{"a":1e999}"#.into(),
            r#"{"a":-1E+400}"#.into(),
            r#"{"a":1e-999}"#.into(),
            r#"{"a":"1e999"}"#.into(),
            r#"{"sku":"SHOE1e5","a":1.5e300}"#.into(),
            format!("{{\"a\":{long}}}"),
            format!("{{\"a\":\"{long}\"}}"),
            format!("[{spaced}]"),
            format!("[{}]", "9".repeat(308)),
        ];
        for text in texts {
            let parses = serde_json::from_str::<Value>(&text).is_ok();
            assert_eq!(check(&text).is_ok(), parses, "{text}");
        }
    }
}
