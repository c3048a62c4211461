//! What a person looks at, puts in the cart, orders and subscribes to.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    days::{Days, Sums, day_of},
    json,
    money::{self, Currency, Micros},
    names::Running,
    newest::{LastWrites, Newest, Stamp, Write},
    oddity::{Bound, Bounds, Oddities, Oddity},
    profile::Changes,
};
use crate::vocabulary::{Feature, Millis, RhythmDelta};

/// Days with an order kept, the newest.
pub(super) const ORDER_DAYS_MAX: usize = 4096;
/// Views and purchases kept, the newest of each.
pub(super) const PRODUCTS_MAX: usize = 100;
/// Changes of the cart kept since the last order, the newest.
pub(super) const CART_MAX: usize = 100;
/// Subscriptions kept, those last heard of.
pub(super) const SUBSCRIPTIONS_MAX: usize = 50;
const QUANTITY_MAX: u32 = 10_000;
const ID_MAX: usize = 255;
/// Products of one order looked at.
const LINES_MAX: usize = 500;

/// A product viewed, bought, added or removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProductTouch {
    #[serde(rename = "t")]
    pub(super) stamp: Stamp,
    /// The product's id.
    #[serde(rename = "p")]
    pub product: Box<str>,
    /// How many; negative where they were taken out of the cart.
    #[serde(rename = "q", default = "one", skip_serializing_if = "is_one")]
    pub quantity: i32,
}

impl ProductTouch {
    /// Event time.
    pub fn at_ms(&self) -> Millis {
        self.stamp.0
    }
}

fn one() -> i32 {
    1
}

fn is_one(quantity: &i32) -> bool {
    *quantity == 1
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Everything commercial of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shop {
    /// Orders completed.
    #[serde(rename = "o", skip_serializing_if = "is_zero")]
    pub orders: u32,
    /// When the first order was made.
    #[serde(rename = "of", skip_serializing_if = "Option::is_none")]
    pub first_order_at: Option<Millis>,
    /// When the last order was made.
    #[serde(rename = "ol", skip_serializing_if = "Option::is_none")]
    pub last_order_at: Option<Millis>,
    /// Different UTC days with an order, since 1970-01-01, the newest.
    #[serde(rename = "od", skip_serializing_if = "Newest::is_empty")]
    pub order_days: Newest<i32, ORDER_DAYS_MAX>,
    /// Value of orders less refunds, by currency.
    #[serde(rename = "v", skip_serializing_if = "Sums::is_empty")]
    pub value: Sums,
    /// Orders refunded.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub refunds: u32,
    /// Orders cancelled.
    #[serde(rename = "x", skip_serializing_if = "is_zero")]
    pub cancellations: u32,
    /// Checkouts started.
    #[serde(rename = "k", skip_serializing_if = "is_zero")]
    pub checkouts: u32,
    /// Products viewed.
    #[serde(rename = "w", skip_serializing_if = "is_zero")]
    pub product_views: u32,
    /// When a product was last viewed.
    #[serde(rename = "wl", skip_serializing_if = "Option::is_none")]
    pub last_product_view_at: Option<Millis>,
    /// Products added to the cart.
    #[serde(rename = "a", skip_serializing_if = "is_zero")]
    pub cart_adds: u32,
    /// The newest product views.
    #[serde(rename = "pv", skip_serializing_if = "Newest::is_empty")]
    pub viewed: Newest<ProductTouch, PRODUCTS_MAX>,
    /// The newest products bought.
    #[serde(rename = "pb", skip_serializing_if = "Newest::is_empty")]
    pub bought: Newest<ProductTouch, PRODUCTS_MAX>,
    /// Changes of the cart since the last order.
    #[serde(rename = "c", skip_serializing_if = "Newest::is_empty")]
    pub(super) cart: Newest<ProductTouch, CART_MAX>,
    /// Subscriptions and trials by name; the value is `active`, `paused` or `ended`.
    #[serde(rename = "s", skip_serializing_if = "LastWrites::is_empty")]
    pub(super) subscriptions: LastWrites<SUBSCRIPTIONS_MAX>,
}

/// What an event's handling in the shop may touch beside the shop itself.
pub(super) struct Around<'a> {
    pub(super) stamp: Stamp,
    pub(super) source: &'a str,
    pub(super) days: &'a mut Days,
    pub(super) oddities: &'a mut Oddities,
    pub(super) bounds: &'a mut Bounds,
    pub(super) changes: &'a mut Changes,
}

