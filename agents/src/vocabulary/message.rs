use std::fmt;

use impresario_runtime::{AgentKey, Effect, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{Channel, DecisionId, Feature, Group, Millis, ProfileId, Refusal};

/// One message to one person; the provider's idempotency key. Shown as `m_` and sixteen lowercase hexadecimal
/// digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

impl MessageId {
    /// The message of a decision.
    pub fn of_decision(decision: DecisionId) -> Self {
        Self::of(&decision.0.to_le_bytes(), 0)
    }

    /// The message of a step of a person's run through a journey.
    pub fn of(run: &[u8], step: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"message").update(run).update(&step.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m_{:016x}", self.0)
    }
}

/// Whether a message persuades or is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageClass {
    /// It persuades: every guard applies.
    #[default]
    Marketing,
    /// It is owed (a receipt, a password): it passes frequency caps and quiet hours, and nothing else.
    Transactional,
}

/// Somebody wants a message to be sent: a decision, a step of a journey, a program. The gate decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequested {
    /// Its id; asked for twice, it is one message.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// What sort it is.
    #[serde(default)]
    pub class: MessageClass,
    /// For which campaign; none for a message of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Which decision it comes of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// The template.
    pub template: Box<str>,
    /// The offer in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// By which channel.
    pub channel: Channel,
    /// The topic of consent it belongs to, e.g. `weekly-news`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// Not before this instant.
    pub at_ms: Millis,
    /// Not after this instant; none for whenever it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<Millis>,
    /// What it is about, for the template. A JSON object.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// What brought it about, in one word: `purchase_intent`, `no_answer_in_6h`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
    /// Why by this channel, where it was chosen for the person: what was learned of them, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_because: Option<Box<str>>,
    /// The message of the same step that did not go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<InsteadOf>,
}

/// A message that did not go, in whose place another is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsteadOf {
    /// Which.
    pub message: MessageId,
    /// By which channel it was to go.
    pub channel: Channel,
    /// Why it did not: the guard that refused it, or `channel` where its channel has not taken it.
    pub by: Refusal,
}

macro_rules! of_person {
    ($topic:ident, $name:literal) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(self.profile.partition())
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }
        }
    };
}

/// Topics that are counted by channel: that one message was sent, or came back, tells nothing of whose it was.
macro_rules! counted {
    ($topic:ident, $name:literal, $($gone:ident),*) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(self.profile.partition())
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }

            fn remainder(&self) -> Option<Self> {
                Some(Self { $($gone: Default::default(),)* profile: ProfileId(0), ..self.clone() })
            }
        }
    };
}

of_person!(MessageRequested, "message.requested");

/// A message that was asked for is not wanted any more: the journey it belongs to has stopped. What has been
/// sent by then stays sent; an id nobody knows is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageWithdrawn {
    /// Which message.
    pub id: MessageId,
    /// To whom it was to go.
    pub profile: ProfileId,
    /// Why, in one word: `converted`, `stopped`, `segment_left`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
}

of_person!(MessageWithdrawn, "message.withdrawn");

/// A message is about to be rendered: `profiles` is asked for what its template says of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderAsked {
    /// Which message.
    pub message: MessageId,
    /// Who: whose state asks, and gets the answer.
    pub asker: ProfileId,
    /// Who they are now; as `asker` but where two profiles have become one meanwhile.
    pub profile: ProfileId,
    /// The traits wanted, by name, as `Catalog::traits_of` tells them; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<Box<str>>,
}

of_person!(RenderAsked, "message.render.asked");

/// What a template may say of a person, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonTold {
    /// For which message.
    pub message: MessageId,
    /// As [`RenderAsked::asker`].
    pub profile: ProfileId,
    /// Those of the wanted traits that they have. A JSON object; what is too large is left out.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub traits: serde_json::Value,
    /// All features that are not zero.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<(Feature, i64)>,
}

of_person!(PersonTold, "message.render.told");

