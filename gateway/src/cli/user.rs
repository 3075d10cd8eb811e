//! `undertone-gateway user add|remove|list`: accounts, also while the gateway runs.

use super::arguments::{Arguments, UserTask};
use super::{Failure, load_config, password, say};
use crate::core::accounts::AccountName;
use crate::store::{Store, WATCH_INTERVAL};
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
        UserTask::Add { name } => add(arguments, &config, &mut store, &AccountName::parse(name)?),
        UserTask::Remove { name } => remove(arguments, &mut store, &AccountName::parse(name)?),
        UserTask::List => list(arguments, &config, &store),
    }
}

fn add(arguments: &Arguments, config: &GatewayConfig, store: &mut Store, name: &AccountName) -> Result<(), Failure> {
    // Before anything is written: without a pin the account's command line cannot be told.
    let pin = tls::read_pin(&config.certificate)?;
    let password: Secret = password::draw(&mut OsRng.unwrap_err());
    let verifier = digest::ha1(name.as_str(), config.domain.as_str(), password.expose());
    store.add(name, verifier.as_bytes())?;
    wait_for_running_gateway();
    let address = format!("{}@{}", name.as_str(), config.domain);
    let gateway = gateway_address(config);
    if arguments.json {
        let line = serde_json::json!({ "address": address, "password": password.expose(), "gateway": gateway,
            "pin": pin.to_string() });
        return say(&Zeroizing::new(line.to_string()));
    }
    say(&Zeroizing::new(format!(
        "Account {address} is made. Its password is shown only this once:\n\n  {}\n\n\
         Give it to its owner over a safe way. On the phone, which asks for the password:\n\n  \
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
    let names = store.names()?;
    if arguments.json {
        let names: Vec<&str> = names.iter().map(AccountName::as_str).collect();
        return say(&serde_json::json!({ "accounts": names }).to_string());
    }
    if names.is_empty() {
        return say("There is no account yet; add one with `undertone-gateway user add NAME`.");
    }
    names.iter().try_for_each(|name| say(&format!("{}@{}", name.as_str(), config.domain)))
}

/// When the command is over, the change holds: a gateway that runs has looked at the store by then.
fn wait_for_running_gateway() {
    std::thread::sleep(2 * WATCH_INTERVAL);
}

/// Where phones connect: by the domain, or by the address if the gateway listens on one of its own.
fn gateway_address(config: &GatewayConfig) -> String {
    match config.signalling_listen.first() {
        Some(listen) if listen.port() == 0 => config.domain.to_string(),
        Some(listen) if !listen.ip().is_unspecified() => listen.to_string(),
        Some(listen) => format!("{}:{}", config.domain, listen.port()),
        None => config.domain.to_string(),
    }
}
