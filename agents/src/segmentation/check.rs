//! Whether a definition may stand: shape, limits, and the segments it looks at.

use std::collections::{BTreeMap, BTreeSet};

use super::{AbsentCondition, Condition, EventCondition, SegmentDefined, plan::compile};

/// Limits of definitions, all in one place.
pub mod limits {
    /// Ids of segments a directory may ever have had: those of removed ones are remembered.
    pub const IDS_MAX: usize = 100_000;
    /// Segments that stand at once.
    pub const SEGMENTS_MAX: usize = 1_000;
    /// Conditions in one definition.
    pub const NODES_MAX: usize = 100;
    /// How deep conditions may be nested.
    pub const DEPTH_MAX: usize = 10;
    /// Tests of properties of one event.
    pub const FILTERS_MAX: usize = 20;
    /// Tests of properties in one definition.
    pub const FILTERS_ALL_MAX: usize = 200;
    /// Conditions in one definition that look back over a person's single events: rolling windows and sequences.
    pub const LOOK_BACKS_MAX: usize = 10;
    /// Length of a condition as JSON, in bytes.
    pub const CONDITION_BYTES_MAX: usize = 131_072;
    /// Values in one list, members of one object.
    pub const LIST_MAX: usize = 1_000;
    /// Length of any text in a definition, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1_024;
    /// Length of an id, in bytes.
    pub const ID_BYTES_MAX: usize = 64;
    /// Length of a name, in characters.
    pub const NAME_CHARS_MAX: usize = 200;
    /// How many segments may stand one upon the other.
    pub const SEGMENT_DEPTH_MAX: usize = 8;
}

/// Why a definition can't stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// The id is not one.
    #[error("`id`: 1 to 64 lowercase letters, digits, `-` and `_`")]
    Id,
    /// The name is empty or too long.
    #[error("`name`: 1 to 200 characters")]
    Name,
    /// A condition is wrong; the text begins with the path to it.
    #[error("{0}")]
    Condition(String),
    /// It looks at a segment that is not there.
    #[error("segment `{0}` does not exist")]
    Unknown(Box<str>),
    /// It would look at itself.
    #[error("segment `{0}` would look at itself, by way of {1}")]
    Circle(Box<str>, String),
    /// There are too many already.
    #[error("there are {} segments already", limits::SEGMENTS_MAX)]
    TooMany,
    /// There have been too many, those removed included.
    #[error("there have been {} segments already; define one anew under an id that was removed", limits::IDS_MAX)]
    TooManyIds,
}

/// Checks a definition beside those that stand, by id.
///
/// # Errors
/// What is wrong, and where.
pub fn check(defined: &SegmentDefined, standing: &BTreeMap<Box<str>, Condition>) -> Result<(), DefinitionError> {
    check_among(defined, standing.len(), &|id| standing.get(id))
}

/// The definitions that stand, each by its id.
pub(super) type Standing<'a> = &'a dyn Fn(&str) -> Option<&'a Condition>;

/// [`check`] beside `count` definitions.
pub(super) fn check_among(
    defined: &SegmentDefined,
    count: usize,
    standing: Standing<'_>,
) -> Result<(), DefinitionError> {
    check_id(&defined.id)?;
    if !(1..=limits::NAME_CHARS_MAX).contains(&defined.name.chars().count()) {
        return Err(DefinitionError::Name);
    }
    if count >= limits::SEGMENTS_MAX && standing(&defined.id).is_none() {
        return Err(DefinitionError::TooMany);
    }
    check_with(&defined.condition, Some(&defined.id), standing)
}

