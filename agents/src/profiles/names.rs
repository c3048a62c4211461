//! What an event's name means: Segment's e-commerce, subscription and messaging names, old and new.

use crate::vocabulary::Channel;

/// What a tracked event is to a profile, beyond an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    ProductViewed,
    ProductAdded,
    ProductRemoved,
    CheckoutStarted,
    OrderCompleted,
    OrderRefunded,
    OrderCancelled,
    Subscription {
        trial: bool,
        state: Running,
    },
    Message(Channel, Receipt),
    /// The person agrees to messages on a channel.
    Subscribed(Channel),
    /// The person agrees to messages of a topic, or refuses them; the event's properties say which.
    TopicChange,
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Active,
    Paused,
    Ended,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    Delivered,
    Opened,
    Clicked,
    /// A tap on a push notification: it is opened by it.
    Tapped,
    Bounced,
    Complained,
    Unsubscribed,
}

const NAME_MAX: usize = 40;

/// The meaning of a name, in any case and with `_` or `-` for spaces.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    let mut buffer = [0_u8; NAME_MAX];
    let spelled = buffer.get_mut(..name.len())?;
    for (to, from) in spelled.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' || from == b'-' { b' ' } else { from.to_ascii_lowercase() };
    }
    let subscription = |state| Some(Meaning::Subscription { trial: false, state });
    let trial = |state| Some(Meaning::Subscription { trial: true, state });
    let email = |receipt| Some(Meaning::Message(Channel::Email, receipt));
    let push = |receipt| Some(Meaning::Message(Channel::Push, receipt));
    let sms = |receipt| Some(Meaning::Message(Channel::Sms, receipt));
    match &*spelled {
        b"product viewed" | b"viewed product" => Some(Meaning::ProductViewed),
        b"product added" | b"added product" => Some(Meaning::ProductAdded),
        b"product removed" | b"removed product" => Some(Meaning::ProductRemoved),
        b"checkout started" | b"started checkout" => Some(Meaning::CheckoutStarted),
        b"order completed" | b"completed order" => Some(Meaning::OrderCompleted),
        b"order refunded" | b"refunded order" => Some(Meaning::OrderRefunded),
        b"order cancelled" | b"order canceled" | b"cancelled order" | b"canceled order" => {
            Some(Meaning::OrderCancelled)
        }
        b"subscription started" | b"subscription renewed" | b"subscription resumed" => subscription(Running::Active),
        b"subscription paused" => subscription(Running::Paused),
        b"subscription cancelled" | b"subscription canceled" | b"subscription expired" => subscription(Running::Ended),
        b"trial started" => trial(Running::Active),
        b"trial ended" => trial(Running::Ended),
        b"email delivered" => email(Receipt::Delivered),
        b"email opened" => email(Receipt::Opened),
        b"email link clicked" | b"email clicked" => email(Receipt::Clicked),
        b"email bounced" => email(Receipt::Bounced),
        b"email marked as spam" => email(Receipt::Complained),
        b"email unsubscribed" | b"unsubscribed" => email(Receipt::Unsubscribed),
        b"email subscribed" | b"email resubscribed" | b"subscribed" => Some(Meaning::Subscribed(Channel::Email)),
        b"sms subscribed" => Some(Meaning::Subscribed(Channel::Sms)),
        b"push notification subscribed" => Some(Meaning::Subscribed(Channel::Push)),
        b"dfsubscriptionchange" => Some(Meaning::TopicChange),
        b"push notification received" | b"push notification delivered" => push(Receipt::Delivered),
        b"push notification opened" => push(Receipt::Opened),
        b"push notification tapped" | b"push notification clicked" => push(Receipt::Tapped),
        b"push notification bounced" => push(Receipt::Bounced),
        b"push notification unsubscribed" => push(Receipt::Unsubscribed),
        b"sms delivered" => sms(Receipt::Delivered),
        b"sms opened" => sms(Receipt::Opened),
        b"sms link clicked" | b"sms clicked" => sms(Receipt::Clicked),
        b"sms bounced" | b"sms failed" | b"sms undelivered" => sms(Receipt::Bounced),
        b"sms marked as spam" => sms(Receipt::Complained),
        b"sms unsubscribed" => sms(Receipt::Unsubscribed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        for name in ["Order Completed", "order_completed", "ORDER-COMPLETED", "Completed Order"] {
            assert_eq!(meaning(name), Some(Meaning::OrderCompleted), "{name}");
        }
        for name in ["", "Order", "Order  Completed", "Order Completed ", &"x".repeat(1000), "Zamówienie"] {
            assert_eq!(meaning(name), None, "{name}");
        }
    }
}
