//! What is kept of one person: the journeys they are in, and those they have been in.

use std::collections::BTreeMap;

use impresario_runtime::store::{Seq, TimerKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Outcome, check::limits, definition::Reentry};
use crate::vocabulary::{Channel, MessageId, Millis, ReceiptKind};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is asked whether there is room.
    Entering,
    /// A campaign is asked.
    Deciding(Box<str>),
    /// A message is asked for: which, and the channels left to try.
    Sending(MessageId, Vec<Channel>),
    /// It is waited for what the person does, or for so long.
    Waiting,
    /// It is asked which case holds.
    Asking,
    /// Time passes.
    Delaying,
}

/// One person's run through a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number: a hash of the person, the journey and the entry that began it.
    #[serde(rename = "i")]
    pub id: u64,
    /// Which journey.
    #[serde(rename = "j")]
    pub journey: Box<str>,
    /// Which version of it.
    #[serde(rename = "v")]
    pub version: Seq,
    /// The entry that began it.
    #[serde(rename = "e")]
    pub begun_by: Seq,
    /// When it began.
    #[serde(rename = "b")]
    pub began_ms: Millis,
    /// Its campaign.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// What it is about.
    #[serde(rename = "c", default, skip_serializing_if = "Value::is_null")]
    pub context: Value,
    /// What brought it about, and then what the last step ended with.
    #[serde(rename = "w")]
    pub because: Box<str>,
    /// The place of the step it is at.
    #[serde(rename = "s")]
    pub step: u16,
    /// How many steps it has come to.
    #[serde(rename = "n")]
    pub visit: u32,
    /// Since when it is at the step.
    #[serde(rename = "t")]
    pub since_ms: Millis,
    /// When that is over by time alone.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<Millis>,
    /// The timer of that instant.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) timer: Option<TimerKey>,
    /// Where it stands.
    #[serde(rename = "a")]
    pub standing: Standing,
    /// Its messages that were sent, the newest last.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<MessageId>,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its number.
    #[serde(rename = "i")]
    pub run: u64,
    /// Which journey.
    #[serde(rename = "j")]
    pub journey: Box<str>,
    /// Which version of it.
    #[serde(rename = "v")]
    pub version: Seq,
    /// The entry that began it.
    #[serde(rename = "e")]
    pub begun_by: Seq,
    /// When it began.
    #[serde(rename = "b")]
    pub began_ms: Millis,
    /// When it ended.
    #[serde(rename = "t")]
    pub ended_ms: Millis,
    /// At which step.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<str>>,
    /// How.
    #[serde(rename = "o")]
    pub outcome: Outcome,
}

/// How a person answers on one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Messages sent.
    #[serde(rename = "s")]
    pub sent: u32,
    /// Clicks and replies.
    #[serde(rename = "a")]
    pub answered: u32,
}

/// What is kept of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journeying {
    /// The journeys they are in.
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// The last journeys that have ended for them, the newest last.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Ended>,
    /// When they last began each journey.
    #[serde(rename = "b", skip_serializing_if = "Vec::is_empty")]
    pub(super) begun: Vec<(Box<str>, Millis)>,
    /// How they answer, by channel.
    #[serde(rename = "a", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) answers: BTreeMap<Channel, Answers>,
    /// The place of the decision by which the person last became several.
    #[serde(rename = "d", skip_serializing_if = "is_never")]
    pub(super) decided: Seq,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_never(seq: &Seq) -> bool {
    *seq == 0
}

impl Journeying {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why a person may not begin a journey now; none where they may.
    pub(super) fn refuses(
        &self,
        journey: &str,
        reentry: Reentry,
        begun_by: Seq,
        now_ms: Millis,
    ) -> Option<&'static str> {
        if self.runs.iter().any(|run| &*run.journey == journey) {
            return Some("they are in it");
        }
        if self.past.iter().any(|ended| &*ended.journey == journey && ended.begun_by == begun_by) {
            return Some("this very entry has begun it before");
        }
        if self.runs.len() >= limits::RUNS_MAX {
            return Some("they are in too many journeys");
        }
        let last = self.begun.iter().find(|(known, _)| &**known == journey).map(|(_, last)| *last);
        match (reentry, last) {
            (_, None) | (Reentry::Always, _) => None,
            (Reentry::Never, Some(_)) => Some("they have been in it"),
            (Reentry::After(span), Some(last)) => {
                (now_ms < last.saturating_add(span.ms())).then_some("they have been in it too lately")
            }
        }
    }

    pub(super) fn note_begun(&mut self, journey: &str, at_ms: Millis) {
        match self.begun.iter_mut().find(|(known, _)| &**known == journey) {
            Some((_, last)) => *last = (*last).max(at_ms),
            None => self.begun.push((journey.into(), at_ms)),
        }
    }

    /// Takes back that a journey began: there was no room.
    pub(super) fn note_turned_away(&mut self, journey: &str, at_ms: Millis) {
        self.begun.retain(|(known, last)| &**known != journey || *last != at_ms);
    }

    pub(super) fn note_ended(&mut self, ended: Ended) {
        self.past.push(ended);
        if self.past.len() > limits::PAST_MAX {
            self.past.remove(0);
        }
    }

    /// The channels, the one the person answers most first: with one answer in ten messages thought of beforehand.
    pub(super) fn best_channels(&self) -> Vec<Channel> {
        let rate = |channel: &Channel| {
            let Answers { sent, answered } = self.answers.get(channel).copied().unwrap_or_default();
            // Millionths, so that equals are equal.
            (u64::from(answered) + 1) * 1_000_000 / (u64::from(sent) + 10)
        };
        let mut channels = Channel::ALL.to_vec();
        channels.sort_by_key(|channel| std::cmp::Reverse(rate(channel)));
        channels
    }

    /// What [`Self::best_channels`] goes by, in words: `answered 2 of 2 by sms, 0 of 2 by email, 0 of 0 by push`.
    pub(super) fn why_best(&self) -> String {
        let of = |channel: Channel| {
            let Answers { sent, answered } = self.answers.get(&channel).copied().unwrap_or_default();
            format!("{answered} of {sent} by {}", channel.name())
        };
        let all: Vec<String> = self.best_channels().into_iter().map(of).collect();
        format!("answered {}", all.join(", "))
    }

    /// Takes in what is kept of somebody who turned out to be this person, but for the journeys they are in.
    pub(super) fn merge_past(&mut self, other: &mut Self) {
        for (journey, at_ms) in std::mem::take(&mut other.begun) {
            self.note_begun(&journey, at_ms);
        }
        self.past.append(&mut other.past);
        self.past.sort_by_key(|ended| (ended.ended_ms, ended.run));
        let surplus = self.past.len().saturating_sub(limits::PAST_MAX);
        self.past.drain(..surplus);
        for (channel, more) in std::mem::take(&mut other.answers) {
            let own = self.answers.entry(channel).or_default();
            own.sent = own.sent.saturating_add(more.sent);
            own.answered = own.answered.saturating_add(more.answered);
        }
        self.decided = self.decided.max(other.decided);
    }
}

/// The name of a receipt, as branches know it.
pub(super) fn receipt_name(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Opened => "opened",
        ReceiptKind::Clicked => "clicked",
        ReceiptKind::Bounced => "bounced",
        ReceiptKind::Complained => "complained",
        ReceiptKind::Unsubscribed => "unsubscribed",
        ReceiptKind::Replied => "replied",
    }
}
