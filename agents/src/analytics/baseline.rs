//! A goal's metric over the time before its campaign began: one look over the journal.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{EffectError, Job, JobPast};

use super::topics::BaselineWanted;
use crate::{
    goals::{GoalBaseline, Metric},
    segmentation::{SegmentEntered, SegmentLeft},
    vocabulary::{Feature, ProfileChanged, ProfileId, ProfileMerged, ReceiptCame, ReceiptKind, Tracked},
};

/// What is known of one person at the end of the time looked at.
#[derive(Clone, Copy, Default)]
struct Standing {
    orders: i64,
    orders_before: i64,
    paid: i64,
    paid_before: i64,
    converted: bool,
}

impl Job for BaselineWanted {
    type Outcome = GoalBaseline;

    fn run(self, past: &JobPast) -> Result<GoalBaseline, EffectError> {
        let Self { campaign, plan, audience, from_ms, until_ms, currency, event, metric } = self;
        let paid = currency.as_bytes().try_into().map_or(Feature::value(*b"USD"), Feature::value);
        let mut members: BTreeSet<ProfileId> = BTreeSet::new();
        // In the order they came: a segment may be left and entered again.
        let mut moves: Vec<(u64, ProfileId, bool)> = Vec::new();
        past.each::<SegmentEntered>(|seq, _, entered| {
            if entered.segment == audience {
                moves.push((seq, entered.profile, true));
            }
        })?;
        past.each::<SegmentLeft>(|seq, _, left| {
            if left.segment == audience {
                moves.push((seq, left.profile, false));
            }
        })?;
        moves.sort_unstable();
        for (_, profile, is_in) in moves {
            if is_in {
                members.insert(profile);
            } else {
                members.remove(&profile);
            }
        }
        let mut whose: BTreeMap<ProfileId, ProfileId> = BTreeMap::new();
        past.each::<ProfileMerged>(|_, _, merged| {
            whose.insert(merged.loser, merged.winner);
        })?;
        let root = |mut profile: ProfileId| {
            for _ in 0..64 {
                let Some(next) = whose.get(&profile).filter(|next| **next != profile) else { break };
                profile = *next;
            }
            profile
        };
        let mut people: BTreeMap<ProfileId, Standing> =
            members.into_iter().map(|profile| (profile, Standing::default())).collect();
        past.each::<ProfileChanged>(|_, at_ms, changed| {
            let Some(person) = people.get_mut(&changed.profile) else { return };
            for (feature, value) in &changed.features {
                if *feature == Feature::ORDERS {
                    person.orders = *value;
                    person.orders_before = if at_ms < from_ms { *value } else { person.orders_before };
                } else if *feature == paid {
                    person.paid = *value;
                    person.paid_before = if at_ms < from_ms { *value } else { person.paid_before };
                }
            }
        })?;
        if let (Metric::Conversion, Some(event)) = (metric, &event) {
            past.each::<Tracked>(|_, at_ms, tracked| {
                if at_ms >= from_ms
                    && *tracked.name == **event
                    && let Some(person) = people.get_mut(&root(tracked.node()))
                {
                    person.converted = true;
                }
            })?;
        }
        let (mut messages, mut clicks) = (0_u64, 0_u64);
        if metric == Metric::Engagement {
            past.each::<ReceiptCame>(|_, at_ms, came| {
                if at_ms >= from_ms && !came.machine && people.contains_key(&came.profile) {
                    clicks += u64::from(came.kind == ReceiptKind::Clicked);
                }
            })?;
            past.each::<crate::vocabulary::MessageSent>(|_, at_ms, sent| {
                messages += u64::from(at_ms >= from_ms && people.contains_key(&sent.profile));
            })?;
            past.each::<crate::vocabulary::MessageReturned>(|_, at_ms, returned| {
                messages -= u64::from(messages > 0 && at_ms >= from_ms && people.contains_key(&returned.profile));
            })?;
        }
        let count = people.len() as f64;
        let orders = |person: &Standing| person.orders - person.orders_before;
        let of = |what: &dyn Fn(&Standing) -> f64| people.values().map(what).sum::<f64>() / count.max(1.0);
        let value = match metric {
            Metric::Orders => of(&|person| orders(person) as f64),
            Metric::Revenue | Metric::Margin => of(&|person| (person.paid - person.paid_before) as f64 / 1e6),
            Metric::LifetimeValue => of(&|person| person.paid as f64 / 1e6),
            Metric::Retention => of(&|person| f64::from(u8::from(orders(person) > 0))),
            Metric::Churn | Metric::ChurnRisk => of(&|person| f64::from(u8::from(orders(person) <= 0))),
            Metric::Conversion if event.is_some() => of(&|person| f64::from(u8::from(person.converted))),
            Metric::Conversion => of(&|person| f64::from(u8::from(orders(person) > 0))),
            Metric::Engagement => clicks as f64 / messages.max(1) as f64,
        };
        // The sum of nothing is -0.0, which nobody expects to read.
        let value = value + 0.0;
        Ok(GoalBaseline { goal: campaign, plan, value, people: people.len() as u64, from_ms, until_ms })
    }
}
