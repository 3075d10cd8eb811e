//! The phone's configuration, `phone.toml`: one account on one gateway, and the sound devices.

use crate::account::{AccountAddress, AccountAddressError};
use crate::error::ConfigError;
use crate::host_port::{HostPort, HostPortError};
use crate::operator_key::{OperatorKey, OperatorKeyError};
use crate::pin::{Pin, PinError};
use crate::private_file::write_private;
use crate::raw;
use crate::secret::Secret;
use std::path::Path;
use zeroize::Zeroizing;

/// What the phone needs to reach its gateway, checked.
#[derive(Debug)]
pub struct PhoneConfig {
    /// The account, such as `alice@gw.example`.
    pub address: AccountAddress,
    /// How the account proves itself.
    pub credential: Credential,
    /// Where the gateway listens for SIP over TLS.
    pub gateway: HostPort,
    /// The gateway's key; without it the certificate must be valid for the address's domain.
    pub pin: Option<Pin>,
    /// Under which the gateway's next key is announced; known to accounts that joined by a link.
    pub operator: Option<OperatorKey>,
    /// The newest announcement of a next key. It stays when that key has become the pin, so that no older one counts.
    pub next: Option<AnnouncedPin>,
    /// Sound devices other than the system's default ones.
    pub sound: SoundConfig,
    /// Calls leave out this account's address: only the called phone can read who calls. The gateway that the phone is
    /// connected to sees whose phone sends the call.
    pub hide_from: bool,
}

/// How an account proves itself to its gateway.
#[derive(Debug)]
pub enum Credential {
    /// By this password.
    Password(Secret),
    /// By the key in this file beside the configuration; the name of a file, without folders.
    DeviceKey(String),
}

/// A key that the gateway will have, as its operator has signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedPin {
    /// The key.
    pub pin: Pin,
    /// Counts announcements: a higher one replaces a lower one.
    pub serial: u64,
}

/// Names of sound devices as `undertone devices` lists them; `None` is the system's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoundConfig {
    /// Recording device.
    pub microphone: Option<String>,
    /// Playing device.
    pub speaker: Option<String>,
}

impl PhoneConfig {
    /// Reads and checks `file`.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = raw::load(file, "run `undertone join` with the link of your gateway first, or `undertone setup`")?;
        Self::parse(&text, file)
    }

    /// Checks `text` as the content of `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Phone = raw::read(text, file)?;
        let value = |key, problem: String| ConfigError::Value { file: file.to_owned(), key, problem };
        let credential = credential(raw.account.password, raw.account.device_key)
            .map_err(|(key, problem)| value(key, problem.to_owned()))?;
        let pin = |key, text: Option<String>| match text {
            Some(text) => text.parse().map(Some).map_err(|e: PinError| value(key, e.to_string())),
            None => Ok(None),
        };
        let operator = raw.gateway.operator.map(|text| text.parse()).transpose();
        let operator = operator.map_err(|e: OperatorKeyError| value("gateway.operator", e.to_string()))?;
        let next = match (pin("gateway.next_pin", raw.gateway.next_pin)?, raw.gateway.next_serial) {
            (Some(pin), Some(serial)) => Some(AnnouncedPin { pin, serial }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(value("gateway.next_pin", "belongs together with next_serial: remove both lines".into()));
            }
        };
        Ok(Self {
            address: raw
                .account
                .address
                .parse()
                .map_err(|e: AccountAddressError| value("account.address", e.to_string()))?,
            credential,
            gateway: raw.gateway.address.parse().map_err(|e: HostPortError| value("gateway.address", e.to_string()))?,
            pin: pin("gateway.pin", raw.gateway.pin)?,
            operator,
            next,
            sound: SoundConfig { microphone: raw.sound.microphone, speaker: raw.sound.speaker },
            hide_from: raw.account.hide_from,
        })
    }

    /// Writes the file so that only its owner reads it, whole or not at all.
    pub fn save(&self, file: &Path) -> Result<(), ConfigError> {
        write_private(file, self.render().as_bytes())
    }

    fn render(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::from("# Undertone phone, written by `undertone`.\n\n[account]\n"));
        let mut line = |key: &str, content: &str| write_line(&mut text, key, content);
        line("address", &self.address.to_string());
        match &self.credential {
            Credential::Password(password) => line("password", password.expose()),
            Credential::DeviceKey(file) => line("device_key", file),
        }
        if self.hide_from {
            text.push_str("hide_from = true\n");
        }
        let mut line = |key: &str, content: &str| write_line(&mut text, key, content);
        line("\n[gateway]\naddress", &self.gateway.to_string());
        if let Some(pin) = &self.pin {
            line("pin", &pin.to_string());
        }
        if let Some(operator) = &self.operator {
            line("operator", &operator.to_string());
        }
        if let Some(next) = &self.next {
            line("next_pin", &next.pin.to_string());
            text.push_str(&format!("next_serial = {}\n", next.serial));
        }
        let mut line = |key: &str, content: &str| write_line(&mut text, key, content);
        if self.sound != SoundConfig::default() {
            let mut section = "\n[sound]\n";
            for (key, name) in [("microphone", &self.sound.microphone), ("speaker", &self.sound.speaker)] {
                if let Some(name) = name {
                    line(&format!("{section}{key}"), name);
                    section = "";
                }
            }
        }
        text
    }
}

