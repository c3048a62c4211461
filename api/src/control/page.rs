//! Pages: how many at most, and where the next one begins.

use std::fmt;

use impresario_agents::vocabulary::ProfileId;
use impresario_runtime::AgentKey;
use serde::{Deserialize, Deserializer, de::Error};
use utoipa::IntoParams;

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

/// A page of a list of things that are called by id or name, in that order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IdPage {
    /// Where the page begins: `next` of the page before.
    pub(super) cursor: Option<String>,
    /// At most so many.
    #[serde(default = "limit_largest")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 1000)]
    pub(super) limit: Limit,
}

const fn limit_largest() -> Limit {
    Limit(LIMIT_MAX)
}

/// The page of `items`, which come in the order of their ids, and where the next one begins.
pub(super) fn page_of<T>(items: Vec<T>, page: &IdPage, id: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let after = page.cursor.as_deref();
    let mut found: Vec<T> = items.into_iter().filter(|item| after.is_none_or(|after| id(item) > after)).collect();
    let more = found.len() > page.limit.get();
    found.truncate(page.limit.get());
    let next = found.last().filter(|_| more).map(|last| id(last).to_owned());
    (found, next)
}

/// A place among the people of all workers of an agent, one worker after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which worker.
    pub(super) worker: usize,
    /// After whom.
    pub(super) after: Option<ProfileId>,
}

impl Cursor {
    /// The bytes of the first key to look at.
    pub(super) fn from(self) -> Vec<u8> {
        let after = self.after.map(|id| {
            let mut bytes = id.encode();
            bytes.push(0);
            bytes
        });
        after.unwrap_or_default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(after) => write!(f, "{}.{after}", self.worker),
            None => write!(f, "{}.", self.worker),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("`cursor` is not one that was given");
        let (worker, after) = text.split_once('.').ok_or_else(wrong)?;
        let after = if after.is_empty() { None } else { Some(after.parse().map_err(|_| wrong())?) };
        Ok(Self { worker: worker.parse().map_err(|_| wrong())?, after })
    }
}
