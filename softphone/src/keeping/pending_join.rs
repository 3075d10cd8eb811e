//! A join that is under way: the device key is on the disk before the gateway hears of it, so that a crash after the
//! gateway's yes loses nothing. The same link finds the same key again, and the gateway lets it in again.
//!
//! ```text
//!   begin: PROFILE/device-NAME.pending     (NAME from the link's token: another link gets another key)
//!     │ refused ──▶ give up: the profile is as it was
//!     ▼ accepted
//!   finish: device.pem ▶ phone.toml ▶ pending file removed      (the account is there with phone.toml)
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use undertone_config::{LinkToken, PhoneConfig};

use super::device_key::{DEVICE_KEY_FILE, DeviceKey};
use super::error::KeptError;
use super::identity_file::exists;
use super::lock::ProfileLock;

/// Octets of the name of a pending key: enough to tell one person's links apart.
const NAME_LEN: usize = 8;

/// The key of a device that is about to join.
#[derive(Debug)]
pub struct PendingJoin {
    file: PathBuf,
    key: Arc<DeviceKey>,
    is_new: bool,
    made_folder: bool,
}

impl PendingJoin {
    /// Makes the key for a link, or finds the one of an earlier try.
    ///
    /// # Errors
    /// When it cannot be made, written or read.
    pub fn begin(profile: &Path, token: &LinkToken) -> Result<Self, KeptError> {
        let file = profile.join(pending_name(token));
        if exists(&file) {
            let key = Arc::new(DeviceKey::load(&file)?);
            return Ok(Self { file, key, is_new: false, made_folder: false });
        }
        let made_folder = !exists(profile);
        let key = Arc::new(DeviceKey::generate()?);
        key.save(&file)?;
        Ok(Self { file, key, is_new: true, made_folder })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Arc<DeviceKey> {
        &self.key
    }

    /// The gateway was not reached: a new key is forgotten, one of an earlier try may have been let in and stays.
    pub fn leave(self) {
        if self.is_new {
            self.give_up();
        }
    }

    /// The gateway refused: the profile is as it was.
    pub fn give_up(self) {
        // What cannot be removed opens nothing.
        let _ = std::fs::remove_file(&self.file);
        if let Some(folder) = self.file.parent().filter(|_| self.made_folder) {
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// The gateway accepted: writes key and configuration, unless there is one by now.
    ///
    /// # Errors
    /// When they cannot be written; the same link can be used again then.
    pub fn finish(self, config: &PhoneConfig, config_file: &Path) -> Result<(), KeptError> {
        let _lock = ProfileLock::beside(config_file)?;
        if exists(config_file) {
            return Err(KeptError::HasAccount { file: config_file.to_owned() });
        }
        self.key.save(&config_file.with_file_name(DEVICE_KEY_FILE))?;
        config.save(config_file)?;
        // The key is in its place; this copy opens nothing else.
        let _ = std::fs::remove_file(&self.file);
        Ok(())
    }
}

fn pending_name(token: &LinkToken) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"undertone pending join");
    context.update(token.expose());
    let name: String = context.finish().as_ref()[..NAME_LEN].iter().map(|octet| format!("{octet:02x}")).collect();
    format!("device-{name}.pending")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use undertone_config::{Credential, SoundConfig};

    use super::*;

    #[test]
    fn a_refused_join_leaves_the_profile_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        PendingJoin::begin(&new, &token(1)).unwrap().give_up();
        assert!(!exists(&new));
        let used = folder.path().join("used");
        std::fs::create_dir(&used).unwrap();
        std::fs::write(used.join("identity"), b"kept").unwrap();
        PendingJoin::begin(&used, &token(1)).unwrap().leave();
        assert_eq!(names(&used), ["identity"]);
    }

    #[test]
    fn the_same_link_finds_the_key_of_the_earlier_try_and_another_link_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = PendingJoin::begin(folder.path(), &token(1)).unwrap();
        let (again, other) = [1, 2].map(|n| PendingJoin::begin(folder.path(), &token(n)).unwrap()).into();
        assert_eq!(again.key().hash(), first.key().hash());
        assert_ne!(other.key().hash(), first.key().hash());
        again.leave();
        let third = PendingJoin::begin(folder.path(), &token(1)).unwrap();
        assert_eq!(third.key().hash(), first.key().hash(), "it may have been let in");
        third.give_up();
        let fresh = PendingJoin::begin(folder.path(), &token(1)).unwrap();
        assert_ne!(fresh.key().hash(), first.key().hash());
    }

    #[test]
    fn an_accepted_join_is_in_place_and_a_second_one_does_not_replace_it() {
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("phone.toml");
        let [one, other] = [1, 2].map(|n| PendingJoin::begin(folder.path(), &token(n)).unwrap());
        let hash = one.key().hash();
        one.finish(&config("alice@gw.example"), &config_file).unwrap();
        assert_eq!(DeviceKey::load(&folder.path().join(DEVICE_KEY_FILE)).unwrap().hash(), hash);
        let refused = other.finish(&config("mallory@gw.example"), &config_file).unwrap_err();
        assert!(matches!(&refused, KeptError::HasAccount { .. }), "{refused}");
        assert_eq!(DeviceKey::load(&folder.path().join(DEVICE_KEY_FILE)).unwrap().hash(), hash);
        assert_eq!(PhoneConfig::load(&config_file).unwrap().address.to_string(), "alice@gw.example");
    }

    #[test]
    fn a_crash_before_the_configuration_is_written_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("phone.toml");
        std::fs::create_dir(folder.path().join(DEVICE_KEY_FILE)).unwrap();
        let crashed = PendingJoin::begin(folder.path(), &token(1)).unwrap();
        let hash = crashed.key().hash();
        assert!(crashed.finish(&config("alice@gw.example"), &config_file).is_err());
        std::fs::remove_dir(folder.path().join(DEVICE_KEY_FILE)).unwrap();
        let again = PendingJoin::begin(folder.path(), &token(1)).unwrap();
        assert_eq!(again.key().hash(), hash);
        again.finish(&config("alice@gw.example"), &config_file).unwrap();
        assert_eq!(names(folder.path()), ["device.pem", "lock", "phone.toml"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn token(n: u8) -> LinkToken {
        LinkToken::new([n; 32])
    }

    fn config(address: &str) -> PhoneConfig {
        PhoneConfig {
            address: address.parse().unwrap(),
            credential: Credential::DeviceKey(DEVICE_KEY_FILE.into()),
            gateway: "gw.example:5061".parse().unwrap(),
            pin: None,
            operator: None,
            next: None,
            sound: SoundConfig::default(),
            hide_from: false,
        }
    }
}
