//! The `impresario` program: everything it does is in the library beside it.

use std::process::ExitCode;

/// Entries are made on one thread and dropped on another, many at a time: what this allocator is for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    impresario_api::allocator::keep_memory();
    impresario_api::run(impresario_agents::troupe)
}
