//! How long the allocator keeps memory that was let go of.
//!
//! mimalloc gives it back to the system after 10 milliseconds, and the next group of events asks for it again: with
//! events at full rate that takes an eighth of the processor, and the page faults hold up the slowest hundredth of
//! events by some hundred milliseconds. It reads its options from the environment before `main` begins.

use std::{env, io, process::Command};

const OPTION: &str = "MIMALLOC_PURGE_DELAY";

/// Milliseconds.
const KEPT_FOR: &str = "5000";

/// Starts the program anew, in the same process, with the option set; one that is set already stays.
pub fn keep_memory() {
    if env::var_os(OPTION).is_some() {
        return;
    }
    // Where that fails it works without, only slower.
    let error = start_anew().unwrap_or_else(|error| error);
    tracing::debug!(%error, "the allocator gives memory back at once");
}

#[cfg(unix)]
fn start_anew() -> io::Result<io::Error> {
    use std::os::unix::process::CommandExt;

    let mut arguments = env::args_os();
    let name = arguments.next();
    let mut program = Command::new(env::current_exe()?);
    if let Some(name) = name {
        program.arg0(name);
    }
    Ok(program.args(arguments).env(OPTION, KEPT_FOR).exec())
}

#[cfg(not(unix))]
fn start_anew() -> io::Result<io::Error> {
    Err(io::ErrorKind::Unsupported.into())
}
