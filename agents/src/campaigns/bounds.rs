//! What a campaign may spend, and what it has set aside. Exact: what is set aside is given back once, or spent.

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::vocabulary::{Channel, Refusal, Reserved};

/// What a campaign has set aside, spent ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bounds {
    /// The start these are counted from: what was set aside before it is none of this campaign's.
    pub since: Seq,
    /// What is set aside.
    pub taken: Reserved,
    /// Messages set aside and neither sent nor refused.
    pub on_the_way: u64,
}

impl Bounds {
    /// Counts anew, from the start at `since` on.
    pub fn from_start(since: Seq) -> Self {
        Self { since, ..Self::default() }
    }

    /// Whether `wanted` fits into what `plan` allows beside what is taken; else which bound it would pass.
    ///
    /// # Errors
    /// The refusal.
    pub fn fits(&self, plan: &Plan, wanted: &Reserved) -> Result<(), Refusal> {
        let taken = &self.taken;
        let budget = &plan.budget;
        let passes = |taken: u64, wanted: u64, most: u64| taken.saturating_add(wanted) > most;
        let refuse = |guard: &str, why: String| Err(Refusal { guard: guard.into(), why: why.into() });
        if wanted.people > 0 && passes(taken.people, wanted.people, plan.blast_radius) {
            return refuse("blast_radius", format!("{} people are as many as it may send to", plan.blast_radius));
        }
        if let Some(most) = budget.messages.filter(|most| passes(taken.messages, wanted.messages, *most)) {
            return refuse("budget", format!("{most} messages are as many as it may send"));
        }
        let amounts = [
            ("sending", taken.cost_micros, wanted.cost_micros, budget.cost_micros),
            ("discounts", taken.discount_micros, wanted.discount_micros, budget.discount_micros),
        ];
        for (of, taken, wanted, most) in amounts {
            if let Some(most) = most.filter(|most| wanted > 0 && taken.saturating_add(wanted) > *most) {
                return refuse("budget", format!("{most} millionths for {of} are as much as it may spend"));
            }
        }
        Ok(())
    }

    /// Sets `wanted` aside.
    pub fn take(&mut self, wanted: &Reserved) {
        self.taken.messages += wanted.messages;
        self.taken.people += wanted.people;
        self.taken.cost_micros = self.taken.cost_micros.saturating_add(wanted.cost_micros);
        self.taken.discount_micros = self.taken.discount_micros.saturating_add(wanted.discount_micros);
        self.on_the_way += wanted.messages;
    }

    /// Takes back what a refused message had been given.
    pub fn give_back(&mut self, plan: Seq, given: &Reserved) {
        if plan < self.since {
            return;
        }
        self.taken.messages = self.taken.messages.saturating_sub(given.messages);
        self.taken.people = self.taken.people.saturating_sub(given.people);
        self.taken.cost_micros = self.taken.cost_micros.saturating_sub(given.cost_micros);
        self.taken.discount_micros = self.taken.discount_micros.saturating_sub(given.discount_micros);
        self.on_the_way = self.on_the_way.saturating_sub(given.messages);
    }

    /// Notes that a message has gone out.
    pub fn sent(&mut self, plan: Seq) {
        if plan >= self.since {
            self.on_the_way = self.on_the_way.saturating_sub(1);
        }
    }

    /// Notes that a message that had gone out is on its way again.
    pub fn returned(&mut self, plan: Seq) {
        if plan >= self.since {
            self.on_the_way += 1;
        }
    }
}

/// What one message takes of `plan`'s bounds; somebody who was reached before counts among its people already.
pub(super) fn wanted(plan: &Plan, channel: Channel, offer: Option<&str>, reached_before: bool) -> Reserved {
    Reserved {
        messages: 1,
        people: u64::from(!reached_before),
        cost_micros: cost_of(plan, channel),
        discount_micros: discount_of(plan, offer),
    }
}

/// What one message by `channel` costs under `plan`, millionths.
pub fn cost_of(plan: &Plan, channel: Channel) -> i64 {
    plan.costs_micros.iter().find(|(known, _)| *known == channel).map_or(0, |(_, cost)| *cost)
}

/// What an offer gives away under `plan` at most, millionths.
fn discount_of(plan: &Plan, offer: Option<&str>) -> i64 {
    let known = |offer: &str| plan.discounts_micros.iter().find(|(known, _)| **known == *offer).map(|(_, most)| *most);
    offer.and_then(known).unwrap_or(0)
}
