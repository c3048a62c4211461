//! Journeys under any order of what comes in, twice and late.

use std::collections::BTreeMap;

use impresario_runtime::store::Journal;
use proptest::prelude::*;
use std::sync::Arc;

use super::*;

/// What may come in.
#[derive(Clone, Copy, Debug)]
enum Act {
    Begin,
    Decide(bool),
    Sent(u8),
    Refused(u8),
    Receipt(u8, bool),
    /// An order that happened so many hours ago.
    Order(u8),
    /// Hours pass.
    Pass(u8),
    /// The process is started again.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Begin),
        any::<bool>().prop_map(Act::Decide),
        (0_u8..4).prop_map(Act::Sent),
        (0_u8..4).prop_map(Act::Refused),
        (0_u8..4, any::<bool>()).prop_map(|(which, machine)| Act::Receipt(which, machine)),
        (0_u8..12).prop_map(Act::Order),
        (1_u8..30).prop_map(Act::Pass),
        Just(Act::Restart),
    ]
}

/// A message that was asked for, by its number among all; the decision's own is the last resort.
fn message(driver: &Driver, which: u8) -> (MessageId, Channel) {
    let asked = said::<MessageRequested>(driver);
    let found = asked.get(usize::from(which)).map(|asked| (asked.id, asked.channel));
    found.unwrap_or((MessageId::of_decision(decision()), Channel::Sms))
}

/// Each word that was said with its topic, and what came of the runs.
type Played = (Vec<(String, String)>, Vec<Outcome>);

/// Plays; then the laws hold.
fn play(acts: &[Act], workers: usize) -> Result<Played, TestCaseError> {
    let journal: Arc<Journal> = journal();
    let mut driver = driver(&journal, stage(workers));
    define(&mut driver, "hot-lead", seed_story());
    let mut now_ms = START;
    for (number, act) in acts.iter().enumerate() {
        match *act {
            Act::Begin => begin(&mut driver, "hot-lead"),
            Act::Decide(arm) => decide(&mut driver, arm),
            Act::Sent(which) => {
                let (id, channel) = message(&driver, which);
                sent(&mut driver, id, channel);
            }
            Act::Refused(which) => {
                let (id, channel) = message(&driver, which);
                refused(&mut driver, id, channel);
            }
            Act::Receipt(which, machine) => {
                let (id, _) = message(&driver, which);
                receipt(&mut driver, id, ReceiptKind::Clicked, machine);
            }
            Act::Order(ago) => order(&mut driver, number as u32, now_ms - i64::from(ago) * HOUR),
            Act::Pass(hours) => {
                now_ms += i64::from(hours) * HOUR;
                driver.advance_to(now_ms).unwrap();
            }
            Act::Restart => {
                drop(driver);
                driver = Driver::start(Arc::clone(&journal), stage(workers), [7; 32], now_ms).unwrap();
                driver.settle().unwrap();
            }
        }
    }
    let (moved, ended) = (said::<JourneyMoved>(&driver), said::<JourneyEnded>(&driver));
    let definition: Journey = serde_json::from_value(seed_story()).unwrap();
    let place = |id: &str| definition.steps.iter().position(|step| &*step.id == id);
    let mut at: BTreeMap<u64, Option<usize>> = BTreeMap::new();
    for step in &moved {
        let before = at.insert(step.run, place(&step.to)).flatten();
        prop_assert!(before < place(&step.to), "a run has gone back, or come to a step twice: {:?}", moved);
    }
    let mut runs: Vec<_> = ended.iter().map(|ended| ended.run).collect();
    runs.sort_unstable();
    runs.dedup();
    prop_assert_eq!(runs.len(), ended.len(), "a run has ended twice");
    let asked = said::<MessageRequested>(&driver);
    let mut ids: Vec<_> = asked.iter().map(|asked| asked.id).collect();
    ids.sort_unstable();
    ids.dedup();
    prop_assert_eq!(ids.len(), asked.len(), "a message was asked for twice");
    let kept = kept(&mut driver);
    prop_assert!(kept.runs.len() <= 1, "nobody is in a journey twice");
    prop_assert!(kept.runs.iter().all(|run| run.until_ms.is_some()), "a run waits for nothing");
    let count = counted(&mut driver, "hot-lead");
    prop_assert_eq!(count.running, kept.runs.len() as u64);
    let reached: u64 = count.versions.values().flat_map(|version| version.reached.values()).sum();
    prop_assert_eq!(reached, moved.len() as u64, "counts are what the journal says");
    Ok((way(&driver), outcomes(&driver)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_branch_is_ever_taken_twice(acts in proptest::collection::vec(act(), 1..40), workers in 1_usize..3) {
        let played = play(&acts, workers)?;
        let calm: Vec<Act> = acts.iter().copied().filter(|act| !matches!(act, Act::Restart)).collect();
        prop_assert_eq!(played, play(&calm, workers)?, "a restart has changed something");
    }
}
