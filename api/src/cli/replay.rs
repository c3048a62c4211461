//! `impresario replay`: plays scenarios, or folds a directory's journal again from its first entry.

use std::{fmt, path::PathBuf, sync::Arc};

use clap::Args;
use impresario_runtime::{
    Driver, RuntimeError,
    store::{Engine, Journal, JournalLimits, MemoryEngine, SledEngine, copy},
};
use impresario_scenarios::{ReplayOptions, ScenarioError, replay, scenario_files};
use serde::Serialize;

use super::{CommandError, Common, existing, output::Output, storage};
use crate::{directory::DataDirectory, ingest::instant};

/// Keys compared in one page.
const KEYS_A_PAGE: usize = 1_000;
/// Keys told of one agent whose states differ.
const TOLD_MAX: usize = 10;

/// The arguments of `replay`.
///
/// With scenarios: plays each again and again, and checks what it expects. Without: folds the journal
/// of the data directory again from its first entry, and says whether the states come out as they
/// are; the directory stays as it is.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Scenario files, or folders of them
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// Writes the golden traces instead of comparing with them
    #[arg(long, requires = "scenarios")]
    pub bless: bool,
    /// Runs each scenario once only
    #[arg(long, requires = "scenarios")]
    pub once: bool,
    /// Crashes tried at commits chosen by the scenario's seed
    #[arg(long, value_name = "COUNT", requires = "scenarios")]
    pub crashes: Option<usize>,
    /// How often events of the same instant are tried in another order
    #[arg(long, value_name = "COUNT", requires = "scenarios")]
    pub shuffle: Option<u64>,
}

/// What folding a journal again came to.
#[derive(Debug, Serialize)]
struct Refolded {
    data: String,
    entries: u64,
    same: bool,
    /// Digest of the states as they are.
    states: String,
    /// Digest of the states folded again.
    again: String,
    /// Where they differ, by agent: the first keys.
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    agent: String,
    keys: Vec<String>,
}

impl fmt::Display for Refolded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.same {
            return write!(f, "{} entries folded again: the same states\n  digest {}", self.entries, self.states);
        }
        write!(f, "{} entries folded again: the states differ", self.entries)?;
        for Difference { agent, keys } in &self.differences {
            write!(f, "\n  {agent}: {}", keys.join(", "))?;
        }
        Ok(())
    }
}

/// Runs `replay`.
///
/// # Errors
/// A scenario that can't be read, or no such directory; "no" where something is not as expected.
pub fn run(common: &Common, args: &ReplayArgs, output: &Output) -> Result<(), CommandError> {
    if args.scenarios.is_empty() { fold_again(common, output) } else { play(common, args, output) }
}

fn play(common: &Common, args: &ReplayArgs, output: &Output) -> Result<(), CommandError> {
    let wrong = |error: ScenarioError| match error {
        ScenarioError::File { .. } | ScenarioError::Format { .. } => CommandError::Usage(error.to_string()),
        other => CommandError::No(other.to_string()),
    };
    let plain = ReplayOptions::default();
    let options = ReplayOptions {
        casting: common.casting,
        bless: args.bless,
        once: args.once,
        crashes: args.crashes.unwrap_or(plain.crashes),
        shuffles: args.shuffle.unwrap_or(plain.shuffles),
        ..plain
    };
    let files = scenario_files(&args.scenarios).map_err(wrong)?;
    if files.is_empty() {
        return Err(CommandError::Usage("there are no scenarios there".into()));
    }
    let mut failed = 0;
    for file in &files {
        let report = replay(file, &options).map_err(wrong)?;
        failed += usize::from(!report.passed);
        output.answer(&report);
    }
    if failed == 0 { Ok(()) } else { Err(CommandError::No(format!("{failed} of {} scenarios failed", files.len()))) }
}

fn fold_again(common: &Common, output: &Output) -> Result<(), CommandError> {
    let data = common.data()?;
    let workers = common.config()?.agents.workers;
    let seed = {
        let DataDirectory { journal, seed } = existing(common)?;
        if let Some(horizon) = journal.horizon() {
            let since = instant(horizon.since_ms);
            journal.close()?;
            return Err(CommandError::No(format!(
                "the states can't be compared: what people did before {since} is forgotten with age, and what is kept \
                 of the journal does not make them any more; `impresario verify` checks what is there"
            )));
        }
        journal.close()?;
        seed
    };
    let (kept, bare) = (MemoryEngine::default(), MemoryEngine::default());
    let engine = SledEngine::open(&data, &storage(&common.config()?))?;
    copy(&engine, &kept, true)?;
    copy(&engine, &bare, false)?;
    engine.close()?;
    drop(engine);
    let start = |engine: MemoryEngine| {
        let journal = Journal::open(Arc::new(engine), JournalLimits::default())?;
        let now_ms = journal.last_at().unwrap_or_default();
        let mut driver = Driver::start(journal, (common.casting)(workers), seed, now_ms)?;
        driver.settle()?;
        Ok::<_, RuntimeError>(driver)
    };
    let (mut kept, mut bare) = (start(kept)?, start(bare)?);
    let (states, again) = (kept.states_digest()?, bare.states_digest()?);
    let differences = if states == again { Vec::new() } else { differences(&mut kept, &mut bare)? };
    let hex = |digest: [u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let refolded = Refolded {
        data: data.display().to_string(),
        entries: kept.journal().head(),
        same: states == again,
        states: hex(states),
        again: hex(again),
        differences,
    };
    output.answer(&refolded);
    if refolded.same { Ok(()) } else { Err(CommandError::No("the states differ from what the journal says".into())) }
}

/// The first keys of each agent whose states are not the same.
fn differences(kept: &mut Driver, bare: &mut Driver) -> Result<Vec<Difference>, RuntimeError> {
    let mut differences = Vec::new();
    for status in kept.status() {
        let mut keys = Vec::new();
        for worker in 0..status.workers.len() {
            // A key that only one of them has is found from that one's side.
            for side in [true, false] {
                let mut after: Option<String> = None;
                loop {
                    let from = if side { &mut *kept } else { &mut *bare };
                    let page = from.key_texts(&status.agent, worker, after.as_deref(), KEYS_A_PAGE)?;
                    for key in &page {
                        let (mine, other) =
                            (kept.state_json(&status.agent, key)?, bare.state_json(&status.agent, key)?);
                        let same = mine.as_ref().map(|found| (&found.state, &found.moved_to))
                            == other.as_ref().map(|found| (&found.state, &found.moved_to));
                        if !same && keys.len() < TOLD_MAX && !keys.contains(key) {
                            keys.push(key.clone());
                        }
                    }
                    if page.len() < KEYS_A_PAGE || keys.len() == TOLD_MAX {
                        break;
                    }
                    after = page.last().cloned();
                }
            }
        }
        if !keys.is_empty() {
            differences.push(Difference { agent: status.agent, keys });
        }
    }
    if differences.is_empty() {
        differences.push(Difference { agent: "all".into(), keys: vec!["what the keys of a worker share".into()] });
    }
    Ok(differences)
}
