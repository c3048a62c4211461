//! The situation agent: significant changes as they happen.
//!
//! Of a person: purchase intent ([`intent`]), a cart left behind. Of a channel: a surge of bounces or
//! complaints. How many views within how long are intent is learned from who then ordered ([`IntentLearner`]).
//! Everything goes by event time, in whatever order events come: an event that comes late or twice never makes
//! a situation twice, and one before an order makes none.
//!
//! [`intent`]: self

mod channel;
mod intent;
mod kinds;
mod learn;
mod person;
mod settings;
mod topics;

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Step, store::Seq};
use serde_json::{Map, Value, value::RawValue};

pub use channel::{ChannelCount, ChannelState, ChannelWatch};
pub use kinds::check_kind;
pub use learn::{Evidence, IntentLearner};
pub use person::{Kind, Situation, Watched};
pub use settings::{CANDIDATES, Settings, Surge, VIEWS_MAX, Views, WINDOW_MAX_MS, Watching, check_settings};
pub use topics::{IntentLearned, IntentObserved, SituationsSet};

use self::{
    intent::{View, number_of},
    person::{Cart, Episode, Found, HORIZON_MS, ORDERED, over_at},
    topics::SituationDue,
};
use crate::{
    parting,
    profiles::json,
    vocabulary::{
        Feature, Millis, ProfileChanged, ProfileId, ProfileMerged, ProfileParted, SituationDetected, SituationOf,
        SituationResolved, Stamp, Tracked,
    },
};

/// Longest id, name or category that a situation tells of, in bytes.
const TEXT_MAX: usize = 256;

/// The agent that watches people.
pub struct Situations;

impl Agent for Situations {
    const NAME: &'static str = "situations";
    type Key = ProfileId;
    type State = Watched;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_some(|changed: &ProfileChanged| {
            let matters = |(feature, _): &(Feature, i64)| {
                matches!(
                    *feature,
                    Feature::PRODUCT_VIEWS | Feature::CART_ADDS | Feature::CART_ITEMS | Feature::LAST_ORDER_AT
                )
            };
            changed.features.iter().any(matters).then_some(changed.profile)
        });
        routes.on(|due: &SituationDue| due.profile);
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<SituationsSet>();
        routes.on_shared::<IntentLearned>();
    }

    fn merge_into(
        &self,
        profile: &ProfileId,
        winner: &mut Watched,
        loser: Watched,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        winner.merge(loser);
        winner.wake_ms = None;
        look_again(*profile, winner, step)
    }
}

impl On<ProfileChanged> for Situations {
    fn on(
        &self,
        watched: &mut Watched,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let feature = |wanted| event.features.iter().find(|(known, _)| *known == wanted).map(|(_, value)| *value);
        let viewed = feature(Feature::PRODUCT_VIEWS).is_some();
        let (ordered, items) = (feature(Feature::LAST_ORDER_AT), feature(Feature::CART_ITEMS));
        if let Some(at_ms) = ordered {
            order(watched, at_ms, step);
        }
        let looks = event.event != 0
            && ordered.is_none()
            && (viewed || feature(Feature::CART_ADDS).is_some() || items.is_some());
        let tracked = if looks { step.entry_if_kept::<Tracked>(event.event)? } else { None };
        let tracked = tracked.as_ref().map(|held| held.body()).transpose()?;
        match (tracked, items) {
            (Some(tracked), _) if viewed => view(event.profile, watched, tracked, event.event, step)?,
            (Some(tracked), Some(items)) => change_cart(watched, items, tracked, event.event),
            (_, Some(items)) if items <= 0 => watched.cart = None,
            _ => {}
        }
        look_again(event.profile, watched, step)
    }
}

impl On<SituationDue> for Situations {
    fn on(
        &self,
        watched: &mut Watched,
        event: &Event<'_, SituationDue>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        watched.wake_ms = None;
        look_again(event.profile, watched, step)
    }
}

impl OnMany<ProfileMerged> for Situations {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::merged(keys, event, step)
    }
}

impl OnMany<ProfileParted> for Situations {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::parted(keys, event)
    }
}

impl OnShared<SituationsSet> for Situations {
    type Shared = Watching;

    fn on_shared(
        &self,
        watching: &mut Watching,
        event: &Event<'_, SituationsSet>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        check_settings(&event.settings).map_err(AgentError::Reject)?;
        watching.settings = event.settings.clone();
        Ok(())
    }
}

impl OnShared<IntentLearned> for Situations {
    type Shared = Watching;

    fn on_shared(
        &self,
        watching: &mut Watching,
        event: &Event<'_, IntentLearned>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        watching.learned = Some(event.candidate);
        watching.because = event.because.clone();
        Ok(())
    }
}

/// An order ends what came before it.
fn order(watched: &mut Watched, at_ms: Millis, step: &mut Step<'_>) {
    watched.ordered(at_ms);
    if let Some(episode) = watched.episode.filter(|episode| episode.began_ms <= at_ms) {
        watched.episode = None;
        let ordered = at_ms - episode.began_ms < HORIZON_MS;
        step.publish(IntentObserved { met: episode.met, ordered });
    }
}

