//! `undertone-gateway backup FILE`: a copy of all accounts, made while the gateway runs.

use super::arguments::{Arguments, Backup};
use super::{Failure, load_config, say};
use crate::store::Store;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, wanted: &Backup) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    let store = Store::open(&config.state_folder, &config.domain)?;
    store.back_up(&wanted.file)?;
    if arguments.json {
        return say(&serde_json::json!({ "event": "backup", "file": wanted.file }).to_string());
    }
    say(&format!(
        "The accounts of {} are in {}, which has been checked. Keep it off this server, as secret as the server. It holds \
         neither the configuration nor the gateway's key: copy {} and {} too.",
        config.domain,
        wanted.file.display(),
        super::config_file(arguments).display(),
        config.private_key.display()
    ))
}
