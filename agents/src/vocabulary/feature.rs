use std::fmt;

use serde::{Deserialize, Serialize};

/// A number kept up to date for every person, e.g. `orders`, `value.EUR`, `email.opened`.
///
/// Written as one number: kind in the first byte, currency or channel in the rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Feature(u32);

/// What a feature's number counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// Milliseconds since 1970 UTC.
    Instant,
    /// Millionths of the currency's unit.
    Money,
}

/// A way to reach a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Push notification.
    Push,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 3] = [Self::Email, Self::Sms, Self::Push];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }
}

const MONEY: u8 = 100;

macro_rules! features {
    (plain { $($(#[$doc:meta])* $constant:ident = $code:literal $name:literal $unit:ident,)* }
     channel { $($(#[$channel_doc:meta])* $make:ident = $channel_code:literal $channel_name:literal $channel_unit:ident,)* }) => {
        impl Feature {
            $($(#[$doc])* pub const $constant: Self = Self($code << 24);)*
            $($(#[$channel_doc])* pub const fn $make(channel: Channel) -> Self {
                Self(($channel_code << 24) | channel as u32)
            })*
        }

        const PLAIN: &[(Feature, &str, Unit)] = &[$((Feature::$constant, $name, Unit::$unit),)*];
        const BY_CHANNEL: &[(u32, &str, Unit)] = &[$(($channel_code, $channel_name, Unit::$channel_unit),)*];
    };
}

features! {
    plain {
        /// When the first event happened.
        FIRST_SEEN_AT = 1 "first_seen_at" Instant,
        /// When the last event happened.
        LAST_SEEN_AT = 2 "last_seen_at" Instant,
        /// Events of any sort.
        EVENTS = 3 "events" Count,
        /// `page` calls.
        PAGES = 4 "pages" Count,
        /// `screen` calls.
        SCREENS = 5 "screens" Count,
        /// Product Viewed.
        PRODUCT_VIEWS = 6 "product_views" Count,
        /// When a product was last viewed.
        LAST_PRODUCT_VIEW_AT = 7 "last_product_view_at" Instant,
        /// Product Added.
        CART_ADDS = 8 "cart_adds" Count,
        /// Units in the cart now.
        CART_ITEMS = 9 "cart_items" Count,
        /// Checkout Started.
        CHECKOUTS = 10 "checkouts" Count,
        /// Order Completed.
        ORDERS = 11 "orders" Count,
        /// Different UTC days with an order.
        ORDER_DAYS = 12 "order_days" Count,
        /// When the first order was made.
        FIRST_ORDER_AT = 13 "first_order_at" Instant,
        /// When the last order was made.
        LAST_ORDER_AT = 14 "last_order_at" Instant,
        /// Order Refunded.
        REFUNDS = 15 "refunds" Count,
        /// 1 while a subscription runs, else 0.
        SUBSCRIPTION_ACTIVE = 16 "subscription_active" Count,
    }
    channel {
        /// Messages delivered on a channel.
        delivered = 32 "delivered" Count,
        /// Messages opened on a channel.
        opened = 33 "opened" Count,
        /// Messages clicked on a channel.
        clicked = 34 "clicked" Count,
        /// Messages bounced on a channel.
        bounced = 35 "bounced" Count,
        /// Complaints (marked as spam) on a channel.
        complained = 36 "complained" Count,
        /// Times unsubscribed from a channel.
        unsubscribed = 37 "unsubscribed" Count,
        /// When a message was last opened on a channel.
        last_opened_at = 38 "last_opened_at" Instant,
        /// When a message was last clicked on a channel.
        last_clicked_at = 39 "last_clicked_at" Instant,
        /// 1 where the person has agreed to messages on a channel, and none of their identifiers has refused.
        consented = 40 "consented" Count,
        /// 1 where the person has refused messages on a channel.
        refused = 41 "refused" Count,
    }
}

impl Feature {
    /// Value of orders less refunds in a currency (three capital letters, ISO 4217).
    pub fn value(currency: [u8; 3]) -> Self {
        let [a, b, c] = currency;
        Self(u32::from_be_bytes([MONEY, a, b, c]))
    }

    /// What its number counts in.
    pub fn unit(self) -> Unit {
        let [kind, ..] = self.0.to_be_bytes();
        let plain = PLAIN.iter().find(|(feature, _, _)| *feature == self).map(|(_, _, unit)| *unit);
        let channel = || BY_CHANNEL.iter().find(|(code, _, _)| *code == u32::from(kind)).map(|(_, _, unit)| *unit);
        plain.or_else(channel).unwrap_or(Unit::Money)
    }

    /// The feature of a name; `None` where there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some((feature, _, _)) = PLAIN.iter().find(|(_, known, _)| *known == name) {
            return Some(*feature);
        }
        let (prefix, rest) = name.split_once('.')?;
        if prefix == "value" {
            let currency: [u8; 3] = rest.as_bytes().try_into().ok()?;
            return currency.iter().all(u8::is_ascii_uppercase).then(|| Self::value(currency));
        }
        let channel = Channel::ALL.into_iter().find(|channel| channel.name() == prefix)?;
        let (code, _, _) = BY_CHANNEL.iter().find(|(_, known, _)| *known == rest)?;
        Some(Self((code << 24) | channel as u32))
    }

    /// The names of all features; `value.USD` stands for every currency.
    pub fn names() -> Vec<String> {
        let plain = PLAIN.iter().map(|(_, name, _)| (*name).to_owned());
        let channels = Channel::ALL
            .into_iter()
            .flat_map(|channel| BY_CHANNEL.iter().map(move |(_, name, _)| format!("{}.{name}", channel.name())));
        plain.chain(channels).chain(["value.USD".to_owned()]).collect()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, a, b, c] = self.0.to_be_bytes();
        if let Some((_, name, _)) = PLAIN.iter().find(|(feature, _, _)| feature == self) {
            return f.write_str(name);
        }
        if kind == MONEY {
            return write!(f, "value.{}{}{}", char::from(a), char::from(b), char::from(c));
        }
        let channel = Channel::ALL.into_iter().find(|channel| *channel as u8 == c).map_or("?", Channel::name);
        let metric = BY_CHANNEL.iter().find(|(code, _, _)| *code == u32::from(kind)).map_or("?", |(_, name, _)| name);
        write!(f, "{channel}.{metric}")
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        for name in Feature::names() {
            let feature = Feature::from_name(&name).unwrap_or_else(|| panic!("{name} is unknown"));
            assert_eq!(feature.to_string(), name);
        }
        assert_eq!(Feature::value(*b"EUR").unit(), Unit::Money);
        assert_eq!(Feature::last_opened_at(Channel::Sms).unit(), Unit::Instant);
        assert_eq!(Feature::from_name("value.eur"), None);
    }
}
