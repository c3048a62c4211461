//! What is kept of one campaign, and how its goal stands. Pure.

use std::collections::BTreeMap;

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::{
    interval::{BUCKETS, Lift, Weighed, lift},
    person::likely,
    topics::{Cell, Deeds},
};
use crate::{
    campaigns::Plan,
    goals::{Direction, Goal, GoalBaseline, Metric, Target},
    vocabulary::{Channel, Group, Millis},
};

/// One campaign, since its plan started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The goal it serves.
    pub goal: Option<Goal>,
    /// The plan, and the place of the entry that started it.
    pub plan: Option<(Seq, Plan)>,
    /// The place of the entry that started the campaign.
    pub began: Seq,
    /// Since when.
    pub since_ms: Millis,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// Decisions and what they came to, by group and arm; 0 is nothing.
    pub arms: Vec<ArmRow>,
    /// What the gate said and what became of messages, by channel.
    pub channels: Vec<ChannelRow>,
    /// Decisions that were withheld, by the guard that did.
    pub withheld: BTreeMap<Box<str>, u64>,
    /// People and what they did, by group, bucket and number of ids.
    pub(super) cells: Vec<(Cell, i64, Deeds)>,
    /// The metric before the campaign began, frozen.
    pub baseline: Option<GoalBaseline>,
    /// Whether something has changed since the goal was last measured.
    pub(super) changed: bool,
    /// Whether it is to be measured again.
    pub(super) due: bool,
}

/// Decisions of one group for one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRow {
    /// The group.
    pub group: Group,
    /// The arm's number; 0 is nothing.
    pub arm: u16,
    /// Decisions made.
    pub decisions: u64,
    /// Of those, made to explore.
    pub explored: u64,
    /// Of the decisions, those whose message was sent so far.
    pub sent: u64,
    /// Decisions whose attribution window is over.
    pub rewarded: u64,
    /// Of those: the message was opened by a person.
    pub opened: u64,
    /// It was clicked.
    pub clicked: u64,
    /// Something was bought, or the goal's event came.
    pub converted: u64,
    /// Unsubscribed.
    pub unsubscribed: u64,
    /// Complained.
    pub complained: u64,
    /// What was paid, millionths.
    pub revenue_micros: i64,
    /// What was given away, millionths.
    pub discount_micros: i64,
    /// What sending cost, millionths.
    pub cost_micros: i64,
    /// Sum of the rewards, millionths of the plan's unit.
    pub reward_micros: i64,
}

/// What became of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    /// The channel.
    pub channel: Channel,
    /// Decisions for which it was refused before they were made, by guard.
    pub refused_before: BTreeMap<Box<str>, u64>,
    /// Messages refused at the moment of sending, by guard.
    pub refused: BTreeMap<Box<str>, u64>,
    /// Messages let through, less those that their channel gave back.
    pub sent: u64,
    /// Those: let through too long ago, or stopped at the last moment, and checked again from the beginning.
    #[serde(default)]
    pub returned: u64,
    /// Of those that were let through and not given back, messages of a journey's own steps or of programs: no arm
    /// was chosen for them.
    #[serde(default)]
    pub of_journeys: u64,
    /// Taken by the channel.
    pub delivered: u64,
    /// Not taken.
    pub failed: u64,
    /// Receipts, by what became of a message; `machine_opened` and so on for what machines did.
    pub receipts: BTreeMap<Box<str>, u64>,
}

/// One group's people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The group.
    pub group: Group,
    /// People who count.
    pub people: i64,
    /// What they did since.
    pub did: Deeds,
    /// The goal's metric for them, each weighed by how likely they are in the group.
    pub value: Option<f64>,
}

/// How a goal stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric over all who count.
    pub value: f64,
    /// How many they are.
    pub people: u64,
    /// By how much the policy's people are better than the holdout's.
    pub over_holdout: Option<Lift>,
    /// By how much they are better than those for whom chance decides.
    pub over_random: Option<Lift>,
    /// By how much those for whom chance decides are better than the holdout's.
    pub random_over_holdout: Option<Lift>,
    /// Whether the target is reached.
    pub reached: bool,
}

impl Report {
    pub(super) fn arm(&mut self, group: Group, arm: u16) -> &mut ArmRow {
        let place = self.arms.binary_search_by_key(&(group, arm), |row| (row.group, row.arm));
        let place = place.unwrap_or_else(|place| {
            self.arms.insert(place, ArmRow::new(group, arm));
            place
        });
        &mut self.arms[place]
    }

    pub(super) fn channel(&mut self, channel: Channel) -> &mut ChannelRow {
        let place = self.channels.binary_search_by_key(&channel, |row| row.channel);
        let place = place.unwrap_or_else(|place| {
            self.channels.insert(place, ChannelRow::new(channel));
            place
        });
        &mut self.channels[place]
    }

    pub(super) fn count(&mut self, cell: Cell, people: i64, did: &Deeds) {
        match self.cells.binary_search_by_key(&cell, |(known, _, _)| *known) {
            Ok(place) => {
                if let Some((_, known, sums)) = self.cells.get_mut(place) {
                    *known += people;
                    sums.add(did, 1);
                }
            }
            Err(place) => self.cells.insert(place, (cell, people, *did)),
        }
    }

