//! Accounts: the companies, households or teams that `group` calls name, with what is said of them and who
//! belongs to them.

use impresario_runtime::{
    Agent, AgentError, AgentKey, Checkpoint, Event, Keys, OnMany, Routes, Step, SubjectId, Topic, store::Seq,
};
use serde::{Deserialize, Serialize};

use super::{
    fold::usable_trait,
    json,
    newest::{LastWrites, SOURCE_MAX, Write},
    oddity::Oddities,
};
use crate::vocabulary::{Millis, ProfileId, Stamp, Tracked};

/// Longest id of an account, in bytes.
pub const ACCOUNT_ID_MAX: usize = 128;
/// What is kept said of one account, that last written.
const TRAITS_MAX: usize = 100;
/// Members listed of one account; more are passed over.
pub(super) const MEMBERS_MAX: u32 = 100_000;

/// An event names an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountNamed {
    /// The node the event is filed under.
    pub node: ProfileId,
    /// The place of the [`Tracked`] entry.
    pub event: Seq,
}

impl Topic for AccountNamed {
    const NAME: &'static str = "account.named";

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node.into())
    }
}

/// The agent that keeps accounts.
///
/// Its keys are the accounts' ids, and behind each those of its members: the id, a NUL, and the node.
pub struct Accounts;

/// An account, or one's membership of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What is said of it, by the last who said it.
    #[serde(rename = "t", skip_serializing_if = "LastWrites::is_empty")]
    pub traits: LastWrites<TRAITS_MAX>,
    /// When the first and the last event named it.
    #[serde(rename = "s")]
    pub seen: Option<(Millis, Millis)>,
    /// User ids and devices that belong to it.
    #[serde(rename = "m")]
    pub members: u32,
}

impl Account {
    fn see(&mut self, at_ms: Millis) {
        let (first, last) = self.seen.unwrap_or((at_ms, at_ms));
        self.seen = Some((first.min(at_ms), last.max(at_ms)));
    }
}

/// The key of a node's membership.
pub fn member_key(account: &str, node: ProfileId) -> String {
    format!("{account}\0{node}")
}

/// The node of a membership's key; none where it is an account's.
pub fn member_of_key(key: &str) -> Option<ProfileId> {
    key.split_once('\0').and_then(|(_, node)| node.parse().ok())
}

impl Agent for Accounts {
    const NAME: &'static str = "accounts";
    type Key = String;
    type State = Account;
    // Whether a member is new is for the account to count.
    const CHECKPOINT: Checkpoint = Checkpoint::Whole;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<AccountNamed>();
    }
}

impl OnMany<AccountNamed> for Accounts {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, AccountNamed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let tracked = step.entry_if_kept::<Tracked>(event.event)?;
        let Some(tracked) = tracked.as_ref().map(impresario_runtime::Held::body).transpose()? else { return Ok(()) };
        let id = tracked.group_id.as_deref().unwrap_or_default().to_owned();
        if id.is_empty() || id.len() > ACCOUNT_ID_MAX || id.contains(char::is_control) {
            // The member's profile has counted it as one that can't be used.
            return Ok(());
        }
        let member = member_key(&id, event.node);
        let known = keys.get(&member)?.is_some();
        let full = keys.get(&id)?.is_some_and(|account| account.members >= MEMBERS_MAX);
        let is_new = !known && !full;
        if known || is_new {
            keys.change(&member, |member| {
                member.see(tracked.at_ms);
                Ok(())
            })?;
        }
        keys.change(&id, |account| {
            account.members = account.members.saturating_add(u32::from(is_new));
            account.see(tracked.at_ms);
            let source = json::cut(&tracked.source, SOURCE_MAX);
            json::each_field(tracked.properties.as_str(), |name, value| {
                if let Some(value) = usable_trait(name, value, &mut Oddities::default()) {
                    let stamp = Stamp::of(tracked);
                    account.traits.set(Write { name: name.into(), value, stamp, source: source.into() });
                    account.traits.take_surplus();
                }
            });
            Ok(())
        })?;
        Ok(())
    }
}

/// The first bytes after an account and all its members.
pub fn after_account(id: &str) -> Vec<u8> {
    let mut bytes = id.to_owned().encode();
    bytes.push(1);
    bytes
}
