//! The account store: one SQLite file that holds names, verifiers, devices' hashes, invites, the operator's public key,
//! and nothing else.
//!
//! ```text
//! open ─▶ is it ours? its version? ─▶ structure whole (integrity_check) ─▶ migrate ─▶ seal holds ─▶ our domain
//! change ─▶ right to write ─▶ still the file in place? ─▶ seal holds ─▶ act ─▶ seal anew ─▶ commit
//! ```
//! Deleted rows are overwritten in the file (`secure_delete`), the journal is rolled back and removed, every
//! change is on the disk before the command returns (`synchronous = FULL`). The operator's commands and the running
//! gateway open the same file; [`AccountWatch`] notices changes by `PRAGMA data_version`.

mod backup;
mod devices;
mod error;
mod schema;
mod seal;
mod succession;
mod watch;

pub use devices::{INVITE_KEPT_DAYS, MAX_DEVICES, MAX_OPEN_INVITES, Overview};
pub use error::StoreError;
pub use watch::{AccountWatch, WATCH_INTERVAL};

use crate::core::DeviceHash;
use crate::core::accounts::{AccountName, Accounts, Verifier};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use schema::{APPLICATION_ID, SCHEMA_VERSION};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use undertone_config::Domain;
use zeroize::Zeroizing;

/// The file's name inside the state folder.
pub const STORE_FILE: &str = "accounts.sqlite";

/// How long a command waits for another one to finish writing.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The open store.
pub struct Store {
    connection: Connection,
    file: PathBuf,
    domain: Domain,
    /// Which file was opened: a restored one takes its place and its name.
    identity: FileIdentity,
}

/// Device and inode. They are not given to another file while this one is open.
type FileIdentity = (u64, u64);

impl Store {
    /// Makes the store of a new gateway, or opens it if it is there.
    pub fn create(folder: &Path, domain: &Domain) -> Result<Self, StoreError> {
        let file = folder.join(STORE_FILE);
        if !file.exists() {
            let unwritable = |reason| StoreError::Unwritable { file: file.clone(), reason };
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(unwritable)?;
        }
        let mut store = Self::connect(file, domain)?;
        schema::lay_out(&mut store.connection, domain).map_err(|error| store.cause(error))?;
        store.check()?;
        Ok(store)
    }

    /// Opens the store of a gateway that has one, and checks all of it.
    pub fn open(folder: &Path, domain: &Domain) -> Result<Self, StoreError> {
        Self::open_file(folder.join(STORE_FILE), domain)
    }

    fn open_file(file: PathBuf, domain: &Domain) -> Result<Self, StoreError> {
        std::fs::File::open(&file).map_err(|reason| unreadable(&file, reason))?;
        let mut store = Self::connect(file, domain)?;
        store.check()?;
        Ok(store)
    }

    /// Adds an account with a password.
    pub fn add(&mut self, name: &AccountName, verifier: &[u8; 32]) -> Result<(), StoreError> {
        let insert = "INSERT INTO account (name, verifier) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let added = self.change(|change| change.execute(insert, params![name.as_str(), verifier]))?;
        if added == 0 { Err(StoreError::Exists { name: name.as_str().to_owned() }) } else { Ok(()) }
    }

    /// Gives an account that is there a password, in place of an earlier one.
    pub fn set_verifier(&mut self, name: &AccountName, verifier: &[u8; 32]) -> Result<(), StoreError> {
        let update = "UPDATE account SET verifier = ?2 WHERE name = ?1";
        let changed = self.change(|change| change.execute(update, params![name.as_str(), verifier]))?;
        if changed == 0 { Err(StoreError::Unknown { name: name.as_str().to_owned() }) } else { Ok(()) }
    }

