//! `undertone-gateway restore FILE`: puts a backup in the place of the accounts, also while the gateway runs.

use super::arguments::{Arguments, Restore};
use super::{Failure, load_config, own_command, say, wait_for_running_gateway};
use crate::store::Store;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, wanted: &Restore) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    let store = Store::restore(&config.state_folder, &config.domain, &wanted.file)?;
    let accounts = store.names()?.len();
    wait_for_running_gateway();
    if arguments.json {
        return say(&serde_json::json!({ "event": "restored", "file": wanted.file, "accounts": accounts }).to_string());
    }
    say(&format!(
        "The accounts of {} are those of {}; a gateway that runs has taken them over. Whoever was removed or revoked since \
         that backup is in again: look through `{}` and `{}`, and remove or revoke anew.",
        config.domain,
        wanted.file.display(),
        own_command(arguments, "user list"),
        own_command(arguments, "device list NAME")
    ))
}
