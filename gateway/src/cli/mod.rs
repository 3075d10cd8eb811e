//! The operator's commands: what they are called, what they print, how they fail (exit code 2, one sentence).

pub mod arguments;
mod failure;
mod init;
mod password;
mod pin;
mod serve;
mod user;

pub use failure::Failure;

use arguments::{Arguments, Task};
use std::io::Write;
use std::path::PathBuf;
use undertone_config::{GatewayConfig, default_gateway_file};

/// Runs a command and returns the program's exit code.
pub fn run(arguments: &Arguments) -> u8 {
    let done = match &arguments.task {
        Task::Init(wanted) => init::run(arguments, wanted),
        Task::User { task } => user::run(arguments, task),
        Task::Pin => pin::run(arguments),
        Task::Serve(wanted) => serve::run(arguments, wanted),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            // Nothing more can be done when nobody can be told.
            let _ = if arguments.json {
                say(&serde_json::json!({ "event": "failed", "sentence": failure.to_string() }).to_string())
            } else {
                writeln!(std::io::stderr().lock(), "undertone-gateway: {failure}").map_err(Failure::Output)
            };
            2
        }
    }
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
        Some(file) => format!("undertone-gateway --config {} {rest}", file.display()),
        None => format!("undertone-gateway {rest}"),
    }
}

/// Prints a text and a line break to standard output.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}