    /// Removes an account; a running gateway closes its connections within [`WATCH_INTERVAL`].
    pub fn remove(&mut self, name: &AccountName) -> Result<(), StoreError> {
        let delete = "DELETE FROM account WHERE name = ?1";
        let removed = self.change(|change| change.execute(delete, params![name.as_str()]))?;
        if removed == 0 { Err(StoreError::Unknown { name: name.as_str().to_owned() }) } else { Ok(()) }
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> Result<Vec<AccountName>, StoreError> {
        let mut query =
            self.connection.prepare("SELECT name FROM account ORDER BY name").map_err(|error| self.cause(error))?;
        let names = query.query_map([], |row| row.get::<_, String>(0)).map_err(|error| self.cause(error))?;
        names.map(|name| self.name(&name.map_err(|error| self.cause(error))?)).collect()
    }

    /// Everything the signalling core needs to know of accounts, as of now.
    pub fn accounts(&self) -> Result<Accounts, StoreError> {
        // One transaction: an account and its devices are of one moment.
        let snapshot = self.connection.unchecked_transaction().map_err(|error| self.cause(error))?;
        self.check_seal()?;
        let mut accounts = Accounts::new();
        let mut query = snapshot.prepare("SELECT name, verifier FROM account").map_err(|error| self.cause(error))?;
        let mut rows = query.query([]).map_err(|error| self.cause(error))?;
        while let Some(row) = rows.next().map_err(|error| self.cause(error))? {
            let name = self.name(&row.get::<_, String>(0).map_err(|error| self.cause(error))?)?;
            let verifier: Option<Zeroizing<[u8; 32]>> =
                row.get::<_, Option<[u8; 32]>>(1).map_err(|error| self.cause(error))?.map(Zeroizing::new);
            match verifier {
                Some(verifier) => accounts.insert(name, Verifier::new(*verifier)),
                None => accounts.add(name),
            }
        }
        let mut query = snapshot.prepare("SELECT account, hash FROM device").map_err(|error| self.cause(error))?;
        let mut rows = query.query([]).map_err(|error| self.cause(error))?;
        while let Some(row) = rows.next().map_err(|error| self.cause(error))? {
            let name = self.name(&row.get::<_, String>(0).map_err(|error| self.cause(error))?)?;
            let hash = row.get(1).map_err(|error| self.cause(error))?;
            accounts.add_device(name, DeviceHash::from_sha256(hash));
        }
        Ok(accounts)
    }

    /// A number that changes when another process has changed the store.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        schema::pragma(&self.connection, "data_version").map_err(|error| self.cause(error))
    }

    /// Opens the file anew if another one has been put in its place; true if so.
    pub fn follow(&mut self) -> Result<bool, StoreError> {
        if !is_replaced(&self.file, self.identity)? {
            return Ok(false);
        }
        *self = Self::open_file(self.file.clone(), &self.domain)?;
        Ok(true)
    }

    /// One change, whole or not at all.
    fn change<T>(&mut self, act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.follow()?;
        let file = &self.file;
        let cause = |error| StoreError::of(error, file);
        // Immediate: what is read before writing cannot be changed by somebody else in between.
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(cause)?;
        // It waited for a `restore` to finish: what is written here would be lost.
        if is_replaced(file, self.identity)? {
            return Err(StoreError::Busy { file: file.clone() });
        }
        if !seal::holds(&change).map_err(cause)? {
            return Err(StoreError::Corrupt { file: file.clone() });
        }
        let result = act(&change).map_err(cause)?;
        seal::renew(&change).map_err(cause)?;
        change.commit().map_err(cause)?;
        Ok(result)
    }

    fn connect(file: PathBuf, domain: &Domain) -> Result<Self, StoreError> {
        let identity = identity(&file)?;
        let opened = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE);
        let connection = opened.map_err(|error| StoreError::of(error, &file))?;
        let store = Self { connection, file, domain: domain.clone(), identity };
        store.set_up().map_err(|error| store.cause(error))?;
        Ok(store)
    }

    fn set_up(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY_WAIT)?;
        self.connection.execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON;",
        )
    }

    /// Everything that can be wrong with a file, before anything in it is believed.
    fn check(&mut self) -> Result<(), StoreError> {
        let pragma = |name| schema::pragma(&self.connection, name).map_err(|error| self.cause(error));
        if pragma("application_id")? != APPLICATION_ID {
            return Err(StoreError::Foreign { file: self.file.clone() });
        }
        let version = pragma("user_version")?;
        if !(1..=SCHEMA_VERSION).contains(&version) {
            return Err(StoreError::Version { file: self.file.clone(), version });
        }
        let check = "PRAGMA integrity_check(1)";
        let verdict = self.connection.query_row(check, [], |row| row.get::<_, String>(0));
        if verdict.map_err(|error| self.cause(error))? != "ok" {
            return Err(StoreError::Corrupt { file: self.file.clone() });
        }
        schema::migrate(&mut self.connection).map_err(|error| StoreError::of(error, &self.file))?;
        let snapshot = self.connection.unchecked_transaction().map_err(|error| self.cause(error))?;
        self.check_seal()?;
        self.check_domain()?;
        snapshot.commit().map_err(|error| self.cause(error))
    }

    fn check_seal(&self) -> Result<(), StoreError> {
        let holds = seal::holds(&self.connection).map_err(|error| self.cause(error))?;
        if holds { Ok(()) } else { Err(StoreError::Corrupt { file: self.file.clone() }) }
    }

    fn check_domain(&self) -> Result<(), StoreError> {
        let made_for: Option<String> = self
            .connection
            .query_row("SELECT domain FROM gateway", [], |row| row.get(0))
            .optional()
            .map_err(|error| self.cause(error))?;
        match made_for {
            Some(made_for) if made_for == self.domain.as_str() => Ok(()),
            Some(made_for) => {
                Err(StoreError::Domain { file: self.file.clone(), made_for, configured: self.domain.to_string() })
            }
            None => Err(StoreError::Corrupt { file: self.file.clone() }),
        }
    }

    fn name(&self, text: &str) -> Result<AccountName, StoreError> {
        AccountName::parse(text).map_err(|_| StoreError::Corrupt { file: self.file.clone() })
    }

    fn cause(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(error, &self.file)
    }
}

