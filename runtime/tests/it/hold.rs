//! Agents that an operator holds: on record, and held in the next process too.

use std::sync::Arc;

use impresario_runtime::{AgentHeld, AgentResumed, Condition, RuntimeError, Topic, Troupe, each_entry, store::*};

use crate::{
    host::{LONG, Orderly, host, say, status},
    toys::*,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_stays_held_in_the_next_process_and_a_request_counts_once() {
    let engine = Arc::new(MemoryEngine::new());
    let first = host(Arc::<MemoryEngine>::clone(&engine), Troupe::new().agent(Orderly).agent(Ledger));
    let request = Some([7; 16]);
    first.pause("orderly", "key_1", request).await.unwrap();
    let head = first.journal().head();
    first.pause("orderly", "key_1", request).await.unwrap();
    assert_eq!(first.journal().head(), head, "the same request again says nothing more");
    first.stop(LONG).await.unwrap();
    drop(first);
    let second = host(Arc::<MemoryEngine>::clone(&engine), Troupe::new().agent(Orderly).agent(Ledger));
    let last = say(&second, Deposit { account: 1, amount: 1, note: 0 }).await.last;
    second.folded("ledger", last, LONG).await.unwrap();
    assert_eq!(status(&second, "orderly")[0].condition, Condition::Paused);
    assert_eq!(status(&second, "orderly")[0].folded, 0);
    second.resume("orderly", "key_2", None).await.unwrap();
    second.settled(LONG).await.unwrap();
    // The first request is of the past: it holds nobody any more.
    second.pause("orderly", "key_1", request).await.unwrap();
    say(&second, Deposit { account: 1, amount: 1, note: 1 }).await;
    second.settled(LONG).await.unwrap();
    second.stop(LONG).await.unwrap();
    let mut said = Vec::new();
    each_entry(second.journal(), 1, |entry| {
        let topic = second.journal().name_of(entry.topic);
        if topic == AgentHeld::NAME {
            said.push(entry.decode::<AgentHeld>(1).unwrap().by.clone());
        } else if topic == AgentResumed::NAME {
            said.push(entry.decode::<AgentResumed>(1).unwrap().by.clone());
        }
        Ok::<_, RuntimeError>(())
    })
    .unwrap();
    assert_eq!(said, ["key_1", "key_2"]);
}
