//! `undertone-bench`: shows a call on this machine (`demo`) and measures calls in virtual time (`simulate`).
//!
//! Exit codes: 0 it worked, 1 it did not, 2 something is missing or an argument cannot be used.

mod arguments;
mod demo;
mod failure;
mod simulate;

use std::io::Write;
use std::process::ExitCode;

use arguments::{Arguments, Task};
use clap::Parser;

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Simulate(options) => simulate::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "undertone-bench: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
