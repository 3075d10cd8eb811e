//! The configuration files as they stand, key by key; an unknown key is refused.

use crate::error::ConfigError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    pub(crate) domain: String,
    pub(crate) state_folder: String,
    pub(crate) signalling: Signalling,
    pub(crate) relay: Relay,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signalling {
    pub(crate) listen: Vec<String>,
    pub(crate) certificate: String,
    pub(crate) private_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relay {
    pub(crate) listen: Vec<String>,
    #[serde(default)]
    pub(crate) public_addresses: Vec<String>,
    pub(crate) max_calls: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phone {
    pub(crate) account: Account,
    pub(crate) gateway: PhoneGateway,
    #[serde(default)]
    pub(crate) sound: Sound,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) hide_from: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PhoneGateway {
    pub(crate) address: String,
    pub(crate) pin: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sound {
    pub(crate) microphone: Option<String>,
    pub(crate) speaker: Option<String>,
}

/// Reads `text` as TOML. The error keeps the line and the parser's first line of words, which names
/// the key; never the content of the line, which may be a password.
pub(crate) fn read<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        ConfigError::Syntax {
            file: file.to_owned(),
            line: text[..start].bytes().filter(|b| *b == b'\n').count() + 1,
            problem: error.message().lines().next().unwrap_or("not valid TOML").to_owned(),
        }
    })
}

/// Reads the whole of `file` into memory.
pub(crate) fn load(file: &Path, remedy: &'static str) -> Result<zeroize::Zeroizing<String>, ConfigError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(zeroize::Zeroizing::new(text)),
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => {
            Err(ConfigError::Missing { file: file.to_owned(), remedy })
        }
        Err(reason) => Err(ConfigError::Unreadable { file: file.to_owned(), reason }),
    }
}
