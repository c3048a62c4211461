//! What an event's name means for sales and support: names as common tools track them, in any spelling.

use super::lead::Deed;

/// What an event is, for sales and support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    TicketOpened,
    TicketClosed,
    DealCreated,
    DealMoved,
    DealWon,
    DealLost,
    Did(Deed),
}

const NAME_MAX: usize = 40;

/// The meaning of a name, in any case and with `_` or `-` for spaces.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    let mut buffer = [0_u8; NAME_MAX];
    let spelled = buffer.get_mut(..name.len())?;
    for (to, from) in spelled.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' || from == b'-' { b' ' } else { from.to_ascii_lowercase() };
    }
    let spelled = std::str::from_utf8(spelled).ok()?;
    let of_support = spelled.strip_prefix("support ").unwrap_or(spelled);
    Some(match of_support {
        "ticket created"
        | "ticket opened"
        | "ticket submitted"
        | "ticket reopened"
        | "conversation opened"
        | "conversation started"
        | "case created"
        | "case opened" => Meaning::TicketOpened,
        "ticket solved"
        | "ticket resolved"
        | "ticket closed"
        | "ticket deleted"
        | "conversation closed"
        | "case closed"
        | "case resolved" => Meaning::TicketClosed,
        _ => match spelled {
            "deal created" | "opportunity created" => Meaning::DealCreated,
            "deal stage changed" | "deal updated" | "opportunity stage changed" => Meaning::DealMoved,
            "deal won" | "opportunity won" => Meaning::DealWon,
            "deal lost" | "opportunity lost" => Meaning::DealLost,
            "lead generated" | "demo requested" | "contact requested" | "quote requested" | "lead created" => {
                Meaning::Did(Deed::Asked)
            }
            "signed up" | "trial started" => Meaning::Did(Deed::SignedUp),
            "form submitted" => Meaning::Did(Deed::Form),
            "product viewed" | "viewed product" => Meaning::Did(Deed::View),
            "product added" | "added product" => Meaning::Did(Deed::Cart),
            "checkout started" | "started checkout" => Meaning::Did(Deed::Checkout),
            "order completed" | "completed order" => Meaning::Did(Deed::Order),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        for name in ["Ticket Created", "support_ticket_opened", "Support Ticket Opened", "Ticket-Reopened"] {
            assert_eq!(meaning(name), Some(Meaning::TicketOpened), "{name}");
        }
        assert_eq!(meaning("Ticket Solved"), Some(Meaning::TicketClosed));
        assert_eq!(meaning("Demo Requested"), Some(Meaning::Did(Deed::Asked)));
        for name in ["", "Ticket", "Ticket Viewed", &"x".repeat(1_000), "Bilet Otwarty ą"] {
            assert_eq!(meaning(name), None, "{name}");
        }
    }
}
