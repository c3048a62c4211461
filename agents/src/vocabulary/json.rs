use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The text of a JSON object, kept raw and parsed only when looked at.
///
/// Whoever builds one has checked that the text is a JSON object within the limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Wraps text already known to be a JSON object.
    pub fn from_checked(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The raw text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `{}` and for no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty() || &*self.0 == "{}"
    }

    /// The parsed object; empty where the text is not an object.
    pub fn parse(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for RawJson {
    fn default() -> Self {
        Self("{}".into())
    }
}
