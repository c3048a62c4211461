//! `impresario evaluate ltv`: planning for the long run against the best there is.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::Args;
use impresario_agents::models::{
    longrun::{LongRun, LongRunError, LongRunParams, Prospect, World},
    trial::ltv::{self, Came, Market},
};
use serde::Serialize;

use super::table::Table;
use crate::cli::{CommandError, output::Output};

/// Whoever is still subscribed has this column at 1.
const SUBSCRIBED: &str = "sub";
/// How far the probabilities of one step may be from 1 together.
const SUM_TOLERANCE: f64 = 1e-6;

/// The arguments of `evaluate ltv`.
#[derive(Args, Clone, Debug)]
pub struct LtvArgs {
    /// A directory with `states.csv`, `P.csv`, `R.csv` and `start.csv`, each plain or .gz
    #[arg(long, value_name = "DIR")]
    pub env: PathBuf,
    /// Customers of one cohort
    #[arg(long, default_value_t = 5_000)]
    pub people: usize,
    /// Weeks of one cohort
    #[arg(long, default_value_t = 104)]
    pub weeks: u32,
    /// Cohorts met before the warm one
    #[arg(long, default_value_t = 5)]
    pub cohorts: u32,
    /// What a reward one week later is worth
    #[arg(long, default_value_t = 0.98)]
    pub discount: f64,
    /// Runs, each with its own chance; the means are shown
    #[arg(long, default_value_t = 3)]
    pub runs: u64,
    /// The first run's seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What a reward strays from the expected one by, as a standard deviation
    #[arg(long, default_value_t = 0.0)]
    pub reward_noise: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    env: String,
    people: usize,
    weeks: u32,
    runs: u64,
    reward_noise: f64,
    /// What the best plan comes to in so many weeks.
    optimum: f64,
    optimum_still_subscribed: f64,
    /// The same for ever.
    optimum_for_ever: f64,
    cold: Share,
    warm: Share,
}

#[derive(Debug, Default, Serialize)]
struct Share {
    share_of_optimum: f64,
    /// What these weeks came to, against what the best plan comes to for ever.
    share_of_optimum_for_ever: f64,
    still_subscribed: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, weeks, runs, optimum, cold, warm, .. } = self;
        writeln!(f, "{people} customers, {weeks} weeks, mean of {runs} runs; the best plan comes to {optimum:.2}")?;
        for (name, share) in [("cold", cold), ("warm", warm)] {
            let Share { share_of_optimum, share_of_optimum_for_ever, still_subscribed } = share;
            writeln!(
                f,
                "{name}: {share_of_optimum:.3} of that ({share_of_optimum_for_ever:.3} of its value for ever), \
                 {still_subscribed:.3} still subscribed"
            )?;
        }
        write!(f, "the best plan keeps {:.3} subscribed", self.optimum_still_subscribed)
    }
}

impl From<LongRunError> for CommandError {
    fn from(error: LongRunError) -> Self {
        Self::Usage(error.to_string())
    }
}

pub(super) fn run(args: &LtvArgs, output: &Output) -> Result<(), CommandError> {
    let sizes = (1..=1_000_000).contains(&args.people) && (1..=10_000).contains(&args.weeks) && args.runs > 0;
    if !(args.reward_noise.is_finite() && args.reward_noise >= 0.0) {
        return Err(CommandError::Usage("a standard deviation is a number from 0".into()));
    }
    if !sizes || args.cohorts > 1_000 {
        let what = "there are 1 to 1,000,000 people, 1 to 10,000 weeks, at most 1,000 cohorts and a run";
        return Err(CommandError::Usage(what.into()));
    }
    let mut market = read(&args.env, args.discount)?;
    market.reward_noise = args.reward_noise;
    let optimum = ltv::optimum(&market, args.weeks);
    let values = market.world.plan(&[]).values;
    let for_ever: f64 = market.start.iter().zip(&values).map(|(share, value)| share * value).sum();
    let (mut cold, mut warm) = (Share::default(), Share::default());
    for run in 0..args.runs {
        let mut learner = LongRun::new(market.params.clone())?;
        for cohort in 0..=args.cohorts {
            let seed = args.seed.wrapping_add(run * 1_001 + u64::from(cohort));
            let came = ltv::meet(&market, &mut learner, args.people, args.weeks, seed)?;
            if cohort == 0 {
                cold.add(came, optimum.value, for_ever, args.runs);
            }
            if cohort == args.cohorts {
                warm.add(came, optimum.value, for_ever, args.runs);
            }
        }
    }
    output.answer(&Report {
        env: args.env.display().to_string(),
        people: args.people,
        weeks: args.weeks,
        runs: args.runs,
        reward_noise: args.reward_noise,
        optimum: optimum.value,
        optimum_still_subscribed: optimum.still_subscribed,
        optimum_for_ever: for_ever,
        cold,
        warm,
    });
    Ok(())
}

