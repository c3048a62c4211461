//! The toy agents of these tests: accounts, who watches them, and nodes that become each other.

use std::collections::BTreeMap;

use impresario_runtime::{
    Agent, AgentError, Checkpoint, Event, Keys, On, OnMany, OnShared, Routes, Shared, Step, Topic, Troupe,
    store::{TimerKey, partition_of},
};
use serde::{Deserialize, Serialize};

pub(crate) fn partition(key: u64) -> u16 {
    partition_of(&key.to_be_bytes())
}

macro_rules! topic {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* } = $text:literal of $key:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $name { $(pub(crate) $field: $kind),* }

        impl Topic for $name {
            const NAME: &'static str = $text;

            fn partition(&self) -> Option<u16> {
                let key: fn(&Self) -> Option<u64> = $key;
                key(self).map(partition)
            }
        }
    };
}

topic!(/** Money came in, or went out. */ Deposit { account: u64, amount: i64, note: u32 } = "deposit" of |t| Some(t.account));
topic!(/** An account says what it took in. */ Deposited { account: u64, note: u32, amount: i64 } = "deposited" of |t| Some(t.account));
topic!(/** A reminder, by a timer; the next one follows it. */ Reminder { account: u64, left: u32 } = "reminder" of |t| Some(t.account));
topic!(/** One account is another. */ Joined { loser: u64, winner: u64 } = "joined" of |t| Some(t.loser));
topic!(/** Everything counts by this from now on. */ RateSet { rate: i64 } = "rate.set" of |_| None);
topic!(/** A node belongs to an owner. */ Claimed { node: u64, owner: u64, claim: u32 } = "claimed" of |t| Some(t.node));
topic!(/** Two places are connected. */ Linked { one: u64, other: u64 } = "linked" of |_| Some(0));

/// Takes deposits, reminds three times after a big one, and can be merged.
pub(crate) struct Ledger;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    /// Every deposit's note, sorted.
    pub(crate) notes: Vec<u32>,
    /// The instants of reminders.
    pub(crate) reminded_ms: Vec<i64>,
    pub(crate) timer: Option<TimerKey>,
}

impl Agent for Ledger {
    const NAME: &'static str = "ledger";
    type Key = u64;
    type State = Account;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Deposit>(|deposit| deposit.account);
        routes.on::<Reminder>(|reminder| reminder.account);
        routes.merges::<Joined>(|joined| (joined.loser, joined.winner));
    }

    fn merge(&self, winner: &mut Account, loser: Account, step: &mut Step<'_>) -> Result<(), AgentError> {
        winner.balance += loser.balance;
        winner.notes.extend(loser.notes);
        winner.notes.sort_unstable();
        winner.reminded_ms.extend(loser.reminded_ms);
        winner.reminded_ms.sort_unstable();
        if let Some(timer) = loser.timer {
            step.cancel(timer);
        }
        Ok(())
    }
}

impl On<Deposit> for Ledger {
    fn on(&self, account: &mut Account, event: &Event<'_, Deposit>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if event.amount == 0 {
            step.unchanged();
            return Ok(());
        }
        account.balance += event.amount;
        account.notes.push(event.note);
        account.notes.sort_unstable();
        step.publish(Deposited { account: event.account, note: event.note, amount: event.amount });
        if let Some(timer) = account.timer.take() {
            step.cancel(timer);
        }
        if event.amount > 50 {
            let reminder = Reminder { account: event.account, left: 2 };
            account.timer = Some(step.schedule(step.now_ms() + 1_000, &reminder));
        }
        Ok(())
    }
}

impl On<Reminder> for Ledger {
    fn on(&self, account: &mut Account, event: &Event<'_, Reminder>, step: &mut Step<'_>) -> Result<(), AgentError> {
        account.reminded_ms.push(step.now_ms());
        account.timer = None;
        if event.left > 0 {
            let next = Reminder { account: event.account, left: event.left - 1 };
            account.timer = Some(step.schedule(step.now_ms() + 1_000, &next));
        }
        Ok(())
    }
}

/// Counts how often each note was said: never more than once.
pub(crate) struct Watcher;

impl Agent for Watcher {
    const NAME: &'static str = "watcher";
    type Key = u64;
    type State = BTreeMap<u32, u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Deposited>(|deposited| deposited.account);
        routes.merges::<Joined>(|joined| (joined.loser, joined.winner));
    }

    fn merge(&self, winner: &mut Self::State, loser: Self::State, _: &mut Step<'_>) -> Result<(), AgentError> {
        for (note, count) in loser {
            *winner.entry(note).or_default() += count;
        }
        Ok(())
    }
}

