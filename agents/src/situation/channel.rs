//! A channel's surges: bounces and complaints beyond what is usual. Sending by it stops until a person resumes it.

use std::collections::BTreeMap;

use impresario_runtime::{Agent, AgentError, Event, On, OnShared, Routes, Step};
use serde::{Deserialize, Serialize};

use super::{Settings, SituationsSet, Surge, Watching, check_settings};
use crate::vocabulary::{
    Channel, DAY_MS, Delivered, MessageReturned, MessageSent, Millis, ReceiptCame, ReceiptKind, SendingResumed,
    SendingStopped, SituationDetected, SituationOf, SituationResolved, StopScope,
};

/// How finely the present is counted.
const SLICE_MS: Millis = 300_000;
/// Slices of an hour and of a day.
const SLICES: [(usize, &str); 2] = [(12, "hour"), (288, "day")];
/// Days of history that tell what is usual, today not counted.
const USUAL_DAYS: i64 = 30;

/// What was counted in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelCount {
    /// Messages sent.
    #[serde(rename = "s")]
    pub sent: u64,
    /// Those that came back, or that the channel would not take.
    #[serde(rename = "b")]
    pub bounced: u64,
    /// Those marked as spam.
    #[serde(rename = "c")]
    pub complained: u64,
}

impl ChannelCount {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.bounced += other.bounced;
        self.complained += other.complained;
    }
}

/// What is known of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelState {
    /// The last day, in slices of five minutes since 1970.
    #[serde(default)]
    slices: BTreeMap<i64, ChannelCount>,
    /// The days before, since 1970.
    #[serde(default)]
    days: BTreeMap<i64, ChannelCount>,
    /// What stands: the id, by kind.
    #[serde(default)]
    pub standing: BTreeMap<Box<str>, Box<str>>,
    /// Nothing before this slice counts: a person has resumed sending since.
    #[serde(default)]
    counts_from: i64,
}

/// A surge that was found.
struct Found {
    kind: &'static str,
    because: String,
}

impl ChannelState {
    /// What was counted in the last `slices` slices.
    pub(super) fn lately(&self, slices: usize, now_ms: Millis) -> ChannelCount {
        let now = now_ms.div_euclid(SLICE_MS);
        let from = (now - slices as i64 + 1).max(self.counts_from);
        let mut all = ChannelCount::default();
        // Sending was resumed within this very slice, or a clock went back: nothing counts yet.
        if from <= now {
            self.slices.range(from..=now).for_each(|(_, count)| all.add(*count));
        }
        all
    }

    /// What was counted on the days before today.
    fn usual(&self, now_ms: Millis) -> ChannelCount {
        let mut all = ChannelCount::default();
        self.days.range(..now_ms.div_euclid(DAY_MS)).for_each(|(_, count)| all.add(*count));
        all
    }

    fn count(&mut self, more: ChannelCount, now_ms: Millis) {
        let (slice, day) = (now_ms.div_euclid(SLICE_MS), now_ms.div_euclid(DAY_MS));
        self.slices.entry(slice).or_default().add(more);
        self.days.entry(day).or_default().add(more);
        let [.., (day_slices, _)] = SLICES;
        self.slices = self.slices.split_off(&(slice - day_slices as i64));
        self.days = self.days.split_off(&(day - USUAL_DAYS));
    }

    /// A message that was counted as sent was not: it is taken out where it was most likely counted.
    fn take_back(&mut self) {
        for counts in [&mut self.slices, &mut self.days] {
            if let Some(count) = counts.values_mut().rev().find(|count| count.sent > 0) {
                count.sent -= 1;
            }
        }
    }

    fn surge(&self, settings: &Settings, now_ms: Millis) -> Option<Found> {
        let usual = self.usual(now_ms);
        for (kind, what, surge, of) in [
            ("bounce_surge", "bounced", settings.bounces, (|count| count.bounced) as fn(&ChannelCount) -> u64),
            ("complaint_surge", "complained", settings.complaints, |count| count.complained),
        ] {
            if self.standing.contains_key(kind) {
                continue;
            }
            for (slices, span) in SLICES {
                let lately = self.lately(slices, now_ms);
                if let Some(limit) = passed(&surge, of(&lately), lately.sent, of(&usual), usual.sent) {
                    let because = format!("{} of {} {what} within the last {span}, {limit}", of(&lately), lately.sent);
                    return Some(Found { kind, because });
                }
            }
        }
        None
    }
}

/// Which limit is passed, in words; none where none is.
fn passed(surge: &Surge, bad: u64, sent: u64, usual_bad: u64, usual_sent: u64) -> Option<String> {
    if bad < u64::from(surge.count_min) || sent < u64::from(surge.sent_min) {
        return None;
    }
    let share = bad as f64 / sent as f64;
    // A short history counts for little: as if the limit were what is usual of a hundred messages more.
    let usual = (usual_bad as f64 + surge.share / surge.times_usual * 100.0) / (usual_sent as f64 + 100.0);
    let limit = surge.share.max(usual * surge.times_usual);
    (share >= limit).then(|| format!("the limit is {:.2}%", limit * 100.0))
}

/// The agent that watches channels.
pub struct ChannelWatch;

