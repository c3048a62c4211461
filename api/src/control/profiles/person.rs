//! What can be seen of one customer.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    profiles::{Consent, Micros, Profile, Rolling, Shop, Touch},
    vocabulary::{ProfileId, Unit},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ProfileIdText;

/// The windows sums are shown over.
const ROLLING_DAYS: [u16; 4] = [7, 30, 90, 365];

/// One customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonView {
    /// The profile's id.
    #[schema(value_type = String)]
    id: ProfileIdText,
    /// What they are known by.
    identifiers: Vec<IdentifierView>,
    /// What is said of them, by the last who said it.
    #[schema(value_type = Object)]
    traits: Map<String, Value>,
    /// What is kept count of: counts, instants (milliseconds since 1970 UTC), and money as decimals in
    /// the currency's unit, by feature.
    #[schema(value_type = Object)]
    features: Map<String, Value>,
    /// Who said each trait, and when.
    trait_writers: BTreeMap<String, Writer>,
    /// Groups they belong to, and what is said of those.
    groups: Vec<GroupView>,
    /// Sums over the last UTC days, today among them.
    rolling: Vec<RollingView>,
    /// Products among their newest views and purchases, the latest first.
    products: Vec<ProductView>,
    /// Their subscriptions and trials.
    subscriptions: Vec<SubscriptionView>,
    /// What they have agreed to and refused, the strictest of their identifiers deciding.
    consents: Vec<ConsentView>,
    /// The time zone they were last seen in.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// Events by hour of the week on their clock; Monday 00:00 is 0.
    hours_of_week: BTreeMap<u8, u32>,
    /// What is in their cart.
    cart: Vec<CartLine>,
    /// Where they first came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_touch: Option<TouchView>,
    /// Where they last came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_touch: Option<TouchView>,
    /// The segments they are in.
    segments: Vec<Membership>,
    /// What could not be used of their events as it was, and how often.
    passed_over: BTreeMap<String, u32>,
    /// Collections that were full, the oldest of which had to go.
    full: Vec<String>,
}

/// An identifier of a customer.
#[derive(Serialize, ToSchema)]
struct IdentifierView {
    /// `user_id`, `anonymous_id`, `email`, `phone`, `device_token` or `external:SYSTEM`.
    kind: String,
    /// Its text, normalised.
    value: String,
    /// Time of the first event that named it, milliseconds since 1970 UTC.
    first_at_ms: i64,
    /// Whether it belongs to another customer who had it first, or glues nobody because too many use it.
    disputed: bool,
}

/// How a customer stands to messages of a channel, a topic or a category.
#[derive(Serialize, ToSchema)]
struct ConsentView {
    /// `email`, `sms`, `push`; `topic:..`; `category:..` (of Segment's consent management).
    of: String,
    /// Whether they agree; a refusal of any of their identifiers counts.
    granted: bool,
    /// When that was said, milliseconds since 1970 UTC.
    at_ms: i64,
    /// The source of the event that said it.
    source: String,
}

/// Who said a trait.
#[derive(Serialize, ToSchema)]
struct Writer {
    /// The source of the event.
    source: String,
    /// Event time, milliseconds since 1970 UTC.
    at_ms: i64,
}

/// A group a customer belongs to.
#[derive(Serialize, ToSchema)]
struct GroupView {
    /// Its id.
    id: String,
    /// Time of the last event that named it, milliseconds since 1970 UTC.
    at_ms: i64,
    /// What is said of it.
    #[schema(value_type = Object)]
    traits: Map<String, Value>,
}

/// Sums over the last days.
#[derive(Serialize, ToSchema)]
struct RollingView {
    /// How many UTC days, today among them.
    days: u16,
    /// Events of any sort.
    events: u64,
    /// Orders.
    orders: u64,
    /// Value of orders less refunds, as decimals, by currency.
    value: BTreeMap<String, String>,
}

/// A product a customer viewed or bought.
#[derive(Serialize, ToSchema)]
struct ProductView {
    /// The product's id.
    product: String,
    /// How often they viewed it.
    views: u32,
    /// When they last did, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_viewed_at_ms: Option<i64>,
    /// How many they bought.
    bought: u32,
    /// When they last did, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_bought_at_ms: Option<i64>,
}

/// A subscription or a trial.
#[derive(Serialize, ToSchema)]
struct SubscriptionView {
    /// Its id, or its plan's; empty where it came with neither.
    id: String,
    /// Whether it is a trial.
    trial: bool,
    /// `active`, `paused` or `ended`.
    state: String,
    /// Since when, milliseconds since 1970 UTC.
    at_ms: i64,
}

/// A product in a cart.
#[derive(Serialize, ToSchema)]
struct CartLine {
    /// The product's id.
    product: String,
    /// How many.
    quantity: u32,
}

