//! What a journey is: the JSON shape of a definition.

use serde::{Deserialize, Serialize};

use crate::{
    segmentation::{Condition, Selector, Span},
    vocabulary::{Channel, MessageClass, ReceiptKind},
};

/// A journey: what is done with one person, step after step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    /// Its name for people, 1 to 200 characters.
    pub name: Box<str>,
    /// Who begins it by themselves; nobody where there is none: then a campaign or an operator asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Whether somebody may begin it again; never unless said. Nobody is in it twice at once.
    #[serde(default)]
    pub reentry: Reentry,
    /// The event it is all for: it ends the journey wherever the person is, and what is not sent by then never
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Selector>,
    /// The campaign its decisions are of, and its messages are for; the one that asks, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// How many people may be in it at once; 1,000,000 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people_max: Option<u64>,
    /// The steps, in order. A journey only goes on: a step leads to a later one, the next unless said.
    pub steps: Vec<StepDefined>,
}

impl Journey {
    /// The templates it sends, each with its offer.
    pub fn sends(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.steps.iter().filter_map(|step| step.send.as_ref()).map(|send| (&*send.template, send.offer.as_deref()))
    }
}

/// What brings people into a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A situation of theirs, of this kind, e.g. `{"situation": "purchase_intent"}`.
    Situation(Box<str>),
    /// Entering a segment, e.g. `{"segment": "vip"}`.
    Segment(Box<str>),
    /// An event, e.g. `{"event": {"name": "Signed Up"}}`.
    Event(Selector),
}

/// Whether somebody may begin a journey again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reentry {
    /// Once is enough.
    #[default]
    Never,
    /// So long after they last began it, e.g. `{"after": "7d"}`.
    After(Span),
    /// Whenever they are not in it.
    Always,
}

/// One step: its id, and exactly one thing that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDefined {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    pub id: Box<str>,
    /// A campaign decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<DecideStep>,
    /// A message is sent, if the gate lets it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendStep>,
    /// It is waited for what the person does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitStep>,
    /// The way parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchStep>,
    /// Time passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelayStep>,
    /// The journey ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndStep>,
}

/// A campaign decides what is sent, or that nothing is. The journey goes on once it is sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideStep {
    /// Which campaign; the journey's unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// Where it goes on when a message was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<str>>,
    /// Where it goes on when nothing was decided, or the gate refused it; the journey ends unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<Box<str>>,
}

/// By which channel a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelChoice {
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Push notification.
    Push,
    /// All that are left, the one the person answers most first.
    Best,
}

impl From<ChannelChoice> for Option<Channel> {
    fn from(choice: ChannelChoice) -> Self {
        match choice {
            ChannelChoice::Email => Some(Channel::Email),
            ChannelChoice::Sms => Some(Channel::Sms),
            ChannelChoice::Push => Some(Channel::Push),
            ChannelChoice::Best => None,
        }
    }
}

/// A message is sent by the first channel the gate lets it through on. The journey goes on once it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendStep {
    /// The template.
    pub template: Box<str>,
    /// The offer in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// The channels, in the order they are tried; `["best"]` unless said.
    #[serde(default = "best")]
    pub channels: Vec<ChannelChoice>,
    /// What sort it is; marketing unless said.
    #[serde(default)]
    pub class: MessageClass,
    /// The topic of consent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// It is not sent later than so long after it was asked for; `3d` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// What is said brought it about, in one word; what led here unless said, e.g. `no_answer_in_6h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Box<str>>,
    /// Where it goes on when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<str>>,
    /// Where it goes on when no channel was let through; as if it was sent unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<str>>,
}

fn best() -> Vec<ChannelChoice> {
    vec![ChannelChoice::Best]
}

/// It is waited until the person does one of several things, or so long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitStep {
    /// How long at most.
    #[serde(rename = "for")]
    pub lasts: Span,
    /// For what.
    pub on: Vec<Answer>,
    /// Where it goes on when nothing of it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Box<str>>,
}

/// One of the things that is waited for: exactly one of `event`, `receipt`, `segment`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// An event that happens after the wait began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Selector>,
    /// One of these receipts of a message of this journey; what machines open and click never counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Vec<ReceiptKind>>,
    /// The person enters this segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Box<str>>,
    /// Where it goes on then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<str>>,
}

/// The way parts by the first case that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchStep {
    /// The cases, in order.
    pub cases: Vec<Case>,
    /// Where it goes on when none holds.
    #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Box<str>>,
}

/// One case: exactly one of `condition` and `ended`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A condition, as a segment's, of traits, features and segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// What the last step that waited or sent ended with: `timeout`, `clicked`, an event's name,
    /// `segment:ID`, `sent`, `refused`, `nothing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Box<str>>,
    /// Where it goes on then.
    pub then: Box<str>,
}

/// Time passes: exactly one of `for` and `until`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayStep {
    /// So long.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Until a clock in `zone` next shows this, e.g. `09:00`. Where clocks leave it out, until they go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Box<str>>,
    /// The time zone (IANA) of `until`; `UTC` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Box<str>>,
    /// Where it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<str>>,
}

/// The journey ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndStep {
    /// As what it is counted; `finished` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Box<str>>,
}

/// What a step does.
pub(super) enum Does<'a> {
    Decide(&'a DecideStep),
    Send(&'a SendStep),
    Wait(&'a WaitStep),
    Branch(&'a BranchStep),
    Delay(&'a DelayStep),
    End(&'a EndStep),
}

impl StepDefined {
    /// The one thing it does; none where it is none, or several.
    pub(super) fn does(&self) -> Option<Does<'_>> {
        let Self { decide, send, wait, branch, delay, end, .. } = self;
        let all = [
            decide.as_ref().map(Does::Decide),
            send.as_ref().map(Does::Send),
            wait.as_ref().map(Does::Wait),
            branch.as_ref().map(Does::Branch),
            delay.as_ref().map(Does::Delay),
            end.as_ref().map(Does::End),
        ];
        let mut found = all.into_iter().flatten();
        found.next().filter(|_| found.next().is_none())
    }
}

impl Journey {
    /// The place of a step.
    pub(super) fn place_of(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| &*step.id == id)
    }

    /// Where it goes on after the step at `place`: at the step named, else at the next one.
    pub(super) fn after(&self, place: usize, named: Option<&str>) -> usize {
        named.and_then(|id| self.place_of(id)).unwrap_or(place + 1)
    }
}
