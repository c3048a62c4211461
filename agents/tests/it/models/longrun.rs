use impresario_agents::models::{
    longrun::{LongRun, LongRunError, LongRunParams, Plan, Prospect, World},
    trial::ltv::{self, Market},
};
use impresario_runtime::store::codec;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

fn step(reward: f64, next: &[(u32, f64)]) -> Option<Prospect> {
    Some(Prospect { reward, next: next.to_vec() })
}

/// Rested (0), tired (1), gone (2): writing to the tired drives them away.
fn market() -> Market {
    let steps = vec![
        vec![step(0.1, &[(0, 1.0)]), step(0.5, &[(1, 1.0)])],
        vec![step(0.1, &[(0, 0.9), (1, 0.1)]), step(0.4, &[(1, 0.6), (2, 0.4)])],
        vec![step(0.0, &[(2, 1.0)]), None],
    ];
    let params = LongRunParams {
        states: vec![vec![0, 0], vec![0, 1], vec![1, 0]],
        allowed: vec![vec![true, true], vec![true, true], vec![true, false]],
        discount: 0.95,
    };
    let world = World { steps, discount: 0.95 };
    Market { world, params, start: vec![1.0, 0.0, 0.0], subscribed: vec![true, true, false], reward_noise: 0.0 }
}

/// The values solve the two equations of the plan "write to the rested, let the tired rest".
#[test]
fn a_plan_is_worth_what_its_equations_say() {
    let Plan { actions, values, worth } = market().world.plan(&[]);
    assert_eq!(actions, [1, 0, 0]);
    let rested = values[0];
    let tired = (0.1 + 0.95 * 0.9 * rested) / (1.0 - 0.95 * 0.1);
    assert!((values[1] - tired).abs() < 1e-3, "{values:?}");
    assert!((rested - (0.5 + 0.95 * tired)).abs() < 1e-3, "{values:?}");
    assert_eq!(worth[2][1], None);
}

#[test]
fn a_cohort_is_met_nearly_as_well_as_can_be_and_the_same_way_again() {
    let market = market();
    let optimum = ltv::optimum(&market, 40);
    let meet = || {
        let mut learner = LongRun::new(market.params.clone()).unwrap();
        let came = ltv::meet(&market, &mut learner, 400, 40, 3).unwrap();
        (came, learner)
    };
    let ((came, learner), (again, _)) = (meet(), meet());
    assert_eq!(came, again);
    assert!(came.value > 0.8 * optimum.value, "{came:?} of {optimum:?}");
    let bytes = codec::encode(1, &learner).unwrap();
    let read: LongRun = codec::decode(1, &bytes).unwrap();
    let drawn = |learner: &LongRun| learner.drawn(&mut ChaCha8Rng::seed_from_u64(5));
    assert_eq!(drawn(&learner), drawn(&read));
    for prospect in drawn(&learner).steps.iter().flatten().flatten() {
        let sum: f64 = prospect.next.iter().map(|(_, chance)| chance).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{prospect:?}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let LongRunParams { states, allowed, .. } = market().params;
    let params = |discount| LongRunParams { states: states.clone(), allowed: allowed.clone(), discount };
    assert_eq!(LongRun::new(params(1.0)).err(), Some(LongRunError::Discount));
    let twice = LongRunParams { states: vec![vec![0]; 3], ..params(0.9) };
    assert_eq!(LongRun::new(twice).err(), Some(LongRunError::Size));
    let mut learner = LongRun::new(params(0.9)).unwrap();
    assert_eq!(learner.learn(2, 1, 0.0, 2), Err(LongRunError::Step));
    assert_eq!(learner.learn(0, 0, f64::NAN, 0), Err(LongRunError::Step));
    assert_eq!(learner.learn(0, 0, 1.0, 3), Err(LongRunError::Step));
}
