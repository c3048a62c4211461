//! `impresario evaluate policy`: the policy on a randomised log.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use clap::Args;
use impresario_agents::models::trial::replay::{Log, Replayed, Row, Valued};
use serde::Serialize;

use super::table::Table;
use crate::cli::{CommandError, output::Output};

/// Columns with more different words than these tell nothing here.
const WORDS_MAX: usize = 12;
/// Features at most.
const FEATURES_MAX: usize = 40;

/// The arguments of `evaluate policy`.
#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    /// A randomised log (csv, plain or .gz)
    #[arg(long, value_name = "FILE")]
    pub replay: PathBuf,
    /// The column of what was done [default: `segment`, else `item_id`]
    #[arg(long)]
    pub action: Option<String>,
    /// The column of what it came to, 0 to 1 [default: `visit`, else `click`]
    #[arg(long)]
    pub reward: Option<String>,
    /// The column of how likely it was [default: `propensity_score` where there is one, else the action's share]
    #[arg(long)]
    pub propensity: Option<String>,
    /// Columns that were only known afterwards or tell nothing, beside those the format is known to have
    #[arg(long, value_delimiter = ',')]
    pub leave_out: Vec<String>,
    /// Orders in which the rows are played
    #[arg(long, default_value_t = 20)]
    pub orders: u64,
    /// The policy's exploration floor
    #[arg(long, default_value_t = 0.0)]
    pub floor: f64,
    /// The first order's seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    replay: String,
    rows: usize,
    orders: u64,
    features: Vec<String>,
    policy: Played,
    beta_thompson: Played,
    /// The mean reward of each action's own rows.
    fixed: BTreeMap<String, Value>,
    best_fixed: String,
    /// The policy as it was at the end of an order, on all rows, doubly robust; mean of the orders.
    final_policy: Value,
    /// Whether the interval of the final policy lies wholly under that of the best fixed action.
    under_best_fixed: bool,
}

