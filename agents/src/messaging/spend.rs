//! What a message takes of its campaign's bounds, where it comes of none of the campaign's decisions: the campaign,
//! one state, is asked, so the bounds are exact. It is set aside once, and spent or given back once.

use impresario_runtime::{AgentError, Step, store::Seq};
use serde::{Deserialize, Serialize};

use super::{Correspondent, Pending, send};
use crate::{
    campaigns::{SpendAnswered, SpendAsked, SpendSettled},
    vocabulary::{MessageRequested, ProfileId, Reserved},
};

/// Campaigns remembered that something was sent for; of more, people are counted again.
const REACHED_MAX: usize = 300;

/// How a message stands to its campaign's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spend {
    /// Its campaign was not asked; there may be nothing to ask for.
    #[default]
    NotAsked,
    /// It is asked.
    Asked,
    /// It has set this aside, under the plan at that place.
    Reserved(Seq, Reserved),
}

impl Spend {
    pub(super) fn is_not_asked(&self) -> bool {
        *self == Self::NotAsked
    }
}

/// Whether a message may only go once its campaign has set aside what it takes: a decision has done so already.
pub(super) fn needs_asking(request: &MessageRequested) -> bool {
    request.campaign.is_some() && request.decision.is_none()
}

/// Asks a message's campaign.
pub(super) fn ask(profile: ProfileId, person: &mut Correspondent, pending: &Pending, step: &mut Step<'_>) {
    let MessageRequested { id, campaign: Some(campaign), channel, offer, .. } = pending.request.clone() else { return };
    if let Some(pending) = person.pending.iter_mut().find(|pending| pending.request.id == id) {
        (pending.spend, pending.stopped) = (Spend::Asked, false);
    }
    // Given up where no answer comes in its time.
    send::wake(profile, person, id, pending.until_ms.saturating_add(1), step);
    let reached_before = person.reached.contains(&campaign);
    step.publish(SpendAsked { message: id, campaign, profile, channel, offer, reached_before });
}

/// The campaign's answer.
pub(super) fn answered(
    profile: ProfileId,
    person: &mut Correspondent,
    word: &SpendAnswered,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let waits =
        |pending: &&mut Pending| pending.request.id == word.message && !matches!(pending.spend, Spend::Reserved(..));
    let pending = person.pending.iter_mut().find(waits);
    match (pending, &word.refused) {
        (Some(pending), None) => {
            pending.spend = Spend::Reserved(word.plan, word.reserved);
            send::attempt(profile, person, word.message, None, step)
        }
        (Some(pending), Some(by)) => {
            let pending = pending.clone();
            send::drop_pending(person, &pending, by.clone(), step)
        }
        // Withdrawn meanwhile, or asked for by two who have become one: it goes back.
        (None, None) => {
            let SpendAnswered { message, campaign, profile, plan, reserved, .. } = word.clone();
            step.publish(SpendSettled { message, campaign, profile, plan, sent: false, returned: false, reserved });
            Ok(())
        }
        (None, Some(_)) => {
            step.unchanged();
            Ok(())
        }
    }
}

/// What became of what was set aside for a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Sent { reached_before: bool },
    Returned,
    GivenBack,
}

/// Tells the campaign what became of what it has set aside.
pub(super) fn settle(pending: &mut Pending, what: Settled, step: &mut Step<'_>) {
    let (Spend::Reserved(plan, reserved), Some(campaign)) = (pending.spend, pending.request.campaign.clone()) else {
        return;
    };
    let (message, profile) = (pending.request.id, pending.request.profile);
    let (sent, returned) = (matches!(what, Settled::Sent { .. }), what == Settled::Returned);
    step.publish(SpendSettled { message, campaign: campaign.clone(), profile, plan, sent, returned, reserved });
    // Somebody once counted among a campaign's people stays counted; counted twice, they are counted once.
    let kept = Reserved { people: 0, ..reserved };
    let twice = Reserved { people: reserved.people, ..Reserved::default() };
    pending.spend = match what {
        Settled::Sent { reached_before: true } if reserved.people > 0 => {
            let reserved = twice;
            step.publish(SpendSettled { message, campaign, profile, plan, sent: false, returned, reserved });
            Spend::Reserved(plan, kept)
        }
        Settled::Sent { .. } => Spend::Reserved(plan, reserved),
        Settled::Returned => Spend::Reserved(plan, kept),
        Settled::GivenBack => Spend::NotAsked,
    };
}

/// Something of a campaign was sent to the person; whether something was before.
pub(super) fn reach(person: &mut Correspondent, campaign: Option<&str>) -> bool {
    let Some(campaign) = campaign else { return false };
    if person.reached.contains(campaign) {
        return true;
    }
    if person.reached.len() < REACHED_MAX {
        person.reached.insert(campaign.into());
    }
    false
}
