//! How the allocator keeps memory.
//!
//! mimalloc gives it back to the system after 10 milliseconds, and the next group of events asks for it again: with
//! events at full rate that takes an eighth of the processor, and the page faults hold up the slowest hundredth of
//! events by some hundred milliseconds. Huge pages it asks for make thousands of small buffers take half as much
//! memory again, and bring no speed. It reads its options from the environment before `main` begins.

use std::{env, io, process::Command};

/// Memory let go of is kept for so many milliseconds; no huge pages.
const OPTIONS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "5000"), ("MIMALLOC_ALLOW_THP", "0")];

/// Starts the program anew, in the same process, with the options set; one that is set already stays.
pub fn keep_memory() {
    let missing: Vec<_> = OPTIONS.into_iter().filter(|(option, _)| env::var_os(option).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    // Where that fails it works without, only slower.
    let error = start_anew(&missing).unwrap_or_else(|error| error);
    tracing::debug!(%error, "the allocator keeps memory in its own way");
}

#[cfg(unix)]
fn start_anew(options: &[(&str, &str)]) -> io::Result<io::Error> {
    use std::os::unix::process::CommandExt;

    let mut arguments = env::args_os();
    let name = arguments.next();
    let mut program = Command::new(env::current_exe()?);
    if let Some(name) = name {
        program.arg0(name);
    }
    Ok(program.args(arguments).envs(options.iter().copied()).exec())
}

#[cfg(not(unix))]
fn start_anew(_options: &[(&str, &str)]) -> io::Result<io::Error> {
    Err(io::ErrorKind::Unsupported.into())
}
