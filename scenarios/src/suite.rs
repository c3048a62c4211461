//! Scenario files put to the proof: each is run again and again, and must come to the same.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use impresario_agents::Casting;
use serde::Serialize;

use crate::{
    Crash, EngineChoice, Metrics, Outcome, RunOptions, Scenario, ScenarioError, compare, diff,
    format::{Chance, FILE_BYTES_MAX},
    model::Proof,
    play::state::without_since,
    run,
};

/// The first commits, after each of which a crash is tried.
const CRASHES_IN_A_ROW: u64 = 20;
/// Differences told of one check; the first ones tell most.
const DIFFERENCES_MAX: usize = 3;

/// How thoroughly scenarios are put to the proof.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Who plays.
    pub casting: Casting,
    /// Writes the golden traces instead of comparing with them.
    pub bless: bool,
    /// Runs each scenario once only.
    pub once: bool,
    /// Crashes tried at commits chosen by the scenario's seed, beside those after each of the first twenty.
    pub crashes: usize,
    /// How often the events of each instant are tried in another order.
    pub shuffles: u64,
    /// Workers of each agent that has several.
    pub workers: usize,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { casting: impresario_agents::troupe, bless: false, once: false, crashes: 12, shuffles: 3, workers: 2 }
    }
}

/// How a scenario's trace compares with its golden one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Golden {
    /// They are the same.
    Same,
    /// They differ; the report has the difference.
    Changed,
    /// There is none yet.
    Missing,
    /// It was written now.
    Blessed,
}

/// One way a scenario was run, and whether it came to the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was tried, e.g. `crash after a commit`.
    pub what: String,
    /// In how many runs.
    pub runs: u64,
    /// What came out differently, in words; empty where nothing did.
    pub differences: Vec<String>,
}

/// What came of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScenarioReport {
    /// The file.
    pub file: PathBuf,
    /// The scenario's name.
    pub scenario: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// What was not as expected.
    pub failures: Vec<String>,
    /// How the trace compares with the golden one.
    pub golden: Golden,
    /// The difference from the golden trace, as `diff -u` shows it; empty for none.
    pub trace_diff: String,
    /// The other ways it was run.
    pub checks: Vec<Check>,
    /// Digest of the first run.
    pub digest: String,
    /// Figures of the first run.
    pub metrics: Metrics,
}

/// The scenario files among `paths`; a directory stands for the `*.yaml` files in it, by name.
///
/// # Errors
/// A path that can't be read.
pub fn scenario_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ScenarioError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| ScenarioError::File { path: path.clone(), error };
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.extension().is_some_and(|extension| extension == "yaml") {
                found.insert(file);
            }
        }
        files.extend(found);
    }
    Ok(files)
}

