//! What must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::vocabulary::{Millis, ProfileId};
use impresario_runtime::Driver;

use super::{letters, seen::Seen, world};
use crate::{Invariant, ScenarioError};

/// What does not hold, in words: for everybody where `whole`, else for those of whom something was said
/// since the last check.
pub(crate) fn check(
    always: &[Invariant],
    seen: &mut Seen,
    driver: &mut Driver,
    whole: bool,
) -> Result<Vec<String>, ScenarioError> {
    let mut found = Vec::new();
    let touched = std::mem::take(&mut seen.facts.touched);
    let by_segment = [Invariant::MembershipMatchesEntries, Invariant::SizeMatchesMembers];
    let memberships = match whole && always.iter().any(|invariant| by_segment.contains(invariant)) {
        true => Some(world::memberships(driver)?),
        false => None,
    };
    for invariant in always {
        match invariant {
            Invariant::MembershipMatchesEntries => {
                found.extend(std::mem::take(&mut seen.facts.odd));
                if let Some(memberships) = &memberships {
                    let segments: BTreeSet<&String> = memberships.keys().chain(seen.facts.members.keys()).collect();
                    for segment in segments {
                        found.extend(unlike(seen, segment, memberships.get(segment)));
                    }
                    continue;
                }
                for profile in &touched {
                    let is_in = world::segments_of(driver, *profile)?;
                    let said = seen.facts.members.iter().filter(|(_, members)| members.contains(profile));
                    let said: BTreeSet<String> = said.map(|(segment, _)| segment.clone()).collect();
                    for segment in is_in.symmetric_difference(&said) {
                        found.push(wrong(seen, segment, *profile, is_in.contains(segment)));
                    }
                }
            }
            Invariant::SizeMatchesMembers => {
                for segment in world::segments(driver)? {
                    let members = match &memberships {
                        Some(memberships) => memberships.get(&segment).map_or(0, BTreeMap::len),
                        None => seen.facts.members.get(&segment).map_or(0, BTreeSet::len),
                    };
                    let size = world::size(driver, &segment)?;
                    if size != members as u64 {
                        found.push(format!("size matches members: `{segment}` says {size} and has {members}"));
                    }
                }
            }
            Invariant::NoDuplicateEvents => {
                for (first, second) in std::mem::take(&mut seen.facts.twice) {
                    found.push(format!("no duplicate events: entries {first} and {second} are one event"));
                }
            }
            Invariant::NoDeadLetters if seen.facts.dead_letters > 0 => {
                found.push(format!("no dead letters: there are {}", seen.facts.dead_letters));
            }
            Invariant::NoDuplicateMessage => {
                for id in std::mem::take(&mut seen.facts.contacts.twice) {
                    found.push(format!("no duplicate message: {id} was sent twice"));
                }
            }
            Invariant::EveryMessageHasACause => {
                let contacts = &mut seen.facts.contacts;
                let new = contacts.order.get(contacts.checked..).unwrap_or_default().to_vec();
                contacts.checked = contacts.order.len();
                for id in new {
                    let Some(sent) = seen.facts.contacts.sent.get(&id) else { continue };
                    let comes_of = letters::origin(driver.journal(), sent.seq, |_| ())?;
                    if !comes_of || sent.guards == 0 || sent.because.is_empty() {
                        let (who, by) = (seen.name(sent.profile), sent.channel.name());
                        found.push(format!("every message has a cause: {} to {who} by {by} has none", sent.template));
                    }
                }
            }
            // What was sent is looked at as it is read.
            Invariant::ConsentRespected
            | Invariant::FrequencyCap { .. }
            | Invariant::QuietHoursRespected { .. }
            | Invariant::HoldoutUntouched
            | Invariant::BudgetRespected => found.append(&mut seen.facts.ledger.odd),
            // The journal is read whole where something is expected and at the end, and faults are compared with their absence there.
            Invariant::NoDeadLetters
            | Invariant::MembershipMatchesJournal
            | Invariant::JournalVerifies
            | Invariant::FaultsChangeNothing => {}
        }
    }
    Ok(found)
}

/// Who is in a segment but was never said to enter, or the other way round.
fn unlike(seen: &Seen, segment: &String, members: Option<&BTreeMap<ProfileId, Millis>>) -> Vec<String> {
    let members: BTreeSet<ProfileId> = members.into_iter().flatten().map(|(profile, _)| *profile).collect();
    let nobody = BTreeSet::new();
    let said = seen.facts.members.get(segment).unwrap_or(&nobody);
    let differing = members.symmetric_difference(said);
    differing.map(|profile| wrong(seen, segment, *profile, members.contains(profile))).collect()
}

fn wrong(seen: &Seen, segment: &str, profile: ProfileId, is_in: bool) -> String {
    let is = if is_in { "is in it, but never entered" } else { "is not in it, but never left" };
    format!("membership matches entries: `{segment}`: {} {is}", seen.name(profile))
}

/// Who is in a segment and not found by a look over the whole journal, or the other way round.
pub(crate) fn compare_with_journal(seen: &Seen, driver: &mut Driver) -> Result<Vec<String>, ScenarioError> {
    let mut found = Vec::new();
    let memberships = world::memberships(driver)?;
    for (segment, counted) in world::previews(driver)? {
        let members: BTreeSet<ProfileId> =
            memberships.get(&segment).into_iter().flatten().map(|(profile, _)| *profile).collect();
        for profile in members.symmetric_difference(&counted) {
            let is = if members.contains(profile) { "is in it, but should not be" } else { "should be in it" };
            found.push(format!("membership matches journal: `{segment}`: {} {is}", seen.name(*profile)));
        }
    }
    Ok(found)
}

/// What is wrong with the journal as it lies in the store.
pub(crate) fn verify(driver: &Driver) -> Result<Vec<String>, ScenarioError> {
    let report = driver.journal().verify(|_| ())?;
    let damage = report.damage.iter();
    Ok(damage.map(|damage| format!("journal verifies: entry {}: {}", damage.first_seq, damage.what)).collect())
}
