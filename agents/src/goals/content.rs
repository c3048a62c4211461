//! What plans send, as it stands: a plan is approved for what it would have said then.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{AgentError, Event, Keys, OnMany, OnShared, Shared, Step};
use serde::{Deserialize, Serialize};

use super::{Catalogue, Goals, limits, topics::ContentReviewed};
use crate::{
    campaigns::Plan,
    content::{Catalog, OfferDefined, OfferRemoved, TemplateDefined, TemplateRemoved, fingerprint, split_level},
    journeys::{Journey, JourneyDefined, JourneyRemoved},
    vocabulary::{Arm, Channel},
};

/// Goals looked at in one page.
const PAGE_GOALS: usize = 128;

/// What there is to be sent: templates, offers, journeys.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    catalog: Catalog,
    journeys: BTreeMap<Box<str>, Journey>,
}

impl Shared for Known {
    fn restored(&mut self) {
        self.catalog.restored();
    }
}

impl Known {
    fn collect<'a>(
        &self,
        found: &mut BTreeMap<Box<str>, Box<str>>,
        sends: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        for (template, offer) in sends {
            if let Some(hash) = self.catalog.template_fingerprint(template) {
                found.insert(Plan::template_key(template), hash.into());
            }
            if let Some((offer, hash)) = offer.and_then(|offer| Some((offer, self.catalog.offer_fingerprint(offer)?))) {
                found.insert(Plan::offer_key(offer), hash.into());
            }
        }
    }
}

impl Catalogue for Catalog {
    fn template(&self, name: &str, channel: Channel) -> Option<bool> {
        let (id, variant) = split_level(name);
        let template = &self.template(id)?.template;
        let is_there = variant.is_none_or(|variant| template.variants.contains_key(variant));
        is_there.then(|| template.channels().contains(&channel))
    }

    fn offer(&self, name: &str) -> Option<Option<i64>> {
        self.offer(name).map(|known| known.offer.discount_max_micros())
    }
}

impl Catalogue for Known {
    fn template(&self, name: &str, channel: Channel) -> Option<bool> {
        Catalogue::template(&self.catalog, name, channel)
    }

    fn offer(&self, name: &str) -> Option<Option<i64>> {
        Catalogue::offer(&self.catalog, name)
    }
}

impl Known {
    /// What a plan of these arms and this journey would send, as it stands: [`Plan::content`].
    pub fn content<'a>(&self, arms: impl Iterator<Item = &'a Arm>, journey: Option<&str>) -> Vec<(Box<str>, Box<str>)> {
        let mut found = BTreeMap::new();
        self.collect(&mut found, arms.map(|arm| (&*arm.template, arm.offer.as_deref())));
        if let Some((id, journey)) = journey.and_then(|id| self.journeys.get_key_value(id)) {
            found.insert(format!("journey:{id}").into(), fingerprint(journey));
            self.collect(&mut found, journey.sends());
        }
        found.into_iter().collect()
    }

    /// Whether all that a plan would send is as it was when the plan was made.
    pub(super) fn stands(&self, plan: &Plan) -> bool {
        self.content(plan.standing_arms().map(|(_, arm)| arm), plan.journey.as_deref()) == plan.content
    }
}

/// Numbers the arms of `plan` as `old`, which it takes the place of, numbered them: what was measured and learned of
/// an arm stays its own, and a late reward finds it. False where there is no room for that: then what is measured
/// begins anew.
pub(super) fn renumber(plan: &mut Plan, old: &Plan) -> bool {
    let added = plan.arms.iter().filter(|arm| !old.arms.contains(arm));
    let arms: Vec<Arm> = old.arms.iter().chain(added).cloned().collect();
    if arms.len() > limits::ARMS_MAX || levels(&arms) > limits::LEVELS_ALL_MAX {
        return false;
    }
    let gone = (1_u16..).zip(&arms).filter(|(_, arm)| !plan.arms.contains(arm));
    plan.retired = gone.map(|(number, _)| number).collect();
    plan.arms = arms;
    true
}

/// Different templates, offers, channels and hours together.
fn levels(arms: &[Arm]) -> usize {
    let (mut templates, mut offers, mut channels, mut hours) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for arm in arms {
        templates.insert(&arm.template);
        offers.insert(&arm.offer);
        channels.insert(arm.channel);
        hours.insert(arm.hour);
    }
    templates.len() + offers.len() + channels.len() + hours.len()
}

/// Whatever was defined or removed: every goal is looked at anew by the worker that has it.
fn review(step: &mut Step<'_>) {
    let (worker, _) = step.worker();
    step.publish_to(step.worker_partition(), ContentReviewed { worker: worker as u16, after: None });
}

macro_rules! keeps {
    ($($topic:ty: |$known:ident, $event:ident| $fold:expr;)*) => {
        $(impl OnShared<$topic> for Goals {
            type Shared = Known;

            fn on_shared(
                &self,
                $known: &mut Known,
                $event: &Event<'_, $topic>,
                step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                // What can't stand is told by those whose business it is; here it is none.
                let _ = $fold;
                review(step);
                Ok(())
            }
        })*
    };
}

keeps! {
    TemplateDefined: |known, event| known.catalog.define_template(event.body, event.seq, event.at_ms);
    TemplateRemoved: |known, event| known.catalog.remove_template(event.body, event.seq, event.at_ms);
    OfferDefined: |known, event| known.catalog.define_offer(event.body, event.seq, event.at_ms);
    OfferRemoved: |known, event| known.catalog.remove_offer(event.body, event.seq, event.at_ms);
    JourneyDefined: |known, event| known.journeys.insert(event.id.clone(), event.journey.clone());
    JourneyRemoved: |known, event| known.journeys.remove(&event.id);
}

impl OnMany<ContentReviewed> for Goals {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ContentReviewed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let page = keys.after(event.after.as_ref(), PAGE_GOALS)?;
        for id in &page {
            if keys.get(id)?.is_some_and(|state| state.goal.as_ref().is_some_and(super::Goal::acts)) {
                keys.change(id, |state| state.review(id, step))?;
            }
        }
        if page.len() == PAGE_GOALS {
            let next = ContentReviewed { after: page.last().cloned(), ..*event.body };
            step.publish_to(step.worker_partition(), next);
        }
        Ok(())
    }
}
