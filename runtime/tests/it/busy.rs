//! More than the journal takes in.

use std::{sync::Arc, time::Duration};

use impresario_runtime::{Host, RuntimeError, Troupe, WallClock, store::*};

use crate::{
    host::{LONG, Orderly, say},
    support::*,
    toys::*,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_busy() {
    let engine = Arc::new(Gated::default());
    let journal =
        Journal::open(Arc::<Gated>::clone(&engine), JournalLimits { queue_commits_max: 2, ..JournalLimits::default() });
    let host = Host::start(journal.unwrap(), Troupe::new().agent(Orderly), SEED, Arc::new(WallClock), 2).unwrap();
    let host = Arc::new(host);
    say(&host, Deposit { account: 1, amount: 1, note: 0 }).await;
    // The worker is at home, so that it makes no name while the engine is shut.
    host.settled(LONG).await.unwrap();
    engine.shut(true);
    let mut waiting = Vec::new();
    let busy = loop {
        let mut submitted = Box::pin(host.submit(said(host.journal(), Deposit { account: 1, amount: 1, note: 1 })));
        match tokio::time::timeout(Duration::from_millis(1), &mut submitted).await {
            Ok(outcome) => break outcome.unwrap_err(),
            Err(_) => waiting.push(submitted),
        }
        assert!(waiting.len() < 100, "never busy");
    };
    assert!(matches!(busy, RuntimeError::Store(StoreError::Busy)), "{busy}");
    engine.shut(false);
    for submitted in waiting {
        submitted.await.unwrap();
    }
    host.settled(LONG).await.unwrap();
}
