//! Where a decision is on the journal, and what came of it: one small state a decision. What it took of its
//! campaign's bounds is spent or given back here, once.

use impresario_runtime::{Agent, AgentError, AgentKey, Event, On, Routes, Step, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{
    DecisionId, DecisionMade, MessageId, MessageRefused, MessageReturned, MessageSent, ProfileId, Reserved,
    RewardObserved,
};

/// The agent.
pub struct Decisions;

/// One decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecisionRecord {
    /// The place of its [`DecisionMade`]; 0 for none.
    pub made: Seq,
    /// The plan it rode on.
    pub plan: Seq,
    /// What it took of its campaign's bounds, as long as that is neither spent nor given back.
    #[serde(skip_serializing_if = "Reserved::is_nothing")]
    pub reserved: Reserved,
    /// What of that its message has spent by being sent.
    #[serde(skip_serializing_if = "Reserved::is_nothing")]
    pub(super) spent: Reserved,
    /// Its message, once one is sent or refused, and the place that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<(MessageId, Seq)>,
    /// Whether that was sent.
    pub sent: bool,
    /// The place of its [`RewardObserved`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewarded: Option<Seq>,
}

/// The message of a decision was sent, so what was set aside for it is spent; or it was refused for good, so
/// that is given back; or its channel gave it back, and it is on its way again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionSettled {
    /// Which decision.
    pub id: DecisionId,
    /// Which campaign.
    pub campaign: Box<str>,
    /// Whom it was about.
    pub profile: ProfileId,
    /// The plan it rode on.
    pub plan: Seq,
    /// Whether its message was sent.
    pub sent: bool,
    /// What was set aside for it.
    pub reserved: Reserved,
    /// It had been sent, and is on its way again: its channel gave it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
}

impl Topic for DecisionSettled {
    const NAME: &'static str = "decision.settled";

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }

    /// That something was spent or given back tells nothing of whom it was for.
    fn remainder(&self) -> Option<Self> {
        Some(Self { id: DecisionId(0), profile: ProfileId(0), ..self.clone() })
    }
}

impl Agent for Decisions {
    const NAME: &'static str = "decisions";
    type Key = DecisionId;
    type State = DecisionRecord;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|made: &DecisionMade| made.id);
        routes.on_some(|sent: &MessageSent| sent.decision);
        routes.on_some(|refused: &MessageRefused| refused.decision);
        routes.on_some(|returned: &MessageReturned| returned.decision);
        routes.on(|observed: &RewardObserved| observed.id);
    }
}

impl DecisionRecord {
    fn settle(
        &mut self,
        of: (DecisionId, ProfileId, &Option<Box<str>>),
        message: MessageId,
        sent: bool,
        step: &mut Step<'_>,
    ) {
        let (id, profile, campaign) = of;
        self.message = Some((message, step.seq()));
        self.sent |= sent;
        let reserved = std::mem::take(&mut self.reserved);
        if sent && !reserved.is_nothing() {
            self.spent = reserved;
        }
        // A journey's second message of one decision took nothing of the bounds; nor did what was withheld.
        if let Some(campaign) = campaign.clone().filter(|_| !reserved.is_nothing()) {
            step.publish(DecisionSettled { id, campaign, profile, plan: self.plan, sent, reserved, returned: false });
        }
    }
}

impl On<DecisionMade> for Decisions {
    fn on(
        &self,
        record: &mut DecisionRecord,
        event: &Event<'_, DecisionMade>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        *record =
            DecisionRecord { made: event.seq, plan: event.plan, reserved: event.reserved, ..DecisionRecord::default() };
        Ok(())
    }
}

impl On<MessageSent> for Decisions {
    fn on(
        &self,
        record: &mut DecisionRecord,
        event: &Event<'_, MessageSent>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let of = (event.decision.unwrap_or_default(), event.profile, &event.campaign);
        let taken = record.reserved.people;
        record.settle(of, event.id, true, step);
        if let Some(campaign) = event.campaign.clone().filter(|_| event.reached_before && taken > 0) {
            // Something else of the campaign went to them meanwhile: they were counted twice.
            record.spent.people = 0;
            let reserved = Reserved { people: taken, ..Reserved::default() };
            let (id, profile, plan) = (event.decision.unwrap_or_default(), event.profile, record.plan);
            step.publish(DecisionSettled { id, campaign, profile, plan, sent: false, reserved, returned: false });
        }
        Ok(())
    }
}

impl On<MessageRefused> for Decisions {
    fn on(
        &self,
        record: &mut DecisionRecord,
        event: &Event<'_, MessageRefused>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let of = (event.decision.unwrap_or_default(), event.profile, &event.campaign);
        record.settle(of, event.id, false, step);
        Ok(())
    }
}

impl On<MessageReturned> for Decisions {
    fn on(
        &self,
        record: &mut DecisionRecord,
        event: &Event<'_, MessageReturned>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        record.message = Some((event.id, step.seq()));
        record.sent = false;
        let reserved = std::mem::take(&mut record.spent);
        let Some(campaign) = event.campaign.clone().filter(|_| !reserved.is_nothing()) else { return Ok(()) };
        // Somebody once counted among a campaign's people stays counted: other decisions have relied on it.
        record.reserved = Reserved { people: 0, ..reserved };
        let (id, profile, plan) = (event.decision.unwrap_or_default(), event.profile, record.plan);
        step.publish(DecisionSettled { id, campaign, profile, plan, sent: false, reserved, returned: true });
        Ok(())
    }
}

impl On<RewardObserved> for Decisions {
    fn on(
        &self,
        record: &mut DecisionRecord,
        event: &Event<'_, RewardObserved>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        record.rewarded = Some(event.seq);
        Ok(())
    }
}
