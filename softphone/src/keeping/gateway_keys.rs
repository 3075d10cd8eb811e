//! Changes of the gateway's key in the configuration, while a phone runs: a next key that its operator announced, and
//! that key becoming the pin. Every change reads the file anew under the profile's lock: another phone of the profile
//! may have written it.

use std::path::Path;

use undertone_config::{AnnouncedPin, ConfigError, PhoneConfig, Pin};

use super::lock::ProfileLock;

/// Keeps an announced key, unless a newer announcement is kept already.
///
/// # Errors
/// When the configuration cannot be read or written; it stays as it was.
pub fn keep_announced(file: &Path, next: AnnouncedPin) -> Result<(), ConfigError> {
    change(file, |config| {
        let is_newer = config.next.is_none_or(|kept| next.serial > kept.serial);
        if is_newer {
            config.next = Some(next);
        }
        is_newer
    })
}

/// The gateway has shown its announced key: from here on it is the pin, and the old one counts no more.
///
/// # Errors
/// When the configuration cannot be read or written; it stays as it was.
pub fn promote(file: &Path, pin: Pin) -> Result<(), ConfigError> {
    change(file, |config| {
        let is_announced = config.next.is_some_and(|next| next.pin == pin) && config.pin != Some(pin);
        if is_announced {
            config.pin = Some(pin);
        }
        is_announced
    })
}

fn change(file: &Path, change: impl FnOnce(&mut PhoneConfig) -> bool) -> Result<(), ConfigError> {
    let _lock = ProfileLock::beside(file)?;
    let mut config = PhoneConfig::load(file)?;
    if change(&mut config) { config.save(file) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEXT: [u8; 32] = [2; 32];

    #[test]
    fn the_newest_announcement_is_kept_and_becomes_the_pin_when_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("phone.toml");
        std::fs::write(
            &file,
            format!(
                "[account]\naddress = \"alice@gw.example\"\ndevice_key = \"device.pem\"\n\
                 [gateway]\naddress = \"gw.example\"\npin = \"{}\"\n[sound]\nspeaker = \"Headset\"\n",
                Pin::from_sha256(OLD)
            ),
        )
        .unwrap();
        let pins = || {
            let config = PhoneConfig::load(&file).unwrap();
            assert_eq!(config.sound.speaker.as_deref(), Some("Headset"), "the rest stays");
            (config.pin.unwrap(), config.next)
        };
        let announced = |pin, serial| AnnouncedPin { pin: Pin::from_sha256(pin), serial };
        promote(&file, Pin::from_sha256(NEXT)).unwrap();
        assert_eq!(pins(), (Pin::from_sha256(OLD), None), "what nobody announced is no pin");
        keep_announced(&file, announced(NEXT, 5)).unwrap();
        for older in [0, 4, 5] {
            keep_announced(&file, announced([9; 32], older)).unwrap();
        }
        assert_eq!(pins(), (Pin::from_sha256(OLD), Some(announced(NEXT, 5))));
        promote(&file, Pin::from_sha256(NEXT)).unwrap();
        assert_eq!(pins(), (Pin::from_sha256(NEXT), Some(announced(NEXT, 5))));
        keep_announced(&file, announced([9; 32], 5)).unwrap();
        assert_eq!(pins().1, Some(announced(NEXT, 5)), "an old announcement stays old after the change");
    }

    #[test]
    fn a_damaged_configuration_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("phone.toml");
        std::fs::write(&file, "[account]\n").unwrap();
        let next = AnnouncedPin { pin: Pin::from_sha256(NEXT), serial: 1 };
        assert!(keep_announced(&file, next).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[account]\n");
    }
}
