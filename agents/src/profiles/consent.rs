//! What a person has agreed to, and what they have refused.
//!
//! Consent is kept apart from traits, each with when and by whom it was said. Of what one node (a user id, a
//! device) said the last counts; of what the nodes of one person said the strictest: where any of them has
//! refused, the person has. So a merge never loosens anything, whichever way and order it comes about.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    changes::Changes,
    json,
    newest::SOURCE_MAX,
    oddity::{Oddities, Oddity},
};
use crate::vocabulary::{Channel, Feature, Millis, ProfileId, Stamp};

/// What was said of consent, kept of one person: what was refused before what was granted, the newest of each.
pub(super) const CONSENTS_MAX: usize = 200;
/// Longest name of a topic or category, in bytes.
const NAME_MAX: usize = 128;

/// What one node of a person has last said of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// `email`, `sms`, `push`; `email:weekly-news` for one topic of a channel; `category:Advertising` for a
    /// category of Segment's consent management; `topic:..` for a topic of every channel.
    #[serde(rename = "n")]
    of: Box<str>,
    #[serde(rename = "a")]
    node: ProfileId,
    #[serde(rename = "g")]
    granted: bool,
    #[serde(rename = "t")]
    stamp: Stamp,
    #[serde(rename = "s")]
    source: Box<str>,
}

/// How a person stands to one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent<'a> {
    /// `email`, `sms`, `push`; `topic:..`; `category:..`.
    pub of: &'a str,
    /// Whether it was granted, and refused by none of the person's nodes.
    pub granted: bool,
    /// Event time of what decides.
    pub at_ms: Millis,
    /// Who said it: the source of the event.
    pub source: &'a str,
}

/// All that was said, by what it is of, then by node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consents(Vec<Said>);

/// What an event is to consent beside what it says.
#[derive(Clone, Copy)]
pub(super) struct Saying<'a> {
    pub(super) node: ProfileId,
    pub(super) stamp: Stamp,
    pub(super) source: &'a str,
}

impl Consents {
    fn place(&self, of: &str, node: ProfileId) -> Result<usize, usize> {
        self.0.binary_search_by(|said| (*said.of).cmp(of).then(said.node.cmp(&node)))
    }

    /// Takes in what was said; of one node the last by event time counts.
    pub(super) fn say(&mut self, of: &str, granted: bool, by: Saying<'_>, changes: &mut Changes) {
        let (node, stamp) = (by.node, by.stamp);
        match self.place(of, node) {
            Ok(place) => {
                // Of one event that says both, the refusal counts.
                let newer = |known: &&mut Said| known.stamp < stamp || (known.stamp == stamp && !granted);
                let Some(known) = self.0.get_mut(place).filter(newer) else { return };
                (known.granted, known.stamp) = (granted, stamp);
                known.source = json::cut(by.source, SOURCE_MAX).into();
            }
            Err(place) => {
                let source = json::cut(by.source, SOURCE_MAX).into();
                self.0.insert(place, Said { of: of.into(), node, granted, stamp, source });
                self.drop_surplus();
            }
        }
        changes.contact = true;
        if let Some(channel) = Channel::ALL.into_iter().find(|channel| channel.name() == of) {
            let (consented, refused) = self.channel(channel);
            changes.feature(Feature::consented(channel), consented.into());
            changes.feature(Feature::refused(channel), refused.into());
        }
    }

    pub(super) fn merge(&mut self, others: Self) {
        for other in others.0 {
            match self.place(&other.of, other.node) {
                Ok(place) => {
                    if let Some(known) = self.0.get_mut(place).filter(|known| known.stamp < other.stamp) {
                        *known = other;
                    }
                }
                Err(place) => self.0.insert(place, other),
            }
        }
        self.drop_surplus();
    }

    /// Refusals are the last to go.
    fn drop_surplus(&mut self) {
        while self.0.len() > CONSENTS_MAX {
            let rank = |said: &Said| (!said.granted, said.stamp, said.of.clone(), said.node);
            let Some(place) = (0..self.0.len()).min_by_key(|place| self.0.get(*place).map(rank)) else { return };
            self.0.remove(place);
        }
    }

    /// 1 where a channel was granted and refused by none; 1 where it was refused.
    fn channel(&self, channel: Channel) -> (u8, u8) {
        let found = self.iter().find(|consent| consent.of == channel.name()).map(|consent| consent.granted);
        (u8::from(found == Some(true)), u8::from(found == Some(false)))
    }

