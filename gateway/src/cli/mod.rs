//! The operator's commands: what they are called, what they print, how they fail (exit code 2, one sentence).

pub mod arguments;
mod backup;
mod certificate;
mod device;
mod doctor;
mod failure;
mod gateway_address;
mod init;
mod invite;
mod next_key;
mod operator_key;
mod password;
mod pin;
mod qr;
mod restore;
mod self_signed;
mod serve;
mod user;

pub use failure::Failure;

use crate::core::Day;
use crate::store::WATCH_INTERVAL;
use arguments::{Arguments, Task};
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use undertone_config::{GatewayConfig, default_gateway_file};

/// Does what the command line asks for and returns the program's exit code.
pub fn run() -> u8 {
    match Arguments::read() {
        Ok(arguments) => run_task(&arguments).map_or_else(|failure| tell(&failure, arguments.json), |()| 0),
        // What could not be read may have asked for JSON all the same.
        Err(failure) => tell(&failure, std::env::args_os().any(|argument| argument == "--json")),
    }
}

fn run_task(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.task {
        Task::Init(wanted) => init::run(arguments, wanted),
        Task::Invite(wanted) => invite::run(arguments, wanted),
        Task::User { task } => user::run(arguments, task),
        Task::Device { task } => device::run(arguments, task),
        Task::Pin => pin::run(arguments),
        Task::Certificate { task } => certificate::run(arguments, task),
        Task::OperatorKey { task } => operator_key::run(arguments, task),
        Task::NextKey { task } => next_key::run(arguments, task),
        Task::Backup(wanted) => backup::run(arguments, wanted),
        Task::Restore(wanted) => restore::run(arguments, wanted),
        Task::Doctor(wanted) => doctor::run(arguments, wanted),
        Task::Serve(wanted) => serve::run(arguments, wanted),
    }
}

/// Says what went wrong, in one sentence or as one JSON line.
fn tell(failure: &Failure, json: bool) -> u8 {
    let sentence = failure.sentence();
    // Nothing more can be done when nobody can be told.
    let _ = if json {
        say(&serde_json::json!({ "event": "failed", "sentence": sentence }).to_string())
    } else {
        writeln!(std::io::stderr().lock(), "undertone-gateway: {sentence}").map_err(Failure::Output)
    };
    2
}

fn config_file(arguments: &Arguments) -> PathBuf {
    arguments.config.clone().unwrap_or_else(default_gateway_file)
}

fn load_config(arguments: &Arguments) -> Result<GatewayConfig, Failure> {
    Ok(GatewayConfig::load(&config_file(arguments))?)
}

/// How the operator repeats a command for the same gateway.
fn own_command(arguments: &Arguments, rest: &str) -> String {
    match &arguments.config {
        Some(file) => format!("undertone-gateway --config {} {rest}", shell_word(&file.to_string_lossy())),
        None => format!("undertone-gateway {rest}"),
    }
}

/// A word as a shell reads it: in quotes, if it holds anything that a shell would not take as it stands.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// When the command is over, the change holds: a gateway that runs has looked at the store by then.
fn wait_for_running_gateway() {
    std::thread::sleep(2 * WATCH_INTERVAL);
}

fn today() -> Day {
    Day::of_unix_s(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Prints a text and a line break to standard output.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        for (path, word) in [
            ("/etc/undertone/gateway.toml", "/etc/undertone/gateway.toml"),
            ("/srv/my gateway.toml", "'/srv/my gateway.toml'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(shell_word(path), word);
        }
    }
}
