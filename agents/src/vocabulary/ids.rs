use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One customer, however many identifiers they are known by.
///
/// Shown as `p_` and sixteen lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(pub u64);

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p_{:016x}", self.0)
    }
}

/// The text is not `p_` and sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profile id is `p_` and sixteen hexadecimal digits")]
pub struct ProfileIdError;

impl FromStr for ProfileId {
    type Err = ProfileIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("p_").filter(|digits| digits.len() == 16);
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(ProfileId).ok_or(ProfileIdError)
    }
}
