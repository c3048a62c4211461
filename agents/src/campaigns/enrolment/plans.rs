//! The plans that run, as every worker knows them.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Shared, store::Seq};
use serde::{Deserialize, Serialize};

use crate::{
    campaigns::{Plan, PlanTrigger},
    vocabulary::{Feature, StopScope},
};

/// Campaigns remembered that have ended: decisions of theirs may still be open.
const ENDED_MAX: usize = 1_000;

/// What is known of all campaigns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plans {
    /// Goals whose audience is kept, from before their first plan on.
    pub(super) watched: BTreeSet<Box<str>>,
    /// Campaigns by id.
    pub(super) campaigns: BTreeMap<Box<str>, Standing>,
    /// All sending is stopped.
    pub(super) all_stopped: bool,
}

/// A campaign, running or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) plan: Plan,
    pub(super) seq: Seq,
    /// Whether it runs.
    pub(super) runs: bool,
    /// Whether its sending is stopped.
    #[serde(default)]
    pub(super) stopped: bool,
}

impl Standing {
    /// The feature that counts what a person has paid in its currency.
    pub(super) fn value(&self) -> Option<Feature> {
        <[u8; 3]>::try_from(self.plan.reward.currency.as_bytes()).ok().map(Feature::value)
    }
}

impl Shared for Plans {}

impl Plans {
    /// The campaign, while it runs and may send.
    pub(super) fn active(&self, id: &str) -> Option<&Standing> {
        self.campaigns.get(id).filter(|standing| standing.runs && !standing.stopped && !self.all_stopped)
    }

    /// The running campaigns that a situation of this kind makes people due for.
    pub(super) fn of_situation<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Box<str>, &'a Standing)> {
        self.campaigns.iter().filter(move |(id, standing)| {
            let its = matches!(&standing.plan.trigger, PlanTrigger::Situation { kind: of } if **of == *kind);
            its && self.active(id).is_some()
        })
    }

    pub(super) fn start(&mut self, id: &str, plan: Plan, seq: Seq) {
        let stopped = self.campaigns.get(id).is_some_and(|standing| standing.stopped);
        self.watched.insert(id.into());
        self.campaigns.insert(id.into(), Standing { plan, seq, runs: true, stopped });
    }

    pub(super) fn end(&mut self, id: &str) {
        if let Some(standing) = self.campaigns.get_mut(id) {
            standing.runs = false;
        }
        let ended = || self.campaigns.iter().filter(|(_, standing)| !standing.runs);
        let oldest = ended().min_by_key(|(_, standing)| standing.seq).map(|(id, _)| id.clone());
        if let Some(oldest) = oldest.filter(|_| ended().count() > ENDED_MAX) {
            self.campaigns.remove(&oldest);
        }
    }

    /// Stops or resumes sending; the campaigns this concerns.
    pub(super) fn set_stopped(&mut self, scope: &StopScope, stopped: bool) -> Vec<Box<str>> {
        match scope {
            StopScope::Everything => {
                self.all_stopped = stopped;
                self.campaigns.iter().filter(|(_, standing)| standing.runs).map(|(id, _)| id.clone()).collect()
            }
            StopScope::Campaign(id) => match self.campaigns.get_mut(id) {
                Some(standing) => {
                    standing.stopped = stopped;
                    vec![id.clone()]
                }
                None => Vec::new(),
            },
            StopScope::Channel(_) => Vec::new(),
        }
    }
}
