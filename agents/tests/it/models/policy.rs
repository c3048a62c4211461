use impresario_agents::models::policy::{Factor, NOTHING, Policy, PolicyError, PolicyParams, RewardKind};
use impresario_runtime::store::codec;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const FEATURES: u16 = 3;

fn factor(name: &str, levels: usize) -> Factor {
    Factor { name: name.into(), levels: (0..levels).map(|level| level.to_string().into()).collect() }
}

/// Three templates by two channels by two hours.
fn params(reward: RewardKind) -> PolicyParams {
    let factors = vec![factor("template", 3), factor("channel", 2), factor("hour", 2)];
    let arms = (0..12).map(|arm| vec![arm / 4, arm / 2 % 2, arm % 2]).collect();
    PolicyParams { factors, arms, features: FEATURES, reward }
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn person(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..FEATURES).map(|_| rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0).collect()
}

fn chance(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

/// A policy that has met so many people, of whom the first feature tells which template they like.
fn taught(people: usize, seed: u64) -> Policy {
    let mut policy = Policy::new(params(RewardKind::Chance)).unwrap();
    let mut rng = rng(seed);
    let eligible: Vec<u16> = (0..=12).collect();
    for _ in 0..people {
        let features = person(&mut rng);
        let choice = policy.decide(&features, &eligible, 0.005, &mut rng).unwrap();
        let liked = if features[0] > 0.0 { 1..=4 } else { 5..=8 };
        let likelihood = if liked.contains(&choice.chosen) { 0.4 } else { 0.1 };
        let reward = if chance(&mut rng) < likelihood { 1.0 } else { 0.0 };
        policy.learn(&features, choice.chosen, reward).unwrap();
    }
    policy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn likelihoods_are_a_distribution_over_the_eligible_with_a_floor(
        seed in any::<u64>(), people in 0_usize..200, floor in 0.0_f64..0.2,
        eligible in proptest::collection::vec(0_u16..=12, 1..20),
    ) {
        let policy = taught(people, seed);
        let mut rng = rng(seed ^ 1);
        let features = person(&mut rng);
        let choice = policy.decide(&features, &eligible, floor, &mut rng).unwrap();
        let sum: f64 = choice.candidates.iter().map(|(_, likelihood)| f64::from(*likelihood)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "together {sum}");
        let mut each = eligible.clone();
        each.sort_unstable();
        each.dedup();
        prop_assert_eq!(choice.candidates.iter().map(|(arm, _)| *arm).collect::<Vec<_>>(), each.clone());
        let least = floor.min(1.0 / each.len() as f64) - 1e-7;
        prop_assert!(choice.candidates.iter().all(|(_, likelihood)| f64::from(*likelihood) >= least));
        prop_assert!(choice.candidates.contains(&(choice.chosen, choice.propensity)));
        prop_assert_eq!(policy.likelihoods(&features, &eligible, floor).unwrap(), choice.candidates);
    }

    #[test]
    fn a_policy_read_back_decides_and_learns_alike(seed in any::<u64>(), people in 0_usize..150) {
        let mut policy = taught(people, seed);
        let bytes = codec::encode(1, &policy).unwrap();
        let mut again: Policy = codec::decode(1, &bytes).unwrap();
        let eligible: Vec<u16> = (0..=12).collect();
        let (mut left, mut right) = (rng(seed), rng(seed));
        for _ in 0..60 {
            prop_assert_eq!(policy.hash(), again.hash());
            let (features, same) = (person(&mut left), person(&mut right));
            let choice = policy.decide(&features, &eligible, 0.01, &mut left).unwrap();
            prop_assert_eq!(&choice, &again.decide(&same, &eligible, 0.01, &mut right).unwrap());
            policy.learn(&features, choice.chosen, 1.0).unwrap();
            again.learn(&same, choice.chosen, 1.0).unwrap();
        }
    }
}

/// The stated likelihoods are those of the draws: 40,000 draws, each share within 4.5 standard errors.
#[test]
fn arms_are_drawn_as_often_as_stated() {
    const DRAWS: u32 = 40_000;
    let policy = taught(300, 5);
    let mut rng = rng(6);
    let features = person(&mut rng);
    let eligible: Vec<u16> = (0..=12).collect();
    let stated = policy.likelihoods(&features, &eligible, 0.01).unwrap();
    let mut drawn = [0_u32; 13];
    for _ in 0..DRAWS {
        drawn[usize::from(policy.decide(&features, &eligible, 0.01, &mut rng).unwrap().chosen)] += 1;
    }
    for (arm, likelihood) in stated {
        let likelihood = f64::from(likelihood);
        let share = f64::from(drawn[usize::from(arm)]) / f64::from(DRAWS);
        let error = (likelihood * (1.0 - likelihood) / f64::from(DRAWS)).sqrt();
        assert!((share - likelihood).abs() < 4.5 * error, "arm {arm}: stated {likelihood}, drawn {share}");
    }
}

#[test]
fn a_persons_features_tell_which_arm_is_theirs() {
    let policy = taught(4_000, 11);
    let eligible: Vec<u16> = (0..=12).collect();
    let share_of = |features: &[f32], arms: std::ops::RangeInclusive<u16>| -> f32 {
        let likelihoods = policy.likelihoods(features, &eligible, 0.0).unwrap();
        likelihoods.iter().filter(|(arm, _)| arms.contains(arm)).map(|(_, likelihood)| likelihood).sum()
    };
    assert!(share_of(&[0.9, 0.0, 0.0], 1..=4) > 0.8);
    assert!(share_of(&[-0.9, 0.0, 0.0], 5..=8) > 0.8);
}

/// Money: an arm that pays 3 on average is told from one that pays 2, amid a spread of 4.
#[test]
fn amounts_are_learned_in_their_own_unit() {
    let mut policy = Policy::new(params(RewardKind::Amount { scale: 3.0 })).unwrap();
    let mut rng = rng(3);
    for round in 0..4_000_u16 {
        let (features, arm) = (person(&mut rng), round % 13);
        let mean = if arm == 7 { 3.0 } else { 2.0 };
        let spread = chance(&mut rng) * 14.0 - 7.0;
        policy.learn(&features, arm, (mean + spread) as f32).unwrap();
    }
    let (best, other) = (policy.posterior(7).unwrap(), policy.posterior(2).unwrap());
    assert!(best.mean > other.mean + 0.3, "{best:?} {other:?}");
    assert!((best.mean - 3.0).abs() < 4.0 * best.sd, "{best:?}");
    assert!((other.mean - 2.0).abs() < 4.0 * other.sd, "{other:?}");
}

#[test]
fn chance_decides_evenly_and_what_is_wrong_is_refused() {
    let mut policy = taught(100, 2);
    let mut rng = rng(1);
    let even = policy.evenly(&[0.0; 3], &[NOTHING, 3, 9, 12], &mut rng).unwrap();
    assert!(even.candidates.iter().all(|(_, likelihood)| *likelihood == 0.25), "{even:?}");
    assert_eq!(policy.evenly(&[0.0; 3], &[], &mut rng), Err(PolicyError::NoArm));
    assert_eq!(policy.evenly(&[0.0; 3], &[13], &mut rng), Err(PolicyError::Arm(13)));
    assert_eq!(policy.evenly(&[0.0; 2], &[1], &mut rng), Err(PolicyError::Features { found: 2, wanted: 3 }));
    assert_eq!(policy.learn(&[0.0, f32::NAN, 0.0], 1, 1.0), Err(PolicyError::Feature));
    assert_eq!(policy.learn(&[0.0; 3], 1, f32::INFINITY), Err(PolicyError::Reward));
    let mut wrong = params(RewardKind::Chance);
    wrong.arms[4][1] = 2;
    assert_eq!(Policy::new(wrong).err(), Some(PolicyError::Level(5)));
}
