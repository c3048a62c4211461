//! Folding views, carts, orders and subscriptions into a person's [`Shop`].

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    changes::Changes,
    days::{Days, day_of},
    json::{self, cut},
    money::{self, Currency, Micros},
    names::Running,
    newest::{SOURCE_MAX, Write},
    oddity::{Bound, Bounds, Oddities, Oddity},
    orders::{Placed, Told},
    shop::{ProductTouch, Shop},
};
use crate::vocabulary::{Feature, RhythmDelta, Stamp};

const QUANTITY_MAX: u32 = 10_000;
/// Longest id of a product or a subscription, in bytes.
const ID_MAX: usize = 128;
/// Products of one order looked at.
const LINES_MAX: usize = 500;

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
        let [revenue, total, value, currency, products, id] =
            json::pick(properties, &["revenue", "total", "value", "currency", "products", "order_id"]).values;
        let value = value_of(revenue.or(total).or(value), currency, false, around.oddities);
        let bought = products.map(|products| lines_of(products, around.oddities)).unwrap_or_default();
        match self.tell_placed(id_of(id), false, value, around) {
            Told::Stale => return,
            Told::First => around.changes.feature(Feature::ORDERS, count(&mut self.orders)),
            Told::Again(_) => {}
        }
        if let Some(day) = around.days.at(day) {
            day.orders = day.orders.saturating_add(1);
        }
        self.add_value(value, around);
        for (product, quantity) in bought {
            let touch = ProductTouch { stamp: around.stamp, product, quantity };
            around.bounds.note(Bound::ProductsBought, self.bought.add(touch));
        }
    }

    pub(super) fn refund_order(&mut self, properties: &str, around: &mut Around<'_>) {
        let [revenue, total, value, currency, refund_id, order_id] =
            json::pick(properties, &["revenue", "total", "value", "currency", "refund_id", "order_id"]).values;
        let value = value_of(revenue.or(total).or(value), currency, true, around.oddities);
        match self.tell_placed(id_of(refund_id).or_else(|| id_of(order_id)), true, value, around) {
            Told::Stale => return,
            Told::First => around.changes.feature(Feature::REFUNDS, count(&mut self.refunds)),
            Told::Again(_) => {}
        }
        self.add_value(value, around);
    }

    /// Takes in that an order or a refund is told; what an earlier telling had added is taken back.
    fn tell_placed(
        &mut self,
        id: Option<Cow<'_, str>>,
        refund: bool,
        value: Option<(Currency, Micros)>,
        around: &mut Around<'_>,
    ) -> Told {
        let Some(id) = id else { return Told::First };
        let told = self.placed.tell(Placed { id: id.into(), refund, stamp: around.stamp, value });
        if let Told::Again(void) = &told {
            self.take_back(void, around.days);
            if let Some((currency, _)) = void.value {
                let sum = self.value.get(currency).map_or(0, Micros::number);
                around.changes.feature(Feature::value(currency.0), sum);
            }
        }
        told
    }

    fn add_value(&mut self, value: Option<(Currency, Micros)>, around: &mut Around<'_>) {
        let Some((currency, amount)) = value else { return };
        around.bounds.note(Bound::Currencies, self.value.add(currency, amount));
        let sum = self.value.get(currency).map_or(0, Micros::number);
        around.changes.feature(Feature::value(currency.0), sum);
        if let Some(day) = around.days.at(day_of(around.stamp.0)) {
            day.value.add(currency, amount);
        }
    }

    pub(super) fn add_order_day(&mut self, day: i32, bounds: &mut Bounds) -> bool {
        if self.order_days.contains(&day) {
            return false;
        }
        bounds.note(Bound::OrderDays, self.order_days.add(day));
        true
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
            source: cut(around.source, SOURCE_MAX).into(),
        });
        around.bounds.note(Bound::Subscriptions, self.subscriptions.take_surplus().is_none());
        let now = self.subscription_active();
        if now != before {
            around.changes.feature(Feature::SUBSCRIPTION_ACTIVE, now.into());
        }
    }
}

/// What an order adds to a person's value, or a refund takes off it; none for nought. A refund may be given
/// as a negative amount.
fn value_of(
    amount: Option<&RawValue>,
    currency: Option<&RawValue>,
    refund: bool,
    oddities: &mut Oddities,
) -> Option<(Currency, Micros)> {
    let Some(amount) = money::amount(amount?) else {
        oddities.count(Oddity::Amount);
        return None;
    };
    if amount < 0 && !refund {
        oddities.count(Oddity::NegativeAmount);
        return None;
    }
    let code = currency.map(|currency| json::text(currency).unwrap_or_default());
    let Some(currency) = code.map_or(Some(Currency::DEFAULT), |code| Currency::from_code(&code)) else {
        oddities.count(Oddity::Currency);
        return None;
    };
    let amount = Micros(i128::from(if refund { -amount.abs() } else { amount }));
    (amount.0 != 0).then_some((currency, amount))
}

/// The products of an order, and how many of each.
fn lines_of(products: &RawValue, oddities: &mut Oddities) -> Vec<(Box<str>, i32)> {
    let Some(lines) = json::elements(products) else {
        oddities.count(Oddity::WrongType);
        return Vec::new();
    };
    lines.into_iter().take(LINES_MAX).filter_map(|line| product_of(line.get(), oddities)).collect()
}

/// The id of an order or a refund, where it has a usable one.
fn id_of(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    value.and_then(json::text_or_number).filter(|id| !id.is_empty() && id.len() <= ID_MAX)
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
