//! `cargo run --release -p impresario-api --example fuzz -- [--seconds 60] [--seed 1] [TARGET...]`: changes real
//! inputs at random and gives them to everything that reads what others wrote. Exit code 1 at the first panic, or
//! input that takes more than a second; the seed tells the whole input.
#![expect(clippy::disallowed_methods, reason = "a fuzzer works for so long, and measures how long an input takes")]
#![expect(clippy::print_stdout, reason = "this is what an example is for")]

#[path = "../tests/it/fuzz.rs"]
mod fuzz;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    let (mut seconds, mut seed, mut wanted) = (60, 1_u64, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seconds" => seconds = number().unwrap_or(seconds),
            "--seed" => seed = number().unwrap_or(seed),
            _ => wanted.push(argument),
        }
    }
    let targets = fuzz::targets();
    let known: Vec<_> = targets.iter().map(|target| target.name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        println!("there is no target {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    for target in targets.iter().filter(|target| wanted.is_empty() || wanted.iter().any(|name| name == target.name)) {
        let (start, mut inputs, mut bytes) = (Instant::now(), 0_u64, 0_usize);
        while start.elapsed() < Duration::from_secs(seconds) {
            match target.try_seed(seed.wrapping_add(inputs)) {
                Ok(length) => bytes += length,
                Err(found) => {
                    println!("{}\n{}", found.what, String::from_utf8_lossy(&found.input).escape_debug());
                    return ExitCode::FAILURE;
                }
            }
            inputs += 1;
        }
        let last = seed.wrapping_add(inputs).wrapping_sub(1);
        println!(
            "{:>9}: {inputs} inputs, {} MiB, seeds {seed} to {last}: none panics, none takes a second",
            target.name,
            bytes >> 20
        );
    }
    ExitCode::SUCCESS
}
