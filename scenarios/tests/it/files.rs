//! Each file: as expected, golden, the same when run again, on sled, with other workers, and after crashes.

use impresario_scenarios::{ReplayOptions, replay, scenario_files};

fn files() -> Vec<std::path::PathBuf> {
    scenario_files(&[super::folder()]).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs the files whose place in the list leaves `rest` when divided by 2, so that tests share the cores.
fn every_other(rest: usize) {
    let mut wrong = Vec::new();
    for file in files().iter().skip(rest).step_by(2) {
        match replay(file, &ReplayOptions::default()) {
            Ok(report) if report.passed => {}
            Ok(report) => wrong.push(report.to_string()),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_scenario_comes_out_as_written_whatever_happens() {
    every_other(0);
}

#[test]
fn every_other_scenario_comes_out_as_written_whatever_happens() {
    every_other(1);
}

#[test]
fn there_are_scenarios_enough_and_no_golden_trace_without_one() {
    let files = files();
    assert!(files.len() >= 8, "{} scenarios", files.len());
    let golden = std::fs::read_dir(super::folder().join("golden")).expect("the golden traces");
    for trace in golden {
        let trace = trace.expect("a golden trace").path();
        let stem = trace.file_stem().unwrap_or_default().to_owned();
        assert!(files.iter().any(|file| file.file_stem() == Some(&stem)), "{} has no scenario", trace.display());
    }
}
