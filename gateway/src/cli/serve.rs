//! `undertone-gateway serve`: runs the gateway and says when it is ready.

use super::arguments::{Arguments, Serve};
use super::{Failure, load_config, say};
use crate::confinement::{Confinement, memory_limit};
use crate::net::{self, Ready, ServeError, Served};
use crate::store::Store;
use crate::tls::TlsIdentity;
use std::net::SocketAddr;
use std::time::SystemTime;
use tracing_subscriber::EnvFilter;

/// Names the log filter, in the syntax of `tracing_subscriber::EnvFilter`.
const LOG_VARIABLE: &str = "UNDERTONE_LOG";

/// Runs the command until the gateway is stopped.
pub(super) fn run(arguments: &Arguments, wanted: &Serve) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    if let Some(address) = wanted.insecure_loopback_signalling.filter(|address| !address.ip().is_loopback()) {
        return Err(ServeError::InsecureAddress { address }.into());
    }
    let identity = TlsIdentity::load(&config.certificate, &config.private_key, SystemTime::now())?;
    let store = Store::open(&config.state_folder, &config.domain)?;
    start_log();
    let pin = identity.pin;
    let confinement = Confinement {
        state_folder: config.state_folder.clone(),
        memory: memory_limit(config.relay.max_calls),
        may_lack_parts: wanted.allow_unconfined,
        hands_over: true,
    };
    let served = Served { config, identity, store, insecure: wanted.insecure_loopback_signalling, confinement };
    let json = arguments.json;
    net::serve(served, |ready| {
        // A gateway whose output is closed runs on; its operator has other ways to see that it does.
        let _ = say(&ready_line(ready, &pin.to_string(), json));
    })?;
    Ok(())
}

fn ready_line(ready: &Ready, pin: &str, json: bool) -> String {
    if json {
        return serde_json::json!({
            "event": "ready",
            "signalling": ready.signalling,
            "relay": ready.relay,
            "insecure_signalling": ready.insecure,
            "pin": pin,
        })
        .to_string();
    }
    let list = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let insecure = ready.insecure.map_or(String::new(), |address| format!(", UNENCRYPTED signalling on {address}"));
    format!("ready: phones connect to {}, sound goes through {}{insecure}", list(&ready.signalling), list(&ready.relay))
}

/// Warnings go to standard error. The STUN library writes what strangers sent into its log: it is always off.
fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let filter = match "stun_types=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => EnvFilter::new("off"),
    };
    // A second log in one process (tests) is no reason to stop.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
