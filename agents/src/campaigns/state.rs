//! What a campaign keeps.

use std::collections::BTreeMap;

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::{Bounds, Plan, bounds::wanted, choose};
use crate::{
    models::policy::Policy,
    vocabulary::{Arm, DAY_MS, DecisionId, DecisionMade, Group, Millis, RewardObserved},
};

/// Days of allocation kept.
const DAYS_MAX: usize = 120;

/// A campaign: its plan, what it has spent, what it has learned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Campaign {
    /// The plan in force, or the last one.
    pub plan: Option<Plan>,
    /// The place of the entry that started it.
    pub plan_seq: Seq,
    /// The first plan that numbered its arms as this one does: what came of earlier ones is not told by number.
    pub numbered: Seq,
    /// Why it has ended; none while it runs.
    pub ended: Option<Box<str>>,
    /// Who has stopped its sending, and why.
    pub stopped: Option<Stop>,
    /// What is spent and set aside.
    pub bounds: Bounds,
    /// Messages sent.
    pub sent: u64,
    /// By arm; the first is nothing.
    pub arms: Vec<Tally>,
    /// By group, in the order of [`Group`].
    pub groups: [Tally; 3],
    /// Decisions by UTC day since 1970 and arm: how the allocation moves.
    pub days: BTreeMap<i32, BTreeMap<u16, u32>>,
    /// What it has learned; none before a plan, and for arms that no policy can have.
    pub policy: Option<Policy>,
    /// The hash of that, as long as nothing was learned since.
    pub(super) hash: Option<Box<str>>,
    /// Lessons of one instant, that are learned once it is over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lessons: Vec<Lesson>,
}

/// What one decision teaches.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lesson {
    at_ms: Millis,
    id: DecisionId,
    arm: u16,
    features: Vec<f32>,
    reward: f32,
}

/// Why sending is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who stopped it.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
}

/// Decisions and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// How often it was decided.
    pub decided: u64,
    /// How often nothing was done though something was chosen.
    pub withheld: u64,
    /// Decisions whose attribution window is over.
    pub rewarded: u64,
    /// Of these, those with a message that went out.
    pub sent: u64,
    /// Conversions.
    pub conversions: u64,
    /// Clicks.
    pub clicked: u64,
    /// Unsubscriptions.
    pub unsubscribed: u64,
    /// Complaints.
    pub complained: u64,
    /// What was paid, millionths.
    pub revenue_micros: i64,
    /// Sum of rewards, millionths: a sum that does not depend on the order.
    pub reward_micros: i64,
    /// Sum of their squares, millionths.
    pub squares_micros: i64,
}

impl Tally {
    fn reward(&mut self, observed: &RewardObserved) {
        let outcome = &observed.outcome;
        let micros = |value: f64| (value * 1e6).round() as i64;
        let reward = f64::from(observed.reward);
        self.rewarded += 1;
        self.sent += u64::from(outcome.sent);
        self.conversions += u64::from(outcome.conversions);
        self.clicked += u64::from(outcome.clicked);
        self.unsubscribed += u64::from(outcome.unsubscribed);
        self.complained += u64::from(outcome.complained);
        self.revenue_micros = self.revenue_micros.saturating_add(outcome.revenue_micros);
        self.reward_micros = self.reward_micros.saturating_add(micros(reward));
        self.squares_micros = self.squares_micros.saturating_add(micros(reward * reward));
    }

    /// The mean reward and its standard error; none with fewer than two.
    pub fn mean(&self) -> Option<(f64, f64)> {
        if self.rewarded < 2 {
            return None;
        }
        let count = self.rewarded as f64;
        let mean = self.reward_micros as f64 / 1e6 / count;
        let spread = (self.squares_micros as f64 / 1e6 / count - mean * mean).max(0.0) * count / (count - 1.0);
        Some((mean, libm::sqrt(spread / count)))
    }
}

/// A group's place among [`Campaign::groups`].
pub(super) fn place(group: Group) -> usize {
    match group {
        Group::Policy => 0,
        Group::Random => 1,
        Group::Holdout => 2,
    }
}

impl Campaign {
    /// A plan comes into force. What was spent counts on, unless the campaign had ended; what was measured and
    /// learned of an arm, as long as it keeps its number.
    pub(super) fn start(&mut self, plan: Plan, seq: Seq) {
        if self.plan.is_none() || self.ended.take().is_some() {
            self.bounds = Bounds::from_start(seq);
        }
        let known = self.plan.as_ref().map_or(&[][..], |old| &old.arms);
        let same_reward = self.plan.as_ref().is_some_and(|old| old.reward == plan.reward);
        if !same_reward || !plan.arms.starts_with(known) {
            self.arms.clear();
            self.days.clear();
            self.lessons.clear();
            self.numbered = seq;
        }
        if !same_reward || plan.arms != known {
            // What was learned of other rewards, or without arms there are now, does not hold.
            self.policy = choose::policy(&plan).ok();
            self.hash = None;
        }
        self.arms.resize(plan.arms.len() + 1, Tally::default());
        self.plan = Some(plan);
        self.plan_seq = seq;
    }

