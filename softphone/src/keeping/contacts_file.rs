//! The contacts file, `PROFILE/contacts`: contacts and links, sealed with the key that the identity file holds.
//!
//! ```text
//!   change:  lock ▶ read what is on the disk ▶ apply ▶ seal ▶ temporary file, fsync, rename ▶ unlock
//! ```
//! Several processes of one profile (a phone that is on, a command beside it) change it one after the other, each from
//! the state that the one before left. So a link token has one winner, and nobody's change is lost.

use std::path::{Path, PathBuf};

use rand_core::{OsRng, TryRngCore};
use thiserror::Error;
use undertone_config::write_private;

use super::contacts_format::{MAX_CONTENT_LEN, decode, encode};
use super::error::KeptError;
use super::identity_file::read;
use super::lock::ProfileLock;
use super::seal::{self, CHECKSUM_LEN, Magic, OVERHEAD, Opener, SealError, SealKey};
use crate::core::contacts::{ContactChange, ContactError, Contacts};

const MAGIC: &Magic = b"undertone ct\0\0\0\x01";
/// No such file is longer; a longer one is not read.
const MAX_FILE_LEN: u64 = (MAX_CONTENT_LEN + OVERHEAD) as u64;

/// The contacts of one profile, on the disk.
#[derive(Debug)]
pub struct ContactsFile {
    file: PathBuf,
    key: SealKey,
    /// Checksum of what was last read or written; `None` while there is no file.
    seen: Option<[u8; CHECKSUM_LEN]>,
}

/// Why a change was not made. Nothing was written.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// It does not fit what is there.
    #[error(transparent)]
    Refused(#[from] ContactError),
    /// The file cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

impl ContactsFile {
    /// Opens the contacts of `profile`; a profile without the file has none yet.
    ///
    /// # Errors
    /// When the file is damaged, of a newer version, or was kept under another identity.
    pub fn open(profile: &Path, key: SealKey) -> Result<(Self, Contacts), KeptError> {
        let mut opened = Self { file: contacts_path(profile), key, seen: None };
        let contacts = opened.current()?;
        Ok((opened, contacts))
    }

    /// Whether `key` opens the contacts of `profile`, or there are none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check(profile: &Path, key: &SealKey) -> Result<(), KeptError> {
        load(&contacts_path(profile), key).map(|_| ())
    }

    /// Makes one change to what is on the disk at this moment, and returns what is there then.
    ///
    /// # Errors
    /// When the change is refused, or the file cannot be read or written.
    pub fn change(&mut self, change: ContactChange) -> Result<Contacts, ChangeError> {
        let _lock = ProfileLock::beside(&self.file).map_err(KeptError::from)?;
        let mut contacts = self.current()?;
        contacts.apply(change)?;
        let sealed = seal::seal(MAGIC, &encode(&contacts), Opener::Key(&self.key), &mut OsRng.unwrap_err());
        let sealed = sealed.map_err(|_| KeptError::NoMemory)?;
        write_private(&self.file, &sealed).map_err(KeptError::from)?;
        self.seen = sealed.last_chunk().copied();
        Ok(contacts)
    }

    /// What is on the disk, if another process has changed it.
    ///
    /// # Errors
    /// As [`open`](Self::open), or when the file is gone.
    pub fn reload(&mut self) -> Result<Option<Contacts>, KeptError> {
        let before = self.seen;
        let contacts = self.current()?;
        Ok((self.seen != before).then_some(contacts))
    }

    /// What is on the disk. A file that was there and is gone is no empty one: keys that were verified are in it.
    fn current(&mut self) -> Result<Contacts, KeptError> {
        match (load(&self.file, &self.key)?, self.seen) {
            (Some((contacts, checksum)), _) => {
                self.seen = Some(checksum);
                Ok(contacts)
            }
            (None, None) => Ok(Contacts::new()),
            (None, Some(_)) => Err(KeptError::Gone { file: self.file.clone() }),
        }
    }
}