    /// People who count and what they did, by group.
    pub fn groups(&self) -> Vec<GroupRow> {
        let of = |group: Group| {
            let mut row = GroupRow { group, people: 0, did: Deeds::default(), value: None };
            for (_, people, did) in self.cells.iter().filter(|(cell, _, _)| cell.group == group) {
                row.people += people;
                row.did.add(did, 1);
            }
            let (weight, sum) =
                self.weighed(group).iter().fold((0.0, 0.0), |(weight, sum), one| (weight + one.weight, sum + one.sum));
            row.value = (weight > 0.0).then(|| sum / weight);
            row
        };
        [Group::Policy, Group::Random, Group::Holdout].map(of).to_vec()
    }

    fn metric(&self) -> Metric {
        self.goal.as_ref().map_or(Metric::Orders, |goal| goal.metric)
    }

    /// A group's outcomes by bucket, each person weighed by one over how likely they are in the group.
    fn weighed(&self, group: Group) -> Vec<Weighed> {
        let mut buckets = vec![Weighed::default(); BUCKETS];
        let shares = self.plan.as_ref().map_or((0.0, 0.0), |(_, plan)| (plan.holdout_share, plan.random_share));
        for (cell, people, did) in self.cells.iter().filter(|(cell, _, _)| cell.group == group) {
            let likely = likely(group, cell.ids, shares.0, shares.1);
            let Some(bucket) = buckets.get_mut(usize::from(cell.bucket)).filter(|_| likely > 0.0) else { continue };
            let (count, sum) = measure(self.metric(), *people, did);
            bucket.weight += count / likely;
            bucket.sum += sum / likely;
        }
        buckets
    }

    fn lift(&self, one: Group, other: Group) -> Option<Lift> {
        let people = |group: Group| {
            let of = self.cells.iter().filter(|(cell, _, _)| cell.group == group);
            of.map(|(_, people, _)| *people).sum::<i64>() as f64
        };
        let found = lift(&self.weighed(one), &self.weighed(other), [people(one), people(other)])?;
        match self.direction() {
            Direction::Increase => Some(found),
            // Less is better.
            Direction::Decrease => Some(Lift { value: -found.value, low: -found.high, high: -found.low }),
        }
    }

    fn direction(&self) -> Direction {
        self.goal.as_ref().map_or(Direction::Increase, Goal::direction)
    }

    /// How the goal stands; `None` before anybody counts.
    pub fn measured(&self) -> Option<Measured> {
        let (mut people, mut all) = (0, Deeds::default());
        for (_, count, did) in &self.cells {
            people += count;
            all.add(did, 1);
        }
        let (count, sum) = measure(self.metric(), people, &all);
        if people <= 0 || count <= 0.0 {
            return None;
        }
        let value = sum / count;
        Some(Measured {
            value,
            people: people as u64,
            over_holdout: self.lift(Group::Policy, Group::Holdout),
            over_random: self.lift(Group::Policy, Group::Random),
            random_over_holdout: self.lift(Group::Random, Group::Holdout),
            reached: self.is_reached(value),
        })
    }

    /// Whether a value of the metric is the goal's target or better.
    fn is_reached(&self, value: f64) -> bool {
        let target = self.goal.as_ref().and_then(|goal| goal.target);
        let base = self.baseline.as_ref().map(|baseline| baseline.value);
        let wanted = match (target, base) {
            (Some(Target::Absolute(wanted)), _) => wanted,
            (Some(Target::Relative(_)), Some(base)) if base <= 0.0 => return false,
            (Some(Target::Relative(by)), Some(base)) => match self.direction() {
                Direction::Increase => base * (1.0 + by),
                Direction::Decrease => base * (1.0 - by),
            },
            _ => return false,
        };
        match self.direction() {
            Direction::Increase => value >= wanted,
            Direction::Decrease => value <= wanted,
        }
    }
}

/// Of how many it is a mean, and their sum.
fn measure(metric: Metric, people: i64, did: &Deeds) -> (f64, f64) {
    let people = people as f64;
    let money = |micros: i64| micros as f64 / 1e6;
    match metric {
        Metric::Orders => (people, did.orders as f64),
        Metric::Revenue => (people, money(did.revenue_micros)),
        Metric::Margin => (people, money(did.revenue_micros - did.discount_micros - did.cost_micros)),
        Metric::LifetimeValue => (people, money(did.paid_before_micros + did.revenue_micros)),
        Metric::Retention => (people, did.buyers as f64),
        Metric::Churn | Metric::ChurnRisk => (people, people - did.buyers as f64),
        Metric::Conversion => (people, did.converted as f64),
        Metric::Engagement => (did.messages as f64, did.clicks as f64),
    }
}

impl ArmRow {
    fn new(group: Group, arm: u16) -> Self {
        Self {
            group,
            arm,
            decisions: 0,
            explored: 0,
            sent: 0,
            rewarded: 0,
            opened: 0,
            clicked: 0,
            converted: 0,
            unsubscribed: 0,
            complained: 0,
            revenue_micros: 0,
            discount_micros: 0,
            cost_micros: 0,
            reward_micros: 0,
        }
    }
}

impl ChannelRow {
    fn new(channel: Channel) -> Self {
        let (refused_before, refused, receipts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            channel,
            refused_before,
            refused,
            sent: 0,
            returned: 0,
            of_journeys: 0,
            delivered: 0,
            failed: 0,
            receipts,
        }
    }
}
