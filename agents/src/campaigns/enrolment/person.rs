//! What is kept of one person: which audiences they are in, when they are due, which decisions are open.

use std::collections::BTreeMap;

use impresario_runtime::store::{Seq, TimerKey};
use serde::{Deserialize, Serialize};

use super::plans::Plans;
use crate::{
    campaigns::PlanTrigger,
    vocabulary::{DecisionId, Feature, MessageId, Millis, Outcome},
};

/// Decisions of one person that may be open at once; the oldest is closed early where there are more.
pub(super) const OPEN_MAX: usize = 32;

/// What is kept of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// How they stand to each campaign.
    #[serde(rename = "c", skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<Box<str>, Enrolled>,
    /// Decisions whose attribution window is not over, oldest first.
    #[serde(rename = "o", skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// Orders and value as last heard of, while anything is open.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub(super) known: Option<Vec<(Feature, i64)>>,
    /// Their past is being told again after they turned out to be several people: it is no news.
    #[serde(rename = "s", skip_serializing_if = "std::ops::Not::not")]
    pub(super) settling: bool,
    /// The number after which their decisions count, once they were begun anew.
    #[serde(rename = "b", skip_serializing_if = "is_zero")]
    pub(super) begun: u32,
    /// The timer that comes next.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(super) timer: Option<TimerKey>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a person stands to a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Enrolled {
    /// Whether they are in its audience.
    #[serde(rename = "m")]
    pub member: bool,
    /// Decisions asked for so far.
    #[serde(rename = "n")]
    pub decisions: u32,
    /// Whether anything of it was ever sent to them.
    #[serde(rename = "r", skip_serializing_if = "std::ops::Not::not")]
    pub reached: bool,
    /// When they were last due by being in the audience.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub last_due_ms: Option<Millis>,
}

/// A decision whose attribution window is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Which.
    #[serde(rename = "i")]
    pub id: DecisionId,
    /// Of which campaign.
    #[serde(rename = "c")]
    pub campaign: Box<str>,
    /// The place of its [`DecisionMade`](crate::vocabulary::DecisionMade).
    #[serde(rename = "s")]
    pub made: Seq,
    /// When it was made.
    #[serde(rename = "t")]
    pub decided_ms: Millis,
    /// When its window is over.
    #[serde(rename = "u")]
    pub until_ms: Millis,
    /// Its messages that went out.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) messages: Vec<MessageId>,
    /// Whether an offer was made: then what an order gave away is put down to it.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) offer: bool,
    /// What has happened so far.
    #[serde(rename = "o", default)]
    pub outcome: Outcome,
}

impl Person {
    /// The open decisions that something at `at_ms` is put down to: of each campaign the latest made before it.
    pub(super) fn latest_before(&mut self, at_ms: Millis) -> impl Iterator<Item = &mut Open> {
        let mut seen: Vec<Box<str>> = Vec::new();
        self.open.iter_mut().rev().filter(move |open| {
            let first = open.decided_ms <= at_ms && at_ms < open.until_ms && !seen.contains(&open.campaign);
            if first {
                seen.push(open.campaign.clone());
            }
            first
        })
    }

    /// When they are next due for a campaign, by their being in its audience.
    pub(super) fn next_due(id: &str, enrolled: &Enrolled, plans: &Plans) -> Option<Millis> {
        let PlanTrigger::Audience { every_ms } = plans.active(id)?.plan.trigger else { return None };
        let last = enrolled.last_due_ms.filter(|_| enrolled.member);
        last.map(|last| last.saturating_add(every_ms))
    }

    /// The next instant at which anything is to be done.
    pub(super) fn wakes_at(&self, plans: &Plans) -> Option<Millis> {
        let due = self.campaigns.iter().filter_map(|(id, enrolled)| Self::next_due(id, enrolled, plans));
        due.chain(self.open.iter().map(|open| open.until_ms)).min()
    }

    /// Takes in what was kept of another profile that is the same person.
    pub(super) fn merge(&mut self, other: Self) {
        for (id, theirs) in other.campaigns {
            let own = self.campaigns.entry(id).or_default();
            // Whether they are in the audience now is told of the winner.
            own.decisions = own.decisions.max(theirs.decisions);
            own.reached |= theirs.reached;
            own.last_due_ms = own.last_due_ms.max(theirs.last_due_ms);
        }
        self.open.extend(other.open);
        self.open.sort_by_key(|open| (open.decided_ms, open.id));
        // From where to count is not known any more: it is asked for.
        self.known = None;
        self.settling |= other.settling;
        self.begun = self.begun.max(other.begun);
    }
}
