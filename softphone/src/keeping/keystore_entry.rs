//! The file `PROFILE/identity.keystore`: says that the passphrase of the identity beside it is a drawn one that the
//! desktop session's keystore keeps, and under which name. It holds no secret.
//!
//! ```text
//!   undertone keystore 1
//!   the entry's name, 32 hexadecimal digits
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rand_core::RngCore;
use undertone_config::write_private;

use super::error::KeptError;
use super::identity_file::read;

const FIRST_LINE: &str = "undertone keystore 1";
const NAME_LEN: usize = 32;
const MAX_FILE_LEN: u64 = 128;

/// Names an entry of the keystore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeystoreEntry(String);

impl KeystoreEntry {
    /// Draws a new name.
    pub fn draw<R: RngCore>(rng: &mut R) -> Self {
        let mut octets = [0; NAME_LEN / 2];
        rng.fill_bytes(&mut octets);
        Self(octets.iter().fold(String::new(), |mut name, octet| {
            // Writing to a text cannot fail.
            let _ = write!(name, "{octet:02x}");
            name
        }))
    }

    /// The entry that opens this identity file; `None` when a person's passphrase does.
    ///
    /// # Errors
    /// When the file that says so cannot be read.
    pub fn of(identity_file: &Path) -> Result<Option<Self>, KeptError> {
        let file = path(identity_file);
        let text = match read(&file, MAX_FILE_LEN) {
            Ok(text) => text,
            Err(KeptError::Missing { .. }) => return Ok(None),
            Err(why) => return Err(why),
        };
        let name = std::str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(FIRST_LINE)).map(str::trim);
        let is_name = |name: &&str| name.len() == NAME_LEN && name.bytes().all(|octet| octet.is_ascii_hexdigit());
        name.filter(is_name).map(|name| Some(Self(name.to_owned()))).ok_or(KeptError::Damaged { file })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    pub(super) fn write(&self, identity_file: &Path) -> Result<(), KeptError> {
        Ok(write_private(&path(identity_file), format!("{FIRST_LINE}\n{}\n", self.0).as_bytes())?)
    }

    /// From now on a person's passphrase opens this identity file.
    pub(super) fn remove(identity_file: &Path) {
        // Mostly there is none.
        let _ = std::fs::remove_file(path(identity_file));
    }
}

fn path(identity_file: &Path) -> PathBuf {
    identity_file.with_extension("keystore")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn an_entry_is_found_again_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("identity");
        assert_eq!(KeystoreEntry::of(&identity).unwrap(), None);
        let drawn = KeystoreEntry::draw(&mut ChaCha20Rng::seed_from_u64(1));
        drawn.write(&identity).unwrap();
        assert_eq!(KeystoreEntry::of(&identity).unwrap().as_ref(), Some(&drawn));
        assert_eq!(drawn.name().len(), NAME_LEN);
        KeystoreEntry::remove(&identity);
        assert_eq!(KeystoreEntry::of(&identity).unwrap(), None);
    }

    #[test]
    fn what_names_no_entry_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("identity");
        for text in ["", "undertone keystore 2\n00112233445566778899aabbccddeeff\n", "undertone keystore 1\nx\n"] {
            std::fs::write(path(&identity), text).unwrap();
            let why = KeystoreEntry::of(&identity).unwrap_err();
            assert!(matches!(why, KeptError::Damaged { .. }) && why.to_string().contains("identity.keystore"), "{why}");
        }
    }
}