impl Agent for ChannelWatch {
    const NAME: &'static str = "channel-watch";
    type Key = String;
    type State = ChannelState;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|sent: &MessageSent| sent.channel.name().to_owned());
        routes.on(|returned: &MessageReturned| returned.channel.name().to_owned());
        routes.on_some(|delivered: &Delivered| delivered.failed.as_ref().map(|_| delivered.channel.name().to_owned()));
        routes.on_some(|receipt: &ReceiptCame| {
            let bad = matches!(receipt.kind, ReceiptKind::Bounced | ReceiptKind::Complained);
            bad.then(|| receipt.channel.name().to_owned())
        });
        routes.on_some(|resumed: &SendingResumed| match &resumed.scope {
            StopScope::Channel(channel) => Some(channel.name().to_owned()),
            StopScope::Everything | StopScope::Campaign(_) => None,
        });
        routes.on_shared::<SituationsSet>();
    }
}

/// Counts, and says a surge where there is one.
fn count(
    state: &mut ChannelState,
    channel: Channel,
    more: ChannelCount,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let settings = &step.shared::<Watching>()?.settings;
    let now_ms = step.now_ms();
    state.count(more, now_ms);
    if more.sent > 0 {
        return Ok(());
    }
    while let Some(found) = state.surge(settings, now_ms) {
        let id: Box<str> = id_of(channel, found.kind, now_ms);
        state.standing.insert(found.kind.into(), id.clone());
        step.publish(SituationDetected {
            id,
            kind: found.kind.into(),
            of: SituationOf::Channel(channel),
            since_ms: now_ms,
            context: serde_json::json!({ "channel": channel.name() }),
            because: found.because.as_str().into(),
        });
        if settings.surge_stops_sending {
            let (scope, by) = (StopScope::Channel(channel), ChannelWatch::NAME.into());
            step.publish(SendingStopped { scope, by, why: found.because.into() });
        }
    }
    Ok(())
}

fn id_of(channel: Channel, kind: &str, since_ms: Millis) -> Box<str> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"situation").update(channel.name().as_bytes()).update(kind.as_bytes());
    hasher.update(&since_ms.to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    format!("s_{:016x}", u64::from_le_bytes([a, b, c, d, e, f, g, h])).into()
}

impl On<MessageSent> for ChannelWatch {
    fn on(
        &self,
        state: &mut ChannelState,
        event: &Event<'_, MessageSent>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        count(state, event.channel, ChannelCount { sent: 1, ..ChannelCount::default() }, step)
    }
}

impl On<MessageReturned> for ChannelWatch {
    fn on(&self, state: &mut ChannelState, _: &Event<'_, MessageReturned>, _: &mut Step<'_>) -> Result<(), AgentError> {
        state.take_back();
        Ok(())
    }
}

impl On<Delivered> for ChannelWatch {
    fn on(
        &self,
        state: &mut ChannelState,
        event: &Event<'_, Delivered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        count(state, event.channel, ChannelCount { bounced: 1, ..ChannelCount::default() }, step)
    }
}

impl On<ReceiptCame> for ChannelWatch {
    fn on(
        &self,
        state: &mut ChannelState,
        event: &Event<'_, ReceiptCame>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let complained = u64::from(event.kind == ReceiptKind::Complained);
        count(state, event.channel, ChannelCount { sent: 0, bounced: 1 - complained, complained }, step)
    }
}

impl On<SendingResumed> for ChannelWatch {
    fn on(
        &self,
        state: &mut ChannelState,
        event: &Event<'_, SendingResumed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let StopScope::Channel(channel) = event.scope else { return Ok(()) };
        state.counts_from = step.now_ms().div_euclid(SLICE_MS) + 1;
        for (kind, id) in std::mem::take(&mut state.standing) {
            step.publish(SituationResolved { id, kind, of: SituationOf::Channel(channel), because: "resumed".into() });
        }
        Ok(())
    }
}

impl OnShared<SituationsSet> for ChannelWatch {
    type Shared = Watching;

    fn on_shared(
        &self,
        watching: &mut Watching,
        event: &Event<'_, SituationsSet>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        check_settings(&event.settings).map_err(AgentError::Reject)?;
        watching.settings = event.settings.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surge_of(sent: u64, bounced: u64, days: &[(u64, u64)]) -> Option<String> {
        let mut state = ChannelState::default();
        let now_ms = 100 * DAY_MS;
        for (ago, (sent, bounced)) in (1..).zip(days) {
            let count = ChannelCount { sent: *sent, bounced: *bounced, complained: 0 };
            state.days.insert(100 - ago, count);
        }
        state.count(ChannelCount { sent, bounced, complained: 0 }, now_ms);
        state.surge(&Settings::default(), now_ms).map(|found| found.because)
    }

    #[test]
    fn a_surge_is_enough_of_them_beyond_the_limit_and_beyond_what_is_usual() {
        assert_eq!(surge_of(200, 9, &[]), None, "too few");
        assert_eq!(surge_of(40, 40, &[]), None, "of too little");
        assert_eq!(surge_of(400, 19, &[]), None, "under the limit");
        let found = surge_of(400, 20, &[]).unwrap();
        assert_eq!(found, "20 of 400 bounced within the last hour, the limit is 5.00%");
        // A channel that always bounces at 4% is not in a surge at 8%, but at 13%.
        let usual = [(10_000, 400); 10];
        assert_eq!(surge_of(400, 32, &usual), None);
        assert!(surge_of(400, 52, &usual).is_some());
    }

    #[test]
    fn old_slices_and_days_go() {
        let mut state = ChannelState::default();
        for slice in 0..20_000 {
            state.count(ChannelCount { sent: 1, ..ChannelCount::default() }, slice * SLICE_MS);
        }
        let now_ms = 19_999 * SLICE_MS;
        assert_eq!((state.lately(12, now_ms).sent, state.lately(288, now_ms).sent), (12, 288));
        assert!(state.slices.len() <= 289 && state.days.len() <= 31);
    }
}