fn count(number: &mut u32) -> i64 {
    *number = number.saturating_add(1);
    (*number).into()
}

impl Shop {
    pub(super) fn view_product(&mut self, properties: &str, around: &mut Around<'_>) {
        let at_ms = around.stamp.0;
        around.changes.feature(Feature::PRODUCT_VIEWS, count(&mut self.product_views));
        if self.last_product_view_at.is_none_or(|last| last < at_ms) {
            self.last_product_view_at = Some(at_ms);
            around.changes.feature(Feature::LAST_PRODUCT_VIEW_AT, at_ms);
        }
        if let Some((product, _)) = product_of(properties, around.oddities) {
            let touch = ProductTouch { stamp: around.stamp, product, quantity: 1 };
            around.bounds.note(Bound::ProductViews, self.viewed.add(touch));
        }
    }

    pub(super) fn change_cart(&mut self, properties: &str, added: bool, around: &mut Around<'_>) {
        if added {
            around.changes.feature(Feature::CART_ADDS, count(&mut self.cart_adds));
        }
        let Some((product, quantity)) = product_of(properties, around.oddities) else { return };
        if self.last_order_at.is_some_and(|last| around.stamp.0 <= last) {
            return;
        }
        let before = self.cart_items();
        let touch = ProductTouch { stamp: around.stamp, product, quantity: if added { quantity } else { -quantity } };
        around.bounds.note(Bound::Cart, self.cart.add(touch));
        self.tell_cart(before, around.changes);
    }

    pub(super) fn start_checkout(&mut self, changes: &mut Changes) {
        changes.feature(Feature::CHECKOUTS, count(&mut self.checkouts));
    }

    pub(super) fn cancel_order(&mut self) {
        self.cancellations = self.cancellations.saturating_add(1);
    }

    pub(super) fn complete_order(&mut self, properties: &str, around: &mut Around<'_>) {
        let at_ms = around.stamp.0;
        let day = day_of(at_ms);
        let gaps_before = self.gaps();
        around.changes.feature(Feature::ORDERS, count(&mut self.orders));
        if self.first_order_at.is_none_or(|first| at_ms < first) {
            self.first_order_at = Some(at_ms);
            around.changes.feature(Feature::FIRST_ORDER_AT, at_ms);
        }
        if self.last_order_at.is_none_or(|last| at_ms > last) {
            self.last_order_at = Some(at_ms);
            around.changes.feature(Feature::LAST_ORDER_AT, at_ms);
            let before = self.cart_items();
            self.cart.retain(|touch| touch.stamp.0 > at_ms);
            self.tell_cart(before, around.changes);
        }
        if self.add_order_day(day, around.bounds) {
            around.changes.feature(Feature::ORDER_DAYS, self.order_days.len() as i64);
        }
        let gaps = self.gaps();
        around.changes.rhythm = RhythmDelta {
            gaps: gaps.gaps - gaps_before.gaps,
            gaps_ms: gaps.gaps_ms.saturating_sub(gaps_before.gaps_ms),
        };
        if let Some(day) = around.days.at(day) {
            day.orders = day.orders.saturating_add(1);
        }
        let [revenue, total, value, currency, products] =
            json::pick(properties, &["revenue", "total", "value", "currency", "products"]).values;
        self.add_value(revenue.or(total).or(value), currency, false, around);
        if let Some(products) = products {
            self.buy(products, around);
        }
    }

    pub(super) fn refund_order(&mut self, properties: &str, around: &mut Around<'_>) {
        around.changes.feature(Feature::REFUNDS, count(&mut self.refunds));
        let [revenue, total, value, currency] =
            json::pick(properties, &["revenue", "total", "value", "currency"]).values;
        self.add_value(revenue.or(total).or(value), currency, true, around);
    }