/// The one proof that the file names; otherwise the key and what is wrong with it.
fn credential(
    password: Option<String>,
    device_key: Option<String>,
) -> Result<Credential, (&'static str, &'static str)> {
    match (password.map(Secret::new), device_key) {
        (Some(password), None) if password.expose().is_empty() => {
            Err(("account.password", "is empty; run `undertone setup` again"))
        }
        (Some(password), None) => Ok(Credential::Password(password)),
        (None, Some(file)) if is_file_name(&file) => Ok(Credential::DeviceKey(file)),
        (None, Some(_)) => Err((
            "account.device_key",
            "is not the name of a file in the same folder; write device_key = \"device.pem\"",
        )),
        (Some(_), Some(_)) => {
            Err(("account.device_key", "cannot stand beside a password; remove the one that is not this account's"))
        }
        (None, None) => Err((
            "account.password",
            "is missing, and so is device_key; run `undertone join` with a link, or `undertone setup`",
        )),
    }
}

/// Whether the text names something in a folder, and nothing outside it.
fn is_file_name(text: &str) -> bool {
    Path::new(text).file_name().is_some_and(|name| name == text) && !text.contains(char::is_control)
}

fn write_line(text: &mut String, key: &str, content: &str) {
    text.push_str(key);
    text.push_str(" = ");
    text.push_str(&quoted(content));
    text.push('\n');
}

/// A TOML basic string.
fn quoted(content: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(content.len() + 2));
    out.push('"');
    for c in content.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_saved_is_read_back(
            password in ".{1,40}",
            speaker in proptest::option::of(".{0,40}"),
            serial in any::<u64>(),
            is_joined: bool,
            hide_from: bool,
        ) {
            let of_password = config(&password, speaker.as_deref());
            let written = PhoneConfig { hide_from, ..if is_joined { joined(serial) } else { of_password } };
            let read = PhoneConfig::parse(&written.render(), Path::new("phone.toml")).expect("own files are valid");
            match read.credential {
                Credential::Password(read) => prop_assert_eq!(read.expose(), password),
                Credential::DeviceKey(file) => prop_assert_eq!(file.as_str(), "device.pem"),
            }
            prop_assert_eq!((read.operator, read.next), (written.operator, written.next));
            prop_assert_eq!(read.sound, written.sound);
            prop_assert_eq!(read.address, written.address);
            prop_assert_eq!(read.pin, written.pin);
            prop_assert_eq!(read.hide_from, hide_from);
        }
    }

    #[test]
    fn a_mistake_is_named_and_the_password_is_never_shown() {
        let good = config("hunter2", None).render().to_string();
        for (from, to, words) in [
            ("password =", "passwort =", "unknown field `passwort`"),
            ("password = \"", "password = \"\" #", "“account.password”: is empty"),
            ("password = \"", "password = ", "line 5"),
            ("alice@", "alice", "“account.address”"),
            ("sha256:", "md5:", "“gateway.pin”"),
            (":5061", ":x", "“gateway.address”"),
        ] {
            refused(&good, from, to, words);
        }
        assert!(!format!("{:?}", config("hunter2", None)).contains("hunter2"));
    }

    #[test]
    fn an_account_has_exactly_one_proof_and_a_next_key_its_number() {
        let good = joined(7).render().to_string();
        let key = "device_key = \"device.pem\"";
        for (from, to, words) in [
            (key, "", "“account.password”: is missing, and so is device_key; run `undertone join`"),
            (key, "device_key = \"device.pem\"\npassword = \"hunter2\"", "cannot stand beside a password"),
            (key, "device_key = \"../device.pem\"", "“account.device_key”: is not the name of a file"),
            (key, "device_key = \"\"", "“account.device_key”"),
            (key, "device_key = \"..\"", "“account.device_key”"),
            ("next_serial = 7", "", "“gateway.next_pin”: belongs together with next_serial"),
            ("next_serial = 7", "next_serial = -1", "line 12"),
            ("operator = \"", "operator = \"x", "“gateway.operator”"),
        ] {
            refused(&good, from, to, words);
        }
    }

    fn refused(good: &str, from: &str, to: &str, words: &str) {
        let error =
            PhoneConfig::parse(&good.replacen(from, to, 1), Path::new("phone.toml")).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    fn config(password: &str, speaker: Option<&str>) -> PhoneConfig {
        PhoneConfig {
            address: "alice@gw.example".parse().expect("valid"),
            credential: Credential::Password(Secret::new(password.into())),
            gateway: "127.0.0.1:5061".parse().expect("valid"),
            pin: Some(Pin::from_sha256([3; 32])),
            operator: None,
            next: None,
            sound: SoundConfig { microphone: None, speaker: speaker.map(str::to_owned) },
            hide_from: false,
        }
    }

    fn joined(serial: u64) -> PhoneConfig {
        PhoneConfig {
            credential: Credential::DeviceKey("device.pem".into()),
            operator: Some(OperatorKey::from_bytes([4; 32])),
            next: Some(AnnouncedPin { pin: Pin::from_sha256([5; 32]), serial }),
            ..config("unused", None)
        }
    }
}
