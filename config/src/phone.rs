//! The phone's configuration, `phone.toml`: one account on one gateway, and the sound devices.

use crate::account::{AccountAddress, AccountAddressError};
use crate::error::ConfigError;
use crate::host_port::{HostPort, HostPortError};
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
    /// The account's password on its gateway.
    pub password: Secret,
    /// Where the gateway listens for SIP over TLS.
    pub gateway: HostPort,
    /// The gateway's key; without it the certificate must be valid for the address's domain.
    pub pin: Option<Pin>,
    /// Sound devices other than the system's default ones.
    pub sound: SoundConfig,
    /// No gateway is told who calls: the called phone learns it in a way that only it can read.
    pub hide_from: bool,
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
        let text = raw::load(file, "run `undertone setup` first")?;
        Self::parse(&text, file)
    }

    /// Checks `text` as the content of `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Phone = raw::read(text, file)?;
        let value = |key, problem: String| ConfigError::Value { file: file.to_owned(), key, problem };
        let password = Secret::new(raw.account.password);
        if password.expose().is_empty() {
            return Err(value("account.password", "is empty; run `undertone setup` again".into()));
        }
        let pin = match raw.gateway.pin {
            Some(text) => Some(text.parse().map_err(|e: PinError| value("gateway.pin", e.to_string()))?),
            None => None,
        };
        Ok(Self {
            address: raw
                .account
                .address
                .parse()
                .map_err(|e: AccountAddressError| value("account.address", e.to_string()))?,
            password,
            gateway: raw.gateway.address.parse().map_err(|e: HostPortError| value("gateway.address", e.to_string()))?,
            pin,
            sound: SoundConfig { microphone: raw.sound.microphone, speaker: raw.sound.speaker },
            hide_from: raw.account.hide_from,
        })
    }

    /// Writes the file so that only its owner reads it, whole or not at all.
    pub fn save(&self, file: &Path) -> Result<(), ConfigError> {
        write_private(file, self.render().as_bytes())
    }

    fn render(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::from("# Undertone phone, written by `undertone setup`.\n\n[account]\n"));
        let mut line = |key: &str, content: &str| write_line(&mut text, key, content);
        line("address", &self.address.to_string());
        line("password", self.password.expose());
        if self.hide_from {
            text.push_str("hide_from = true\n");
        }
        let mut line = |key: &str, content: &str| write_line(&mut text, key, content);
        line("\n[gateway]\naddress", &self.gateway.to_string());
        if let Some(pin) = &self.pin {
            line("pin", &pin.to_string());
        }
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

    fn config(password: &str, speaker: Option<&str>) -> PhoneConfig {
        PhoneConfig {
            address: "alice@gw.example".parse().expect("valid"),
            password: Secret::new(password.into()),
            gateway: "127.0.0.1:5061".parse().expect("valid"),
            pin: Some(Pin::from_sha256([3; 32])),
            sound: SoundConfig { microphone: None, speaker: speaker.map(str::to_owned) },
            hide_from: false,
        }
    }

    proptest! {
        #[test]
        fn what_is_saved_is_read_back(password in ".{1,40}", speaker in proptest::option::of(".{0,40}"), hide_from: bool) {
            let written = PhoneConfig { hide_from, ..config(&password, speaker.as_deref()) };
            let read = PhoneConfig::parse(&written.render(), Path::new("phone.toml")).expect("own files are valid");
            prop_assert_eq!(read.password.expose(), password);
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
            let error =
                PhoneConfig::parse(&good.replacen(from, to, 1), Path::new("phone.toml")).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", config("hunter2", None)).contains("hunter2"));
    }
}