/// The contacts file of a profile.
#[must_use]
pub fn contacts_path(profile: &Path) -> PathBuf {
    profile.join("contacts")
}

fn load(file: &Path, key: &SealKey) -> Result<Option<(Contacts, [u8; CHECKSUM_LEN])>, KeptError> {
    let sealed = match read(file, MAX_FILE_LEN) {
        Ok(sealed) => sealed,
        Err(KeptError::Missing { .. }) => return Ok(None),
        Err(why) => return Err(why),
    };
    unseal(&sealed, key).map(Some).map_err(|why| named(why, file))
}

fn unseal(sealed: &[u8], key: &SealKey) -> Result<(Contacts, [u8; CHECKSUM_LEN]), SealError> {
    let content = seal::open(MAGIC, sealed, Opener::Key(key))?;
    decode(&content).zip(sealed.last_chunk().copied()).ok_or(SealError::Damaged)
}

fn named(why: SealError, file: &Path) -> KeptError {
    let file = file.to_owned();
    match why {
        SealError::Damaged => KeptError::Damaged { file },
        SealError::Newer => KeptError::Newer { file },
        SealError::WrongKey => KeptError::OtherIdentity { file },
        SealError::NoMemory => KeptError::NoMemory,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::Date;
    use undertone_config::LinkToken;
    use undertone_media::verify::IdentityPublic;
    use zeroize::Zeroizing;

    use super::*;
    use crate::core::contacts::{Key, LinkId, OpenLink};

    #[test]
    fn contacts_are_kept_privately_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profile");
        let (mut file, none) = ContactsFile::open(&profile, key(1)).unwrap();
        assert_eq!(none.people().count(), 0);
        assert!(!contacts_path(&profile).exists(), "nothing is written before there is something");
        assert_eq!(file.change(add("bob")).unwrap().people().count(), 1);
        let (_, read) = ContactsFile::open(&profile, key(1)).unwrap();
        assert_eq!(read.people().next().unwrap().address.to_string(), "bob@gw.example");
        assert_eq!(std::fs::metadata(contacts_path(&profile)).unwrap().permissions().mode() & 0o777, 0o600);
        let written = std::fs::read(contacts_path(&profile)).unwrap();
        assert!(!written.windows(3).any(|octets| octets == b"bob"));
        assert_eq!(written.len(), 4_096 + OVERHEAD);
    }

    #[test]
    fn what_cannot_be_opened_is_said_with_its_file_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
        opened.change(add("bob")).unwrap();
        let path = contacts_path(folder.path());
        let intact = std::fs::read(&path).unwrap();
        let other = ContactsFile::open(folder.path(), key(2)).map(|_| ()).unwrap_err();
        assert!(matches!(other, KeptError::OtherIdentity { .. }), "{other}");
        let newer = seal::seal(b"undertone ct\0\0\0\x02", b"?", Opener::Key(&key(1)), &mut OsRng.unwrap_err()).unwrap();
        let other_kind = seal::seal(b"undertone id\0\0\0\x01", b"?", Opener::Key(&key(1)), &mut OsRng.unwrap_err());
        let too_long = vec![7; usize::try_from(MAX_FILE_LEN).unwrap() + 1];
        for (content, words) in [
            (&newer[..], "newer version"),
            (&other_kind.unwrap(), "damaged"),
            (&intact[..intact.len() - 1], "damaged"),
            (&[], "damaged"),
            (&too_long, "damaged"),
        ] {
            std::fs::write(&path, content).unwrap();
            let (open, change) = (ContactsFile::open(folder.path(), key(1)), opened.change(add("carol")));
            for why in [open.unwrap_err().to_string(), change.unwrap_err().to_string()] {
                assert!(why.contains(words) && why.contains(path.to_str().unwrap()), "{why}");
            }
            assert!(opened.reload().is_err());
            assert_eq!(std::fs::read(&path).unwrap(), content, "nothing was changed");
        }
        std::fs::write(&path, &intact).unwrap();
        assert_eq!(opened.change(add("carol")).unwrap().people().count(), 2);
    }

    #[test]
    fn every_flipped_octet_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
        opened.change(add("bob")).unwrap();
        let intact = std::fs::read(contacts_path(folder.path())).unwrap();
        for at in 0..intact.len() {
            let mut flipped = intact.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(unseal(&flipped, &key(1)).err(), Some(SealError::Damaged), "octet {at}");
        }
    }

    #[test]
    fn a_refused_change_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
        assert!(matches!(opened.change(rename("bob")), Err(ChangeError::Refused(ContactError::Unknown))));
        assert!(!contacts_path(folder.path()).exists());
        opened.change(add("bob")).unwrap();
        let before = std::fs::read(contacts_path(folder.path())).unwrap();
        assert!(matches!(opened.change(add("bob")), Err(ChangeError::Refused(ContactError::Exists))));
        assert_eq!(std::fs::read(contacts_path(folder.path())).unwrap(), before);
    }

    #[test]
    fn changes_of_another_process_are_seen_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [(); 2].map(|()| ContactsFile::open(folder.path(), key(1)).unwrap().0);
        assert!(one.reload().unwrap().is_none());
        other.change(add("bob")).unwrap();
        assert_eq!(one.reload().unwrap().unwrap().people().count(), 1);
        assert!(one.reload().unwrap().is_none(), "once");
        other.change(add("carol")).unwrap();
        assert_eq!(one.change(add("dave")).unwrap().people().count(), 3);
        assert!(one.reload().unwrap().is_none(), "the own change is known");
    }

    #[test]
    fn a_file_that_is_gone_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
        opened.change(add("bob")).unwrap();
        std::fs::remove_file(contacts_path(folder.path())).unwrap();
        assert!(matches!(opened.reload(), Err(KeptError::Gone { .. })));
        assert!(matches!(opened.change(add("carol")), Err(ChangeError::Kept(KeptError::Gone { .. }))));
        assert!(!contacts_path(folder.path()).exists());
    }

    #[test]
    fn of_many_processes_that_race_for_one_link_exactly_one_wins() {
        const RACERS: u8 = 8;
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
        let made = Date::from_julian_day(2_460_000).unwrap();
        let (id, token) = (LinkId(7), LinkToken::new([9; 32]));
        opened.change(ContactChange::GiveOut(OpenLink { id, token, name: "Bob".into(), made, used_by: None })).unwrap();
        let use_by = |number: u8| {
            let (mut file, _) = ContactsFile::open(folder.path(), key(1)).unwrap();
            let address = format!("racer{number}@gw.example").parse().unwrap();
            file.change(ContactChange::UseLink { link: id, key: public(number), address, today: made })
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|number| scope.spawn(move || use_by(number))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners: Vec<_> = (0..RACERS).filter(|number| results[usize::from(*number)].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        for result in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(result, ChangeError::Refused(ContactError::LinkUsed)), "{result}");
        }
        let kept = opened.reload().unwrap().unwrap();
        assert_eq!(kept.links()[0].used_by, Some(public(winners[0])));
        assert_eq!(kept.people().map(|contact| contact.key).filter(Key::is_verified).count(), 1);
    }

    fn key(number: u8) -> SealKey {
        SealKey::new(Zeroizing::new([number; 32]))
    }

    fn public(number: u8) -> IdentityPublic {
        IdentityPublic::from_bytes([number; 32])
    }

    fn add(account: &str) -> ContactChange {
        ContactChange::Add { address: format!("{account}@gw.example").parse().unwrap(), name: String::new() }
    }

    fn rename(account: &str) -> ContactChange {
        ContactChange::Rename { address: format!("{account}@gw.example").parse().unwrap(), name: "x".into() }
    }
}