    /// Adds an order's value, or takes a refund's off. A refund may be given as a negative amount.
    fn add_value(
        &mut self,
        amount: Option<&RawValue>,
        currency: Option<&RawValue>,
        refund: bool,
        around: &mut Around<'_>,
    ) {
        let Some(amount) = amount else { return };
        let Some(amount) = money::amount(amount) else { return around.oddities.count(Oddity::Amount) };
        if amount < 0 && !refund {
            return around.oddities.count(Oddity::NegativeAmount);
        }
        let code = currency.map(|currency| json::text(currency).unwrap_or_default());
        let currency = code.map_or(Some(Currency::DEFAULT), |code| Currency::from_code(&code));
        let Some(currency) = currency else { return around.oddities.count(Oddity::Currency) };
        let amount = Micros(i128::from(if refund { -amount.abs() } else { amount }));
        if amount.0 == 0 {
            return;
        }
        around.bounds.note(Bound::Currencies, self.value.add(currency, amount));
        if let Some(sum) = self.value.get(currency) {
            around.changes.feature(Feature::value(currency.0), sum.number());
        }
        if let Some(day) = around.days.at(day_of(around.stamp.0)) {
            day.value.add(currency, amount);
        }
    }

    fn buy(&mut self, products: &RawValue, around: &mut Around<'_>) {
        let Some(lines) = json::elements(products) else { return around.oddities.count(Oddity::WrongType) };
        for line in lines.into_iter().take(LINES_MAX) {
            if let Some((product, quantity)) = product_of(line.get(), around.oddities) {
                let touch = ProductTouch { stamp: around.stamp, product, quantity };
                around.bounds.note(Bound::ProductsBought, self.bought.add(touch));
            }
        }
    }

    fn add_order_day(&mut self, day: i32, bounds: &mut Bounds) -> bool {
        if self.order_days.contains(&day) {
            return false;
        }
        bounds.note(Bound::OrderDays, self.order_days.add(day));
        true
    }

    /// The person's part in everybody's purchase rhythm.
    pub(super) fn gaps(&self) -> RhythmDelta {
        match (self.first_order_at, self.last_order_at) {
            (Some(first), Some(last)) => {
                RhythmDelta { gaps: (self.order_days.len() as i64 - 1).max(0), gaps_ms: last.saturating_sub(first) }
            }
            _ => RhythmDelta::default(),
        }
    }

    /// What is in the cart: products and how many, by first appearance. Taking out more than there is
    /// empties a product's place and no more.
    pub fn cart(&self) -> Vec<(&str, u32)> {
        let mut cart: Vec<(&str, i64)> = Vec::new();
        for touch in self.cart.iter() {
            let quantity = i64::from(touch.quantity);
            match cart.iter_mut().find(|(product, _)| *product == &*touch.product) {
                Some((_, held)) => *held = (*held + quantity).max(0),
                None => cart.push((&touch.product, quantity.max(0))),
            }
        }
        cart.retain(|(_, held)| *held > 0);
        cart.into_iter().map(|(product, held)| (product, u32::try_from(held).unwrap_or(u32::MAX))).collect()
    }

    fn cart_items(&self) -> i64 {
        if self.cart.is_empty() { 0 } else { self.cart().iter().map(|(_, held)| i64::from(*held)).sum() }
    }

    fn tell_cart(&self, before: i64, changes: &mut Changes) {
        let now = self.cart_items();
        if now != before {
            changes.feature(Feature::CART_ITEMS, now);
        }
    }

    pub(super) fn subscribe(&mut self, properties: &str, trial: bool, state: Running, around: &mut Around<'_>) {
        let [subscription, id, plan_id, plan] =
            json::pick(properties, &["subscription_id", "id", "plan_id", "plan"]).values;
        let named = subscription.or(id).or(plan_id).or(plan);
        let name = named.and_then(json::text_or_number).unwrap_or_default();
        if named.is_some() && (name.is_empty() || name.len() > ID_MAX) {
            return around.oddities.count(Oddity::Subscription);
        }
        let state = match state {
            Running::Active => "active",
            Running::Paused => "paused",
            Running::Ended => "ended",
        };
        let before = self.subscription_active();
        let kind = if trial { "trial" } else { "subscription" };
        self.subscriptions.set(Write {
            name: format!("{kind}:{name}").into(),
            value: state.into(),
            stamp: around.stamp,
            source: around.source.into(),
        });
        around.bounds.note(Bound::Subscriptions, self.subscriptions.take_surplus().is_none());
        let now = self.subscription_active();
        if now != before {
            around.changes.feature(Feature::SUBSCRIPTION_ACTIVE, now.into());
        }
    }

