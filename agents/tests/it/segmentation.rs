//! Segmentation against a naive evaluator over the raw events.

mod crash;
mod hostile;
mod play;
mod random;

use proptest::prelude::*;

use self::{crash::crashes, play::Play, random::script};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn membership_is_what_the_raw_events_say(script in script()) {
        let mut play = Play::new(&script);
        for action in &script.actions {
            play.act(action);
            play.compare();
        }
        play.compare_previews();
        play.check_instants();
    }

    #[test]
    fn a_crash_changes_nothing(script in script(), crashes in crashes()) {
        crash::compare(&script, &crashes);
    }
}

/// How many scripts are played; more by `PROPTEST_CASES`.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
