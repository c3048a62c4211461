//! Limits: of a step, and of how far writing may lag.

use std::sync::Arc;

use impresario_runtime::{Driver, RuntimeLimits, Troupe, store::*};

use crate::{
    support::*,
    toys::{Claimed, Deposit, Deposited, Graph, Ledger},
};

fn deposits(journal: &Journal, count: u32, accounts: u64) -> Commit {
    let mut commit = Commit::new(OUTSIDE);
    for note in 0..count {
        let deposit = Deposit { account: u64::from(note) % accounts, amount: 1, note };
        commit.entries.extend(said(journal, deposit).entries);
    }
    commit
}

fn ledger(limits: RuntimeLimits) -> (Arc<MemoryEngine>, Driver) {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(Arc::<MemoryEngine>::clone(&engine));
    let driver = Driver::start(journal, Troupe::new().agent(Ledger).agent(Graph).limits(limits), SEED, 0).unwrap();
    (engine, driver)
}

fn rows(driver: &Driver) -> usize {
    let (journal, worker) = (driver.journal(), driver.journal().name("ledger/0").unwrap());
    let mut page = journal.page(worker, &[]).unwrap();
    let mut count = 0;
    while let Some(here) = page {
        count += here.rows().unwrap().len();
        page = journal.page_after(worker, &here.low).unwrap();
    }
    count
}

fn mark(driver: &Driver) -> Option<Seq> {
    driver.journal().mark(driver.journal().name("ledger/0").unwrap()).unwrap().map(|mark| mark.floor)
}

fn unwritten(driver: &Driver) -> u64 {
    driver.status()[0].workers[0].unwritten
}

#[test]
fn a_step_folds_and_says_no_more_than_it_may() {
    for (limits, per_step) in [
        (RuntimeLimits { step_entries_max: 10, ..RuntimeLimits::default() }, 10),
        (RuntimeLimits { step_outputs_max: 4, ..RuntimeLimits::default() }, 4),
    ] {
        let filmed = Arc::new(Filmed::new(MemoryEngine::new(), MemoryEngine::snapshot));
        let troupe = Troupe::new().agent(Ledger).limits(limits);
        let mut driver = Driver::start(open(Arc::<Filmed>::clone(&filmed)), troupe, SEED, 0).unwrap();
        driver.submit(deposits(driver.journal(), 100, 5)).unwrap();
        filmed.images.lock().clear();
        driver.settle().unwrap();
        let said = filmed.images.lock().iter().map(|image| open(Arc::new(image.snapshot())).head()).collect::<Vec<_>>();
        let most = said.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert_eq!((most, bodies::<Deposited>(driver.journal()).len()), (per_step, 100));
    }
}

#[test]
fn changed_keys_are_written_by_their_number() {
    let (_, mut driver) =
        ledger(RuntimeLimits { unwritten_keys_max: 20, write_keys_max: 5, ..RuntimeLimits::default() });
    driver.submit(deposits(driver.journal(), 19, 19)).unwrap();
    driver.settle().unwrap();
    assert_eq!((rows(&driver), unwritten(&driver)), (0, 19));
    driver.submit(deposits(driver.journal(), 24, 24)).unwrap();
    driver.settle().unwrap();
    assert_eq!((rows(&driver), unwritten(&driver)), (24, 0), "neighbours go together");
    assert!(mark(&driver) >= Some(43), "all of what came from outside is written");
}

#[test]
fn a_round_goes_page_by_page_and_a_crash_in_its_middle_loses_nothing() {
    let limits = RuntimeLimits { unwritten_keys_max: 4_000, write_keys_max: 1, ..RuntimeLimits::default() };
    let (engine, mut driver) = ledger(limits);
    for round in 0..4 {
        driver.submit(deposits(driver.journal(), 5_000, 5_000)).unwrap();
        driver.settle().unwrap();
        let (written, mut floor) = (rows(&driver), mark(&driver));
        assert!(round > 0 || (1..5_000).contains(&written), "{written} rows with the first steps");
        for note in 0..400 {
            driver.say(Deposit { account: note * 13 % 5_003, amount: 1, note: 10_000 + note as u32 }).unwrap();
            driver.settle().unwrap();
            assert!(mark(&driver) >= floor, "the floor never goes back");
            floor = mark(&driver);
        }
        assert!(rows(&driver) >= 4_000 && floor > Some(0), "{} rows, {floor:?}", rows(&driver));
        let digest = driver.states_digest().unwrap();
        let image = open(Arc::new(engine.snapshot()));
        let mut again = Driver::start(image, Troupe::new().agent(Ledger).agent(Graph), SEED, 0).unwrap();
        assert_eq!(again.states_digest().unwrap(), digest, "round {round}");
    }
}

