//! The program `undertone`.

use std::process::ExitCode;

use clap::Parser;
use undertone::cli;

fn main() -> ExitCode {
    // Help and version end here with 0, wrong arguments with 2, both in clap's words.
    ExitCode::from(cli::run(cli::arguments::Arguments::parse()))
}
