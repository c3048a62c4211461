//! The ledger of consent of one person: what was granted, confirmed and refused, appended and never rewritten.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Channel, ConsentState, Contact, Millis};

use super::GatePolicy;

/// Entries kept; the oldest that decide nothing go first.
const ENTRIES_MAX: usize = 300;

/// What an entry of the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Granted; where the channel asks for it twice, it is pending until it is confirmed.
    Granted,
    /// Granted and confirmed.
    Confirmed,
    /// Refused.
    OptedOut,
}

/// How a person stands to one thing, all considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentStanding {
    /// Nothing was said.
    Unknown,
    /// Granted, and yet to be confirmed.
    Pending,
    /// Granted.
    OptedIn,
    /// Refused.
    OptedOut,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When it was written, journal time.
    pub written_ms: Millis,
    /// Of what, as [`ConsentState::of`].
    pub of: Box<str>,
    /// When it was said, by whoever said it.
    pub said_ms: Millis,
    /// What.
    pub state: LedgerState,
    /// Where it came from: `profile`, `receipt`, `confirmation`.
    pub source: Box<str>,
}

/// All entries, in the order they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(Vec<LedgerEntry>);

impl Ledger {
    /// All entries, oldest first.
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.0
    }

    /// Whether nothing was ever said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn last(&self, of: &str) -> Option<&LedgerEntry> {
        self.0.iter().rev().find(|entry| *entry.of == *of)
    }

    /// The last refusal that did not come from the profile: a later profile alone can't take it back, only
    /// a later grant.
    fn barrier(&self, of: &str) -> Option<Millis> {
        let own = |entry: &&LedgerEntry| {
            *entry.of == *of && entry.state == LedgerState::OptedOut && *entry.source != *PROFILE
        };
        self.0.iter().filter(own).map(|entry| entry.said_ms).max()
    }

    /// Writes down what the profile says now, where it differs from what was written last.
    pub fn hear(&mut self, contact: &Contact, at_ms: Millis) {
        for consent in &contact.consents {
            let state = if self.stands(consent) { LedgerState::Granted } else { LedgerState::OptedOut };
            let same = self.last(&consent.of).is_some_and(|last| match last.state {
                LedgerState::Granted | LedgerState::Confirmed => state == LedgerState::Granted,
                LedgerState::OptedOut => state == LedgerState::OptedOut,
            });
            if !same {
                self.write(&consent.of, state, consent.at_ms, at_ms, PROFILE);
            }
        }
    }

    /// Whether a grant is one, and not from before a refusal the profile has not heard of.
    fn stands(&self, consent: &ConsentState) -> bool {
        consent.granted && self.barrier(&consent.of).is_none_or(|barrier_ms| consent.at_ms > barrier_ms)
    }

    /// A person refuses, other than by the profile. No grant that is known now counts any more.
    pub fn refuse(&mut self, of: &str, contact: &Contact, at_ms: Millis, source: &str) {
        let granted = contact.consents.iter().find(|consent| *consent.of == *of).map(|consent| consent.at_ms);
        let said_ms = granted.map_or(at_ms, |granted_ms| granted_ms.max(at_ms));
        self.write(of, LedgerState::OptedOut, said_ms, at_ms, source);
    }

    /// A grant is confirmed; false where there is none to confirm.
    pub fn confirm(&mut self, of: &str, at_ms: Millis) -> bool {
        let granted = self.last(of).is_some_and(|last| last.state == LedgerState::Granted);
        if granted {
            self.write(of, LedgerState::Confirmed, at_ms, at_ms, "confirmation");
        }
        granted
    }

    fn write(&mut self, of: &str, state: LedgerState, said_ms: Millis, written_ms: Millis, source: &str) {
        self.0.push(LedgerEntry { of: of.into(), state, said_ms, written_ms, source: source.into() });
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        while self.0.len() > ENTRIES_MAX {
            let decides = |place: usize, entry: &LedgerEntry| {
                entry.state == LedgerState::OptedOut || !self.0.iter().skip(place + 1).any(|later| later.of == entry.of)
            };
            let place = self.0.iter().enumerate().position(|(place, entry)| !decides(place, entry)).unwrap_or(0);
            self.0.remove(place);
        }
    }

    /// The ledger of two people who are one: every entry of both, so that the strictest counts.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort();
        self.0.dedup();
        self.drop_surplus();
    }

    /// What is refused other than by the profile, and was not granted since.
    pub(crate) fn refusals(&self, contact: Option<&Contact>) -> Vec<Box<str>> {
        let own = self.0.iter().filter(|entry| entry.state == LedgerState::OptedOut && *entry.source != *PROFILE);
        let mut refused: Vec<Box<str>> = own.map(|entry| entry.of.clone()).collect();
        refused.sort_unstable();
        refused.dedup();
        refused.retain(|of| {
            let consent = contact.and_then(|contact| contact.consents.iter().find(|consent| consent.of == *of));
            consent.is_none_or(|consent| !self.stands(consent))
        });
        refused
    }

    /// What of it holds whoever the person turns out to be: refusals that did not come from the profile.
    pub fn of_itself(&self) -> Self {
        let own = |entry: &&LedgerEntry| entry.state == LedgerState::OptedOut && *entry.source != *PROFILE;
        Self(self.0.iter().filter(own).cloned().collect())
    }

    /// How a person stands to one thing.
    pub fn standing(&self, of: &str, contact: &Contact, double_opt_in: bool) -> ConsentStanding {
        let barrier = self.barrier(of);
        let Some(consent) = contact.consents.iter().find(|consent| *consent.of == *of) else {
            return if barrier.is_some() { ConsentStanding::OptedOut } else { ConsentStanding::Unknown };
        };
        if !self.stands(consent) {
            return ConsentStanding::OptedOut;
        }
        let confirmed = self.last(of).is_some_and(|last| last.state == LedgerState::Confirmed);
        if double_opt_in && !confirmed { ConsentStanding::Pending } else { ConsentStanding::OptedIn }
    }

    /// Why a channel and topic may not be used, if so.
    pub(super) fn refuses(
        &self,
        (channel, topic): (Channel, Option<&str>),
        contact: &Contact,
        policy: &GatePolicy,
        confirms: bool,
    ) -> Result<(), String> {
        let name = channel.name();
        let twice = policy.double_opt_in.contains(&channel);
        let standing = |of: &str| self.standing(of, contact, twice);
        let of_topic = topic.map(|topic| (format!("topic:{topic}"), format!("{name}:{topic}")));
        if let Some((topic, both)) = &of_topic {
            for of in [topic, both] {
                if standing(of) == ConsentStanding::OptedOut {
                    return Err(format!("refused: {of}"));
                }
            }
        }
        let for_topic = of_topic.as_ref().map(|(_, both)| standing(both));
        match (standing(name), for_topic) {
            (ConsentStanding::OptedOut, _) => Err(format!("refused: {name}")),
            (ConsentStanding::OptedIn, _) | (_, Some(ConsentStanding::OptedIn)) => Ok(()),
            (ConsentStanding::Pending, _) | (_, Some(ConsentStanding::Pending)) if confirms => Ok(()),
            (ConsentStanding::Pending, _) | (_, Some(ConsentStanding::Pending)) => {
                Err(format!("not confirmed yet: {name}"))
            }
            _ if policy.grant_required.contains(&channel) => Err(format!("never granted: {name}")),
            _ => Ok(()),
        }
    }
}

const PROFILE: &str = "profile";
