//! The store's tables, and how an older store becomes one of this version.
//!
//! Nothing finer than a day is kept, nor anything that tells who invited whom: an invite names the account it opens,
//! the hash of its token, its last day, and the device that used it.

use super::seal;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use undertone_config::Domain;

/// SQLite's `application_id`: "Untn". Another program's database is not touched.
pub(super) const APPLICATION_ID: i64 = 0x556e_746e;

/// The layout this program reads and writes (`user_version`).
pub(super) const SCHEMA_VERSION: i64 = 3;

/// Without a verifier an account has no password.
const ACCOUNT: &str = "
    CREATE TABLE account (
        name TEXT PRIMARY KEY NOT NULL,
        verifier BLOB CHECK (verifier IS NULL OR length(verifier) = 32),
        flags INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;";

const DEVICES_AND_INVITES: &str = "
    CREATE TABLE device (
        account TEXT NOT NULL REFERENCES account ON DELETE CASCADE,
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        added_day INTEGER NOT NULL,
        PRIMARY KEY (account, hash)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE invite (
        token_hash BLOB PRIMARY KEY NOT NULL CHECK (length(token_hash) = 32),
        account TEXT NOT NULL REFERENCES account ON DELETE CASCADE,
        expires_day INTEGER NOT NULL,
        used_by BLOB CHECK (used_by IS NULL OR length(used_by) = 32)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX invite_of_account ON invite (account);";

const GATEWAY: &str = "CREATE TABLE gateway (domain TEXT NOT NULL) STRICT;";

/// The operator's public key; the last serial announced; the next pin and its signature while they are announced.
const SUCCESSION: &str = "
    ALTER TABLE gateway ADD COLUMN operator BLOB CHECK (operator IS NULL OR length(operator) = 32);
    ALTER TABLE gateway ADD COLUMN serial INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE gateway ADD COLUMN next_pin BLOB CHECK (next_pin IS NULL OR length(next_pin) = 32);
    ALTER TABLE gateway ADD COLUMN next_signature BLOB CHECK (next_signature IS NULL OR length(next_signature) = 64);";

/// Lays an empty store out.
pub(super) fn lay_out(connection: &mut Connection, domain: &Domain) -> rusqlite::Result<()> {
    if pragma(connection, "application_id")? != 0 {
        return Ok(());
    }
    let change = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    if change.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0 {
        for part in [GATEWAY, SUCCESSION, ACCOUNT, DEVICES_AND_INVITES, seal::SEAL] {
            change.execute_batch(part)?;
        }
        change.execute("INSERT INTO gateway (domain) VALUES (?1)", params![domain.as_str()])?;
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        seal::renew(&change)?;
    }
    change.commit()
}

/// Brings an older store up to this version, in one transaction: a crash leaves the one or the other.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if pragma(connection, "user_version")? == SCHEMA_VERSION {
        return Ok(());
    }
    let change = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    // Another command may have been first.
    if pragma(&change, "user_version")? == 1 {
        from_1_to_2(&change)?;
    }
    if pragma(&change, "user_version")? == 2 {
        from_2_to_3(&change)?;
    }
    change.commit()
}

fn from_1_to_2(change: &Transaction<'_>) -> rusqlite::Result<()> {
    change.execute_batch("ALTER TABLE account RENAME TO account_1;")?;
    change.execute_batch(ACCOUNT)?;
    change.execute_batch("INSERT INTO account SELECT name, verifier, flags FROM account_1; DROP TABLE account_1;")?;
    change.execute_batch(DEVICES_AND_INVITES)?;
    change.execute_batch(SUCCESSION)?;
    change.pragma_update(None, "user_version", 2)
}

fn from_2_to_3(change: &Transaction<'_>) -> rusqlite::Result<()> {
    change.execute_batch(seal::SEAL)?;
    change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    seal::renew(change)
}

pub(super) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::accounts::AccountName;
    use crate::store::{STORE_FILE, Store};
    use std::path::Path;

    #[test]
    fn a_store_of_version_1_keeps_its_accounts_and_takes_devices() {
        let folder = tempfile::tempdir().unwrap();
        write_version_1(folder.path(), 3);
        let store = Store::open(folder.path(), &domain()).unwrap();
        assert_eq!(store.names().unwrap().len(), 3);
        drop(store);
        assert_eq!(layout(folder.path()), layout_of_a_new_store());
        let connection = Connection::open(folder.path().join(STORE_FILE)).unwrap();
        let verifier: Vec<u8> = connection
            .query_row("SELECT verifier FROM account WHERE name = 'name2' AND flags = 7", [], |row| row.get(0))
            .unwrap();
        assert_eq!(verifier, [2; 32]);
    }

    #[test]
    fn a_migration_that_was_interrupted_begins_again_from_the_old_store() {
        const ACCOUNTS: usize = 3_000;
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_version_1(before.path(), ACCOUNTS);
        let mut connection = Connection::open(before.path().join(STORE_FILE)).unwrap();
        // So small a cache writes to the file long before the change is complete.
        connection.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1;").unwrap();
        let change = connection.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
        from_1_to_2(&change).unwrap();
        let journal = format!("{STORE_FILE}-journal");
        for file in [STORE_FILE, &journal] {
            std::fs::copy(before.path().join(file), after.path().join(file)).unwrap();
        }
        drop(change);
        let untouched = std::fs::read(before.path().join(STORE_FILE)).unwrap();
        assert_ne!(std::fs::read(after.path().join(STORE_FILE)).unwrap(), untouched, "it was interrupted half-way");
        let store = Store::open(after.path(), &domain()).unwrap();
        assert_eq!(store.names().unwrap().len(), ACCOUNTS);
        drop(store);
        assert_eq!(layout(after.path()), layout_of_a_new_store());
    }

    #[test]
    fn two_commands_that_find_an_old_store_migrate_it_once() {
        let folder = tempfile::tempdir().unwrap();
        write_version_1(folder.path(), 3);
        std::thread::scope(|scope| {
            let open = || Store::open(folder.path(), &domain()).map(|store| store.names().unwrap().len());
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            assert!(opening.into_iter().all(|opened| opened.join().unwrap().unwrap() == 3));
        });
    }

    fn domain() -> Domain {
        "gw.example".parse().unwrap()
    }

    /// As the first release wrote it.
    fn write_version_1(folder: &Path, accounts: usize) {
        let mut connection = Connection::open(folder.join(STORE_FILE)).unwrap();
        let change = connection.transaction().unwrap();
        change
            .execute_batch(
                "CREATE TABLE gateway (domain TEXT NOT NULL) STRICT;
                 CREATE TABLE account (
                     name TEXT PRIMARY KEY NOT NULL,
                     verifier BLOB NOT NULL CHECK (length(verifier) = 32),
                     flags INTEGER NOT NULL DEFAULT 0
                 ) STRICT, WITHOUT ROWID;
                 INSERT INTO gateway VALUES ('gw.example');
                 PRAGMA application_id = 1433302126; PRAGMA user_version = 1;",
            )
            .unwrap();
        assert_eq!(APPLICATION_ID, 1_433_302_126);
        for n in 0..accounts {
            let name = AccountName::parse(&format!("name{n}")).unwrap();
            let added = params![name.as_str(), [n as u8; 32]];
            change.execute("INSERT INTO account VALUES (?1, ?2, 7)", added).unwrap();
        }
        change.commit().unwrap();
    }

    /// Names and columns of all tables, and the version.
    fn layout(folder: &Path) -> (i64, Vec<(String, String)>) {
        let connection = Connection::open(folder.join(STORE_FILE)).unwrap();
        let mut query = connection
            .prepare(
                "SELECT t.name, group_concat(c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk)
                 FROM sqlite_schema t, pragma_table_info(t.name) c GROUP BY t.name ORDER BY t.name",
            )
            .unwrap();
        let tables = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        (pragma(&connection, "user_version").unwrap(), tables.map(Result::unwrap).collect())
    }

    fn layout_of_a_new_store() -> (i64, Vec<(String, String)>) {
        let folder = tempfile::tempdir().unwrap();
        Store::create(folder.path(), &domain()).unwrap();
        layout(folder.path())
    }
}
