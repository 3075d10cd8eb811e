//! The identity file, `PROFILE/identity`: the long-term key of the account and the key of the contacts file, sealed
//! with the passphrase, a person's or a drawn one in the keystore. An exported identity is the same file elsewhere.

use std::path::{Path, PathBuf};

use rand_core::RngCore;
use undertone_config::{Secret, write_private};
use undertone_media::verify::IdentityKey;
use zeroize::Zeroizing;

use super::error::KeptError;
use super::keystore_entry::KeystoreEntry;
use super::lock::ProfileLock;
use super::seal::{self, Cost, Magic, Opener, SealError, SealKey};

const MAGIC: &Magic = b"undertone id\0\0\0\x01";
const KEY_LEN: usize = 32;
const CONTENT_LEN: usize = 2 * KEY_LEN;
/// Longer files are not read. More than this version writes, so that a newer file is told as one.
const MAX_FILE_LEN: u64 = 4_096;

/// What an identity file holds.
#[derive(Debug)]
pub struct KeptIdentity {
    /// Proves in every call who this phone is.
    pub identity: IdentityKey,
    /// Opens the contacts file. It stays when the identity is reset, so that a reset loses no contact.
    pub contacts_key: SealKey,
}

impl KeptIdentity {
    /// Draws both keys.
    pub fn generate<R: RngCore>(rng: &mut R) -> Self {
        let identity = IdentityKey::generate(rng);
        let mut contacts_key = Zeroizing::new([0; KEY_LEN]);
        rng.fill_bytes(contacts_key.as_mut());
        Self { identity, contacts_key: SealKey::new(contacts_key) }
    }

    /// Opens `file`.
    ///
    /// # Errors
    /// When it is not there, damaged, or sealed with another passphrase.
    pub fn load(file: &Path, passphrase: &Secret, cost: Cost) -> Result<Self, KeptError> {
        let sealed = read(file, MAX_FILE_LEN)?;
        let content =
            seal::open(MAGIC, &sealed, Opener::Passphrase(passphrase, cost)).map_err(|why| named(why, file))?;
        let mut keys = content.chunks_exact(KEY_LEN).map(|key| {
            let mut copy = Zeroizing::new([0; KEY_LEN]);
            copy.copy_from_slice(key);
            copy
        });
        match (content.len(), keys.next(), keys.next()) {
            (CONTENT_LEN, Some(identity), Some(contacts)) => {
                Ok(Self { identity: IdentityKey::from_bytes(&identity), contacts_key: SealKey::new(contacts) })
            }
            _ => Err(KeptError::Damaged { file: file.to_owned() }),
        }
    }

    /// Writes a file where there is none.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn create<R: RngCore>(
        &self,
        file: &Path,
        passphrase: &Secret,
        cost: Cost,
        rng: &mut R,
    ) -> Result<(), KeptError> {
        let sealed = self.seal(passphrase, cost, rng)?;
        let _lock = ProfileLock::beside(file)?;
        if exists(file) {
            return Err(KeptError::Exists { file: file.to_owned() });
        }
        KeystoreEntry::remove(file);
        Ok(write_private(file, &sealed)?)
    }

    /// As [`create`](Self::create), with a passphrase that is kept by the keystore under the name of `entry`.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written; no file is left behind then.
    pub fn create_with_keystore<R: RngCore>(
        &self,
        file: &Path,
        entry: &KeystoreEntry,
        passphrase: &Secret,
        cost: Cost,
        rng: &mut R,
    ) -> Result<(), KeptError> {
        let sealed = self.seal(passphrase, cost, rng)?;
        let _lock = ProfileLock::beside(file)?;
        if exists(file) {
            return Err(KeptError::Exists { file: file.to_owned() });
        }
        entry.write(file)?;
        let written = write_private(file, &sealed);
        if written.is_err() {
            KeystoreEntry::remove(file);
        }
        Ok(written?)
    }

    /// Writes the file, whether or not there is one.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays.
    pub fn replace<R: RngCore>(
        &self,
        file: &Path,
        passphrase: &Secret,
        cost: Cost,
        rng: &mut R,
    ) -> Result<(), KeptError> {
        let sealed = self.seal(passphrase, cost, rng)?;
        let _lock = ProfileLock::beside(file)?;
        Ok(write_private(file, &sealed)?)
    }

    /// Writes a copy for another device or a safe place; it needs no lock, as no phone works on it.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written.
    pub fn export<R: RngCore>(
        &self,
        file: &Path,
        passphrase: &Secret,
        cost: Cost,
        rng: &mut R,
    ) -> Result<(), KeptError> {
        let sealed = self.seal(passphrase, cost, rng)?;
        if exists(file) {
            return Err(KeptError::Exists { file: file.to_owned() });
        }
        Ok(write_private(file, &sealed)?)
    }

    fn seal<R: RngCore>(&self, passphrase: &Secret, cost: Cost, rng: &mut R) -> Result<Vec<u8>, KeptError> {
        let mut content = Zeroizing::new([0; CONTENT_LEN]);
        content[..KEY_LEN].copy_from_slice(self.identity.to_bytes().as_ref());
        content[KEY_LEN..].copy_from_slice(self.contacts_key.expose());
        seal::seal(MAGIC, content.as_ref(), Opener::Passphrase(passphrase, cost), rng).map_err(|_| KeptError::NoMemory)
    }
}

