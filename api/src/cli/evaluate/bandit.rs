//! `impresario evaluate bandit`: regret by round on a table of arms.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::{Args, ValueEnum};
use impresario_agents::models::{
    policy::{Factor, PolicyError},
    trial::bandit::{self, Player},
};
use serde::Serialize;

use super::table::Table;
use crate::cli::{CommandError, output::Output, progress};

const MARKS: u64 = 10;
const ROUNDS_MAX: u64 = 100_000_000;

/// The arguments of `evaluate bandit`.
#[derive(Args, Clone, Debug)]
pub struct BanditArgs {
    /// The table: a column for each factor, then `p_from_0` and perhaps further `p_from_ROUND`; plain or .gz
    #[arg(long, value_name = "FILE")]
    pub env: PathBuf,
    /// Rounds of one run
    #[arg(long, default_value_t = 100_000)]
    pub rounds: u64,
    /// Runs, each with its own chance
    #[arg(long, default_value_t = 20)]
    pub runs: u64,
    /// The policy's exploration floor: the least likelihood of each arm
    #[arg(long, default_value_t = 0.0)]
    pub floor: f64,
    /// The first run's seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Who plays: `project` leaves the rivals out, which take longer than the policy
    #[arg(long, value_enum, default_value_t = Policies::All)]
    pub policies: Policies,
}

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policies {
    /// The project's policy and its rivals.
    All,
    /// The project's policy.
    Project,
}

#[derive(Debug, Serialize)]
struct Report {
    env: String,
    arms: usize,
    rounds: u64,
    runs: u64,
    floor: f64,
    /// The policy's mean regret after all rounds, and its standard error.
    regret_mean: f64,
    regret_error: f64,
    /// Mean regret after so many rounds, by player.
    regret: BTreeMap<&'static str, Vec<AtRound>>,
    /// The regret of each run, by player.
    by_run: BTreeMap<&'static str, Vec<f64>>,
}

#[derive(Debug, Serialize)]
struct AtRound {
    round: u64,
    regret: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "regret on {} ({} arms), mean of {} runs:", self.env, self.arms, self.runs)?;
        for (player, marks) in &self.regret {
            write!(f, "{player:<18}")?;
            for mark in marks {
                write!(f, " {:>7.0}", mark.regret)?;
            }
            writeln!(f)?;
        }
        write!(f, "policy: {:.0} +- {:.0} after {} rounds", self.regret_mean, self.regret_error, self.rounds)
    }
}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        Self::Usage(error.to_string())
    }
}

pub(super) fn run(args: &BanditArgs, output: &Output) -> Result<(), CommandError> {
    if !(MARKS..=ROUNDS_MAX).contains(&args.rounds) || !(1..=10_000).contains(&args.runs) {
        let what = format!("there are {MARKS} to {ROUNDS_MAX} rounds and 1 to 10000 runs");
        return Err(CommandError::Usage(what));
    }
    let table = read(&args.env)?;
    let players = match args.policies {
        Policies::All => &Player::ALL[..],
        Policies::Project => &[Player::Policy],
    };
    let marks: Vec<u64> = (1..=MARKS).map(|mark| mark * args.rounds / MARKS).collect();
    let done = Arc::new(AtomicU64::new(0));
    let mut by_run: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut sums: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    progress::shown(args.runs * players.len() as u64, &done, "playing", || {
        for run in 0..args.runs {
            for &player in players {
                let regret =
                    bandit::play(&table, player, args.rounds, &marks, args.floor, args.seed.wrapping_add(run))?;
                let last = regret.last().copied().unwrap_or_default();
                by_run.entry(player.name()).or_default().push(last);
                let sums = sums.entry(player.name()).or_insert_with(|| vec![0.0; marks.len()]);
                sums.iter_mut().zip(&regret).for_each(|(sum, regret)| *sum += regret);
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok::<(), CommandError>(())
    })?;
    let runs = args.runs as f64;
    let mean = |sums: &Vec<f64>| {
        let marks = marks.iter().zip(sums);
        marks.map(|(round, sum)| AtRound { round: *round, regret: sum / runs }).collect()
    };
    let own = by_run.get(Player::Policy.name()).cloned().unwrap_or_default();
    let regret_mean = own.iter().sum::<f64>() / runs;
    let variance = own.iter().map(|regret| (regret - regret_mean) * (regret - regret_mean)).sum::<f64>() / runs;
    output.answer(&Report {
        env: args.env.display().to_string(),
        arms: table.arms.len(),
        rounds: args.rounds,
        runs: args.runs,
        floor: args.floor,
        regret_mean,
        regret_error: (variance / runs).sqrt(),
        regret: sums.iter().map(|(player, sums)| (*player, mean(sums))).collect(),
        by_run,
    });
    Ok(())
}

/// Reads a table: columns `p_from_ROUND` are chances, all others are factors.
fn read(path: &Path) -> Result<bandit::Table, CommandError> {
    let table = Table::read(path, true)?;
    let mut factor_columns = Vec::new();
    let mut sets: Vec<(u64, usize)> = Vec::new();
    for (place, name) in table.columns.iter().enumerate() {
        match name.strip_prefix("p_from_") {
            Some(round) => {
                let round = round.parse().map_err(|_| {
                    CommandError::Usage(format!("{}, line 1: `{name}` does not end in a round", path.display()))
                })?;
                sets.push((round, place));
            }
            None => factor_columns.push(place),
        }
    }
    sets.sort_unstable();
    if sets.first().is_none_or(|(round, _)| *round != 0) || factor_columns.is_empty() {
        let what = format!("{}, line 1: there is a column `p_from_0` and one of a factor", path.display());
        return Err(CommandError::Usage(what));
    }
    let mut factors: Vec<Factor> = factor_columns
        .iter()
        .map(|column| Factor { name: table.columns[*column].as_str().into(), levels: Vec::new() })
        .collect();
    let mut arms = Vec::with_capacity(table.rows.len());
    let mut chances = vec![Vec::with_capacity(table.rows.len()); sets.len()];
    for row in 0..table.rows.len() {
        let numbers = factor_columns.iter().zip(&mut factors).map(|(column, factor)| {
            let text = table.text(row, *column);
            let place = factor.levels.iter().position(|level| **level == *text).unwrap_or_else(|| {
                factor.levels.push(text.into());
                factor.levels.len() - 1
            });
            u16::try_from(place).map_err(|_| table.wrong(row, *column, "too many levels"))
        });
        arms.push(numbers.collect::<Result<Vec<u16>, _>>()?);
        for (chances, (_, column)) in chances.iter_mut().zip(&sets) {
            let is = |chance: &f64| (0.0..=1.0).contains(chance);
            chances.push(table.number(row, *column, "a probability from 0 to 1", is)?);
        }
    }
    Ok(bandit::Table { factors, arms, from: sets.into_iter().map(|(round, _)| round).collect(), chances })
}
