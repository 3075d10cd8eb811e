//! `undertone-gateway device list|revoke`: the phones that joined an account, also while the gateway runs.

use super::arguments::{Arguments, DeviceTask};
use super::{Failure, load_config, own_command, say, wait_for_running_gateway};
use crate::core::accounts::AccountName;
use crate::core::{Day, DeviceHash};
use crate::store::{Store, StoreError};

/// Fewest digits that name a device: 32 bits are the same for two of ten devices less often than anything else fails.
const MIN_PREFIX_LEN: usize = 8;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, task: &DeviceTask) -> Result<(), Failure> {
    let (DeviceTask::List { name } | DeviceTask::Revoke { name, .. }) = task;
    let name = AccountName::parse(name)?;
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    if !store.has(&name)? {
        return Err(StoreError::Unknown { name: name.as_str().to_owned() }.into());
    }
    let devices = store.devices(&name)?;
    match task {
        DeviceTask::List { .. } => list(arguments, &name, &devices),
        DeviceTask::Revoke { hash, .. } => revoke(arguments, &mut store, &name, &devices, hash),
    }
}

fn list(arguments: &Arguments, name: &AccountName, devices: &[(DeviceHash, Day)]) -> Result<(), Failure> {
    if arguments.json {
        let devices: Vec<_> = devices
            .iter()
            .map(|(device, added)| serde_json::json!({ "device": device.to_hex(), "added": added.to_string() }))
            .collect();
        return say(&serde_json::json!({ "devices": devices }).to_string());
    }
    if devices.is_empty() {
        let remedy = own_command(arguments, &format!("invite {}", name.as_str()));
        return say(&format!("No device has joined {}; let one in with `{remedy}`.", name.as_str()));
    }
    devices.iter().try_for_each(|(device, added)| say(&format!("{}  since {added}", device.to_hex())))
}

fn revoke(
    arguments: &Arguments,
    store: &mut Store,
    name: &AccountName,
    devices: &[(DeviceHash, Day)],
    prefix: &str,
) -> Result<(), Failure> {
    let device = find(devices, prefix).map_err(|why| {
        let list = own_command(arguments, &format!("device list {}", name.as_str()));
        Failure::Argument(format!("{why}; `{list}` shows all"))
    })?;
    store.revoke(name, &device)?;
    wait_for_running_gateway();
    if arguments.json {
        return say(&serde_json::json!({ "event": "revoked", "device": device.to_hex() }).to_string());
    }
    say(&format!(
        "Device {} of {name} is revoked and signed out. Links to {name} that nobody has used yet open nothing any more: \
         that device may have made them.",
        device.to_hex(),
        name = name.as_str()
    ))
}

fn find(devices: &[(DeviceHash, Day)], prefix: &str) -> Result<DeviceHash, &'static str> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.len() < MIN_PREFIX_LEN {
        return Err("give at least the first 8 digits of the device's hash");
    }
    let mut found = devices.iter().map(|(device, _)| *device).filter(|device| device.to_hex().starts_with(&prefix));
    match (found.next(), found.next()) {
        (Some(device), None) => Ok(device),
        (Some(_), Some(_)) => Err("more than one device begins so: give more digits"),
        (None, _) => Err("the account has no such device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_the_beginning_of_its_hash_if_only_one_begins_so() {
        let with_end = |end| {
            let mut hash = [0xab; 32];
            hash[31] = end;
            (DeviceHash::from_sha256(hash), Day::from_number(1))
        };
        let devices = [with_end(1), with_end(2)];
        assert_eq!(find(&devices, &devices[1].0.to_hex().to_uppercase()), Ok(devices[1].0));
        assert_eq!(find(&devices[..1], "abababab"), Ok(devices[0].0));
        for (prefix, words) in [("abababab", "more than one"), ("abababac", "no such device"), ("ab", "first 8")] {
            assert!(find(&devices, prefix).is_err_and(|why| why.contains(words)), "{prefix}");
        }
    }
}
