//! What a message is: a Rust type with a stable name and version.

use serde::{Serialize, de::DeserializeOwned};

/// A typed message of the journal.
///
/// A topic is a plain Rust type; nothing central lists them, so a new agent edits no other file.
pub trait Topic: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Stable name on the journal, lowercase words joined by dots, e.g. `profile.changed`.
    const NAME: &'static str;
    /// Version of the body's shape. Raised when an old body can't be read as the new type.
    const VERSION: u8 = 1;
}