#[test]
fn a_refold_is_never_longer_than_the_lag_that_writing_may_have() {
    let limits = RuntimeLimits {
        unwritten_entries_max: 100,
        unwritten_ms_max: i64::MAX,
        write_keys_max: 1,
        step_entries_max: 8,
        ..RuntimeLimits::default()
    };
    let (engine, mut driver) = ledger(limits);
    for _ in 0..20 {
        driver.submit(deposits(driver.journal(), 60, 1_000)).unwrap();
        driver.settle().unwrap();
        let refold = driver.journal().head() - mark(&driver).unwrap_or_default();
        assert!(refold <= 100 + 2 * 60, "{refold} entries would be folded again");
    }
    let digest = driver.states_digest().unwrap();
    let troupe = driver.abandon();
    let mut driver = Driver::start(open(Arc::new(engine.snapshot())), troupe, SEED, 0).unwrap();
    driver.settle().unwrap();
    assert_eq!(driver.states_digest().unwrap(), digest);
}

#[test]
fn an_idle_agent_writes_next_to_nothing_and_folds_next_to_nothing_again() {
    let limits = RuntimeLimits { unwritten_entries_max: 1_000, ..RuntimeLimits::default() };
    let (engine, mut driver) = ledger(limits);
    let filmed = Arc::new(Filmed::new(engine.snapshot(), |_| MemoryEngine::new()));
    let troupe = driver.stop().unwrap();
    driver = Driver::start(open(Arc::<Filmed>::clone(&filmed)), troupe, SEED, 0).unwrap();
    let before = filmed.images.lock().len();
    for claim in 0..5_000 {
        driver.say(Claimed { node: 1, owner: 1, claim }).unwrap();
        driver.settle().unwrap();
    }
    let written = filmed.images.lock().len() - before - 5_000;
    assert!(written <= 12, "{written} commits of two agents that folded nothing");
    let image = filmed.snapshot();
    let driver = Driver::start(open(Arc::new(image)), driver.abandon(), SEED, 0).unwrap();
    for status in driver.status() {
        let worker = &status.workers[0];
        assert!(worker.refolded <= 1_001 && worker.cursor >= 3_990, "{worker:?}");
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_fold_again() {
    let (engine, mut driver) = ledger(RuntimeLimits::default());
    driver.submit(deposits(driver.journal(), 50, 7)).unwrap();
    driver.settle().unwrap();
    let digest = driver.digest().unwrap();
    let troupe = driver.stop().unwrap();
    let mut driver = Driver::start(open(Arc::new(engine.fork())), troupe, SEED, 0).unwrap();
    assert!(driver.status().iter().all(|status| status.workers.iter().all(|worker| worker.refolded == 0)));
    assert_eq!(driver.digest().unwrap(), digest);
}

#[test]
fn keys_are_forgotten_from_memory_and_read_back() {
    let (_, mut driver) = ledger(tiny());
    driver.submit(deposits(driver.journal(), 500, 50)).unwrap();
    driver.settle().unwrap();
    driver.advance_to(5_000).unwrap();
    driver.submit(deposits(driver.journal(), 50, 50)).unwrap();
    driver.settle().unwrap();
    assert!(driver.status()[0].workers[0].keys < 20, "{:?}", driver.status()[0].workers[0]);
    assert_eq!(driver.key_texts("ledger", 0, None, 100).unwrap().len(), 50);
    for account in 0..50_u64 {
        let found = driver.read::<Ledger, _>(&account, |reading| reading.get(&account).unwrap().cloned()).unwrap();
        assert_eq!(found.unwrap().balance, 11, "account {account}");
    }
}

#[test]
fn keys_come_in_pages_from_memory_and_store_together() {
    let (_, mut driver) =
        ledger(RuntimeLimits { unwritten_keys_max: 10, write_keys_max: 3, ..RuntimeLimits::default() });
    driver.submit(deposits(driver.journal(), 36, 36)).unwrap();
    driver.settle().unwrap();
    for account in 36..40 {
        driver.say(Deposit { account, amount: 1, note: 100 + account as u32 }).unwrap();
    }
    driver.settle().unwrap();
    assert_eq!((rows(&driver), unwritten(&driver)), (36, 4));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = driver.key_texts("ledger", 0, after.as_deref(), 7).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page);
    }
    assert_eq!(found, (0..40).map(|key| key.to_string()).collect::<Vec<_>>());
}
