//! Which kinds of situations there are. Pure.

use super::Kind;

/// Whether a situation of a person of this kind can come about: one of this agent's, or, with a dot in its name, one
/// that another agent tells.
///
/// # Errors
/// It can't; which there are.
pub fn check_kind(kind: &str) -> Result<(), String> {
    let own = Kind::ALL.map(Kind::name);
    if own.contains(&kind) || kind.contains('.') {
        return Ok(());
    }
    let own = own.map(|name| format!("`{name}`")).join(", ");
    Err(format!(
        "there is no situation `{kind}` of a person; there are {own}, and those of your own agents, with a dot"
    ))
}
