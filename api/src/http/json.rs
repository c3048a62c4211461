//! Reading JSON so that what is wrong is named: the field's path, and what may stand there.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// What serde calls what it expects, and what people call it.
const EXPECTED: [(&str, &str); 11] = [
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u32", "expected a whole number from 0 to 4294967295"),
    ("expected u64", "expected a whole number, not below 0"),
    ("expected usize", "expected a whole number, not below 0"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected struct", "expected an object:"),
    ("expected a borrowed string", "expected a text"),
    ("expected a string", "expected a text"),
    ("expected a sequence", "expected a list"),
];

/// A body of a type that knows all its fields.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let value = read.map_err(|error| Problem::of_json_told(error.inner(), told(error.path(), error.inner())))?;
    json.end().map_err(|error| Problem::of_json(&error))?;
    Ok(value)
}

/// A part of a body that was read before.
///
/// # Errors
/// What is wrong, with its path.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| told(error.path(), error.inner()))
}

/// The path and what is wrong there, in words.
fn told(path: &serde_path_to_error::Path, error: &serde_json::Error) -> String {
    let mut what = error.to_string();
    for (theirs, ours) in EXPECTED {
        let Some(at) = what.find(theirs) else { continue };
        // `expected u8` is not the beginning of another word.
        let after = what.get(at + theirs.len()..).and_then(|rest| rest.chars().next());
        if after.is_none_or(|next| !next.is_ascii_alphanumeric()) {
            what.replace_range(at..at + theirs.len(), ours);
            break;
        }
    }
    let path = path.to_string();
    // What a part of its own has said names its path already, and nothing stands above the whole.
    if path == "." || !error.is_data() || is_named(&what) { what } else { format!("`{path}`: {what}") }
}

/// Whether a text begins with a path in backquotes and a colon.
fn is_named(what: &str) -> bool {
    let rest = what.strip_prefix('`').and_then(|rest| rest.split_once('`'));
    rest.is_some_and(|(_, rest)| rest.starts_with(": "))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hours {
        #[expect(dead_code, reason = "read alone")]
        hours: Vec<u8>,
    }

    #[test]
    fn what_is_wrong_is_named_with_what_may_stand_there() {
        let told = |body: &str| format!("{:?}", from_slice::<Hours>(body.as_bytes()).expect_err("wrong"));
        assert!(
            told(r#"{"hours":[1,-1]}"#)
                .contains("`hours[1]`: invalid value: integer `-1`, expected a whole number from 0 to 255")
        );
        assert!(told(r#"{"hours":["nine"]}"#).contains("`hours[0]`"));
        assert!(told(r#"{"houres":[]}"#).contains("unknown field `houres`, expected `hours`"));
        assert!(told("{}").contains("missing field `hours`"));
        assert!(told(r#"{"hours":[1]} x"#).contains("trailing"));
    }
}