    /// Whether a subscription runs; a trial is none yet.
    pub fn subscription_active(&self) -> bool {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.any(|write| write.name.starts_with("subscription:") && write.value == "active")
    }

    pub(super) fn merge(&mut self, other: Self, bounds: &mut Bounds) {
        let sum = |own: &mut u32, other: u32| *own = own.saturating_add(other);
        sum(&mut self.orders, other.orders);
        sum(&mut self.refunds, other.refunds);
        sum(&mut self.cancellations, other.cancellations);
        sum(&mut self.checkouts, other.checkouts);
        sum(&mut self.product_views, other.product_views);
        sum(&mut self.cart_adds, other.cart_adds);
        self.first_order_at = match (self.first_order_at, other.first_order_at) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        self.last_order_at = self.last_order_at.max(other.last_order_at);
        self.last_product_view_at = self.last_product_view_at.max(other.last_product_view_at);
        for day in other.order_days.iter() {
            self.add_order_day(*day, bounds);
        }
        bounds.note(Bound::Currencies, self.value.merge(&other.value));
        bounds.note(Bound::ProductViews, self.viewed.merge(other.viewed));
        bounds.note(Bound::ProductsBought, self.bought.merge(other.bought));
        let last = self.last_order_at;
        self.cart.retain(|touch| last.is_none_or(|last| touch.stamp.0 > last));
        for touch in other.cart.iter().filter(|touch| last.is_none_or(|last| touch.stamp.0 > last)) {
            bounds.note(Bound::Cart, self.cart.add(touch.clone()));
        }
        for write in other.subscriptions.into_writes() {
            self.subscriptions.set(write);
            bounds.note(Bound::Subscriptions, self.subscriptions.take_surplus().is_none());
        }
    }

    pub(super) fn features(&self, tell: &mut dyn FnMut(Feature, i64)) {
        for (feature, number) in [
            (Feature::PRODUCT_VIEWS, self.product_views.into()),
            (Feature::CART_ADDS, self.cart_adds.into()),
            (Feature::CART_ITEMS, self.cart_items()),
            (Feature::CHECKOUTS, self.checkouts.into()),
            (Feature::ORDERS, self.orders.into()),
            (Feature::ORDER_DAYS, self.order_days.len() as i64),
            (Feature::REFUNDS, self.refunds.into()),
            (Feature::SUBSCRIPTION_ACTIVE, self.subscription_active().into()),
        ] {
            if number != 0 {
                tell(feature, number);
            }
        }
        self.last_product_view_at.into_iter().for_each(|at_ms| tell(Feature::LAST_PRODUCT_VIEW_AT, at_ms));
        self.first_order_at.into_iter().for_each(|at_ms| tell(Feature::FIRST_ORDER_AT, at_ms));
        self.last_order_at.into_iter().for_each(|at_ms| tell(Feature::LAST_ORDER_AT, at_ms));
        self.value.iter().for_each(|(currency, sum)| tell(Feature::value(currency.0), sum.number()));
    }
}

/// The product an object names, and how many of it.
fn product_of(object: &str, oddities: &mut Oddities) -> Option<(Box<str>, i32)> {
    let picked = json::pick(object, &["product_id", "sku", "id", "quantity"]);
    let [product_id, sku, id, quantity] = picked.values;
    let product = product_id.or(sku).or(id).and_then(json::text_or_number);
    let Some(product) = product.filter(|product| !product.is_empty() && product.len() <= ID_MAX) else {
        oddities.count(Oddity::NoProduct);
        return None;
    };
    Some((product.into(), quantity.map_or(1, |quantity| quantity_of(quantity, oddities))))
}

fn quantity_of(value: &RawValue, oddities: &mut Oddities) -> i32 {
    const UNIT: i64 = 1_000_000;
    let whole = money::amount(value).filter(|micros| micros % UNIT == 0).map(|micros| micros / UNIT);
    match whole
        .filter(|whole| (1..=i64::from(QUANTITY_MAX)).contains(whole))
        .and_then(|whole| i32::try_from(whole).ok())
    {
        Some(quantity) => quantity,
        None => {
            oddities.count(Oddity::Quantity);
            1
        }
    }
}
