//! The program `undertone`.

use std::process::ExitCode;

use undertone::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::run())
}
