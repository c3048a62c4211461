use std::{collections::BTreeMap, sync::Arc};

use super::{core::each_row, entry::NameId, keys};
use crate::{Engine, StoreError};

/// Names there may be; the numbers from 0 to 65,533.
const NAMES_MAX: usize = 65_534;
/// Bytes of one name.
const NAME_BYTES_MAX: usize = 256;

/// The names of topics, agents and workers, and their numbers, which entries hold in their place.
pub(super) struct Names {
    by_id: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, NameId>,
}

impl Names {
    pub(super) fn open(engine: &dyn Engine) -> Result<Self, StoreError> {
        let mut names = Self { by_id: Vec::new(), by_name: BTreeMap::new() };
        names.add("outside");
        each_row(engine, keys::NAME, |key, value| {
            let damaged = |what: &str| StoreError::Damaged {
                place: format!("table of names at {}", names.by_id.len()),
                what: what.to_owned(),
            };
            if keys::name_from(key).map(|id| usize::from(id.0)) != Some(names.by_id.len()) {
                return Err(damaged("a name is missing"));
            }
            let name = std::str::from_utf8(value).map_err(|_| damaged("a name is not UTF-8"))?;
            names.add(name);
            Ok(())
        })?;
        Ok(names)
    }

    pub(super) fn get(&self, name: &str) -> Option<NameId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn name_of(&self, id: NameId) -> Option<&str> {
        self.by_id.get(usize::from(id.0)).map(AsRef::as_ref)
    }

    /// The number that a new name will get.
    pub(super) fn next(&self, name: &str) -> Result<NameId, StoreError> {
        let too_large = |what: &str, bytes, max| StoreError::TooLarge { what: what.to_owned(), bytes, max };
        if name.len() > NAME_BYTES_MAX {
            return Err(too_large("name", name.len(), NAME_BYTES_MAX));
        }
        if self.by_id.len() >= NAMES_MAX {
            return Err(too_large("table of names", self.by_id.len(), NAMES_MAX));
        }
        Ok(NameId(self.by_id.len() as u16))
    }

    pub(super) fn add(&mut self, name: &str) {
        let id = NameId(self.by_id.len() as u16);
        let name: Arc<str> = name.into();
        self.by_id.push(Arc::clone(&name));
        self.by_name.insert(name, id);
    }
}
