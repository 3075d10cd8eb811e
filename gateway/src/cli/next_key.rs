//! `undertone-gateway next-key`: from one key to the next without a phone being left behind.
//!
//! ```text
//! server   new ──▶ next-key.pem, its pin
//! operator sign ──▶ announcement (pin, serial, signature)
//! server   announce ──▶ store ──▶ Undertone-Next-Pin to every phone that signs in
//! server   use, weeks later ──▶ certificate and key replaced; restart
//! ```

use super::arguments::{Arguments, NextKeyTask};
use super::{Failure, load_config, operator_key, own_command, say, self_signed, wait_for_running_gateway};
use crate::core::Announcement;
use crate::store::Store;
use crate::tls;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs::File;
use std::path::{Path, PathBuf};
use undertone_config::{Domain, GatewayConfig, Pin, write_private};
use zeroize::Zeroizing;

/// The next key's file, beside the present one.
const NEXT_KEY_FILE: &str = "next-key.pem";

/// Runs the command.
pub(super) fn run(arguments: &Arguments, task: &NextKeyTask) -> Result<(), Failure> {
    match task {
        NextKeyTask::New => new(arguments),
        NextKeyTask::Sign { operator_key, domain, pin, serial } => sign(arguments, operator_key, domain, *pin, *serial),
        NextKeyTask::Announce { text } => announce(arguments, text),
        NextKeyTask::Use => put_to_use(arguments),
    }
}

fn new(arguments: &Arguments) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    let store = Store::open(&config.state_folder, &config.domain)?;
    let file = next_key_file(&config);
    if file.exists() {
        return Err(Failure::Argument(format!(
            "{} is there already and is not overwritten; announce and use it, or move it away",
            file.display()
        )));
    }
    let serial = store.last_serial()?.saturating_add(1);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write_private(&file, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    let pin = self_signed::pin_of(&key);
    if arguments.json {
        let line = serde_json::json!({ "key": file, "pin": pin.to_string(), "serial": serial });
        return say(&line.to_string());
    }
    say(&format!(
        "The next key is in {}. Its pin:\n\n  {pin}\n\nNext, where the operator's key is:\n\n  \
         undertone-gateway next-key sign --operator-key FILE --domain {} --pin {pin} --serial {serial}",
        file.display(),
        config.domain
    ))
}

fn sign(arguments: &Arguments, file: &Path, domain: &Domain, pin: Pin, serial: u64) -> Result<(), Failure> {
    let announcement = Announcement::sign(pin, serial, domain, &operator_key::read(file)?);
    if arguments.json {
        return say(&serde_json::json!({ "announcement": announcement.to_string() }).to_string());
    }
    say(&format!(
        "On the server of {domain}:\n\n  {}",
        own_command(arguments, &format!("next-key announce '{announcement}'"))
    ))
}

fn announce(arguments: &Arguments, text: &str) -> Result<(), Failure> {
    let announcement: Announcement = text.parse().map_err(|error| refuse(&error))?;
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    let operator = store.succession()?.operator.ok_or_else(|| {
        let remedy = own_command(arguments, "operator-key new");
        refuse(&format_args!(
            "this gateway has no operator key, so phones would believe no announcement; see `{remedy}`"
        ))
    })?;
    if !announcement.is_by(&operator, &config.domain) {
        return Err(refuse(&format_args!(
            "this announcement was not signed with this gateway's operator key for {}; sign the pin again with that key and --domain {0}",
            config.domain
        )));
    }
    let key = read_next_key(arguments, &config)?;
    if self_signed::pin_of(&key) != announcement.pin {
        return Err(refuse(&format_args!(
            "this announcement is for another key than {}; sign the pin that `next-key new` printed",
            next_key_file(&config).display()
        )));
    }
    store.announce(&announcement)?;
    wait_for_running_gateway();
    if arguments.json {
        return say(&serde_json::json!({ "event": "announced", "pin": announcement.pin.to_string() }).to_string());
    }
    say(&format!(
        "Every phone that signs in is told of the next key. When all have had the time to, put it to use:\n\n  {}\n\n\
         A phone that has not signed in until then needs a new invite.",
        own_command(arguments, "next-key use")
    ))
}

/// Certificate first, then the key: if it is interrupted, the same command finishes it.
fn put_to_use(arguments: &Arguments) -> Result<(), Failure> {
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    let announced = store.succession()?.announcement.map(|announcement| announcement.pin);
    let present = tls::read_pin(&config.certificate)?;
    let next = next_key_file(&config);
    if next.exists() || announced != Some(present) {
        let key = read_next_key(arguments, &config)?;
        let pin = self_signed::pin_of(&key);
        if announced != Some(pin) {
            return Err(refuse(&format_args!(
                "{} has not been announced, so phones would take this gateway for another one; announce it first, with `{}`",
                next.display(),
                own_command(arguments, "next-key announce TEXT")
            )));
        }
        if present != pin {
            write_certificate(&config, &key)?;
        }
        replace(&next, &config.private_key)?;
    }
    store.end_announcement()?;
    let pin = tls::read_pin(&config.certificate)?;
    if arguments.json {
        return say(&serde_json::json!({ "event": "key_in_use", "pin": pin.to_string() }).to_string());
    }
    say(&format!(
        "The next key is in place; its pin is\n\n  {pin}\n\nStart the gateway again:\n\n  {}\n\nLinks that nobody has used \
         yet name the earlier key, so no phone can join by them: take them back with `{}`, and make new ones.",
        own_command(arguments, "serve"),
        own_command(arguments, "invite NAME --withdraw")
    ))
}

fn write_certificate(config: &GatewayConfig, key: &KeyPair) -> Result<(), Failure> {
    if !tls::is_self_signed(&config.certificate)? {
        return Err(refuse(&format_args!(
            "{} was issued by a certificate authority; have one issued for the key {}, put it into that file, then run this command again",
            config.certificate.display(),
            next_key_file(config).display()
        )));
    }
    Ok(write_private(&config.certificate, self_signed::certificate(&config.domain, key)?.as_bytes())?)
}

/// The earlier key is gone with this: nobody can steal what is not there.
fn replace(next: &Path, present: &Path) -> Result<(), Failure> {
    let folder = present.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let moved = std::fs::rename(next, present).and_then(|()| File::open(folder)?.sync_all());
    moved.map_err(|reason| {
        refuse(&format_args!(
            "{} cannot be put in place of {} ({reason}); check the owner of their folder, then run this command again",
            next.display(),
            present.display()
        ))
    })
}

fn read_next_key(arguments: &Arguments, config: &GatewayConfig) -> Result<KeyPair, Failure> {
    let file = next_key_file(config);
    if !file.exists() {
        let remedy = own_command(arguments, "next-key new");
        return Err(refuse(&format_args!("there is no next key {}; make it with `{remedy}`", file.display())));
    }
    self_signed::read_key(&file)
}

fn next_key_file(config: &GatewayConfig) -> PathBuf {
    config.private_key.with_file_name(NEXT_KEY_FILE)
}

fn refuse(why: &dyn std::fmt::Display) -> Failure {
    Failure::Argument(why.to_string())
}