    /// The plan, while the campaign runs.
    pub(super) fn running(&self) -> Option<&Plan> {
        self.plan.as_ref().filter(|_| self.ended.is_none())
    }

    pub(super) fn count_decision(&mut self, made: &DecisionMade, now_ms: Millis) {
        self.bounds.take(&made.reserved);
        let withheld = made.withheld.is_some();
        let tallies = [self.arms.get_mut(usize::from(made.chosen)), self.groups.get_mut(place(made.group))];
        for tally in tallies.into_iter().flatten() {
            tally.decided += 1;
            tally.withheld += u64::from(withheld);
        }
        if made.group == Group::Policy {
            let day = i32::try_from(now_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
            *self.days.entry(day).or_default().entry(made.chosen).or_default() += 1;
            if self.days.len() > DAYS_MAX {
                self.days.pop_first();
            }
        }
    }

    /// Learns what was observed before `now_ms`. What agents say at one instant may lie in another order after a
    /// crash; so all lessons of an instant are learned together, in the order of their decisions.
    pub(super) fn learn_before(&mut self, now_ms: Millis) {
        if self.lessons.first().is_none_or(|lesson| lesson.at_ms >= now_ms) {
            return;
        }
        let mut lessons = std::mem::take(&mut self.lessons);
        lessons.sort_unstable_by_key(|lesson| (lesson.at_ms, lesson.id));
        let Some(policy) = &mut self.policy else { return };
        for lesson in lessons {
            // Features or arms of another plan than this one teach nothing.
            if policy.learn(&lesson.features, lesson.arm, lesson.reward).is_ok() {
                self.hash = None;
            }
        }
    }

    /// What a decision came to.
    pub(super) fn observe(&mut self, observed: &RewardObserved, now_ms: Millis) {
        self.learn_before(now_ms);
        if observed.plan < self.numbered {
            return;
        }
        if let Some(tally) = self.groups.get_mut(place(observed.group)) {
            tally.reward(observed);
        }
        // Of somebody left alone nothing is learned: the holdout is for measuring. What was chosen and not
        // done tells nothing of the arm, and a choice of one was none.
        let done = observed.chosen == 0 || observed.outcome.sent;
        let chosen = observed.propensity < 1.0;
        if observed.group == Group::Holdout || !done {
            return;
        }
        if let Some(tally) = self.arms.get_mut(usize::from(observed.chosen)).filter(|_| chosen || observed.chosen > 0) {
            tally.reward(observed);
        }
        if chosen {
            let features = observed.features.clone();
            let RewardObserved { id, chosen: arm, reward, .. } = *observed;
            self.lessons.push(Lesson { at_ms: now_ms, id, arm, features, reward });
        }
    }

    /// The arm with the best mean once `rewards` rewards have come; none before.
    pub(super) fn best_of_test(&self, rewards: u32) -> Option<u16> {
        let arms = || self.arms.iter().zip(0_u16..).skip(1).filter(|(tally, _)| tally.rewarded > 0);
        let all: u64 = arms().map(|(tally, _)| tally.rewarded).sum();
        if all < u64::from(rewards) {
            return None;
        }
        let mean = |tally: &Tally| tally.reward_micros / i64::try_from(tally.rewarded.max(1)).unwrap_or(i64::MAX);
        arms().max_by_key(|(tally, arm)| (mean(tally), std::cmp::Reverse(*arm))).map(|(_, arm)| arm)
    }

    /// The hash of what decides: of what was learned, or of the plan where that alone decides.
    pub(super) fn model_hash(&mut self) -> Box<str> {
        if let Some(hash) = &self.hash {
            return hash.clone();
        }
        let hash: Box<str> = match &self.policy {
            Some(policy) => policy.hash().into(),
            None => {
                let hash = blake3::hash(&self.plan_seq.to_le_bytes()).to_hex();
                hash.as_str().chars().take(32).collect::<String>().into()
            }
        };
        self.hash = Some(hash.clone());
        hash
    }

    /// Which bound lets nothing more be sent, once nothing is on its way.
    pub(super) fn is_spent(&self) -> Option<&'static str> {
        let plan = self.running().filter(|_| self.bounds.on_the_way == 0)?;
        if plan.budget.messages.is_some_and(|most| self.bounds.taken.messages >= most) {
            return Some("messages");
        }
        // Somebody who was reached before takes nothing of the blast radius: it is not spent by that alone.
        let any = |gives: bool| {
            let offer = |arm: &Arm| arm.offer.clone().filter(|_| gives);
            let fits =
                |arm: &Arm| self.bounds.fits(plan, &wanted(plan, arm.channel, offer(arm).as_deref(), true)).is_ok();
            plan.arms.is_empty() || plan.standing_arms().any(|(_, arm)| fits(arm))
        };
        match (any(true), any(false)) {
            (true, _) => None,
            (false, true) => Some("discounts"),
            (false, false) => Some("cost"),
        }
    }
}
