//! `undertone-gateway pin`: by what phones know this gateway.

use super::arguments::Arguments;
use super::{Failure, load_config, say};
use crate::tls;

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pin = tls::read_pin(&load_config(arguments)?.certificate)?;
    if arguments.json { say(&serde_json::json!({ "pin": pin.to_string() }).to_string()) } else { say(&pin.to_string()) }
}
