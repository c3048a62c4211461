//! How everybody stands, as text that two runs can be compared by.

use impresario_runtime::{Driver, RuntimeError};

use super::{
    seen::Seen,
    world::{memberships, profiles},
};

/// Between a member and since when.
const SINCE: &str = ", since ";

/// A state without since when people are in segments: that hangs on when an event came in, and on how
/// long an agent was down.
pub(crate) fn without_since(state: &str) -> String {
    let member = |line: &str| line.starts_with("segment ");
    let line = |line: &str| line.split(SINCE).next().filter(|_| member(line)).unwrap_or(line).to_owned() + "\n";
    state.lines().map(line).collect()
}

/// People and memberships, one line a thing; nothing in it hangs on where the journal's entries lie.
pub(crate) fn state(driver: &mut Driver, seen: &Seen) -> Result<String, RuntimeError> {
    let mut lines = Vec::new();
    for profile in profiles(driver)? {
        let name = format!("person {}", seen.name(profile.id));
        lines.push(format!("{name}  is known by {}", profile.identifiers.join(", ")));
        let traits = profile.traits.iter().map(|(key, value)| format!("{name}  trait {key} = {value}"));
        lines.extend(traits);
        let features = profile.features.iter().map(|(key, value)| format!("{name}  feature {key} = {value}"));
        lines.extend(features);
        lines.push(format!("{name}  keeps {}", profile.rest));
    }
    for (segment, members) in memberships(driver)? {
        for (profile, since) in members {
            lines.push(format!("segment {segment}  has {}{SINCE}{}", seen.name(profile), seen.show(since)));
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}