fn view(
    profile: ProfileId,
    watched: &mut Watched,
    tracked: &Tracked,
    event: Seq,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let watching = step.shared::<Watching>()?;
    let now_ms = step.now_ms();
    let picked = json::pick(tracked.properties.as_str(), &["product_id", "sku", "id", "category"]);
    let [product_id, sku, id, category] = picked.values;
    let number = |value: Option<&RawValue>| {
        let text = value.and_then(json::text_or_number).filter(|text| !text.is_empty() && text.len() <= TEXT_MAX);
        text.map(|text| number_of(&text))
    };
    let Some(product) = number(product_id.or(sku).or(id)) else { return Ok(()) };
    let view = View { stamp: Stamp::of(tracked), product, category: number(category).unwrap_or_default(), event };
    let remembered = now_ms.saturating_sub(watching.remembered_ms());
    if view.stamp.0 <= watched.last_order_ms.unwrap_or(Millis::MIN).max(remembered) {
        return Ok(());
    }
    watched.views.forget(remembered);
    if !watched.views.add(view) {
        return Ok(());
    }
    let met = watched.views.met(product);
    if met != 0 {
        let began_ms = view.stamp.0;
        watched.episode.get_or_insert(Episode { began_ms, met }).met |= met;
    }
    watched.prolong(&view);
    if let Some(found) = watched.intent(&view, watching, now_ms) {
        tell(profile, watched, &found, step)?;
    }
    Ok(())
}

fn change_cart(watched: &mut Watched, items: i64, tracked: &Tracked, event: Seq) {
    if items <= 0 {
        watched.cart = None;
        return;
    }
    let changed = Stamp::of(tracked);
    let before = watched.cart.filter(|cart| cart.changed > changed);
    // What comes late changes how much there is, not since when it lies.
    watched.cart = Some(before.map_or(Cart { items, changed, event }, |cart| Cart { items, ..cart }));
}

/// Tells a situation, with what it is about.
fn tell(profile: ProfileId, watched: &mut Watched, found: &Found, step: &mut Step<'_>) -> Result<(), AgentError> {
    let Some(id) = watched.stands(profile, found, step.now_ms()) else { return Ok(()) };
    let about = if found.event == 0 { None } else { step.entry_if_kept::<Tracked>(found.event)? };
    let mut context = match &about {
        Some(about) => context_of(about.body()?),
        None => Map::new(),
    };
    if let (Kind::CartLeft, Some(cart)) = (found.kind, watched.cart) {
        context.insert("items".into(), cart.items.into());
    }
    step.publish(SituationDetected {
        id,
        kind: found.kind.name().into(),
        of: SituationOf::Person(profile),
        since_ms: found.since_ms,
        context: Value::Object(context),
        because: found.because.clone(),
    });
    Ok(())
}

/// What an event tells of a product, for templates.
pub fn context_of(tracked: &Tracked) -> Map<String, Value> {
    const NAMES: [&str; 10] =
        ["product_id", "sku", "id", "name", "category", "brand", "price", "currency", "url", "image_url"];
    let picked = json::pick(tracked.properties.as_str(), &NAMES);
    let mut context = Map::new();
    for (name, value) in NAMES.into_iter().zip(picked.values) {
        let Some(value) = value.filter(|value| value.get().len() <= TEXT_MAX) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(value.get()) else { continue };
        if value.is_string() || value.is_number() {
            // A product's id comes under three names; templates know one.
            let name = if matches!(name, "sku" | "id") { "product_id" } else { name };
            context.entry(name).or_insert(value);
        }
    }
    context
}

/// Ends what is over, begins what time alone has made, and waits for what comes next.
fn look_again(profile: ProfileId, watched: &mut Watched, step: &mut Step<'_>) -> Result<(), AgentError> {
    let watching = step.shared::<Watching>()?;
    let now_ms = step.now_ms();
    let last_order_ms = watched.last_order_ms.unwrap_or(Millis::MIN);
    let empty = watched.cart.is_none();
    let go_on = watched.situations.iter().filter(|known| watched.goes_on(known, watching));
    let go_on: Vec<_> = go_on.map(|known| known.id.clone()).collect();
    let ended = watched.end(now_ms, |known| {
        if known.since_ms <= last_order_ms && !go_on.contains(&known.id) {
            Some(ORDERED)
        } else if known.kind == Kind::CartLeft && empty {
            Some("emptied")
        } else {
            (now_ms >= over_at(known, watching)).then_some("time")
        }
    });
    for (id, kind, why) in ended {
        let of = SituationOf::Person(profile);
        step.publish(SituationResolved { id, kind: kind.name().into(), of, because: why.into() });
    }
    if let Some(episode) = watched.episode.filter(|episode| now_ms >= episode.began_ms.saturating_add(HORIZON_MS)) {
        watched.episode = None;
        step.publish(IntentObserved { met: episode.met, ordered: false });
    }
    if watched.cart.is_some_and(|cart| cart.changed.0 <= last_order_ms) {
        watched.cart = None;
    }
    if let Some(found) = watched.cart_left(watching, now_ms) {
        tell(profile, watched, &found, step)?;
    }
    if let Some(next) = watched.next_ms(watching)
        && next > now_ms
        && watched.wake_ms.is_none_or(|wake| next < wake || wake <= now_ms)
    {
        watched.wake_ms = Some(next);
        step.schedule(next, &SituationDue { profile });
    }
    Ok(())
}
