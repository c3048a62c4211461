//! How bodies are written: one version byte, then MessagePack with field names.
//!
//! Names keep old and new fields side by side: a field added later has a default, a field
//! dropped later is skipped. The version byte is raised only when that is not enough.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// Writes `value` behind its version byte.
///
/// # Errors
/// [`StoreError::Codec`] where the value can't be said in MessagePack.
pub fn encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Result<Bytes, StoreError> {
    let mut body = Vec::with_capacity(128);
    body.push(version);
    let mut serializer = rmp_serde::Serializer::new(&mut body).with_struct_map();
    value.serialize(&mut serializer).map_err(|error| StoreError::Codec(error.to_string()))?;
    Ok(Bytes::from(body))
}

/// Reads a body of the given version.
///
/// # Errors
/// [`StoreError::Codec`] naming what is wrong: no byte at all, a version from a newer program,
/// or a body that is not this type.
pub fn decode<T: DeserializeOwned>(version: u8, body: &[u8]) -> Result<T, StoreError> {
    let (found, rest) = split_version(body)?;
    if found > version {
        return Err(StoreError::Codec(format!("the body has version {found}, this program knows up to {version}")));
    }
    rmp_serde::from_slice(rest).map_err(|error| StoreError::Codec(error.to_string()))
}

/// The version byte and what follows it.
///
/// # Errors
/// [`StoreError::Codec`] for an empty body.
pub fn split_version(body: &[u8]) -> Result<(u8, &[u8]), StoreError> {
    match body.split_first() {
        Some((version, rest)) => Ok((*version, rest)),
        None => Err(StoreError::Codec("an empty body".into())),
    }
}
