//! The way to the gateway: where it listens, by which key it is known, which key this device shows, and the
//! configuration in which a change of the gateway's key is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use undertone_config::{AnnouncedPin, ConfigError, Credential, HostPort, OperatorKey, PhoneConfig, Pin};

use super::tls::{self, ConnectError, Connected};
use super::trust::{Pinned, Trust};
use crate::keeping::device_key::DeviceKey;
use crate::keeping::error::KeptError;
use crate::keeping::gateway_keys;

/// How the gateway is reached and known.
#[derive(Debug, Clone)]
pub struct GatewayAccess {
    /// Where it listens.
    pub gateway: HostPort,
    /// How it proves who it is.
    pub trust: Trust,
    /// By what this device proves who it is, for an account without password.
    pub device: Option<Arc<DeviceKey>>,
    /// Under which key its next one is announced.
    pub operator: Option<OperatorKey>,
    /// The newest announcement so far.
    pub announced: Option<AnnouncedPin>,
    /// Where a change of the gateway's key is kept; `None` before the account is set up.
    pub config_file: Option<PathBuf>,
}

impl GatewayAccess {
    /// As a configuration says, with the device key beside it.
    ///
    /// # Errors
    /// When the device key cannot be used.
    pub fn configured(config: &PhoneConfig, config_file: &Path) -> Result<Self, KeptError> {
        let device = match &config.credential {
            Credential::Password(_) => None,
            Credential::DeviceKey(name) => Some(Arc::new(DeviceKey::load(&config_file.with_file_name(name))?)),
        };
        let domain = || Trust::Domain(config.address.domain().as_str().to_owned());
        let next = config.next.map(|next| next.pin).filter(|next| Some(*next) != config.pin);
        Ok(Self {
            gateway: config.gateway.clone(),
            trust: config.pin.map_or_else(domain, |pin| Trust::Pin(Pinned { pin, next })),
            device,
            operator: config.operator,
            announced: config.next,
            config_file: Some(config_file.to_owned()),
        })
    }

    /// Under which key a next key is announced, and the number of the newest announcement so far.
    #[must_use]
    pub fn operator(&self) -> Option<(OperatorKey, Option<u64>)> {
        self.operator.map(|operator| (operator, self.announced.map(|next| next.serial)))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// In words a person can act on.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        tls::connect(&self.gateway, &self.trust, self.device.as_deref()).await
    }

    /// The operator has announced the gateway's next key: from here on it is taken as well.
    ///
    /// # Errors
    /// When it cannot be kept for the next run.
    pub fn keep_announced(&mut self, next: AnnouncedPin) -> Result<(), ConfigError> {
        if let Trust::Pin(pinned) = &mut self.trust {
            pinned.next = Some(next.pin);
        }
        self.announced = Some(next);
        self.config_file.as_ref().map_or(Ok(()), |file| gateway_keys::keep_announced(file, next))
    }

    /// The gateway has proved this key. If it is the announced one, the old one is not taken any more.
    ///
    /// # Errors
    /// When that cannot be kept for the next run.
    pub fn proved(&mut self, key: Option<Pin>) -> Result<(), ConfigError> {
        match (&mut self.trust, key) {
            (Trust::Pin(pinned), Some(key)) if key != pinned.pin && pinned.next == Some(key) => {
                *pinned = key.into();
                self.config_file.as_ref().map_or(Ok(()), |file| gateway_keys::promote(file, key))
            }
            (Trust::Pin(_) | Trust::Domain(_), _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_key_is_taken_beside_the_old_one_until_it_is_seen() {
        let [old, next, other] = [1, 2, 3].map(|octet| Pin::from_sha256([octet; 32]));
        let mut access = GatewayAccess {
            gateway: "127.0.0.1:5061".parse().expect("valid"),
            trust: Trust::Pin(old.into()),
            device: None,
            operator: None,
            announced: None,
            config_file: None,
        };
        let pinned = |access: &GatewayAccess| match access.trust {
            Trust::Pin(pinned) => pinned,
            Trust::Domain(_) => panic!("the pin is gone"),
        };
        access.proved(Some(other)).expect("nothing to keep");
        assert_eq!(pinned(&access), old.into());
        access.keep_announced(AnnouncedPin { pin: next, serial: 1 }).expect("nothing to keep");
        for seen in [None, Some(old), Some(other)] {
            access.proved(seen).expect("nothing to keep");
            assert_eq!(pinned(&access), Pinned { pin: old, next: Some(next) });
        }
        access.proved(Some(next)).expect("nothing to keep");
        assert_eq!(pinned(&access), next.into());
    }
}
