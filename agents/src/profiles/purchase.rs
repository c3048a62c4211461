//! Folding views, carts, orders and subscriptions into a person's [`Shop`].

use serde_json::value::RawValue;

use super::{
    changes::Changes,
    days::{Days, day_of},
    json::{self, cut},
    money::{self, Currency, Micros},
    names::Running,
    newest::{SOURCE_MAX, Stamp, Write},
    oddity::{Bound, Bounds, Oddities, Oddity},
    shop::{ProductTouch, Shop},
};
use crate::vocabulary::{Feature, RhythmDelta};

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
