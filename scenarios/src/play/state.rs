//! How everybody stands, as text that two runs can be compared by.

use impresario_runtime::{Driver, RuntimeError, store::Journal};

use super::{
    seen::Seen,
    world::{memberships, profiles},
};
use crate::ScenarioError;

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

/// BLAKE3 of every entry, names in place of their numbers, and of the final state.
pub(super) fn digest(journal: &Journal, state: &str) -> Result<String, ScenarioError> {
    let mut hasher = blake3::Hasher::new();
    impresario_runtime::each_entry(journal, 1, |entry| {
        for number in [entry.seq, entry.at_ms as u64, u64::from(entry.partition), entry.cause, entry.dedup] {
            hasher.update(&number.to_le_bytes());
        }
        for text in [journal.name_of(entry.topic).as_bytes(), journal.name_of(entry.writer).as_bytes(), &entry.body] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        Ok::<_, ScenarioError>(())
    })?;
    hasher.update(state.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}
