//! What the gate knows of campaigns, and whether what was decided may still be sent.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use crate::{
    campaigns::{Autonomy, Plan},
    vocabulary::Channel,
};

/// What the gate needs to know of a campaign in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The entry that put its plan into force.
    pub plan: Seq,
    /// What the plan may send: template, offer and channel of its arms.
    #[serde(default)]
    arms: BTreeSet<(Box<str>, Option<Box<str>>, Channel)>,
    /// Its templates and offers with the hash each had, and the first plan of the campaign since which it is so.
    #[serde(default)]
    content: BTreeMap<Box<str>, (Box<str>, Seq)>,
    /// The topic of consent its messages belong to.
    pub topic: Option<Box<str>>,
    /// The share of ids it leaves alone.
    pub holdout_share: f64,
    /// The share of ids for which chance decides.
    pub random_share: f64,
    /// How far it goes by itself.
    pub autonomy: Autonomy,
    /// Its end: why; none while it runs.
    #[serde(default)]
    pub ended: Option<Box<str>>,
    /// It has ended by itself: what was let through before may still go out.
    #[serde(default)]
    pub finished: bool,
}

impl Running {
    /// Of a plan that was put into force by the entry at `seq`, in the place of the one of `before`.
    pub fn of(plan: &Plan, seq: Seq, before: Option<&Self>) -> Self {
        let since = |key: &str, hash: &str| {
            let known = before.and_then(|before| before.content.get(key));
            known.filter(|(known, _)| **known == *hash).map_or(seq, |(_, since)| *since)
        };
        let arms = plan.standing_arms();
        Self {
            plan: seq,
            arms: arms.map(|(_, arm)| (arm.template.clone(), arm.offer.clone(), arm.channel)).collect(),
            content: plan.content.iter().map(|(key, hash)| (key.clone(), (hash.clone(), since(key, hash)))).collect(),
            topic: plan.topic.clone(),
            holdout_share: plan.holdout_share,
            random_share: plan.random_share,
            autonomy: plan.autonomy,
            ended: None,
            finished: false,
        }
    }

    /// Whether what was decided by an earlier plan, or by this one, may still be sent under this one.
    pub(super) fn covers(&self, ride: &Ride<'_>, channel: Channel) -> Result<(), String> {
        let arm = (ride.template.into(), ride.offer.map(Into::into), channel);
        if ride.plan > self.plan || !self.arms.contains(&arm) {
            return Err("the plan it was decided by is not in force any more".into());
        }
        let keys = [Some(Plan::template_key(ride.template)), ride.offer.map(Plan::offer_key)];
        for (key, now) in keys.into_iter().zip(ride.content).filter_map(|(key, now)| Some((key?, now))) {
            let as_decided = self.content.get(&key).filter(|(_, since)| *since <= ride.plan);
            if as_decided.is_none_or(|(hash, _)| Some(&**hash) != now) {
                return Err(format!("{key} was changed since it was decided on"));
            }
        }
        Ok(())
    }
}

/// A message's being of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Ride<'a> {
    /// The plan it was decided by.
    pub plan: Seq,
    /// The template, or `template#variant`.
    pub template: &'a str,
    /// The offer.
    pub offer: Option<&'a str>,
    /// The hashes of both as they stand now.
    pub content: [Option<&'a str>; 2],
}
