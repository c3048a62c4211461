//! What is kept of one person.

use std::collections::{BTreeSet, VecDeque};

use impresario_runtime::store::{Seq, TimerKey};
use serde::{Deserialize, Serialize};

use super::{history::Letters, spend::Spend};
use crate::{
    gate::{Circumstances, Contacted, Ledger},
    parting::OfPerson,
    vocabulary::{Contact, Group, MessageId, MessageRequested, Millis},
};

/// Messages that wait for one person.
pub(super) const PENDING_MAX: usize = 100;
/// Ids remembered, so that a message asked for twice is one.
const IDS_MAX: usize = 2_000;
/// Dead push tokens remembered.
const DEAD_MAX: usize = 50;

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// What was asked for.
    pub request: MessageRequested,
    /// The plan it rides on, where it comes of a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Seq>,
    /// As [`MessageSent::arm`](crate::vocabulary::MessageSent::arm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arm: Option<(Group, u16)>,
    /// After this instant it is given up.
    pub until_ms: Millis,
    /// The timer that wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timer: Option<TimerKey>,
    /// Held until sending is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// `profiles` has been asked what to fill it in with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) asked: bool,
    /// Taken back by whoever had asked for it while its channel had it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) withdrawn: Option<Box<str>>,
    /// What its campaign has set aside for it, where no decision has.
    #[serde(default, skip_serializing_if = "Spend::is_not_asked")]
    pub spend: Spend,
    /// How often its channel gave it back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub returned: u16,
}

fn is_zero(times: &u16) -> bool {
    *times == 0
}

impl Pending {
    pub(super) fn new(request: MessageRequested, plan: Option<Seq>, until_ms: Millis) -> Self {
        let (timer, stopped, asked, withdrawn, returned) = (None, false, false, None, 0);
        Self { request, plan, arm: None, until_ms, timer, stopped, asked, withdrawn, spend: Spend::NotAsked, returned }
    }
}

/// One person, as the messaging agent knows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Correspondent {
    /// How they may be reached; none where it was never told.
    pub contact: Option<Contact>,
    /// What they have agreed to and refused.
    #[serde(skip_serializing_if = "Ledger::is_empty")]
    pub ledger: Ledger,
    /// What was sent to persuade them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Contacted>,
    /// What waits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// What was given to a channel that has not answered yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) leaving: Vec<Pending>,
    /// Campaigns that something was sent for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) reached: BTreeSet<Box<str>>,
    /// What became of the newest messages.
    pub letters: Letters,
    /// Ids of messages that were asked for.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub(super) ids: VecDeque<MessageId>,
    /// Why marketing is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<Box<str>>,
    /// Push tokens that are unknown to their provider, hashed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) dead: BTreeSet<u64>,
    /// The decision by which they were last parted; 0 for never.
    pub(super) decided: Seq,
}

impl Correspondent {
    /// What the gate looks at.
    pub fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            contact: self.contact.as_ref(),
            ledger: &self.ledger,
            sent: &self.sent,
            held_back: self.held_back.as_deref(),
            dead: &self.dead,
        }
    }

    /// Whether a message is asked for the first time.
    pub(super) fn is_new(&mut self, id: MessageId) -> bool {
        if self.ids.contains(&id) {
            return false;
        }
        self.ids.push_back(id);
        while self.ids.len() > IDS_MAX {
            self.ids.pop_front();
        }
        true
    }

    /// Notes what a channel was given, so that it can be tried anew where the channel gives it back.
    pub(super) fn leaves(&mut self, pending: Pending) {
        self.leaving.push(Pending { timer: None, asked: false, stopped: false, ..pending });
        // An answer that never comes (its effect was given up) must not be waited for for ever.
        let surplus = self.leaving.len().saturating_sub(PENDING_MAX);
        self.leaving.drain(..surplus);
    }

    pub(super) fn bury(&mut self, token: u64) {
        if self.dead.len() < DEAD_MAX {
            self.dead.insert(token);
        }
    }
}

impl OfPerson for Correspondent {
    fn decided(&mut self) -> &mut Seq {
        &mut self.decided
    }

    /// What was sent was sent, and what was refused other than by the profile stays refused; how they may be
    /// reached is told again. What waits stays with whoever keeps the profile.
    fn begin_again(self) -> Self {
        Self { contact: None, ledger: self.ledger.of_itself(), ..self }
    }
}
