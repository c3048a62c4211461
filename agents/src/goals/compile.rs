//! From a goal to a plan: what is missing, which arms there are. Pure.

use super::{Goal, Known, Metric, NO_OFFER, Target};
use crate::{
    campaigns::{Plan, PlanTrigger, RewardSpec},
    profiles::Currency,
    vocabulary::{Arm, Channel, DAY_MS},
};

/// Limits of goals, all in one place.
pub mod limits {
    /// Arms of one plan.
    pub const ARMS_MAX: usize = 512;
    /// Templates, or offers, of one goal.
    pub const LEVELS_MAX: usize = 100;
    /// Templates, offers, channels and hours of one goal together.
    pub const LEVELS_ALL_MAX: usize = 128;
    /// Length of a name of a template, offer, topic, journey, event or situation, in bytes.
    pub const NAME_BYTES_MAX: usize = 128;
    /// The longest attribution window, in days.
    pub const ATTRIBUTION_DAYS_MAX: i64 = 90;
    /// The shortest time from one decision about a person to the next, in milliseconds.
    pub const EVERY_MS_MIN: i64 = 3_600_000;
    /// The share of decisions that may be spent on exploring.
    pub const EXPLORATION_ALL_MAX: f64 = 0.5;
    /// The dearest message, in units of the currency.
    pub const COST_MAX: f64 = 1_000_000.0;
}

/// By how much an audience may grow over what was approved, as a fraction of it.
const GROWTH: (u64, u64) = (1, 10);

/// What is known of the templates and offers there are.
pub trait Catalogue {
    /// Whether a template of this name can be sent by this channel; `None` where there is none of the name.
    fn template(&self, name: &str, channel: Channel) -> Option<bool>;
    /// What an offer gives away at most, millionths of its currency, where that is bounded; `None` where there is
    /// no offer of this name.
    fn offer(&self, name: &str) -> Option<Option<i64>>;
}

/// What an offer of a goal gives away at most, millionths; none where nobody says.
fn discount_max(goal: &Goal, offer: &str, catalogue: &dyn Catalogue) -> Option<i64> {
    let said = goal.discounts.get(offer).map(|most| micros(*most));
    said.or_else(|| catalogue.offer(offer).flatten())
}

fn micros(amount: f64) -> i64 {
    (amount * 1e6).round() as i64
}

/// One thing that is wrong with a goal, or missing from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {why}")]
pub struct Missing {
    /// The field's path.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

/// Most people an audience may have that was approved with so many.
pub fn audience_max(approved: u64) -> u64 {
    approved.saturating_add(approved.saturating_mul(GROWTH.0) / GROWTH.1)
}

/// What is wrong with a goal, as far as the goal itself tells: it can't be measured, or it can't be acted on.
pub fn missing(goal: &Goal) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut miss = |field: &str, why: &str| found.push(Missing { field: field.into(), why: why.into() });
    let share = |value: f64| (0.0..=1.0).contains(&value);
    if !(goal.threshold > 0.0 && goal.threshold < 1.0) {
        miss("threshold", "above 0 and below 1");
    }
    if goal.metric == Metric::Conversion && goal.event.is_none() {
        miss("event", "missing: `conversion` is measured by an event, and this goal names none");
    }
    if goal.event.is_some() && goal.metric != Metric::Conversion {
        miss("event", "only `conversion` is measured by an event");
    }
    if matches!(goal.metric, Metric::Churn | Metric::Retention | Metric::Conversion) && goal.within.is_none() {
        miss("within", "missing: this metric is a share over a horizon, e.g. `30d`");
    }
    if goal.currency.as_deref().is_some_and(|code| Currency::from_code(code).is_none_or(|it| it.to_string() != code)) {
        miss("currency", "three capital letters (ISO 4217)");
    }
    if goal.metric.is_money() && goal.currency.is_none() {
        miss("currency", "missing: this metric is an amount of money");
    }
    match goal.target {
        Some(Target::Absolute(value)) if !value.is_finite() || (goal.metric.is_share() && !share(value)) => {
            miss("target.absolute", "a finite number, and from 0 to 1 where the metric is a share");
        }
        Some(Target::Relative(by)) if !(by.is_finite() && by > 0.0) => {
            miss("target.relative", "above 0: by which share of the baseline the metric is to move");
        }
        Some(_) if goal.within.is_none() => {
            miss("within", "missing: a target is to be reached within some time, e.g. `30d`");
        }
        _ => {}
    }
    for (field, value) in [
        ("guardrails.unsubscribe_rate_max", goal.guardrails.unsubscribe_rate_max),
        ("guardrails.complaint_rate_max", goal.guardrails.complaint_rate_max),
        ("guardrails.bounce_rate_max", goal.guardrails.bounce_rate_max),
        ("holdout", Some(goal.holdout)),
        ("random_control", Some(goal.random_control)),
    ] {
        if value.is_some_and(|value| !share(value)) {
            miss(field, "from 0 to 1");
        }
    }
    if share(goal.holdout) && share(goal.random_control) && goal.holdout + goal.random_control > 1.0 {
        miss("random_control", "more than is left beside the holdout");
    }
    if goal.acts() {
        missing_to_act(goal, &mut found);
    }
    found
}

