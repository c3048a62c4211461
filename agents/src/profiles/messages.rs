//! How a person takes to messages, by channel.

use serde::{Deserialize, Serialize};

use super::{changes::Changes, names::Receipt};
use crate::vocabulary::{Channel, Feature, Millis};

/// What became of the messages of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engagement {
    /// Delivered.
    #[serde(rename = "d", skip_serializing_if = "is_zero")]
    pub delivered: u32,
    /// Opened.
    #[serde(rename = "o", skip_serializing_if = "is_zero")]
    pub opened: u32,
    /// Clicked.
    #[serde(rename = "c", skip_serializing_if = "is_zero")]
    pub clicked: u32,
    /// Bounced.
    #[serde(rename = "b", skip_serializing_if = "is_zero")]
    pub bounced: u32,
    /// Marked as spam.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub complained: u32,
    /// Unsubscribed.
    #[serde(rename = "u", skip_serializing_if = "is_zero")]
    pub unsubscribed: u32,
    /// When one was last opened.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub last_opened_at: Option<Millis>,
    /// When one was last clicked.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub last_clicked_at: Option<Millis>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn add(count: &mut u32, times: u32) -> i64 {
    *count = count.saturating_add(times);
    (*count).into()
}

impl Engagement {
    fn receive(&mut self, channel: Channel, receipt: Receipt, at_ms: Millis, changes: &mut Changes) {
        match receipt {
            Receipt::Delivered => changes.feature(Feature::delivered(channel), add(&mut self.delivered, 1)),
            Receipt::Opened => self.open(channel, at_ms, changes),
            Receipt::Clicked => self.click(channel, at_ms, changes),
            Receipt::Tapped => {
                self.open(channel, at_ms, changes);
                self.click(channel, at_ms, changes);
            }
            Receipt::Bounced => changes.feature(Feature::bounced(channel), add(&mut self.bounced, 1)),
            Receipt::Complained => changes.feature(Feature::complained(channel), add(&mut self.complained, 1)),
            Receipt::Unsubscribed => changes.feature(Feature::unsubscribed(channel), add(&mut self.unsubscribed, 1)),
        }
    }

    fn open(&mut self, channel: Channel, at_ms: Millis, changes: &mut Changes) {
        changes.feature(Feature::opened(channel), add(&mut self.opened, 1));
        if self.last_opened_at.is_none_or(|last| last < at_ms) {
            self.last_opened_at = Some(at_ms);
            changes.feature(Feature::last_opened_at(channel), at_ms);
        }
    }

    fn click(&mut self, channel: Channel, at_ms: Millis, changes: &mut Changes) {
        changes.feature(Feature::clicked(channel), add(&mut self.clicked, 1));
        if self.last_clicked_at.is_none_or(|last| last < at_ms) {
            self.last_clicked_at = Some(at_ms);
            changes.feature(Feature::last_clicked_at(channel), at_ms);
        }
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.delivered, other.delivered);
        add(&mut self.opened, other.opened);
        add(&mut self.clicked, other.clicked);
        add(&mut self.bounced, other.bounced);
        add(&mut self.complained, other.complained);
        add(&mut self.unsubscribed, other.unsubscribed);
        self.last_opened_at = self.last_opened_at.max(other.last_opened_at);
        self.last_clicked_at = self.last_clicked_at.max(other.last_clicked_at);
    }

    fn features(&self, channel: Channel, tell: &mut dyn FnMut(Feature, i64)) {
        for (feature, count) in [
            (Feature::delivered(channel), self.delivered),
            (Feature::opened(channel), self.opened),
            (Feature::clicked(channel), self.clicked),
            (Feature::bounced(channel), self.bounced),
            (Feature::complained(channel), self.complained),
            (Feature::unsubscribed(channel), self.unsubscribed),
        ] {
            if count > 0 {
                tell(feature, count.into());
            }
        }
        self.last_opened_at.into_iter().for_each(|at_ms| tell(Feature::last_opened_at(channel), at_ms));
        self.last_clicked_at.into_iter().for_each(|at_ms| tell(Feature::last_clicked_at(channel), at_ms));
    }
}

/// Engagement by channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Messages(Vec<(Channel, Engagement)>);

impl Messages {
    fn of(&mut self, channel: Channel) -> Option<&mut Engagement> {
        let place = match self.0.binary_search_by_key(&channel, |(known, _)| *known) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (channel, Engagement::default()));
                place
            }
        };
        self.0.get_mut(place).map(|(_, engagement)| engagement)
    }

    pub(super) fn receive(&mut self, channel: Channel, receipt: Receipt, at_ms: Millis, changes: &mut Changes) {
        if let Some(engagement) = self.of(channel) {
            engagement.receive(channel, receipt, at_ms, changes);
        }
    }

    pub(super) fn merge(&mut self, others: &Self) {
        for (channel, other) in &others.0 {
            if let Some(engagement) = self.of(*channel) {
                engagement.merge(other);
            }
        }
    }

    pub(super) fn features(&self, tell: &mut dyn FnMut(Feature, i64)) {
        self.0.iter().for_each(|(channel, engagement)| engagement.features(*channel, tell));
    }

    /// By channel; those no message came on are not among them.
    pub fn iter(&self) -> std::slice::Iter<'_, (Channel, Engagement)> {
        self.0.iter()
    }

    /// Whether no message ever came.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
