use impresario_agents::models::{
    policy::{Factor, Policy, PolicyParams, RewardKind},
    trial::{
        bandit::{self, Player, Table},
        replay::{Log, Row},
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

fn factor(name: &str, levels: usize) -> Factor {
    Factor { name: name.into(), levels: (0..levels).map(|level| level.to_string().into()).collect() }
}

/// Six contents by four hours; the first content, at the last hour, is best.
fn table() -> Table {
    let arms: Vec<Vec<u16>> = (0..24).map(|arm| vec![arm / 4, arm % 4]).collect();
    let chance = |arm: &Vec<u16>| 0.05 + 0.06 * f64::from(5 - arm[0]) / 5.0 + 0.03 * f64::from(arm[1]) / 3.0;
    let chances = vec![arms.iter().map(chance).collect()];
    Table { factors: vec![factor("content", 6), factor("hour", 4)], arms, from: vec![0], chances }
}

#[test]
fn the_policy_regrets_less_than_its_rivals() {
    let rounds = 10_000;
    let regret = |player| bandit::play(&table(), player, rounds, &[rounds], 0.0, 4).unwrap()[0];
    let own = regret(Player::Policy);
    for rival in [Player::Uniform, Player::AbThenCommit, Player::EpsilonGreedy, Player::Ucb1, Player::BetaThompson] {
        assert!(own < regret(rival), "{}: {} against {own}", rival.name(), regret(rival));
    }
}

#[test]
fn a_change_is_found_and_none_where_there_is_none() {
    let Table { factors, arms, chances, .. } = table();
    let params = PolicyParams { factors, arms, features: 0, reward: RewardKind::Chance };
    let changes = |turned: bool| {
        let mut policy = Policy::new(params.clone()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let eligible: Vec<u16> = (1..=24).collect();
        for round in 0..16_000 {
            let chosen = policy.decide(&[], &eligible, 0.0, &mut rng).unwrap().chosen;
            let arm = usize::from(chosen) - 1;
            // Turned round: the best content has become the worst.
            let arm_then = if turned && round >= 8_000 { 23 - arm } else { arm };
            let drawn = f64::from(rng.next_u32()) / f64::from(u32::MAX);
            policy.learn(&[], chosen, if drawn < chances[0][arm_then] { 1.0 } else { 0.0 }).unwrap();
        }
        policy.changes()
    };
    assert_eq!(changes(false), 0);
    assert!((1..=3).contains(&changes(true)), "{}", changes(true));
}

/// A log of two actions, of which one is better for everybody.
#[test]
fn a_replay_finds_the_better_action_and_its_value() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut chance = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
    let rows = (0..6_000).map(|_| {
        let action = u16::from(chance() < 0.5);
        let likelihood = if action == 1 { 0.3 } else { 0.1 };
        let reward = if chance() < likelihood { 1.0 } else { 0.0 };
        Row { features: vec![chance() as f32], action, propensity: 0.5, reward }
    });
    let log = Log { actions: vec!["no".into(), "yes".into()], rows: rows.collect() };
    let (played, policy) = log.replay_policy(0.0, 1).unwrap();
    assert!(played.mean > 0.25 && played.rows > 2_000, "{played:?}");
    let value = log.value(&policy).unwrap();
    assert!((value.value - 0.3).abs() < 3.0 * value.margin && value.margin < 0.05, "{value:?}");
    assert!((log.fixed()[0].value - 0.1).abs() < 0.03);
}
