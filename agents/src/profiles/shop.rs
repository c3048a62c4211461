//! What a person looks at, puts in the cart, orders and subscribes to.

use serde::{Deserialize, Serialize};

use super::{
    days::{CURRENCIES_MAX, Days, Sums, day_of},
    money::Micros,
    newest::{LastWrites, Newest},
    oddity::{Bound, Bounds},
    orders::{Placed, PlacedOrders},
};
use crate::{
    packing::{Packed, put_number, put_text, take_number, take_text},
    vocabulary::{Feature, Millis, RhythmDelta, Stamp},
};

/// Days with an order kept, the newest.
pub(super) const ORDER_DAYS_MAX: usize = 4096;
/// Views and purchases kept, the newest of each.
pub(super) const PRODUCTS_MAX: usize = 100;
/// Changes of the cart kept since the last order, the newest.
pub(super) const CART_MAX: usize = 100;
/// Subscriptions kept, those last heard of.
pub(super) const SUBSCRIPTIONS_MAX: usize = 50;

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

impl Packed for ProductTouch {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        self.stamp.put(before.map(|before| &before.stamp), out);
        put_number(out, self.quantity.into());
        put_text(out, &self.product);
    }

    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self> {
        let stamp = Stamp::take(before.map(|before| &before.stamp), bytes)?;
        let quantity = i32::try_from(take_number(bytes)?).ok()?;
        Some(Self { stamp, quantity, product: take_text(bytes)?.into() })
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
    pub value: Sums<CURRENCIES_MAX>,
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
    #[serde(rename = "pv", skip_serializing_if = "Newest::is_empty", with = "crate::packing")]
    pub viewed: Newest<ProductTouch, PRODUCTS_MAX>,
    /// The newest products bought.
    #[serde(rename = "pb", skip_serializing_if = "Newest::is_empty", with = "crate::packing")]
    pub bought: Newest<ProductTouch, PRODUCTS_MAX>,
    /// Changes of the cart since the last order.
    #[serde(rename = "c", skip_serializing_if = "Newest::is_empty", with = "crate::packing")]
    pub(super) cart: Newest<ProductTouch, CART_MAX>,
    /// Subscriptions and trials by name; the value is `active`, `paused` or `ended`.
    #[serde(rename = "s", skip_serializing_if = "LastWrites::is_empty")]
    pub(super) subscriptions: LastWrites<SUBSCRIPTIONS_MAX>,
    /// The newest orders and refunds that came with an id.
    #[serde(rename = "i", skip_serializing_if = "PlacedOrders::is_empty")]
    pub(super) placed: PlacedOrders,
}

/// A product among the newest views and purchases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Product<'a> {
    /// Its id.
    pub id: &'a str,
    /// How often it was viewed.
    pub views: u32,
    /// When it was last viewed.
    pub last_viewed_at: Option<Millis>,
    /// How many were bought.
    pub bought: u32,
    /// When it was last bought.
    pub last_bought_at: Option<Millis>,
}

/// A subscription or a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Its id, or its plan's; empty where it came with neither.
    pub id: &'a str,
    /// Whether it is a trial.
    pub trial: bool,
    /// `active`, `paused` or `ended`.
    pub state: &'a str,
    /// Since when.
    pub at_ms: Millis,
}

impl Shop {
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

    pub(super) fn cart_items(&self) -> i64 {
        if self.cart.is_empty() { 0 } else { self.cart().iter().map(|(_, held)| i64::from(*held)).sum() }
    }

    /// Subscriptions and trials, by name.
    pub fn subscriptions(&self) -> impl Iterator<Item = Subscription<'_>> {
        self.subscriptions.iter().filter_map(|write| {
            let (kind, id) = write.name.split_once(':')?;
            Some(Subscription { id, trial: kind == "trial", state: write.value.as_str()?, at_ms: write.stamp.0 })
        })
    }

    /// Products among the newest views and purchases, the one last seen to first.
    pub fn products(&self) -> Vec<Product<'_>> {
        let mut products: Vec<Product<'_>> = Vec::new();
        let viewed = self.viewed.iter().map(|touch| (touch, true));
        for (touch, viewed) in viewed.chain(self.bought.iter().map(|touch| (touch, false))) {
            let place = products.iter().position(|known| known.id == &*touch.product).unwrap_or(products.len());
            if place == products.len() {
                products.push(Product { id: &touch.product, ..Product::default() });
            }
            let Some(product) = products.get_mut(place) else { continue };
            if viewed {
                product.views += 1;
                product.last_viewed_at = product.last_viewed_at.max(Some(touch.at_ms()));
            } else {
                product.bought = product.bought.saturating_add(touch.quantity.unsigned_abs());
                product.last_bought_at = product.last_bought_at.max(Some(touch.at_ms()));
            }
        }
        products.sort_by_key(|product| std::cmp::Reverse(product.last_viewed_at.max(product.last_bought_at)));
        products
    }

    /// Whether a subscription runs; a trial is none yet.
    pub fn subscription_active(&self) -> bool {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.any(|write| write.name.starts_with("subscription:") && write.value == "active")
    }

    /// Takes in another person's; `days` are those of both already.
    pub(super) fn merge(&mut self, other: Self, days: &mut Days, bounds: &mut Bounds) {
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
        for void in self.placed.merge(other.placed) {
            self.take_back(&void, days);
            let count = if void.refund { &mut self.refunds } else { &mut self.orders };
            *count = count.saturating_sub(1);
        }
    }

    /// Takes back what an order, or a refund, had added: it was told again.
    pub(super) fn take_back(&mut self, void: &Placed, days: &mut Days) {
        let day = day_of(void.stamp.0);
        if let Some((currency, amount)) = void.value {
            self.value.add(currency, Micros(-amount.0));
            if let Some(day) = days.at(day) {
                day.value.add(currency, Micros(-amount.0));
            }
        }
        if void.refund {
            return;
        }
        if let Some(day) = days.at(day) {
            day.orders = day.orders.saturating_sub(1);
        }
        self.bought.retain(|touch| touch.stamp != void.stamp);
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
