//! Effects and jobs under the driver: after they are durable, answered once, given up visibly.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use impresario_runtime::{
    Agent, AgentError, Driver, Effect, EffectError, EffectFailed, Event, Job, JobPast, On, Routes, Step, Topic, Troupe,
    store::MemoryEngine,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::support::*;

macro_rules! topics {
    ($($name:ident($text:literal)),*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $name(pub(crate) u32);

        impl Topic for $name {
            const NAME: &'static str = $text;
        }
    )*};
}

topics!(Order("order"), Send("send"), Sent("sent"), Count("count"), Counted("counted"), Ghost("ghost"));

impl Effect for Send {
    type Outcome = Sent;
}

impl Effect for Ghost {
    type Outcome = Sent;
}

impl Job for Count {
    type Outcome = Counted;

    fn run(self, past: &JobPast) -> Result<Counted, EffectError> {
        let mut orders = 0;
        past.each::<Order>(|_, _, _| orders += 1)?;
        Ok(Counted(orders))
    }
}

/// Sends for every order; counts orders where the number is even; asks nobody at 99.
pub(crate) struct Seller;

impl Agent for Seller {
    const NAME: &'static str = "seller";
    type Key = ();
    type State = Vec<u32>;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<Order>(|_| ());
        routes.on::<Sent>(|_| ());
    }
}

impl On<Order> for Seller {
    fn on(&self, _: &mut Vec<u32>, event: &Event<'_, Order>, step: &mut Step<'_>) -> Result<(), AgentError> {
        match event.0 {
            99 => step.effect(&Ghost(99)),
            number => step.effect(&Send(number)),
        }
        if event.0.is_multiple_of(2) {
            step.offload(&Count(event.0));
        }
        Ok(())
    }
}

impl On<Sent> for Seller {
    fn on(&self, sent: &mut Vec<u32>, event: &Event<'_, Sent>, _: &mut Step<'_>) -> Result<(), AgentError> {
        sent.push(event.0);
        Ok(())
    }
}

#[test]
fn effects_are_performed_answered_once_and_name_their_cause() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let troupe = Troupe::new().agent(Seller).job::<Count>().effect(move |send: Send, call| {
        assert_eq!(call.attempt, counted.fetch_add(1, Ordering::Relaxed) + 1);
        async move {
            match call.attempt {
                1 | 2 => Err(EffectError::Retry { why: "later".into(), after_ms: None }),
                _ => Ok(Sent(send.0)),
            }
        }
    });
    let mut driver = driver(troupe);
    let order = driver.say(Order(4)).unwrap();
    driver.settle().unwrap();
    let sent = all::<Sent>(driver.journal());
    assert_eq!(sent.iter().map(|(_, cause, _, body)| (*cause, body.0)).collect::<Vec<_>>(), [(order.first, 4)]);
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    assert_eq!(bodies::<Counted>(driver.journal()), [Counted(1)], "a job sees the journal up to the entry that asked");
    assert!(driver.journal().pending_effects().unwrap().is_empty());
    driver.settle().unwrap();
    assert_eq!(bodies::<Sent>(driver.journal()).len(), 1);
}

#[test]
fn what_cannot_be_done_is_given_up_visibly() {
    let troupe = Troupe::new().agent(Seller).job::<Count>().effect(|send: Send, _| async move {
        match send.0 {
            1 => Err(EffectError::Fail("no such address".into())),
            3 => Err(EffectError::Retry { why: "never there".into(), after_ms: None }),
            _ => panic!("the provider's library broke"),
        }
    });
    let mut driver = driver(troupe);
    for number in [1, 3, 5, 99] {
        driver.say(Order(number)).unwrap();
    }
    driver.settle().unwrap();
    let failed = bodies::<EffectFailed>(driver.journal());
    let found: Vec<_> =
        failed.iter().map(|failed| (failed.effect.as_str(), failed.why.as_str(), failed.attempts)).collect();
    assert_eq!(
        found,
        [
            ("send", "no such address", 1),
            ("send", "never there", 8),
            ("send", "panicked: the provider's library broke", 1),
            ("ghost", "nobody performs it", 0)
        ]
    );
    assert!(driver.journal().pending_effects().unwrap().is_empty());
}

#[test]
fn an_effect_is_performed_only_once_a_power_cut_could_not_undo_it() {
    let engine = Arc::new(MemoryEngine::new());
    let (seen, disk) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&engine));
    let pending = Arc::clone(&seen);
    let troupe = Troupe::new().agent(Seller).effect(move |send: Send, _| {
        let journal = open(Arc::new(disk.fork()));
        pending.lock().push((send.0, journal.pending_effects().unwrap().len(), bodies::<Order>(&journal).len()));
        async move { Ok(Sent(send.0)) }
    });
    let mut driver = Driver::start(open(engine), troupe, SEED, 0).unwrap();
    driver.say(Order(1)).unwrap();
    driver.settle().unwrap();
    assert_eq!(*seen.lock(), [(1, 1, 1)], "after a power cut in the midst of it, it is still in the outbox");
}

#[test]
fn an_effect_pending_at_a_crash_is_performed_after_it_under_the_same_id() {
    let engine = Arc::new(MemoryEngine::new());
    let ids = Arc::new(Mutex::new(Vec::new()));
    let troupe = |ids: &Arc<Mutex<Vec<String>>>| {
        let ids = Arc::clone(ids);
        Troupe::new().agent(Seller).effect(move |send: Send, call| {
            ids.lock().push(call.id.to_string());
            async move { Ok(Sent(send.0)) }
        })
    };
    let filmed = Arc::new(Filmed::new(engine.snapshot(), MemoryEngine::fork));
    let mut driver = Driver::start(open(Arc::<Filmed>::clone(&filmed)), troupe(&ids), SEED, 0).unwrap();
    driver.say(Order(1)).unwrap();
    driver.settle().unwrap();
    let mut images = std::mem::take(&mut *filmed.images.lock());
    let image = images.pop().expect("the commit of the answer, before it is synced");
    let mut driver = Driver::start(open(Arc::new(image)), troupe(&ids), SEED, 0).unwrap();
    assert!(bodies::<Sent>(driver.journal()).is_empty(), "the answer was lost");
    driver.settle().unwrap();
    assert_eq!(bodies::<Sent>(driver.journal()), [Sent(1)]);
    let ids = ids.lock();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "the provider knows it by its id");
}
