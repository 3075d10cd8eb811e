//! The program `undertone-gateway`.

use clap::Parser;
use std::process::ExitCode;
use undertone_gateway::cli;

fn main() -> ExitCode {
    // Help and version end here with 0, wrong arguments with 2, both in clap's words.
    ExitCode::from(cli::run(&cli::arguments::Arguments::parse()))
}
