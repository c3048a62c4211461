//! Frequency caps: rolling windows over what was sent.

use serde::{Deserialize, Serialize};

use super::{
    Cap,
    policy::{AT_MOST_MAX, WINDOW_MAX_MS},
};
use crate::vocabulary::{Channel, MessageId, Millis};

/// A message that was sent to persuade.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contacted {
    /// When.
    #[serde(rename = "t")]
    pub at_ms: Millis,
    /// Which.
    #[serde(rename = "i")]
    pub id: MessageId,
    /// By which channel.
    #[serde(rename = "c")]
    pub channel: Channel,
    /// Of which topic of consent.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
}

impl Cap {
    fn counts(&self, channel: Channel, topic: Option<&str>) -> bool {
        self.channel.is_none_or(|capped| capped == channel) && self.topic.as_deref().is_none_or(|of| topic == Some(of))
    }

    /// When it next lets a message through; `at_ms` where it does. `None` for never.
    pub(super) fn free_at(
        &self,
        sent: &[Contacted],
        channel: Channel,
        topic: Option<&str>,
        at_ms: Millis,
    ) -> Option<Millis> {
        if !self.counts(channel, topic) {
            return Some(at_ms);
        }
        let before_last = (self.at_most as usize).checked_sub(1)?;
        // A clock that went back counts what was sent "later" as sent now.
        let mut counted: Vec<_> = sent
            .iter()
            .filter(|sent| self.counts(sent.channel, sent.topic.as_deref()))
            .map(|sent| sent.at_ms)
            .filter(|sent_ms| *sent_ms > at_ms.saturating_sub(self.within_ms))
            .collect();
        counted.sort_unstable_by(|a, b| b.cmp(a));
        Some(counted.get(before_last).map_or(at_ms, |oldest| oldest.saturating_add(self.within_ms)))
    }
}

/// Remembers a message; of those before any window, and of more than any cap allows, the oldest go.
pub(crate) fn remember(sent: &mut Vec<Contacted>, contacted: Contacted) {
    if sent.iter().any(|known| known.id == contacted.id) {
        return;
    }
    sent.push(contacted);
    keep_newest(sent);
}

/// The history of two people who are one.
pub(crate) fn unite(sent: &mut Vec<Contacted>, others: Vec<Contacted>) {
    for other in others {
        if !sent.iter().any(|known| known.id == other.id) {
            sent.push(other);
        }
    }
    keep_newest(sent);
}

fn keep_newest(sent: &mut Vec<Contacted>) {
    sent.sort_unstable();
    let newest_ms = sent.last().map_or(0, |sent| sent.at_ms);
    // The clock may have stood a day later once; windows are counted from whatever instant is asked.
    let surplus = sent.len().saturating_sub(AT_MOST_MAX as usize * 4);
    sent.drain(..surplus);
    sent.retain(|sent| sent.at_ms > newest_ms - WINDOW_MAX_MS - crate::vocabulary::DAY_MS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(at_ms: Millis, channel: Channel) -> Contacted {
        Contacted { at_ms, id: MessageId(at_ms as u64), channel, topic: None }
    }

    #[test]
    fn a_window_rolls() {
        let cap = Cap { channel: Some(Channel::Sms), topic: None, within_ms: 100, at_most: 2 };
        let before = [sent(10, Channel::Sms), sent(20, Channel::Email), sent(50, Channel::Sms)];
        let free = |at_ms| cap.free_at(&before, Channel::Sms, None, at_ms);
        assert_eq!((free(60), free(109), free(110), free(150)), (Some(110), Some(110), Some(110), Some(150)));
        assert_eq!(cap.free_at(&before, Channel::Email, None, 60), Some(60));
        let none = Cap { at_most: 0, ..cap };
        assert_eq!(none.free_at(&before, Channel::Sms, None, 60), None);
    }

    #[test]
    fn what_was_sent_to_either_counts_once() {
        let mut own = vec![sent(10, Channel::Sms)];
        unite(&mut own, vec![sent(10, Channel::Sms), sent(5, Channel::Push)]);
        assert_eq!(own.iter().map(|sent| sent.at_ms).collect::<Vec<_>>(), [5, 10]);
    }
}
