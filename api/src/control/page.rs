//! Pages: how many at most, and where the next one begins.

use serde::{Deserialize, Deserializer, de::Error};

/// Items of one page at most.
pub(super) const LIMIT_MAX: usize = 1_000;

/// How many items a page may have: 1 to [`LIMIT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(usize);

/// The size of a page nobody asks a size for.
pub(super) const fn limit_default() -> Limit {
    Limit(100)
}

impl Limit {
    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = usize::deserialize(deserializer)?;
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(D::Error::custom(format!("`limit` is 1 to {LIMIT_MAX}")))
        }
    }
}
