//! `undertone-gateway doctor --confinement`: tries to break out of the gateway's confinement and tells each attempt.

use super::arguments::{Arguments, Doctor};
use super::{Failure, load_config, say};
use crate::confinement::attempt::{Attempt, Ground, Outcome};
use crate::confinement::{Confinement, memory_limit};
use nix::libc::SIGSYS;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use undertone_config::GatewayConfig;

/// How an attempt's process begins its one line; anything else it prints is no denial.
const DENIED: &str = "denied: ";
const UNCLEAR: &str = "unclear: ";

/// Runs the command.
pub(super) fn run(arguments: &Arguments, wanted: &Doctor) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    match wanted.attempt {
        Some(attempt) => make(attempt, &config),
        None => make_all(arguments),
    }
}

/// In the attempt's own process.
fn make(attempt: Attempt, config: &GatewayConfig) -> Result<(), Failure> {
    let confinement = Confinement {
        state_folder: config.state_folder.clone(),
        memory: memory_limit(config.relay.max_calls),
        // What is missing shows in the attempts that need it.
        may_lack_parts: true,
        // Looking changes nothing.
        hands_over: false,
    };
    let ground = Ground::prepare(&config.private_key).map_err(Failure::Doctor)?;
    let outcome = attempt.make(&confinement, &ground)?;
    ground.clean();
    say(&match outcome {
        Outcome::Denied(words) => format!("{DENIED}{words}"),
        Outcome::Possible => "possible".to_owned(),
        Outcome::Unclear(words) => format!("{UNCLEAR}{words}"),
    })
}

fn make_all(arguments: &Arguments) -> Result<(), Failure> {
    let (mut possible, mut unclear) = (0, 0);
    for attempt in Attempt::all() {
        let outcome = outcome(&in_own_process(arguments, *attempt)?);
        match outcome {
            Outcome::Denied(_) => {}
            Outcome::Possible => possible += 1,
            Outcome::Unclear(_) => unclear += 1,
        }
        say(&line(*attempt, &outcome, arguments.json))?;
    }
    if possible + unclear == 0 { Ok(()) } else { Err(Failure::Unconfined { possible, unclear }) }
}

fn in_own_process(arguments: &Arguments, attempt: Attempt) -> Result<Output, Failure> {
    let own = std::env::current_exe().map_err(Failure::Doctor)?;
    let mut command = Command::new(own);
    if let Some(config) = &arguments.config {
        command.arg("--config").arg(config);
    }
    command.args(["doctor", "--confinement", "--attempt", &attempt.name()]).stdin(Stdio::null());
    command.output().map_err(Failure::Doctor)
}

fn outcome(output: &Output) -> Outcome {
    if output.status.signal() == Some(SIGSYS) {
        return Outcome::Denied("the process is killed".to_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim();
    if let Some(words) = said.strip_prefix(DENIED) {
        Outcome::Denied(without_number(words))
    } else if let Some(words) = said.strip_prefix(UNCLEAR) {
        Outcome::Unclear(without_number(words))
    } else if output.status.success() {
        Outcome::Possible
    } else {
        Outcome::Unclear(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The system's words without the number it adds.
fn without_number(words: &str) -> String {
    words.split(" (os error ").next().unwrap_or_default().to_owned()
}

fn line(attempt: Attempt, outcome: &Outcome, json: bool) -> String {
    let (result, how) = match outcome {
        Outcome::Denied(how) => ("denied", Some(how)),
        Outcome::Possible => ("possible", None),
        Outcome::Unclear(how) => ("unclear", Some(how)),
    };
    if json {
        return serde_json::json!({ "event": "attempt", "attempt": attempt.name(), "result": result, "how": how })
            .to_string();
    }
    let how = how.map_or(String::new(), |how| format!(" ({how})"));
    let result = if result == "possible" { "POSSIBLE" } else { result };
    format!("{result}: {}{how}", attempt.words())
}