/// One arrival.
#[derive(Serialize, ToSchema)]
struct TouchView {
    /// When, milliseconds since 1970 UTC.
    at_ms: i64,
    /// The page's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The address of the page before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<String>,
    /// `utm_campaign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<String>,
    /// `utm_source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// `utm_medium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    medium: Option<String>,
}

/// A segment a customer is in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Membership {
    /// The segment's id.
    pub(crate) segment: String,
    /// Since when, milliseconds since 1970 UTC.
    pub(crate) since_ms: i64,
}

pub(crate) fn view(
    id: ProfileId,
    profile: &Profile,
    segments: Vec<Membership>,
    disputed: &BTreeSet<ProfileId>,
    now_ms: i64,
) -> PersonView {
    let identifiers = profile.identifiers.iter().map(|known| IdentifierView {
        kind: known.kind.name(),
        value: known.value.to_string(),
        first_at_ms: known.first_at_ms(),
        disputed: known.node().is_some_and(|node| disputed.contains(&node)),
    });
    let traits = profile.traits.iter().filter(|write| !write.value.is_null());
    let writers = traits
        .clone()
        .map(|write| (write.name.to_string(), Writer { source: write.source.to_string(), at_ms: write.at_ms() }));
    let shop = profile.shop.as_deref();
    let cart = profile.shop.as_ref().map(|shop| shop.cart()).unwrap_or_default();
    let touches = profile.touches.as_ref();
    PersonView {
        id: ProfileIdText(id),
        identifiers: identifiers.collect(),
        traits: traits.map(|write| (write.name.to_string(), write.value.clone())).collect(),
        features: features(profile),
        trait_writers: writers.collect(),
        groups: groups(profile),
        rolling: ROLLING_DAYS.map(|days| rolling(days, &profile.days.rolling(days, now_ms))).into(),
        products: shop.map(products).unwrap_or_default(),
        subscriptions: shop.map(subscriptions).unwrap_or_default(),
        consents: profile.consents.iter().map(consent).collect(),
        time_zone: profile.hours.zone().map(str::to_owned),
        hours_of_week: profile.hours.by_hour(now_ms).iter().copied().collect(),
        cart: cart.into_iter().map(|(product, quantity)| CartLine { product: product.into(), quantity }).collect(),
        first_touch: touches.and_then(|touches| touches.first.as_ref()).map(touch),
        last_touch: touches.and_then(|touches| touches.last.as_ref()).map(touch),
        segments,
        passed_over: profile.oddities.iter().map(|(oddity, times)| (name(oddity), *times)).collect(),
        full: profile.bounds.reached().map(|bound| name(&bound)).collect(),
    }
}

fn consent(consent: Consent<'_>) -> ConsentView {
    let Consent { of, granted, at_ms, source } = consent;
    ConsentView { of: of.to_owned(), granted, at_ms, source: source.to_owned() }
}

fn features(profile: &Profile) -> Map<String, Value> {
    let features = profile.features().into_iter().map(|(feature, number)| {
        let value = match feature.unit() {
            Unit::Money => Value::String(Micros(number.into()).to_string()),
            Unit::Count | Unit::Instant => Value::from(number),
        };
        (feature.to_string(), value)
    });
    features.collect()
}

fn groups(profile: &Profile) -> Vec<GroupView> {
    let groups = profile.groups().into_iter().map(|group| GroupView {
        id: group.id.to_owned(),
        at_ms: group.at_ms,
        traits: group.traits.into_iter().map(|(name, write)| (name.to_owned(), write.value.clone())).collect(),
    });
    groups.collect()
}

fn rolling(days: u16, rolling: &Rolling) -> RollingView {
    let value = rolling.value.iter().map(|(currency, sum)| (currency.to_string(), sum.to_string()));
    RollingView { days, events: rolling.events, orders: rolling.orders, value: value.collect() }
}

fn products(shop: &Shop) -> Vec<ProductView> {
    let products = shop.products().into_iter().map(|product| ProductView {
        product: product.id.to_owned(),
        views: product.views,
        last_viewed_at_ms: product.last_viewed_at,
        bought: product.bought,
        last_bought_at_ms: product.last_bought_at,
    });
    products.collect()
}

fn subscriptions(shop: &Shop) -> Vec<SubscriptionView> {
    let subscriptions = shop.subscriptions().map(|known| SubscriptionView {
        id: known.id.to_owned(),
        trial: known.trial,
        state: known.state.to_owned(),
        at_ms: known.at_ms,
    });
    subscriptions.collect()
}

fn touch(touch: &Touch) -> TouchView {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    TouchView {
        at_ms: touch.at_ms(),
        url: text(&touch.url),
        referrer: text(&touch.referrer),
        campaign: text(&touch.campaign),
        source: text(&touch.source),
        medium: text(&touch.medium),
    }
}

/// The stable name of something that serialises as one.
fn name(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
