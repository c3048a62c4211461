//! Whether a single event is one that is meant.

use super::{Selector, limits, truth::PropertyTest};
use crate::vocabulary::Tracked;

/// Checks which events are meant.
///
/// # Errors
/// What is wrong.
pub fn check_selector(selector: &Selector) -> Result<(), String> {
    if selector.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > limits::TEXT_BYTES_MAX) {
        return Err(format!("`name`: 1 to {} bytes", limits::TEXT_BYTES_MAX));
    }
    if selector.filters.len() > limits::FILTERS_MAX {
        return Err(format!("`where`: at most {} tests", limits::FILTERS_MAX));
    }
    let bytes = serde_json::to_vec(selector).map_or(usize::MAX, |json| json.len());
    if bytes > limits::CONDITION_BYTES_MAX {
        return Err(format!("it is longer than {} bytes of JSON", limits::CONDITION_BYTES_MAX));
    }
    selector.filters.iter().try_for_each(|filter| PropertyTest::new(filter).map(drop))
}

/// Whether an event is one that is meant.
pub(crate) fn is_selected(selector: &Selector, event: &Tracked) -> bool {
    let named = selector.name.as_deref().is_none_or(|name| name == event.name);
    if selector.kind != event.kind || !named {
        return false;
    }
    if selector.filters.is_empty() {
        return true;
    }
    let properties = event.properties.parse();
    selector.filters.iter().all(|filter| PropertyTest::new(filter).is_ok_and(|test| test.holds(&properties)))
}
