//! `undertone-gateway user add|password|remove|list`: accounts, also while the gateway runs.
//!
//! Passwords are for other makers' phones: our own join by a link and have none.

use super::arguments::{Arguments, UserTask};
use super::gateway_address::gateway_address;
use super::{Failure, load_config, own_command, password, say, today, wait_for_running_gateway};
use crate::core::accounts::AccountName;
use crate::store::{Overview, Store, StoreError};
use crate::tls;
use rand_core::{OsRng, TryRngCore};
use undertone_config::{GatewayConfig, Secret};
use undertone_sip::digest;
use zeroize::Zeroizing;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, task: &UserTask) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    match task {
        UserTask::Add { name } => {
            give_password(arguments, &config, &AccountName::parse(name)?, |name, verifier| store.add(name, verifier))
        }
        UserTask::Password { name } => {
            give_password(arguments, &config, &AccountName::parse(name)?, |name, verifier| {
                store.set_verifier(name, verifier)
            })
        }
        UserTask::Remove { name } => remove(arguments, &mut store, &AccountName::parse(name)?),
        UserTask::List => list(arguments, &config, &store),
    }
}

fn give_password(
    arguments: &Arguments,
    config: &GatewayConfig,
    name: &AccountName,
    keep: impl FnOnce(&AccountName, &[u8; 32]) -> Result<(), StoreError>,
) -> Result<(), Failure> {
    // Before anything is written: without a pin the account's command line cannot be told.
    let pin = tls::read_pin(&config.certificate)?;
    let password: Secret = password::draw(&mut OsRng.unwrap_err());
    let verifier = digest::ha1(name.as_str(), config.domain.as_str(), password.expose());
    keep(name, verifier.as_bytes())?;
    wait_for_running_gateway();
    let address = format!("{}@{}", name.as_str(), config.domain);
    let gateway = gateway_address(config);
    if arguments.json {
        let line = serde_json::json!({ "address": address, "password": password.expose(), "gateway": gateway,
            "pin": pin.to_string() });
        return say(&Zeroizing::new(line.to_string()));
    }
    say(&Zeroizing::new(format!(
        "Account {address} has a new password, which is shown only this once:\n\n  {}\n\n\
         Give it to its owner over a safe way, for a phone that cannot join by a link (SIP over TLS to {gateway}, digest \
         SHA-256). On an Undertone phone, which asks for the password:\n\n  \
         undertone setup --address {address} --gateway {gateway} --pin {pin}\n",
        password.expose()
    )))
}

fn remove(arguments: &Arguments, store: &mut Store, name: &AccountName) -> Result<(), Failure> {
    store.remove(name)?;
    wait_for_running_gateway();
    let name = name.as_str();
    if arguments.json {
        say(&serde_json::json!({ "removed": name }).to_string())
    } else {
        say(&format!("Account {name} is removed; its phones are signed out."))
    }
}

fn list(arguments: &Arguments, config: &GatewayConfig, store: &Store) -> Result<(), Failure> {
    let accounts = store.overview(today())?;
    if arguments.json {
        let accounts: Vec<_> = accounts
            .iter()
            .map(|Overview { name, devices, has_password, open_invites }| {
                serde_json::json!({ "name": name.as_str(), "devices": devices, "password": has_password,
                    "open_invites": open_invites })
            })
            .collect();
        return say(&serde_json::json!({ "accounts": accounts }).to_string());
    }
    if accounts.is_empty() {
        let remedy = own_command(arguments, "invite NAME");
        return say(&format!("There is no account yet; invite somebody with `{remedy}`."));
    }
    accounts.iter().try_for_each(|account| say(&line(account, config)))
}

fn line(account: &Overview, config: &GatewayConfig) -> String {
    let Overview { name, devices, has_password, open_invites } = account;
    let of = |count: &u32, one: &str| if *count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let password = if *has_password { "a password" } else { "no password" };
    let (devices, invites) = (of(devices, "device"), of(open_invites, "open invite"));
    format!("{}@{}: {devices}, {password}, {invites}", name.as_str(), config.domain)
}
