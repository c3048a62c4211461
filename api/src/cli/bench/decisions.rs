//! `impresario bench decisions`: how fast the campaigns' policy decides.

use std::fmt;

use clap::Args;
use impresario_agents::models::policy::{Factor, Policy, PolicyError, PolicyParams, RewardKind};
use impresario_runtime::{rng, store::codec};
use serde::Serialize;

use crate::{
    bench::{Watch, percentile},
    cli::{CommandError, output::Output},
};

/// Templates, hours and channels: 384 arms.
const LEVELS: [u16; 3] = [12, 8, 4];
const FEATURES: u16 = 30;
/// Different people.
const PEOPLE: usize = 1_000;

/// The arguments of `bench decisions`.
#[derive(Args, Clone, Debug)]
pub struct DecisionsArgs {
    /// Decisions measured
    #[arg(long, default_value_t = 200_000)]
    pub decisions: u64,
    /// Rewards learned from before
    #[arg(long, default_value_t = 5_000)]
    pub rewards: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    /// On one core, likelihoods of all arms included.
    decisions_per_s: f64,
    decision_us_p50: u64,
    decision_us_p99: u64,
    /// Milliseconds.
    p99: f64,
    /// Learning from one reward, new draws included.
    learn_us_mean: f64,
    learn_us_p99: u64,
    arms: usize,
    features: u16,
    decisions: u64,
    /// The policy as it is kept.
    state_bytes: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arms, features, .. } = self;
        writeln!(f, "{:.0} decisions/s on one core ({arms} arms, {features} features)", self.decisions_per_s)?;
        writeln!(f, "decided after {} us (p50), {} us (p99)", self.decision_us_p50, self.decision_us_p99)?;
        writeln!(f, "learned in {:.0} us (mean), {} us (p99)", self.learn_us_mean, self.learn_us_p99)?;
        write!(f, "{} bytes of state", self.state_bytes)
    }
}

pub(super) fn run(args: &DecisionsArgs, output: &Output) -> Result<(), CommandError> {
    if !(1..=100_000_000).contains(&args.decisions) || args.rewards > 10_000_000 {
        return Err(CommandError::Usage("there are 1 to 100,000,000 decisions and at most 10,000,000 rewards".into()));
    }
    output.answer(&measure(args)?);
    Ok(())
}

fn measure(args: &DecisionsArgs) -> Result<Report, PolicyError> {
    let [templates, hours, channels] = LEVELS;
    let factor = |name: &str, levels: u16| Factor {
        name: name.into(),
        levels: (0..levels).map(|level| level.to_string().into()).collect(),
    };
    let count = templates * hours * channels;
    let mut policy = Policy::new(PolicyParams {
        factors: vec![factor("template", templates), factor("hour", hours), factor("channel", channels)],
        arms: (0..count).map(|arm| vec![arm / (hours * channels), arm / channels % hours, arm % channels]).collect(),
        features: FEATURES,
        reward: RewardKind::Chance,
    })?;
    let eligible: Vec<u16> = (0..=count).collect();
    let mut rng = rng::stream(&[7; 32], "bench", &[], 0);
    let people: Vec<Vec<f32>> = (0..PEOPLE)
        .map(|person| {
            (0..FEATURES)
                .map(|feature| ((person * 37 + usize::from(feature) * 101) % 199) as f32 / 99.5 - 1.0)
                .collect()
        })
        .collect();
    let mut learned = Vec::with_capacity(args.rewards as usize);
    for (number, person) in (0..args.rewards).zip(people.iter().cycle()) {
        let arm = policy.decide(person, &eligible, 0.0005, &mut rng)?.chosen;
        let reward = if (number * 7 + u64::from(arm)) % 19 == 0 { 1.0 } else { 0.0 };
        let watch = Watch::start();
        policy.learn(person, arm, reward)?;
        learned.push(watch.micros());
    }
    let mut each = Vec::with_capacity(args.decisions as usize);
    let whole = Watch::start();
    for (_, person) in (0..args.decisions).zip(people.iter().cycle()) {
        let watch = Watch::start();
        std::hint::black_box(policy.decide(person, &eligible, 0.0005, &mut rng)?);
        each.push(watch.micros());
    }
    let seconds = whole.passed().as_secs_f64();
    let p99 = percentile(&mut each, 99);
    Ok(Report {
        decisions_per_s: args.decisions as f64 / seconds,
        decision_us_p50: percentile(&mut each, 50),
        decision_us_p99: p99,
        p99: p99 as f64 / 1_000.0,
        learn_us_mean: learned.iter().sum::<u64>() as f64 / learned.len().max(1) as f64,
        learn_us_p99: percentile(&mut learned, 99),
        arms: eligible.len(),
        features: FEATURES,
        decisions: args.decisions,
        state_bytes: codec::encode(1, &policy).map_or(0, |bytes| bytes.len()),
    })
}
