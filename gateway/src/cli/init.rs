//! `undertone-gateway init`: configuration, key, certificate, account store and operator's key of a new gateway.
//!
//! Overwrites nothing, and leaves nothing behind when it fails half-way. The configuration is written last: while it is
//! missing, there is no gateway. Only the operator's public key goes into the store after it.

use super::arguments::{Arguments, Init};
use super::operator_key::{self, NewOperatorKey};
use super::{Failure, config_file, own_command, say, self_signed};
use crate::store::{STORE_FILE, Store};
use crate::tls::{self, TlsIdentity};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use undertone_config::{DEFAULT_TLS_PORT, GatewayConfig, Pin, default_gateway_file, write_private};
use zeroize::Zeroizing;

/// Port of the relay unless told otherwise.
const DEFAULT_RELAY_PORT: u16 = 40_000;

/// State folder of the gateway with the default configuration file.
const DEFAULT_STATE_FOLDER: &str = "/var/lib/undertone";

/// Runs the command.
pub(super) fn run(arguments: &Arguments, wanted: &Init) -> Result<(), Failure> {
    let file = config_file(arguments);
    let plan = Plan::new(&file, arguments.config.is_none(), wanted)?;
    // What `serve` would refuse is refused now, before anything exists.
    let config = GatewayConfig::parse(&plan.text, &file)?;
    let mut made = Made::default();
    let (pin, operator_key) = match plan.write(&config, wanted, &mut made) {
        Ok(written) => written,
        Err(failure) => {
            made.remove();
            return Err(failure);
        }
    };
    if arguments.json {
        let line = serde_json::json!({ "config": file, "state_folder": config.state_folder, "pin": pin.to_string(),
            "operator_key": operator_key });
        return say(&line.to_string());
    }
    let operator_key = operator_key.map_or(String::new(), |file| {
        format!("The operator's key is in {}. {}\n\n", file.display(), operator_key::KEEP_IT_AWAY)
    });
    say(&format!(
        "The gateway of {} is set up in {}. Phones know it by its pin:\n\n  {pin}\n\n{operator_key}Next, for each \
         person:\n\n  {}\n\nand then:\n\n  {}",
        config.domain,
        file.display(),
        own_command(arguments, "invite NAME"),
        own_command(arguments, "serve")
    ))
}

struct Plan {
    file: PathBuf,
    text: String,
    makes_certificate: bool,
}

/// The files and folders made so far, in this order, to be removed when the rest fails.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Plan {
    fn new(file: &Path, is_default: bool, wanted: &Init) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|reason| Failure::Argument(format!("{}: {reason}; give a full path", path.display())))
        };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = absolute(folder)?;
        let state_folder = match &wanted.state_folder {
            Some(folder) => absolute(folder)?,
            None if is_default => PathBuf::from(DEFAULT_STATE_FOLDER),
            None => folder.join("state"),
        };
        let (certificate, private_key) = match (&wanted.certificate, &wanted.private_key) {
            (Some(certificate), Some(key)) => (absolute(certificate)?, absolute(key)?),
            (None, _) | (_, None) => (folder.join("tls/certificate.pem"), folder.join("tls/key.pem")),
        };
        let text = config_text(wanted, &state_folder, &certificate, &private_key)?;
        let file = if is_default { default_gateway_file() } else { absolute(file)? };
        Ok(Self { file, text, makes_certificate: wanted.certificate.is_none() })
    }

    /// The pin, and the operator's key if one was made.
    fn write(&self, config: &GatewayConfig, wanted: &Init, made: &mut Made) -> Result<(Pin, Option<PathBuf>), Failure> {
        let own = if self.makes_certificate { &[&config.certificate, &config.private_key][..] } else { &[] };
        for file in [&self.file].iter().chain(own) {
            if file.exists() {
                return Err(Failure::Exists { file: file.to_path_buf() });
            }
        }
        if self.makes_certificate {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = self_signed::certificate(&wanted.domain, &key)?;
            made.write(&config.private_key, Zeroizing::new(key.serialize_pem()).as_bytes())?;
            made.write(&config.certificate, certificate.as_bytes())?;
        }
        TlsIdentity::load(&config.certificate, &config.private_key, SystemTime::now())?;
        let store = config.state_folder.join(STORE_FILE);
        if !store.exists() {
            made.note(&store);
        }
        let mut store = Store::create(&config.state_folder, &config.domain)?;
        // A store that outlived its configuration has an operator already, whom phones know.
        let operator = match store.succession()?.operator {
            Some(_) => None,
            None => Some(NewOperatorKey::draw(wanted.operator_key.as_deref(), &self.file, &config.state_folder)?),
        };
        if let Some(operator) = &operator {
            made.write(operator.file(), operator.pem())?;
        }
        made.write(&self.file, self.text.as_bytes())?;
        if let Some(operator) = &operator {
            store.set_operator(operator.public())?;
        }
        Ok((tls::read_pin(&config.certificate)?, operator.map(|operator| operator.file().to_owned())))
    }
}

impl Made {
    fn write(&mut self, file: &Path, content: &[u8]) -> Result<(), Failure> {
        self.note(file);
        Ok(write_private(file, content)?)
    }

    /// Remembers a file that is about to be made, and the folders that are made for it.
    fn note(&mut self, file: &Path) {
        let missing: Vec<&Path> = file.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        self.0.extend(missing.into_iter().rev().map(Path::to_owned));
        self.0.push(file.to_owned());
    }

    fn remove(&self) {
        for path in self.0.iter().rev() {
            // The first failure is the one worth reporting; a folder somebody else has used meanwhile stays.
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
    }
}

fn config_text(wanted: &Init, state: &Path, certificate: &Path, key: &Path) -> Result<String, Failure> {
    let listen = or_everywhere(&wanted.listen, &wanted.public_addresses, DEFAULT_TLS_PORT);
    let relay = or_everywhere(&wanted.relay_listen, &wanted.public_addresses, DEFAULT_RELAY_PORT);
    Ok(format!(
        r#"# Undertone gateway, written by `undertone-gateway init`.

# The part of all addresses after the @. Passwords are bound to it: changing it means making all accounts anew.
domain = {domain}

# Holds the account store and nothing else. Only the gateway's user may read it.
state_folder = {state}

[signalling]
# Where phones connect (SIP over TLS 1.3).
listen = {listen}
# PEM files. Phones know the key by its pin: replace it with `undertone-gateway next-key`, so that they follow.
certificate = {certificate}
private_key = {key}

[relay]
# One UDP port per family carries the sound of all calls; open it in the firewall.
listen = {relay}
# The addresses by which phones reach this machine, if they differ from those above (behind NAT, or 0.0.0.0).
public_addresses = {public}
# Calls at the same time.
# max_calls = 500
"#,
        domain = quoted(wanted.domain.as_str()),
        state = quoted_path(state)?,
        certificate = quoted_path(certificate)?,
        key = quoted_path(key)?,
        listen = list(&listen),
        relay = list(&relay),
        public = list(&wanted.public_addresses),
    ))
}

/// What was asked for, or all addresses of the families that phones are told.
fn or_everywhere(asked: &[SocketAddr], public: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let v4 = public.iter().any(IpAddr::is_ipv4).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let v6 = public.iter().any(IpAddr::is_ipv6).then(|| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    v4.into_iter().chain(v6).collect()
}

fn list<T: ToString>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

fn quoted_path(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(quoted)
        .ok_or_else(|| Failure::Argument(format!("{}: the path is not UTF-8; choose another folder", path.display())))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