fn identity(file: &Path) -> Result<FileIdentity, StoreError> {
    let found = std::fs::metadata(file).map_err(|reason| unreadable(file, reason))?;
    Ok((found.dev(), found.ino()))
}

fn unreadable(file: &Path, reason: std::io::Error) -> StoreError {
    let (file, is_missing) = (file.to_owned(), reason.kind() == std::io::ErrorKind::NotFound);
    if is_missing { StoreError::Missing { file } } else { StoreError::Unreadable { file, reason } }
}

fn is_replaced(file: &Path, opened: FileIdentity) -> Result<bool, StoreError> {
    Ok(identity(file)? != opened)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn domain() -> Domain {
        "gw.example".parse().unwrap()
    }

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    fn fresh() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("state"), &domain()).unwrap();
        (folder, store)
    }

    #[test]
    fn accounts_are_kept_and_the_file_is_its_owners_alone() {
        let (folder, mut store) = fresh();
        store.add(&name("bob"), &[2; 32]).unwrap();
        store.add(&name("alice"), &[1; 32]).unwrap();
        drop(store);
        let state = folder.path().join("state");
        let store = Store::open(&state, &domain()).unwrap();
        let names: Vec<_> = store.names().unwrap().iter().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["alice", "bob"]);
        assert_eq!(store.accounts().unwrap().len(), 2);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state.join(STORE_FILE)), mode(&state)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1, "no journal stays behind");
    }

    #[test]
    fn an_account_is_added_once_and_removed_once() {
        let (_folder, mut store) = fresh();
        store.add(&name("alice"), &[1; 32]).unwrap();
        assert!(store.add(&name("alice"), &[2; 32]).unwrap_err().to_string().contains("alice"));
        store.remove(&name("alice")).unwrap();
        assert!(store.remove(&name("alice")).unwrap_err().to_string().contains("user list"));
    }

    #[test]
    fn a_removed_account_is_not_left_in_the_file() {
        let (folder, mut store) = fresh();
        let verifier: [u8; 32] = std::array::from_fn(|i| 0x40 + i as u8);
        store.add(&name("whistleblower"), &verifier).unwrap();
        let content = || std::fs::read(folder.path().join("state").join(STORE_FILE)).unwrap();
        let holds = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(holds(&content(), b"whistleblower") && holds(&content(), &verifier));
        store.remove(&name("whistleblower")).unwrap();
        assert!(!holds(&content(), b"whistleblower") && !holds(&content(), &verifier));
    }

    #[test]
    fn another_connections_change_is_noticed() {
        let (folder, store) = fresh();
        let before = store.data_version().unwrap();
        assert_eq!(store.data_version().unwrap(), before);
        let mut other = Store::open(&folder.path().join("state"), &domain()).unwrap();
        other.add(&name("alice"), &[1; 32]).unwrap();
        assert_ne!(store.data_version().unwrap(), before);
    }

    #[test]
    fn each_unusable_store_is_a_sentence_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let says = |folder: &Path, words: &str| {
            let error = Store::open(folder, &domain()).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
            assert!(error.contains(STORE_FILE), "{error}");
        };
        says(folder.path(), "undertone-gateway init");
        std::fs::write(
            folder.path().join(STORE_FILE),
            b"this is no database, and longer than its header is".repeat(30),
        )
        .unwrap();
        says(folder.path(), "damaged");
        std::fs::write(folder.path().join(STORE_FILE), b"").unwrap();
        says(folder.path(), "another program");

        let (folder, store) = fresh();
        let state = folder.path().join("state");
        store.connection.pragma_update(None, "user_version", 4).unwrap();
        says(&state, "version 4");
        store.connection.pragma_update(None, "user_version", SCHEMA_VERSION).unwrap();
        let error = Store::open(&state, &"other.example".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("gw.example") && error.contains("other.example"), "{error}");
    }

    #[test]
    fn a_store_that_another_process_holds_is_reported_as_busy() {
        let (folder, store) = fresh();
        store.connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let other = Connection::open(folder.path().join("state").join(STORE_FILE)).unwrap();
        let refused = other.execute("DELETE FROM account", []).unwrap_err();
        let error = StoreError::of(refused, Path::new(STORE_FILE)).to_string();
        assert!(error.contains("in use"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state"), b"a file").unwrap();
        let error = Store::create(&folder.path().join("state"), &domain()).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }
}
