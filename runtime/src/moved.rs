//! How a key's state travels to the key it has become.

use impresario_store::Seq;
use serde::{Deserialize, Serialize};

/// The state of a key on its way to the key it has become.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateMoved {
    #[serde(with = "serde_bytes_vec")]
    pub(crate) from: Vec<u8>,
    #[serde(with = "serde_bytes_vec")]
    pub(crate) to: Vec<u8>,
    #[serde(with = "serde_bytes_vec")]
    pub(crate) state: Vec<u8>,
    /// How often it was sent on because its goal had become another key, too.
    #[serde(default)]
    pub(crate) hops: u8,
    /// The entry with which it left.
    #[serde(default)]
    pub(crate) since: Seq,
}

mod serde_bytes_vec {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The topic on which an agent's workers hand states over to each other.
pub(crate) fn moved_topic(agent: &str) -> String {
    format!("{agent}.state.moved")
}