/// Reads a scenario file.
///
/// # Errors
/// It can't be read, or the first thing that is wrong in it, with its place.
pub fn read_scenario(path: &Path) -> Result<Scenario, ScenarioError> {
    let unreadable = |error| ScenarioError::File { path: path.to_path_buf(), error };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX as u64 {
        let error = std::io::Error::other(format!("the file has {size} bytes, more than {FILE_BYTES_MAX}"));
        return Err(unreadable(error));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let scenario = Scenario::parse(&text).map_err(|error| ScenarioError::Format { path: path.to_path_buf(), error })?;
    if path.file_stem().is_some_and(|stem| stem != scenario.name.as_str()) {
        let what = format!("the scenario is called `{}`, so its file is `{0}.yaml`", scenario.name);
        let error = crate::FormatError { line: 1, column: 1, what };
        return Err(ScenarioError::Format { path: path.to_path_buf(), error });
    }
    Ok(scenario)
}

/// Where the golden trace of a scenario file lies.
pub fn golden_path(file: &Path, scenario: &Scenario) -> PathBuf {
    file.with_file_name("golden").join(format!("{}.trace", scenario.name))
}

/// Puts one scenario file to the proof: run twice, in memory and on sled, with other workers and in
/// another order, and with a crash after a commit; each time it must come to the same.
///
/// # Errors
/// The file can't be read or is wrong, or the troupe could not play on in the first run.
pub fn replay(file: &Path, options: &ReplayOptions) -> Result<ScenarioReport, ScenarioError> {
    let scenario = read_scenario(file)?;
    let plain = RunOptions { casting: options.casting, workers: options.workers, ..RunOptions::default() };
    let first = run(&scenario, &plain)?;
    let (golden, trace_diff) = golden(&golden_path(file, &scenario), &first.trace, options.bless)?;
    let mut checks = Vec::new();
    if !options.once && scenario.compare.is_some() {
        checks.push(compare::compared(file, &scenario, &plain, &first)?);
    }
    if !options.once && scenario.proof == Proof::Short {
        checks.push(same_digest("run again", &scenario, &plain, &first));
    } else if !options.once {
        checks.push(same_digest("run again", &scenario, &plain, &first));
        checks.push(on_sled(&scenario, &plain, &first));
        checks.push(other_workers(&scenario, &plain, &first));
        checks.push(shuffled(&scenario, &plain, &first, options.shuffles));
        checks.push(crashes(&scenario, &plain, &first, options.crashes));
    }
    let well = first.failures.is_empty() && checks.iter().all(|check| check.differences.is_empty());
    Ok(ScenarioReport {
        file: file.to_path_buf(),
        passed: well && matches!(golden, Golden::Same | Golden::Blessed),
        scenario: scenario.name,
        failures: first.failures,
        golden,
        trace_diff,
        checks,
        digest: first.digest,
        metrics: first.metrics,
    })
}

fn golden(path: &Path, trace: &str, bless: bool) -> Result<(Golden, String), ScenarioError> {
    let failed = |error| ScenarioError::File { path: path.to_path_buf(), error };
    let old = match std::fs::read_to_string(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let difference = old.as_ref().map(|old| diff::unified(old, trace)).unwrap_or_default();
    match old {
        Some(old) if old == trace => Ok((Golden::Same, String::new())),
        _ if bless => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            std::fs::write(path, trace).map_err(failed)?;
            Ok((Golden::Blessed, difference))
        }
        Some(_) => Ok((Golden::Changed, difference)),
        None => Ok((Golden::Missing, String::new())),
    }
}

fn same_digest(what: &str, scenario: &Scenario, options: &RunOptions, first: &Outcome) -> Check {
    let mut check = Check { what: what.to_owned(), runs: 0, differences: Vec::new() };
    check.run(scenario, options, "", |other| {
        if other.digest == first.digest {
            return None;
        }
        let mut difference = differs(first, other, true).unwrap_or_default();
        difference += &diff::unified(&first.trace, &other.trace);
        Some(format!("the digest is {}, not {}\n{difference}", other.digest, first.digest))
    });
    check
}

fn on_sled(scenario: &Scenario, plain: &RunOptions, first: &Outcome) -> Check {
    match tempfile::Builder::new().prefix("impresario-scenario-").tempdir() {
        Ok(directory) => {
            let engine = EngineChoice::Sled(directory.path().join("data"));
            same_digest("on sled", scenario, &RunOptions { engine, ..plain.clone() }, first)
        }
        Err(error) => {
            let differences = vec![format!("there is no temporary directory: {error}")];
            Check { what: "on sled".into(), runs: 0, differences }
        }
    }
}

fn other_workers(scenario: &Scenario, plain: &RunOptions, first: &Outcome) -> Check {
    let mut check = Check { what: "other workers".into(), runs: 0, differences: Vec::new() };
    for (workers, rotate) in [(plain.workers, 1), (1, 0), (plain.workers + 1, 2)] {
        let options = RunOptions { workers, rotate, ..plain.clone() };
        let how = format!("{workers} workers, turned by {rotate}: ");
        // How long a broken agent is down differs from worker to worker.
        let since = scenario.faults.panics.is_empty();
        check.run(scenario, &options, &how, |other| differs(first, other, since));
    }
    check
}

/// What happens at the same instant has no order of its own: any will do, and people are the same.
fn shuffled(scenario: &Scenario, plain: &RunOptions, first: &Outcome, count: u64) -> Check {
    let mut check = Check { what: "other orders of an instant".into(), runs: 0, differences: Vec::new() };
    for order in 1..=count {
        let options = RunOptions { shuffle: Some(order), ..plain.clone() };
        let since = scenario.faults.panics.is_empty();
        check.run(scenario, &options, &format!("order {order}: "), |other| differs(first, other, since));
    }
    check
}

fn crashes(scenario: &Scenario, plain: &RunOptions, first: &Outcome, samples: usize) -> Check {
    let mut check = Check { what: "crash after a commit".into(), runs: 0, differences: Vec::new() };
    let commits = first.metrics.commits;
    let mut places: BTreeSet<u64> = (1..=commits.min(CRASHES_IN_A_ROW)).collect();
    let mut chance = Chance::new(scenario.seed, "crashes", 0);
    let later = commits.saturating_sub(CRASHES_IN_A_ROW);
    places.extend(
        (0..samples).map(|_| CRASHES_IN_A_ROW + 1 + chance.below(later as i64) as u64).filter(|k| *k <= commits),
    );
    let (mut reached, wanted) = (0, places.len());
    for after_commit in places {
        // In turn as a power cut leaves it, as a `kill -9` does, and after a while of being down.
        let (unsynced_lost, clock_goes_on) = match after_commit % 3 {
            0 => (true, false),
            1 => (false, false),
            _ => (true, true),
        };
        let crash = Some(Crash { after_commit, unsynced_lost, clock_goes_on });
        let left = if unsynced_lost { "lost" } else { "kept" };
        let down = if clock_goes_on { ", down for a while" } else { "" };
        // Every other time with state written behind on the way, so that there is some to start from.
        let tight = after_commit / 3 % 2 == 0;
        let limits = if tight { ", tight limits" } else { "" };
        let how = format!("after commit {after_commit} of {commits}, unsynced writes {left}{down}{limits}: ");
        let options = RunOptions { crash, tight, ..plain.clone() };
        check.run(scenario, &options, &how, |other| {
            if other.metrics.deaths <= first.metrics.deaths {
                // What waits while the disk is busy goes as one commit, so that a slower disk makes fewer.
                let over = other.metrics.commits < after_commit;
                return (!over).then(|| "the process did not die".to_owned());
            }
            reached += 1;
            // An agent that broke once before the crash does not break again after it.
            let exact = scenario.faults.panics.is_empty();
            differs(first, other, exact).or_else(|| {
                let said_anew = exact && lines(&first.trace) != lines(&other.trace);
                said_anew.then(|| format!("something else is said\n{}", diff::unified(&first.trace, &other.trace)))
            })
        });
    }
    if reached * 2 < wanted {
        check.differences.push(format!("the process died in {reached} of {wanted} runs only"));
    }
    check
}

/// The lines of a trace, whatever their order.
fn lines(trace: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = trace.lines().collect();
    lines.sort_unstable();
    lines
}

impl Check {
    fn run(
        &mut self,
        scenario: &Scenario,
        options: &RunOptions,
        how: &str,
        compare: impl FnOnce(&Outcome) -> Option<String>,
    ) {
        self.runs += 1;
        let difference = match run(scenario, options) {
            Ok(outcome) => compare(&outcome),
            Err(error) => Some(error.to_string()),
        };
        if let Some(difference) = difference.filter(|_| self.differences.len() < DIFFERENCES_MAX) {
            self.differences.push(format!("{how}{difference}"));
        }
    }
}

/// How two runs differ in what people are and in what was expected of them.
fn differs(first: &Outcome, other: &Outcome, since: bool) -> Option<String> {
    let state = |outcome: &Outcome| if since { outcome.state.clone() } else { without_since(&outcome.state) };
    let (first_state, other_state) = (state(first), state(other));
    if first_state != other_state {
        return Some(format!("people differ\n{}", diff::unified(&first_state, &other_state)));
    }
    if first.failures != other.failures {
        return Some(format!("other things fail: {}", other.failures.join("; ")));
    }
    None
}