fn missing_to_act(goal: &Goal, found: &mut Vec<Missing>) {
    let mut miss = |field: &str, why: &str| found.push(Missing { field: field.into(), why: why.into() });
    // A journey says itself what it sends; its decisions need arms as any others do.
    let decides = goal.journey.is_none() || !goal.templates.is_empty();
    if goal.templates.is_empty() && decides {
        miss("templates", "missing: a goal that acts says which templates it may send");
    }
    if goal.channels.is_empty() && decides {
        miss("channels", "missing: a goal that acts says by which channels it may send");
    }
    for (field, names) in [("templates", &goal.templates), ("offers", &goal.offers)] {
        if names.len() > limits::LEVELS_MAX {
            miss(field, "at most 100");
        }
        let wrong = |name: &str| name.is_empty() || name.len() > limits::NAME_BYTES_MAX;
        if let Some(place) = names.iter().position(|name| wrong(name)) {
            miss(&format!("{field}[{place}]"), "1 to 128 bytes");
        }
        if let Some(place) =
            (1..names.len()).find(|place| names.iter().take(*place).any(|name| Some(name) == names.get(*place)))
        {
            miss(&format!("{field}[{place}]"), "it is there twice");
        }
    }
    for (field, name) in
        [("topic", &goal.topic), ("journey", &goal.journey), ("event", &goal.event), ("situation", &goal.situation)]
    {
        if name.as_deref().is_some_and(|name| name.is_empty() || name.len() > limits::NAME_BYTES_MAX) {
            miss(field, "1 to 128 bytes");
        }
    }
    if (1..goal.channels.len())
        .any(|place| goal.channels.iter().take(place).any(|it| Some(it) == goal.channels.get(place)))
    {
        miss("channels", "one is there twice");
    }
    if goal.hours.len() > 24 || goal.hours.iter().any(|hour| *hour > 23) {
        miss("hours", "hours of the day, 0 to 23");
    } else if (1..goal.hours.len())
        .any(|place| goal.hours.iter().take(place).any(|it| Some(it) == goal.hours.get(place)))
    {
        miss("hours", "one is there twice");
    }
    if goal.attribution.ms() > limits::ATTRIBUTION_DAYS_MAX * DAY_MS {
        miss("attribution", "at most 90 days");
    }
    if goal.every.ms() < limits::EVERY_MS_MIN {
        miss("every", "at least an hour");
    }
    for (channel, cost) in &goal.costs {
        if !(cost.is_finite() && (0.0..=limits::COST_MAX).contains(cost)) {
            miss(&format!("costs.{}", channel.name()), "an amount from 0 to 1000000");
        }
    }
    for (offer, most) in &goal.discounts {
        if !(most.is_finite() && (0.0..=limits::COST_MAX).contains(most)) {
            miss(&format!("discounts.{offer}"), "an amount from 0 to 1000000");
        }
    }
    for (field, amount) in
        [("budget.cost_micros", goal.budget.cost_micros), ("budget.discount_micros", goal.budget.discount_micros)]
    {
        if amount.is_some_and(|amount| amount < 0) {
            miss(field, "not below 0");
        }
    }
    if goal.autonomy == crate::campaigns::Autonomy::Autonomous {
        if goal.blast_radius.is_none() {
            miss("blast_radius", "missing: an autonomous goal says how many people it may ever send to");
        }
        if goal.budget.messages.is_none() {
            miss("budget.messages", "missing: an autonomous goal says how many messages it may send");
        }
    }
    let arms = count_arms(goal);
    if arms > limits::ARMS_MAX {
        miss(
            "templates",
            &format!("{arms} arms (templates x offers x channels x hours); at most {}", limits::ARMS_MAX),
        );
    }
    let levels = goal.templates.len() + goal.offers.len().max(1) + goal.channels.len() + goal.hours.len().max(1);
    if levels > limits::LEVELS_ALL_MAX {
        miss("templates", "templates, offers, channels and hours are more than 128 together");
    }
    let floor_max = limits::EXPLORATION_ALL_MAX / (arms + 1) as f64;
    if goal.exploration.is_some_and(|floor| !(0.0..=floor_max).contains(&floor)) {
        miss("exploration", &format!("from 0 to {floor_max:.6}: with {arms} arms half of all decisions would explore"));
    }
}

/// What is missing of what a goal names.
pub fn missing_of(goal: &Goal, catalogue: &dyn Catalogue) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut miss = |field: String, why: &str| found.push(Missing { field, why: why.into() });
    for (place, name) in goal.templates.iter().enumerate() {
        let by: Vec<_> = goal.channels.iter().map(|channel| catalogue.template(name, *channel)).collect();
        if !by.is_empty() && by.iter().all(Option::is_none) {
            miss(format!("templates[{place}]"), "there is no template of this name");
        } else if !by.is_empty() && by.iter().all(|it| *it != Some(true)) {
            miss(format!("templates[{place}]"), "it can be sent by none of the goal's channels");
        }
    }
    for (place, name) in goal.offers.iter().enumerate().filter(|(_, name)| ***name != *NO_OFFER) {
        if catalogue.offer(name).is_none() {
            miss(format!("offers[{place}]"), "there is no offer of this name");
        } else if goal.budget.discount_micros.is_some() && discount_max(goal, name, catalogue).is_none() {
            let why = "missing: a budget of discounts needs what the offer gives away at most";
            miss(format!("discounts.{name}"), why);
        }
    }
    found
}