impl Share {
    fn add(&mut self, came: Came, optimum: f64, for_ever: f64, runs: u64) {
        self.share_of_optimum += came.value / optimum / runs as f64;
        self.share_of_optimum_for_ever += came.value / for_ever / runs as f64;
        self.still_subscribed += came.still_subscribed / runs as f64;
    }
}

fn read(directory: &Path, discount: f64) -> Result<Market, CommandError> {
    let states = Table::read_either(directory, "states.csv", true)?;
    // The first column is the state's number, the last its value under the best plan, which nobody may look at.
    let factors: Vec<usize> =
        (0..states.columns.len()).filter(|place| !matches!(states.columns[*place].as_str(), "s" | "V")).collect();
    let subscribed_column = states.column(SUBSCRIBED)?;
    let count = states.rows.len();
    let mut levels = Vec::with_capacity(count);
    let mut subscribed = Vec::with_capacity(count);
    for row in 0..count {
        let each = factors.iter().map(|column| states.number(row, *column, "a whole number from 0", |_: &u16| true));
        levels.push(each.collect::<Result<Vec<u16>, _>>()?);
        subscribed.push(states.number(row, subscribed_column, "0 or 1", |value: &u16| *value < 2)? == 1);
    }
    let rewards = Table::read_either(directory, "R.csv", true)?;
    let actions = rewards.columns.len().saturating_sub(1);
    let mut steps: Vec<Vec<Option<Prospect>>> = vec![vec![None; actions]; count];
    read_steps(directory, &mut steps)?;
    let state_column = rewards.column("s")?;
    let reward_columns: Vec<usize> = (0..rewards.columns.len()).filter(|place| *place != state_column).collect();
    for row in 0..rewards.rows.len() {
        let state: usize = rewards.number(row, state_column, "a state", |state| *state < count)?;
        for (action, column) in reward_columns.iter().enumerate() {
            let reward: f64 = rewards.number(row, *column, "a number", |reward: &f64| reward.is_finite())?;
            if let Some(Some(prospect)) = steps[state].get_mut(action) {
                prospect.reward = reward;
            }
        }
    }
    let start_table = Table::read_either(directory, "start.csv", false)?;
    let each = (0..start_table.rows.len())
        .map(|row| start_table.number(row, 0, "a probability", |share: &f64| (0.0..=1.0).contains(share)));
    let start = each.collect::<Result<Vec<f64>, _>>()?;
    if start.len() != count || (start.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE {
        return Err(CommandError::Usage(format!(
            "{}: start.csv has a probability for each of the {count} states, together 1",
            directory.display()
        )));
    }
    let allowed = steps.iter().map(|steps| steps.iter().map(Option::is_some).collect()).collect();
    let params = LongRunParams { states: levels, allowed, discount };
    Ok(Market { world: World { steps, discount }, params, start, subscribed, reward_noise: 0.0 })
}

/// Reads what can happen; an action without a line in a state can't be taken there.
fn read_steps(directory: &Path, steps: &mut [Vec<Option<Prospect>>]) -> Result<(), CommandError> {
    let table = Table::read_either(directory, "P.csv", true)?;
    let [action_at, from_at, to_at, chance_at] =
        [table.column("a")?, table.column("s")?, table.column("s2")?, table.column("p")?];
    let count = steps.len();
    let actions = steps.first().map_or(0, Vec::len);
    for row in 0..table.rows.len() {
        let action: usize = table.number(row, action_at, "an action", |action| *action < actions)?;
        let from: usize = table.number(row, from_at, "a state", |state| *state < count)?;
        let to: u32 = table.number(row, to_at, "a state", |state| (*state as usize) < count)?;
        let chance = table.number(row, chance_at, "a probability", |chance: &f64| (0.0..=1.0).contains(chance))?;
        steps[from][action].get_or_insert_default().next.push((to, chance));
    }
    for (from, steps) in steps.iter().enumerate() {
        for (action, step) in steps.iter().enumerate() {
            let Some(step) = step else { continue };
            let sum: f64 = step.next.iter().map(|(_, chance)| chance).sum();
            if (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(CommandError::Usage(format!(
                    "{}: in P.csv the probabilities of action {action} in state {from} come to {sum}, not 1",
                    directory.display()
                )));
            }
        }
        if steps.iter().all(Option::is_none) {
            return Err(CommandError::Usage(format!("{}: P.csv has no action in state {from}", directory.display())));
        }
    }
    Ok(())
}
