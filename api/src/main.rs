//! The `impresario` program: everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    impresario_api::cli::main()
}