fn count_arms(goal: &Goal) -> usize {
    let levels = |count: usize| count.max(1);
    [goal.channels.len(), levels(goal.offers.len()), levels(goal.hours.len())]
        .into_iter()
        .fold(goal.templates.len(), usize::saturating_mul)
}

/// All arms of a goal: templates x offers x channels x hours, in that order. Not those of a template that can't go
/// by a channel, nor, where discounts have a budget, of an offer that nobody bounds: it could not be kept.
pub(super) fn arms(goal: &Goal, catalogue: &dyn Catalogue) -> Vec<Arm> {
    let fits = |template: &str, channel: Channel| catalogue.template(template, channel).unwrap_or(true);
    let bounded = |offer: &Option<Box<str>>| {
        let free = offer.is_none() || goal.budget.discount_micros.is_none();
        free || offer.as_ref().is_some_and(|offer| discount_max(goal, offer, catalogue).is_some())
    };
    let offers: Vec<Option<Box<str>>> = match goal.offers.as_slice() {
        [] => vec![None],
        named => named.iter().map(|name| Some(name.clone()).filter(|name| **name != *NO_OFFER)).collect(),
    };
    let hours: Vec<Option<u8>> =
        if goal.hours.is_empty() { vec![None] } else { goal.hours.iter().copied().map(Some).collect() };
    let mut arms = Vec::new();
    for template in &goal.templates {
        for offer in offers.iter().filter(|offer| bounded(offer)) {
            for channel in goal.channels.iter().copied().filter(|channel| fits(template, *channel)) {
                let arm =
                    |hour: &Option<u8>| Arm { template: template.clone(), offer: offer.clone(), channel, hour: *hour };
                arms.extend(hours.iter().map(arm));
            }
        }
    }
    arms.truncate(limits::ARMS_MAX);
    arms
}

/// What a goal's metric rewards. The units are people's actions for shares and counts, the currency for money.
fn reward(goal: &Goal) -> RewardSpec {
    let currency: Box<str> = goal.currency().into();
    let spec = RewardSpec {
        conversion: 1.0,
        revenue: 0.0,
        click: 0.0,
        open: 0.0,
        unsubscribe: -1.0,
        complaint: -2.0,
        event: goal.event.clone(),
        currency,
    };
    match goal.metric {
        Metric::ChurnRisk | Metric::Orders | Metric::Churn | Metric::Retention | Metric::Conversion => spec,
        Metric::Engagement => RewardSpec { conversion: 0.0, click: 1.0, ..spec },
        // Somebody who can't be written to any more is worth what a good order would have been.
        Metric::Revenue | Metric::Margin | Metric::LifetimeValue => {
            RewardSpec { conversion: 0.0, revenue: 1.0, unsubscribe: -20.0, complaint: -40.0, ..spec }
        }
    }
}

/// The plan of a goal that acts, for an audience of this size; none for a goal that doesn't.
pub fn compile(id: &str, goal: &Goal, audience: u64, catalogue: &Known) -> Option<Plan> {
    if !goal.acts() || !missing(goal).is_empty() {
        return None;
    }
    let arms = arms(goal, catalogue);
    let trigger = match &goal.situation {
        Some(kind) => PlanTrigger::Situation { kind: kind.clone() },
        None => PlanTrigger::Audience { every_ms: goal.every.ms() },
    };
    let floor =
        goal.exploration.unwrap_or(0.05 / (arms.len() + 1) as f64).min(0.01_f64.max(goal.exploration.unwrap_or(0.0)));
    let discounts = goal.offers.iter().filter_map(|offer| Some((offer.clone(), discount_max(goal, offer, catalogue)?)));
    Some(Plan {
        goal: id.into(),
        audience: id.into(),
        trigger,
        topic: goal.topic.clone(),
        journey: goal.journey.clone(),
        reward: reward(goal),
        attribution_ms: goal.attribution.ms(),
        exploration_floor: floor,
        holdout_share: goal.holdout,
        random_share: goal.random_control,
        budget: goal.budget.clone(),
        blast_radius: goal.blast_radius.unwrap_or_else(|| audience_max(audience)),
        costs_micros: goal.costs.iter().map(|(channel, cost)| (*channel, micros(*cost))).collect(),
        discounts_micros: discounts.collect(),
        autonomy: goal.autonomy,
        strategy: goal.strategy,
        content: catalogue.content(arms.iter(), goal.journey.as_deref()),
        retired: Vec::new(),
        arms,
    })
}