#[derive(Debug, Default, Serialize)]
struct Played {
    reward: f64,
    /// Standard error over the orders.
    error: f64,
    matched_rows: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Value {
    value: f64,
    low: f64,
    high: f64,
}

impl From<Valued> for Value {
    fn from(valued: Valued) -> Self {
        let Valued { value, margin } = valued;
        Self { value, low: value - margin, high: value + margin }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rows of {}, mean of {} orders:", self.rows, self.replay, self.orders)?;
        for (name, played) in [("policy", &self.policy), ("Beta Thompson", &self.beta_thompson)] {
            writeln!(f, "{name:<16} {:.4} +- {:.4} in {:.0} rows", played.reward, played.error, played.matched_rows)?;
        }
        for (name, value) in &self.fixed {
            writeln!(f, "always {name:<20} {:.4} ({:.4} to {:.4})", value.value, value.low, value.high)?;
        }
        let Value { value, low, high } = self.final_policy;
        write!(f, "the policy it ends with {value:.4} ({low:.4} to {high:.4}), doubly robust")
    }
}

pub(super) fn run(args: &PolicyArgs, output: &Output) -> Result<(), CommandError> {
    if !(1..=10_000).contains(&args.orders) {
        return Err(CommandError::Usage("there are 1 to 10,000 orders".into()));
    }
    let (log, features) = read(args)?;
    let (mut own, mut thompson, mut finals) = (Vec::new(), Vec::new(), Vec::new());
    for order in 0..args.orders {
        let seed = args.seed.wrapping_add(order);
        let (played, policy) = log.replay_policy(args.floor, seed)?;
        own.push(played);
        finals.push(log.value(&policy)?);
        thompson.push(log.replay_thompson(seed));
    }
    let orders = args.orders as f64;
    let fixed = log.fixed();
    let best = fixed.iter().enumerate().max_by(|(_, one), (_, other)| one.value.total_cmp(&other.value));
    let (best_place, best) = best
        .map(|(place, best)| (place, *best))
        .ok_or_else(|| CommandError::Usage(format!("{} has no actions", args.replay.display())))?;
    let final_policy = Value::from(Valued {
        value: finals.iter().map(|valued| valued.value).sum::<f64>() / orders,
        margin: finals.iter().map(|valued| valued.margin).sum::<f64>() / orders,
    });
    output.answer(&Report {
        replay: args.replay.display().to_string(),
        rows: log.rows.len(),
        orders: args.orders,
        features,
        policy: mean(&own),
        beta_thompson: mean(&thompson),
        best_fixed: log.actions[best_place].to_string(),
        fixed: log.actions.iter().zip(fixed).map(|(name, valued)| (name.to_string(), valued.into())).collect(),
        under_best_fixed: final_policy.high < best.value - best.margin,
        final_policy,
    });
    Ok(())
}

fn mean(played: &[Replayed]) -> Played {
    let count = played.len() as f64;
    let reward = played.iter().map(|played| played.mean).sum::<f64>() / count;
    let variance = played.iter().map(|played| (played.mean - reward) * (played.mean - reward)).sum::<f64>() / count;
    let rows: u64 = played.iter().map(|played| played.rows).sum();
    Played { reward, error: (variance / count).sqrt(), matched_rows: rows as f64 / count }
}

/// What a log of a known format has beside features: outcomes, ids and times.
const NO_FEATURES: [&str; 9] =
    ["", "visit", "conversion", "spend", "click", "timestamp", "position", "propensity_score", "history_segment"];

fn read(args: &PolicyArgs) -> Result<(Log, Vec<String>), CommandError> {
    let path: &Path = &args.replay;
    let table = Table::read(path, true)?;
    let named = |given: &Option<String>, usual: [&str; 2]| match given {
        Some(name) => table.column(name),
        None => table.column(usual[0]).or_else(|_| table.column(usual[1])),
    };
    let action_at = named(&args.action, ["segment", "item_id"])?;
    let reward_at = named(&args.reward, ["visit", "click"])?;
    let propensity_at = match &args.propensity {
        Some(name) => Some(table.column(name)?),
        None => table.column("propensity_score").ok(),
    };
    let rows = 0..table.rows.len();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.clone() {
        *times.entry(table.text(row, action_at)).or_default() += 1;
    }
    let actions: Vec<Box<str>> = times.keys().map(|name| (*name).into()).collect();
    let mut features: Vec<(String, Vec<f32>)> = Vec::new();
    for (place, name) in table.columns.iter().enumerate() {
        let known = NO_FEATURES.contains(&name.as_str()) || args.leave_out.contains(name);
        if place == action_at || place == reward_at || Some(place) == propensity_at || known {
            continue;
        }
        for (suffix, column) in columns_of(&table, place) {
            if features.len() < FEATURES_MAX {
                features.push((format!("{name}{suffix}"), column));
            }
        }
    }
    let mut logged = Vec::with_capacity(table.rows.len());
    for row in rows {
        let name = table.text(row, action_at);
        let action = actions.iter().position(|action| **action == *name).unwrap_or_default();
        let share = times.get(name).map_or(0.0, |times| *times as f64 / table.rows.len() as f64);
        let likely = |likely: &f64| *likely > 0.0 && *likely <= 1.0;
        let propensity =
            propensity_at.map_or(Ok(share), |at| table.number(row, at, "a probability above 0", likely))?;
        let reward = table.number(row, reward_at, "a number from 0 to 1", |reward| (0.0..=1.0).contains(reward))?;
        let person = features.iter().filter_map(|(_, column)| column.get(row).copied()).collect();
        logged.push(Row {
            features: person,
            action: u16::try_from(action).map_err(|_| table.wrong(row, action_at, "too many actions"))?,
            propensity,
            reward,
        });
    }
    Ok((Log { actions, rows: logged }, features.into_iter().map(|(name, _)| name).collect()))
}

/// A column's features: numbers brought to about -1 to 1, or one for each word but the first.
fn columns_of(table: &Table, place: usize) -> Vec<(String, Vec<f32>)> {
    let texts: Vec<&str> = (0..table.rows.len()).map(|row| table.text(row, place)).collect();
    let numbers: Option<Vec<f64>> =
        texts.iter().map(|text| text.parse().ok().filter(|number: &f64| number.is_finite())).collect();
    if let Some(numbers) = numbers {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let sd = (numbers.iter().map(|number| (number - mean) * (number - mean)).sum::<f64>() / count).sqrt();
        if sd < 1e-12 {
            return Vec::new();
        }
        // Two standard deviations are 1.
        let scaled = numbers.iter().map(|number| ((number - mean) / (2.0 * sd)).clamp(-2.0, 2.0) as f32);
        return vec![(String::new(), scaled.collect())];
    }
    let mut words: Vec<&str> = texts.clone();
    words.sort_unstable();
    words.dedup();
    if words.len() > WORDS_MAX {
        return Vec::new();
    }
    let of_word = |word: &&str| {
        let is = texts.iter().map(|text| if text == word { 0.5 } else { -0.5 });
        (format!("={word}"), is.collect())
    };
    words.iter().skip(1).map(of_word).collect()
}