/// The identity file of a profile.
#[must_use]
pub fn identity_path(profile: &Path) -> PathBuf {
    profile.join("identity")
}

/// Whether something is there, readable or not: only what is surely absent may be made anew.
#[must_use]
pub fn exists(file: &Path) -> bool {
    !matches!(file.symlink_metadata(), Err(reason) if reason.kind() == std::io::ErrorKind::NotFound)
}

/// A whole file, unless it is too long to be one of ours.
pub(super) fn read(file: &Path, max_len: u64) -> Result<Vec<u8>, KeptError> {
    let unreadable = |reason: std::io::Error| {
        let file = file.to_owned();
        let is_missing = reason.kind() == std::io::ErrorKind::NotFound;
        if is_missing { KeptError::Missing { file } } else { KeptError::Unreadable { file, reason } }
    };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mut sealed = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(opened, max_len + 1), &mut sealed).map_err(unreadable)?;
    if sealed.len() as u64 > max_len {
        return Err(KeptError::Damaged { file: file.to_owned() });
    }
    Ok(sealed)
}

fn named(why: SealError, file: &Path) -> KeptError {
    let file = file.to_owned();
    match why {
        SealError::Damaged => KeptError::Damaged { file },
        SealError::Newer => KeptError::Newer { file },
        SealError::WrongKey => KeptError::WrongPassphrase { file },
        SealError::NoMemory => KeptError::NoMemory,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn an_identity_is_kept_privately_and_comes_back() {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), ChaCha20Rng::seed_from_u64(1));
        let file = identity_path(&folder.path().join("profile"));
        let made = KeptIdentity::generate(&mut rng);
        made.create(&file, &words("one"), Cost::TRIAL, &mut rng).unwrap();
        let read = KeptIdentity::load(&file, &words("one"), Cost::TRIAL).unwrap();
        assert!(read.identity.public() == made.identity.public());
        assert_eq!(read.contacts_key.expose(), made.contacts_key.expose());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{read:?}"), "KeptIdentity { identity: IdentityKey, contacts_key: SealKey }");
    }

    #[test]
    fn what_cannot_be_opened_is_said_with_its_file_and_stays_as_it_is() {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), ChaCha20Rng::seed_from_u64(2));
        let file = identity_path(folder.path());
        let load = |passphrase: &str| KeptIdentity::load(&file, &words(passphrase), Cost::TRIAL).unwrap_err();
        assert!(matches!(load("one"), KeptError::Missing { .. }));
        let made = KeptIdentity::generate(&mut rng);
        made.create(&file, &words("one"), Cost::TRIAL, &mut rng).unwrap();
        assert!(matches!(load("two"), KeptError::WrongPassphrase { .. }));
        let intact = std::fs::read(&file).unwrap();
        for damaged in [&intact[..0], &intact[..100], &[intact.as_slice(), &[0; 100]].concat(), &[7; 168]] {
            std::fs::write(&file, damaged).unwrap();
            let why = load("one");
            assert!(matches!(&why, KeptError::Damaged { .. }), "{why}");
            assert!(why.to_string().contains(file.to_str().unwrap()), "{why}");
            assert_eq!(std::fs::read(&file).unwrap(), damaged, "nothing was changed");
            let again = made.create(&file, &words("one"), Cost::TRIAL, &mut rng).unwrap_err();
            assert!(matches!(again, KeptError::Exists { .. }), "a damaged file is not overwritten either");
        }
    }

    #[test]
    fn a_file_of_the_right_kind_with_other_content_is_damaged() {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), ChaCha20Rng::seed_from_u64(3));
        let (file, passphrase) = (identity_path(folder.path()), words("one"));
        for content in [&[1; CONTENT_LEN - 1][..], &[][..]] {
            let sealed = seal::seal(MAGIC, content, Opener::Passphrase(&passphrase, Cost::TRIAL), &mut rng).unwrap();
            std::fs::write(&file, sealed).unwrap();
            let why = KeptIdentity::load(&file, &passphrase, Cost::TRIAL).unwrap_err();
            assert!(matches!(why, KeptError::Damaged { .. }), "{why}");
        }
        let newer = b"undertone id\0\0\0\x02";
        let sealed = seal::seal(newer, &[1; 99], Opener::Passphrase(&passphrase, Cost::TRIAL), &mut rng).unwrap();
        std::fs::write(&file, sealed).unwrap();
        let why = KeptIdentity::load(&file, &passphrase, Cost::TRIAL).unwrap_err();
        assert!(matches!(why, KeptError::Newer { .. }), "{why}");
    }

    fn words(text: &str) -> Secret {
        Secret::new(text.into())
    }
}
