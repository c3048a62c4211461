//! How bodies are written: one version byte, then MessagePack with field names.
//!
//! Names keep old and new fields side by side: a field added later has a default, a field
//! dropped later is skipped. The version byte is raised only when that is not enough.

use std::cell::RefCell;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// Writes `value` behind its version byte.
///
/// # Errors
/// [`StoreError::Codec`] where the value can't be said in MessagePack.
pub fn encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Result<Bytes, StoreError> {
    // Written where the last one was, then copied out at its size: one allocation a body.
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.push(version);
        let mut serializer = rmp_serde::Serializer::new(&mut *scratch).with_struct_map();
        value.serialize(&mut serializer).map_err(|error| StoreError::Codec(error.to_string()))?;
        let body = Bytes::copy_from_slice(scratch);
        scratch.shrink_to(SCRATCH_BYTES_MAX);
        Ok(body)
    })
}

/// What a thread keeps for the next body; larger ones give their room back.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
