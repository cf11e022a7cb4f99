//! The `sequor` program: reads the arguments, runs the command, sets the exit status.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sequor::cli::main()
}