/// Whether a text may be the id of a segment or goal.
///
/// # Errors
/// [`DefinitionError::Id`].
pub fn check_id(id: &str) -> Result<(), DefinitionError> {
    let fits = (1..=limits::ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_');
    if fits { Ok(()) } else { Err(DefinitionError::Id) }
}

/// Checks a condition with no id of its own, e.g. for a preview.
///
/// # Errors
/// What is wrong, and where.
pub fn check_condition(
    condition: &Condition,
    own: Option<&str>,
    standing: &BTreeMap<Box<str>, Condition>,
) -> Result<(), DefinitionError> {
    check_with(condition, own, &|id| standing.get(id))
}

fn check_with(condition: &Condition, own: Option<&str>, standing: Standing<'_>) -> Result<(), DefinitionError> {
    check_shape(condition)?;
    let mut path = Vec::new();
    let mut seen = BTreeSet::new();
    follow(condition, own, standing, &mut path, &mut seen)
}

/// Checks a condition apart from the segments it looks at.
pub(super) fn check_shape(condition: &Condition) -> Result<(), DefinitionError> {
    let mut size = Size::default();
    check_size(condition, 1, &mut size)?;
    let Size { look_backs, filters, .. } = size;
    if filters > limits::FILTERS_ALL_MAX {
        let what = format!("there are more than {} property tests", limits::FILTERS_ALL_MAX);
        return Err(DefinitionError::Condition(what));
    }
    if look_backs > limits::LOOK_BACKS_MAX {
        let what = format!("there are more than {} rolling windows and sequences", limits::LOOK_BACKS_MAX);
        return Err(DefinitionError::Condition(what));
    }
    let bytes = serde_json::to_vec(condition).map_or(usize::MAX, |json| json.len());
    if bytes > limits::CONDITION_BYTES_MAX {
        let what = format!("the condition is longer than {} bytes of JSON", limits::CONDITION_BYTES_MAX);
        return Err(DefinitionError::Condition(what));
    }
    compile(condition, &mut |_| 0).map_err(DefinitionError::Condition)?;
    Ok(())
}

/// How much there is of a definition.
#[derive(Default)]
struct Size {
    nodes: usize,
    look_backs: usize,
    filters: usize,
}

fn check_size(condition: &Condition, depth: usize, size: &mut Size) -> Result<(), DefinitionError> {
    let too = |what: String| Err(DefinitionError::Condition(what));
    size.nodes += 1;
    if size.nodes > limits::NODES_MAX {
        return too(format!("there are more than {} conditions", limits::NODES_MAX));
    }
    if depth > limits::DEPTH_MAX {
        return too(format!("conditions are nested deeper than {}", limits::DEPTH_MAX));
    }
    size.look_backs += match condition {
        Condition::Event(EventCondition { window, .. }) | Condition::Absent(AbsentCondition { window, .. }) => {
            usize::from(window.last.is_some())
        }
        Condition::Sequence(_) => 1,
        _ => 0,
    };
    let (most, all) = match condition {
        Condition::All(list) | Condition::Any(list) => {
            return list.iter().try_for_each(|inner| check_size(inner, depth + 1, size));
        }
        Condition::Not(inner) => return check_size(inner, depth + 1, size),
        Condition::Event(event) => (event.filters.len(), event.filters.len()),
        Condition::Absent(event) => (event.filters.len(), event.filters.len()),
        Condition::Sequence(sequence) => {
            let (first, then) = (sequence.first.filters.len(), sequence.then.filters.len());
            (first.max(then), first + then)
        }
        _ => (0, 0),
    };
    size.filters += all;
    if most > limits::FILTERS_MAX {
        return too(format!("an event has more than {} property tests", limits::FILTERS_MAX));
    }
    let json = serde_json::to_value(condition).map_err(|error| DefinitionError::Condition(error.to_string()))?;
    check_texts(&json).map_err(DefinitionError::Condition)
}

fn check_texts(json: &serde_json::Value) -> Result<(), String> {
    use serde_json::Value;
    match json {
        Value::String(text) if text.len() > limits::TEXT_BYTES_MAX => {
            Err(format!("a text is longer than {} bytes", limits::TEXT_BYTES_MAX))
        }
        Value::Array(list) if list.len() > limits::LIST_MAX => {
            Err(format!("a list is longer than {}", limits::LIST_MAX))
        }
        Value::Array(list) => list.iter().try_for_each(check_texts),
        Value::Object(members) if members.len() > limits::LIST_MAX => {
            Err(format!("an object has more than {} members", limits::LIST_MAX))
        }
        Value::Object(members) if members.keys().any(|name| name.len() > limits::TEXT_BYTES_MAX) => {
            Err(format!("a name is longer than {} bytes", limits::TEXT_BYTES_MAX))
        }
        Value::Object(members) => members.values().try_for_each(check_texts),
        _ => Ok(()),
    }
}

/// The segments a condition looks at itself.
pub(super) fn references(condition: &Condition, found: &mut Vec<Box<str>>) {
    match condition {
        Condition::All(list) | Condition::Any(list) => list.iter().for_each(|inner| references(inner, found)),
        Condition::Not(inner) => references(inner, found),
        Condition::Segment(id) => found.push(id.clone()),
        _ => {}
    }
}

fn follow(
    condition: &Condition,
    own: Option<&str>,
    standing: Standing<'_>,
    path: &mut Vec<Box<str>>,
    seen: &mut BTreeSet<Box<str>>,
) -> Result<(), DefinitionError> {
    if path.len() > limits::SEGMENT_DEPTH_MAX {
        let what = format!("more than {} segments look at one another in a row", limits::SEGMENT_DEPTH_MAX);
        return Err(DefinitionError::Condition(what));
    }
    let mut found = Vec::new();
    references(condition, &mut found);
    for id in found {
        if own == Some(&*id) {
            let way = if path.is_empty() { "itself".to_owned() } else { path.join(", ") };
            return Err(DefinitionError::Circle(id, way));
        }
        let Some(inner) = standing(&id) else {
            // What stands may look at a segment that was removed since; a new definition may not.
            if path.is_empty() {
                return Err(DefinitionError::Unknown(id));
            }
            continue;
        };
        if seen.insert(id.clone()) {
            path.push(id);
            follow(inner, own, standing, path, seen)?;
            path.pop();
        }
    }
    Ok(())
}
