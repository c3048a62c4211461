//! Reports as people read them.

use std::fmt;

use crate::{Golden, ScenarioReport};

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, passed, failures, golden, trace_diff, checks, metrics, .. } = self;
        let mark = if *passed { "ok    " } else { "FAILED" };
        let days = metrics.lasted_ms / 86_400_000;
        let hours = metrics.lasted_ms / 3_600_000 % 24;
        let runs: u64 = 1 + checks.iter().map(|check| check.runs).sum::<u64>();
        write!(f, "{mark}  {scenario}: {} events in {days} d {hours} h, ", metrics.events_kept)?;
        writeln!(f, "{} expectations, {runs} {}", metrics.expectations, if runs == 1 { "run" } else { "runs" })?;
        for failure in failures {
            writeln!(f, "  {}", indented(failure))?;
        }
        for check in checks {
            for difference in &check.differences {
                writeln!(f, "  {}: {}", check.what, indented(difference))?;
            }
        }
        match golden {
            Golden::Same => Ok(()),
            Golden::Blessed => writeln!(f, "  the golden trace is written"),
            Golden::Missing => writeln!(f, "  there is no golden trace; `--bless` writes it"),
            Golden::Changed => {
                writeln!(f, "  the trace is not the golden one (-golden, +now); `--bless` writes it anew")?;
                writeln!(f, "  {}", indented(trace_diff))
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}