/// The gate has let a message through, at the moment of sending: the intent, said before the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// What sort it is.
    #[serde(default)]
    pub class: MessageClass,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Which decision it comes of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// Of a decision: the person's group and the chosen arm's number, under which it is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<(Group, u16)>,
    /// By which channel.
    pub channel: Channel,
    /// The template, and the place of the entry that defined the version of it.
    pub template: (Box<str>, u64),
    /// The offer in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// Every guard that was asked, in order, all of which let it through.
    pub guards: Vec<Box<str>>,
    /// What brought it about.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
    /// Whether something of its campaign was sent to them before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reached_before: bool,
}

counted!(MessageSent, "message.sent", id, decision);

/// A message that was said to be sent has not left: its channel gave it back, since what had let it through does
/// not hold any more. It is as if it had not been sent yet. Everything is checked again, and it is sent or
/// refused anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReturned {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Which decision it comes of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// As [`MessageSent::arm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<(Group, u16)>,
    /// By which channel it was to go.
    pub channel: Channel,
    /// When everything is checked again.
    pub until_ms: Millis,
    /// Which guard held it at the last moment, and why.
    pub by: Refusal,
}

counted!(MessageReturned, "message.returned", id, decision);

/// A message must wait; everything is checked again then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHeld {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// Until when.
    pub until_ms: Millis,
    /// Which guard holds it, and why.
    pub by: Refusal,
}

of_person!(MessageHeld, "message.held");

/// A message will never be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRefused {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// For which campaign, whose budget gets back what was set aside for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Which decision it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// By which channel it was to go.
    pub channel: Channel,
    /// Which guard refused it, and why.
    pub by: Refusal,
}

of_person!(MessageRefused, "message.refused");

/// A rendered message, to be delivered by a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// By which channel.
    pub channel: Channel,
    /// What sort it is.
    #[serde(default)]
    pub class: MessageClass,
    /// The topic of consent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// Where to.
    pub address: Box<str>,
    /// What it says.
    pub content: Content,
}

of_person!(Deliver, "message.deliver");

impl Effect for Deliver {
    type Outcome = Delivered;
}

/// What a message says, rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The subject of an e-mail, the title of a push notification.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub subject: Box<str>,
    /// Plain text.
    pub text: Box<str>,
    /// HTML, of an e-mail.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub html: Box<str>,
}

/// Why a channel has not acted on a message yet, and when everything is to be checked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// When.
    pub until_ms: Millis,
    /// Which guard held it, and why.
    pub by: Refusal,
    /// It is refused for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_good: bool,
}

/// A channel has taken a message, or has said that it will not, or not now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Which message.
    pub id: MessageId,
    /// To whom.
    pub profile: ProfileId,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// By which channel.
    pub channel: Channel,
    /// Why it was not, without personal data; none where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Box<str>>,
    /// It was neither taken nor refused for good: the gate, asked once more, held it. The channel has not acted
    /// and never will for this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldBack>,
}

impl Delivered {
    /// Whether the channel has taken it.
    pub fn is_taken(&self) -> bool {
        self.failed.is_none() && self.held.is_none()
    }
}

counted!(Delivered, "message.delivered", id);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// Arrived.
    Delivered,
    /// Opened.
    Opened,
    /// A link in it was followed.
    Clicked,
    /// It came back.
    Bounced,
    /// Marked as spam.
    Complained,
    /// Its reader wants no more.
    Unsubscribed,
    /// It was answered.
    Replied,
}

/// A receipt of one message: from a provider, a tracking link, a simulated person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptCame {
    /// Which message.
    pub id: MessageId,
    /// Whose.
    pub profile: ProfileId,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// By which channel.
    pub channel: Channel,
    /// What became of it.
    pub kind: ReceiptKind,
    /// Whether a machine did it (a privacy proxy, a link scanner): recorded, never rewarded.
    #[serde(default)]
    pub machine: bool,
}

counted!(ReceiptCame, "message.receipt", id);