impl On<Deposited> for Watcher {
    fn on(&self, seen: &mut Self::State, event: &Event<'_, Deposited>, _: &mut Step<'_>) -> Result<(), AgentError> {
        *seen.entry(event.note).or_default() += 1;
        Ok(())
    }
}

/// Counts deposits at the rate of their time.
pub(crate) struct Rates;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) rate: i64,
    pub(crate) changes: u32,
}

impl Shared for Rate {}

impl Agent for Rates {
    const NAME: &'static str = "rates";
    type Key = u64;
    type State = i64;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Deposit>(|deposit| deposit.account);
        routes.on_shared::<RateSet>();
    }
}

impl On<Deposit> for Rates {
    fn on(&self, sum: &mut i64, event: &Event<'_, Deposit>, step: &mut Step<'_>) -> Result<(), AgentError> {
        *sum += event.amount * step.shared::<Rate>()?.rate;
        Ok(())
    }
}

impl OnShared<RateSet> for Rates {
    type Shared = Rate;

    fn on_shared(&self, rate: &mut Rate, event: &Event<'_, RateSet>, _: &mut Step<'_>) -> Result<(), AgentError> {
        rate.rate = event.rate;
        rate.changes += 1;
        Ok(())
    }
}

/// Nodes that are handed over to the lower one, claim by claim, as identities are.
pub(crate) struct Nodes;

impl Agent for Nodes {
    const NAME: &'static str = "nodes";
    type Key = u64;
    type State = Vec<u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Claimed>();
    }

    fn merge(&self, winner: &mut Vec<u32>, loser: Vec<u32>, _: &mut Step<'_>) -> Result<(), AgentError> {
        winner.extend(loser);
        winner.sort_unstable();
        Ok(())
    }
}

impl OnMany<Claimed> for Nodes {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, Claimed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Claimed { mut node, owner, claim } = *event.body;
        while let Some(next) = keys.moved_to(&node)? {
            if !keys.owns(&next) {
                step.publish(Claimed { node: next, owner, claim });
                return Ok(());
            }
            node = next;
        }
        // Twice the same key in one entry: both times it is this entry's.
        keys.change(&node, |claims| {
            claims.push(claim);
            Ok(())
        })?;
        keys.change(&node, |claims| {
            claims.push(claim + 500_000);
            claims.sort_unstable();
            Ok(())
        })?;
        if owner < node {
            keys.hand_over(&node, &owner, step)?;
        } else if node < owner {
            step.publish(Claimed { node: owner, owner: node, claim: claim + 1_000_000 });
        }
        Ok(())
    }
}

/// Groups of connected places; looks at several keys to decide.
pub(crate) struct Graph;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) parent: Option<u64>,
    pub(crate) size: u32,
}

impl Agent for Graph {
    const NAME: &'static str = "graph";
    type Key = u64;
    type State = Place;
    const CHECKPOINT: Checkpoint = Checkpoint::Whole;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Linked>();
    }
}

impl OnMany<Linked> for Graph {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, Linked>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let one = root(keys, event.one)?;
        let other = root(keys, event.other)?;
        let size =
            |keys: &mut Keys<'_, Self>, key| Ok::<_, AgentError>(keys.get(&key)?.map_or(0, |place| place.size).max(1));
        let (one_size, other_size) = (size(keys, one)?, size(keys, other)?);
        if one == other {
            return Ok(());
        }
        let (winner, loser) = if one_size >= other_size { (one, other) } else { (other, one) };
        keys.change(&winner, |place| {
            place.size = one_size + other_size;
            Ok(())
        })?;
        keys.change(&loser, |place| {
            place.parent = Some(winner);
            Ok(())
        })?;
        Ok(())
    }
}

fn root(keys: &mut Keys<'_, Graph>, mut key: u64) -> Result<u64, AgentError> {
    while let Some(parent) = keys.get(&key)?.and_then(|place| place.parent) {
        key = parent;
    }
    Ok(key)
}

/// All of them, with `workers` workers where keys are independent.
pub(crate) fn troupe(workers: usize) -> Troupe {
    Troupe::new()
        .agent_with_workers(Ledger, workers)
        .agent_with_workers(Watcher, workers)
        .agent_with_workers(Rates, workers)
        .agent_with_workers(Nodes, workers)
        .agent(Graph)
}