    pub(super) fn features(&self, tell: &mut dyn FnMut(Feature, i64)) {
        if self.0.is_empty() {
            return;
        }
        for channel in Channel::ALL {
            let (consented, refused) = self.channel(channel);
            if consented > 0 {
                tell(Feature::consented(channel), consented.into());
            }
            if refused > 0 {
                tell(Feature::refused(channel), refused.into());
            }
        }
    }

    /// How the person stands to each thing something was said of, the strictest of their nodes deciding.
    pub fn iter(&self) -> impl Iterator<Item = Consent<'_>> {
        self.0.chunk_by(|one, other| one.of == other.of).filter_map(|of_all| {
            // A refusal before a grant, then the last.
            let said = of_all.iter().max_by_key(|said| (!said.granted, said.stamp, said.node))?;
            Some(Consent { of: &said.of, granted: said.granted, at_ms: said.stamp.0, source: &said.source })
        })
    }

    /// Whether nothing was ever said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a trait of an `identify` says of consent, if anything: of which channel, and whether it grants.
pub(super) fn of_trait(name: &str, value: &RawValue) -> Option<(Channel, bool)> {
    let flag = || match value.get() {
        "true" | "1" | "\"true\"" | "\"subscribed\"" | "\"opted_in\"" | "\"granted\"" => Some(true),
        "false" | "0" | "\"false\"" | "\"unsubscribed\"" | "\"opted_out\"" | "\"denied\"" => Some(false),
        _ => None,
    };
    if name == "unsubscribed" {
        // Customer.io's attribute.
        return flag().map(|unsubscribed| (Channel::Email, !unsubscribed));
    }
    let (channel, what) = name.split_once('_')?;
    let channel = Channel::ALL.into_iter().find(|known| known.name() == channel)?;
    let granted = match what {
        "consent" | "opt_in" | "optin" | "opted_in" | "subscribed" | "subscribe" => flag()?,
        "opt_out" | "optout" | "opted_out" | "unsubscribed" => !flag()?,
        _ => return None,
    };
    Some((channel, granted))
}

/// What a `consent` trait that lists channels says: those listed are granted, the others refused.
pub(super) fn of_list(value: &RawValue) -> Option<impl Iterator<Item = (Channel, bool)>> {
    let listed: Vec<Cow<'_, str>> = json::elements(value)?.into_iter().filter_map(json::text).collect();
    let listed = Channel::ALL.map(|channel| (channel, listed.iter().any(|name| *name == channel.name())));
    Some(listed.into_iter())
}

impl Consents {
    /// What `context.consent` says: `categoryPreferences` (Segment), `channels` and `topics`, each an object
    /// of names and booleans.
    pub(super) fn say_context(
        &mut self,
        consent: &RawValue,
        by: Saying<'_>,
        oddities: &mut Oddities,
        changes: &mut Changes,
    ) {
        let picked = json::pick(consent.get(), &["categoryPreferences", "channels", "topics"]);
        if picked.broken {
            return oddities.count(Oddity::NoObject);
        }
        for (values, prefix) in picked.values.into_iter().zip(["category:", "", "topic:"]) {
            let Some(values) = values else { continue };
            let read = json::each_field(values.get(), |name, value| match value.get() {
                _ if name.is_empty() || name.len() > NAME_MAX => oddities.count(Oddity::Consent),
                granted @ ("true" | "false") => self.say(&format!("{prefix}{name}"), granted == "true", by, changes),
                _ => oddities.count(Oddity::Consent),
            });
            if !read {
                oddities.count(Oddity::NoObject);
            }
        }
    }

    /// What a subscription change of a message's topic says, as Dittofeed tracks it.
    pub(super) fn say_topic(&mut self, properties: &str, by: Saying<'_>, changes: &mut Changes) {
        let [id, topic, action] = json::pick(properties, &["subscriptionId", "topic", "action"]).values;
        let text = |value: Option<&RawValue>| value.and_then(json::text_or_number).map(Cow::into_owned);
        let granted = match text(action).as_deref() {
            Some("Subscribe") => Some(true),
            Some("Unsubscribe") => Some(false),
            _ => None,
        };
        let topic = text(id.or(topic)).filter(|topic| !topic.is_empty() && topic.len() <= NAME_MAX);
        if let (Some(topic), Some(granted)) = (topic, granted) {
            self.say(&format!("topic:{topic}"), granted, by, changes);
        }
    }
}
