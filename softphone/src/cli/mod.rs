//! The command line of `undertone`.
//!
//! Exit codes: 0 done; 1 the call did not happen; 2 a configuration, certificate, device or argument cannot be used,
//! said in one sentence.

use std::io::Write;

pub mod arguments;
mod code;
mod contact;
pub mod contact_arguments;
mod contact_link;
pub mod devices;
mod face;
pub mod failure;
mod identity;
mod link_argument;
mod passphrase;
mod session;
pub mod setup;
pub mod test_sound;
mod today;

use arguments::{Arguments, Task};
use face::Purpose;
pub use failure::Failure;

/// Does what the command line asks for and returns the exit code; a failure is told on standard error.
#[must_use]
pub fn run() -> u8 {
    match Arguments::read() {
        Ok(arguments) => {
            let json = arguments.json;
            run_task(arguments).map_or_else(|failure| tell(&failure, json), |()| 0)
        }
        // What could not be read may have asked for JSON all the same.
        Err(failure) => tell(&failure, std::env::args_os().any(|argument| argument == "--json")),
    }
}

fn tell(failure: &Failure, json: bool) -> u8 {
    failure.tell(json, &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    failure.exit_code()
}

fn run_task(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { task, json, .. } = &arguments;
    match task {
        Task::Devices => devices::run(*json, &mut std::io::stdout().lock()).map_err(Failure::Output),
        Task::TestSound { seconds } => test_sound::run(&arguments, *seconds),
        Task::Contact(task) => contact::run(&arguments, task),
        Task::Identity(task) => identity::run(&arguments, task),
        Task::Setup(wanted) => setup::run(&arguments, wanted),
        Task::Call { uri, hide } => session::run(&arguments, Purpose::Call { uri: uri.clone(), hide: *hide }, false),
        Task::Listen { auto_answer } => session::run(&arguments, Purpose::Listen, *auto_answer),
        Task::Echo => session::run(&arguments, Purpose::Echo, true),
        Task::Headless { auto_answer } => session::run(&arguments, Purpose::Headless, *auto_answer),
    }
}

/// A line on standard output; a reader that has gone is no failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
