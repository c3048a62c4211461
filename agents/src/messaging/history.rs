//! What became of each message of a person: the verdicts, for whoever asks why.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    suppression::AddressHash,
    vocabulary::{Channel, DecisionId, InsteadOf, MessageClass, MessageId, Millis, ReceiptKind, Refusal},
};

/// Letters remembered of a person, the newest.
pub(super) const LETTERS_MAX: usize = 200;
/// Verdicts remembered of a letter, the newest.
const VERDICTS_MAX: usize = 20;

/// What the gate or a channel said of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Asked for.
    Asked,
    /// Held, until an instant or, with none, until sending is resumed.
    Held {
        /// Until when.
        until_ms: Option<Millis>,
        /// By which guard, and why.
        by: Refusal,
    },
    /// Refused.
    Refused(Refusal),
    /// Taken back by whoever had asked for it.
    Withdrawn(Box<str>),
    /// Let through by all these guards, and given to its channel.
    Sent(Vec<Box<str>>),
    /// The channel has taken it.
    Delivered,
    /// The channel has not taken it.
    Failed(Box<str>),
    /// What came of it.
    Receipt(ReceiptKind),
}

/// One message to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its id.
    pub id: MessageId,
    /// By which channel.
    pub channel: Channel,
    /// What sort it is.
    pub class: MessageClass,
    /// The template.
    pub template: Box<str>,
    /// The offer in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// For which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Which decision it comes of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// What brought it about.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
    /// As [`MessageRequested::channel_because`](crate::vocabulary::MessageRequested::channel_because).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_because: Option<Box<str>>,
    /// As [`MessageRequested::instead_of`](crate::vocabulary::MessageRequested::instead_of).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<InsteadOf>,
    /// The keyed hash of where it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressHash>,
    /// The hash of the push token it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// What was said of it, oldest first.
    pub fates: Vec<(Millis, Fate)>,
}

impl Letter {
    pub(super) fn note(&mut self, at_ms: Millis, fate: Fate) {
        if self.fates.last().is_some_and(|(_, last)| *last == fate) {
            return;
        }
        if self.fates.len() >= VERDICTS_MAX {
            // How it began stays.
            self.fates.remove(1);
        }
        self.fates.push((at_ms, fate));
    }

    /// When it was sent; none where its channel gave it back and it was not sent since.
    pub fn sent_ms(&self) -> Option<Millis> {
        let decides = |fate: &Fate| matches!(fate, Fate::Sent(_) | Fate::Held { .. } | Fate::Refused(_));
        let (at_ms, fate) = self.fates.iter().rev().find(|(_, fate)| decides(fate))?;
        matches!(fate, Fate::Sent(_)).then_some(*at_ms)
    }
}

/// The newest letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Letters(VecDeque<Letter>);

impl Letters {
    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Letter> {
        self.0.iter()
    }

    /// Whether a message is known.
    pub fn has(&self, id: MessageId) -> bool {
        self.0.iter().any(|letter| letter.id == id)
    }

    pub(super) fn add(&mut self, letter: Letter) {
        self.0.push_back(letter);
        if self.0.len() > LETTERS_MAX {
            self.0.pop_front();
        }
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut Letter> {
        self.0.iter_mut().rev().find(|letter| letter.id == id)
    }

    pub(super) fn note(&mut self, id: MessageId, at_ms: Millis, fate: Fate) {
        if let Some(letter) = self.get_mut(id) {
            letter.note(at_ms, fate);
        }
    }

    /// Those of two people who are one; a message both know is the one of which more is known.
    pub(super) fn merge(&mut self, others: Self) {
        for other in others.0 {
            match self.get_mut(other.id) {
                Some(own) if own.fates.len() < other.fates.len() => *own = other,
                Some(_) => {}
                None => self.0.push_back(other),
            }
        }
        let began = |letter: &Letter| (letter.fates.first().map(|(at_ms, _)| *at_ms), letter.id);
        self.0.make_contiguous().sort_by_key(began);
        while self.0.len() > LETTERS_MAX {
            self.0.pop_front();
        }
    }
}
