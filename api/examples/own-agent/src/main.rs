//! Impresario with an agent of one's own: all of its commands, and one agent more.

mod milestones;

use impresario_agents::troupe;
use impresario_runtime::Troupe;

fn casting(workers: usize) -> Troupe {
    troupe(workers).agent_with_workers(milestones::Milestones, workers)
}

fn main() -> std::process::ExitCode {
    impresario_api::run(casting)
}

#[test]
fn the_scenarios_come_out_as_written_whatever_happens() {
    use impresario_scenarios::{ReplayOptions, replay, scenario_files};

    for file in scenario_files(&["scenarios".into()]).unwrap() {
        let report = replay(&file, &ReplayOptions { casting, ..ReplayOptions::default() }).unwrap();
        assert!(report.passed, "{report}");
    }
}
