//! From any identifier to the live profile.
//!
//! A person may be asked for by any identifier; its node may be a pointer to another node, which another
//! worker may keep. So a search is a walk: ask the worker of a node, and go where it points.

use impresario_runtime::{AgentError, Reading};

use super::{Profile, Profiles};
use crate::vocabulary::{Identifier, IdentifierKind, ProfileId};

/// What a node is.
#[derive(Debug, PartialEq)]
pub enum Found<T> {
    /// A live profile, and what was made of it.
    Live(T),
    /// A pointer: ask the worker of this node. It is a lower number, so the walk ends.
    At(ProfileId),
    /// Nobody.
    Nobody,
}

/// The node a text names: a profile id (`p_..`), or an identifier's kind and text with a colon between
/// (`user_id:42`, `email:anna@example.test`, `external:salesforce:77`). `None` where it is neither.
pub fn node_of(text: &str) -> Option<ProfileId> {
    if let Ok(id) = text.parse() {
        return Some(id);
    }
    let (kind, value) = match text.strip_prefix("external:") {
        Some(rest) => {
            let (system, value) = rest.split_once(':')?;
            (IdentifierKind::from_name(&format!("external:{system}"))?, value)
        }
        None => {
            let (kind, value) = text.split_once(':')?;
            (IdentifierKind::from_name(kind)?, value)
        }
    };
    Identifier::new(kind, value).map(|identifier| identifier.node())
}

/// What `node` is, asked of the worker that keeps it; `look` at the profile where it is live.
///
/// # Errors
/// The store's error.
pub fn look_at<T>(
    reading: &mut Reading<'_, Profiles>,
    node: ProfileId,
    look: impl FnOnce(&Profile) -> T,
) -> Result<Found<T>, AgentError> {
    if let Some(next) = reading.moved_to(&node)? {
        return Ok(Found::At(next));
    }
    // A node that was only begun, for a profile on its way to it, is nobody yet.
    let profile = reading.get(&node)?.filter(|profile| profile.events > 0);
    Ok(profile.map_or(Found::Nobody, |profile| Found::Live(look(profile))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_a_node() {
        let node = |kind, text| Identifier::new(kind, text).map(|identifier| identifier.node());
        assert_eq!(node_of("user_id:a:b"), node(IdentifierKind::UserId, "a:b"));
        assert_eq!(node_of("email: Anna@Example.test"), node(IdentifierKind::Email, "anna@example.test"));
        assert_eq!(node_of("external:crm:7"), node(IdentifierKind::External("crm".into()), "7"));
        assert_eq!(node_of("p_00000000000000ff"), Some(ProfileId(255)));
        for text in ["", "anna", "user_id:", "external:7", "external::7", "email:none", "p_ff", "name:anna"] {
            assert_eq!(node_of(text), None, "{text}");
        }
    }
}
