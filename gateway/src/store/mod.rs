//! The account store: one SQLite file that holds names, verifiers and flags, and nothing else.
//!
//! Deleted accounts are overwritten in the file (`secure_delete`), the journal is rolled back and removed, every
//! change is on the disk before the command returns (`synchronous = FULL`). The operator's commands and the running
//! gateway open the same file; [`AccountWatch`] notices changes by `PRAGMA data_version`.

mod error;
mod watch;

pub use error::StoreError;
pub use watch::{AccountWatch, WATCH_INTERVAL};

use crate::core::accounts::{AccountName, Accounts, Verifier};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use undertone_config::Domain;
use zeroize::Zeroizing;

/// The file's name inside the state folder.
pub const STORE_FILE: &str = "accounts.sqlite";

/// SQLite's `application_id`: "Untn". Another program's database is not touched.
const APPLICATION_ID: i64 = 0x556e_746e;

/// The layout this program reads and writes (`user_version`).
const SCHEMA_VERSION: i64 = 1;

/// How long a command waits for another one to finish writing.
const BUSY_WAIT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE gateway (domain TEXT NOT NULL) STRICT;
    CREATE TABLE account (
        name TEXT PRIMARY KEY NOT NULL,
        verifier BLOB NOT NULL CHECK (length(verifier) = 32),
        flags INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;";

/// The open store.
pub struct Store {
    connection: Connection,
    file: PathBuf,
}

impl Store {
    /// Makes the store of a new gateway, or opens it if it is there.
    pub fn create(folder: &Path, domain: &Domain) -> Result<Self, StoreError> {
        let file = folder.join(STORE_FILE);
        if !file.exists() {
            let unwritable = |reason| StoreError::Unwritable { file: file.clone(), reason };
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(unwritable)?;
        }
        let mut store = Self::connect(file)?;
        store.lay_out(domain).map_err(|error| store.cause(error))?;
        store.check(domain)?;
        Ok(store)
    }

    /// Opens the store of a gateway that has one.
    pub fn open(folder: &Path, domain: &Domain) -> Result<Self, StoreError> {
        let file = folder.join(STORE_FILE);
        if let Err(reason) = std::fs::File::open(&file) {
            let missing = reason.kind() == std::io::ErrorKind::NotFound;
            return Err(if missing { StoreError::Missing { file } } else { StoreError::Unreadable { file, reason } });
        }
        let store = Self::connect(file)?;
        store.check(domain)?;
        Ok(store)
    }

    /// Adds an account.
    pub fn add(&mut self, name: &AccountName, verifier: &[u8; 32]) -> Result<(), StoreError> {
        let added = self
            .connection
            .execute(
                "INSERT INTO account (name, verifier) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![name.as_str(), verifier],
            )
            .map_err(|error| self.cause(error))?;
        if added == 0 { Err(StoreError::Exists { name: name.as_str().to_owned() }) } else { Ok(()) }
    }

    /// Removes an account; a running gateway closes its connections within [`WATCH_INTERVAL`].
    pub fn remove(&mut self, name: &AccountName) -> Result<(), StoreError> {
        let removed = self
            .connection
            .execute("DELETE FROM account WHERE name = ?1", params![name.as_str()])
            .map_err(|error| self.cause(error))?;
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
        let mut query =
            self.connection.prepare("SELECT name, verifier FROM account").map_err(|error| self.cause(error))?;
        let mut rows = query.query([]).map_err(|error| self.cause(error))?;
        let mut accounts = Accounts::new();
        while let Some(row) = rows.next().map_err(|error| self.cause(error))? {
            let name: String = row.get(0).map_err(|error| self.cause(error))?;
            let verifier: Zeroizing<[u8; 32]> = Zeroizing::new(row.get(1).map_err(|error| self.cause(error))?);
            accounts.insert(self.name(&name)?, Verifier::new(*verifier));
        }
        Ok(accounts)
    }

    /// A number that changes when another process has changed the store.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.pragma("data_version").map_err(|error| self.cause(error))
    }

    fn connect(file: PathBuf) -> Result<Self, StoreError> {
        let opened = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE);
        let connection = opened.map_err(|error| StoreError::of(error, &file))?;
        let store = Self { connection, file };
        store.set_up().map_err(|error| store.cause(error))?;
        Ok(store)
    }

    fn set_up(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY_WAIT)?;
        self.connection.execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
        )
    }

    fn lay_out(&mut self, domain: &Domain) -> rusqlite::Result<()> {
        if self.pragma("application_id")? != 0 {
            return Ok(());
        }
        let change = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
        if change.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0 {
            change.execute_batch(SCHEMA)?;
            change.execute("INSERT INTO gateway (domain) VALUES (?1)", params![domain.as_str()])?;
            change.pragma_update(None, "application_id", APPLICATION_ID)?;
            change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        change.commit()
    }

    fn check(&self, domain: &Domain) -> Result<(), StoreError> {
        if self.pragma("application_id").map_err(|error| self.cause(error))? != APPLICATION_ID {
            return Err(StoreError::Foreign { file: self.file.clone() });
        }
        let version = self.pragma("user_version").map_err(|error| self.cause(error))?;
        if version != SCHEMA_VERSION {
            return Err(StoreError::Version { file: self.file.clone(), version });
        }
        let made_for: Option<String> = self
            .connection
            .query_row("SELECT domain FROM gateway", [], |row| row.get(0))
            .optional()
            .map_err(|error| self.cause(error))?;
        match made_for {
            Some(made_for) if made_for == domain.as_str() => Ok(()),
            Some(made_for) => {
                Err(StoreError::Domain { file: self.file.clone(), made_for, configured: domain.to_string() })
            }
            None => Err(StoreError::Corrupt { file: self.file.clone() }),
        }
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, name, |row| row.get(0))
    }

    fn name(&self, text: &str) -> Result<AccountName, StoreError> {
        AccountName::parse(text).map_err(|_| StoreError::Corrupt { file: self.file.clone() })
    }

    fn cause(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(error, &self.file)
    }
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
        store.connection.pragma_update(None, "user_version", 2).unwrap();
        says(&state, "version 2");
        store.connection.pragma_update(None, "user_version", 1).unwrap();
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
