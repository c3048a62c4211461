//! The one place that prints: for people by default, for machines with `--json`.

use std::fmt::Display;

use serde::Serialize;

use super::CommandError;

/// Where a command's answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON lines where `json`, else text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines read it: then nothing but answers goes to standard output.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Shows an answer: its text for people, one line of JSON for machines.
    #[expect(clippy::print_stdout, reason = "this is the one door to standard output")]
    pub fn answer<T: Serialize + Display>(&self, answer: &T) {
        if self.json {
            match serde_json::to_string(answer) {
                Ok(line) => println!("{line}"),
                Err(error) => tracing::error!(%error, "an answer can't be written as JSON"),
            }
        } else {
            println!("{answer}");
        }
    }

    /// Says something to a person; machines are spared it.
    #[expect(clippy::print_stdout, reason = "this is the one door to standard output")]
    pub fn say(&self, line: impl Display) {
        if !self.json {
            println!("{line}");
        }
    }

    /// Says what went wrong, on standard error.
    #[expect(clippy::print_stderr, reason = "this is the one door to standard error")]
    pub fn error(&self, error: &CommandError) {
        if self.json {
            let code = error.exit_code();
            eprintln!("{}", serde_json::json!({ "error": error.to_string(), "exit_code": code }));
        } else {
            eprintln!("error: {error}");
        }
    }
}
