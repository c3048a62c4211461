//! The runner itself: what it finds must be findable, and what it breaks must break.

use impresario_scenarios::{Crash, EngineChoice, RunOptions, Scenario, run};

fn parse(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn head(people: &str) -> String {
    format!("scenario: tried\nstart: 2026-05-04T08:00:00+02:00[Europe/Warsaw]\nseed: 1\npeople:\n{people}")
}

#[test]
fn each_kind_of_expectation_can_fail_and_says_how() {
    let text = head("  anna: { id: anna, email: anna@example.test }\n  bob: { id: bob }\n")
        + "
segments:
  buyers: { condition: { event: { name: Order Completed, op: \">=\", value: 1 } } }
timeline:
  - at: 09:00
    events:
      - { who: anna, identify: { plan: pro } }
      - { who: anna, track: Order Completed, properties: { total: 10, currency: EUR } }
  - at: 10:00
    expect:
      - segment: { name: buyers, has: [anna, bob], has_not: anna, size: 7 }
      - profile: { who: anna, traits: { plan: free }, features: { orders: 2, value.EUR: 9.5, last_order_at: 08:30 } }
      - profile: { who: bob, traits: { plan: free } }
      - profile: { who: anna, same_as: bob }
      - state: { agent: profiles, who: bob, is: null }
      - state: { agent: profiles, who: bob, is: { b: 1 } }
      - state: { agent: nobody, key: x, is: 1 }
      - state: { agent: segment-sizes, key: buyers, is: { entered: 7 } }
      - dead_letters: 3
      - profiles: 2
";
    let outcome = run(&parse(&text), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(outcome.failures.join("\n"), @r#"
    2026-05-04 10:00:00 CEST: line 17: bob is not in segment `buyers`, which has anna
    2026-05-04 10:00:00 CEST: line 17: anna is in segment `buyers`, which has anna
    2026-05-04 10:00:00 CEST: line 17: segment `buyers` has 1 members, not 7: anna
    2026-05-04 10:00:00 CEST: line 18: anna's trait `plan` is "pro", not "free"
    2026-05-04 10:00:00 CEST: line 18: anna's `orders` is 1, not 2
    2026-05-04 10:00:00 CEST: line 18: anna's `value.EUR` is 10.00, not 9.50
    2026-05-04 10:00:00 CEST: line 18: anna's `last_order_at` is 2026-05-04 09:00:00 CEST, not 2026-05-04 08:30:00 CEST
    2026-05-04 10:00:00 CEST: line 19: nobody knows bob yet
    2026-05-04 10:00:00 CEST: line 20: anna and bob are two people, not one
    2026-05-04 10:00:00 CEST: line 22: `profiles` keeps null for bob, not {"b":1}
    2026-05-04 10:00:00 CEST: line 23: there is no agent `nobody`
    2026-05-04 10:00:00 CEST: line 24: `segment-sizes` keeps {"backfill":{"fills":true,"next":{},"sweep":{"done":[0,1],"up_to":{},"workers":2},"version":1},"changed_at_ms":1777878000000,"days":{"20577":{"entered":1,"left":0,"size":1}},"entered":1,"left":0,"size":1} for `buyers`, not {"entered":7}
    2026-05-04 10:00:00 CEST: line 25: 0 entries were set aside, not 3
    2026-05-04 10:00:00 CEST: line 26: there are 1 profiles, not 2
    "#);
}

#[test]
fn a_crash_at_any_commit_kills_the_process_once_and_not_more() {
    let scenario = super::scenario("shared-device");
    let calm = run(&scenario, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    for (after_commit, unsynced_lost) in
        [(1, true), (calm.metrics.commits / 2, true), (calm.metrics.commits / 2, false)]
    {
        let crash = Some(Crash { after_commit, unsynced_lost, clock_goes_on: false });
        let outcome = run(&scenario, &RunOptions { crash, ..RunOptions::default() });
        let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(outcome.metrics.deaths, 1, "after commit {after_commit}");
        assert_eq!(outcome.state, calm.state, "after commit {after_commit}");
        assert_eq!(outcome.trace, calm.trace, "after commit {after_commit}");
    }
}

#[test]
fn on_sled_a_killed_process_loses_what_in_memory_it_loses() {
    let scenario = super::scenario("killed-with-unsynced-writes-lost");
    let memory = run(&scenario, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let directory = tempfile::tempdir().expect("a directory");
    let engine = EngineChoice::Sled(directory.path().join("data"));
    let sled = run(&scenario, &RunOptions { engine, ..RunOptions::default() });
    let sled = sled.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(memory.metrics.deaths, 3);
    assert_eq!((sled.digest, sled.trace), (memory.digest, memory.trace));
}

#[test]
fn faults_change_the_order_of_events_but_not_the_people() {
    let scenario = super::scenario("late-and-reordered-events");
    let with = run(&scenario, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let without = RunOptions { faults: false, ..RunOptions::default() };
    let without = run(&scenario, &without).unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(with.trace, without.trace);
    assert_ne!(with.digest, without.digest);
    assert!(with.failures.is_empty(), "{:?}", with.failures);
}

#[test]
fn an_agent_that_breaks_for_ever_costs_one_entry_and_nobody_else() {
    let scenario = super::scenario("agents-break");
    let broken = run(&scenario, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((broken.metrics.dead_letters, broken.metrics.events_kept), (1, 7));
    let whole = run(&scenario, &RunOptions { faults: false, ..RunOptions::default() });
    let whole = whole.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(whole.metrics.dead_letters, 0);
    assert_ne!(whole.failures, broken.failures, "bob's poisoned order counts when nothing breaks");
}

#[test]
fn a_fault_that_meets_nothing_is_a_failure() {
    let text = head("  anna: { id: anna }\n")
        + "
timeline:
  - { at: 09:00, events: [ { who: anna, track: Visited } ], expect: [ profiles: 1 ] }
faults:
  duplicates: { share: 0% }
  reordered: { within: 0s }
  kills: [ { after_commit: 9999 } ]
";
    let outcome = run(&parse(&text), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.failures.len(), 3, "{:?}", outcome.failures);
    assert!(outcome.failures.iter().all(|failure| failure.contains("fault: ")), "{:?}", outcome.failures);
}

#[test]
fn a_seed_makes_a_population_and_another_seed_another_one() {
    let people = |seed: u64| {
        let text = head(&format!(
            "  shoppers: {{ population: {{ count: 3, seed: {seed}, habits: [ {{ track: Order Completed, every: 1d }} ] }} }}\n"
        )) + "timeline:\n  - { at: day 9 08:00, expect: [ profiles: 3 ] }\n";
        let outcome = run(&parse(&text), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        outcome.digest
    };
    assert_eq!(people(1), people(1));
    assert_ne!(people(1), people(2));
}
