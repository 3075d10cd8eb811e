//! The seal: one SHA-256 over everything the store says, renewed by every change in its own transaction.
//!
//! SQLite's own check finds torn structure, not a flipped bit in a verifier or a name. Whatever differs from what was
//! written breaks the seal, and no change is made to a store whose seal is broken: that would bless the damage. It
//! protects from failing disks, not from somebody who can write the file. Cost: one pass over all rows for a change.

use ring::digest::{Context, SHA256};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

/// Holds one row.
pub(super) const SEAL: &str = "CREATE TABLE seal (sum BLOB NOT NULL CHECK (length(sum) = 32)) STRICT;";

/// All content in a fixed order, the tables' own definitions included.
const CONTENT: [&str; 5] = [
    "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
    "SELECT * FROM gateway",
    "SELECT * FROM account ORDER BY name",
    "SELECT * FROM device ORDER BY account, hash",
    "SELECT * FROM invite ORDER BY token_hash",
];

/// Whether the content is what was written. Must run in a transaction, so that all of it is of one moment.
pub(super) fn holds(connection: &Connection) -> rusqlite::Result<bool> {
    let compare = || -> rusqlite::Result<bool> {
        let query = "SELECT sum FROM seal";
        let kept: Option<Vec<u8>> = connection.query_row(query, [], |row| row.get(0)).optional()?;
        Ok(kept == Some(sum(connection)?.to_vec()))
    };
    compare().or_else(|error| match error.sqlite_error_code() {
        // A table that is not there, or is not what it was.
        Some(ErrorCode::Unknown) | None => Ok(false),
        Some(_) => Err(error),
    })
}

/// Seals what the transaction has written.
pub(super) fn renew(connection: &Connection) -> rusqlite::Result<()> {
    let sum = sum(connection)?;
    if connection.execute("UPDATE seal SET sum = ?1", params![sum])? == 0 {
        connection.execute("INSERT INTO seal VALUES (?1)", params![sum])?;
    }
    Ok(())
}

fn sum(connection: &Connection) -> rusqlite::Result<[u8; 32]> {
    let mut sum = Context::new(&SHA256);
    for query in CONTENT {
        let mut query = connection.prepare_cached(query)?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            sum.update(b"row");
            for column in 0..columns {
                add(&mut sum, row.get_ref(column)?);
            }
        }
        sum.update(b"end");
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(sum.finish().as_ref());
    Ok(bytes)
}

/// Type, length and value: no two contents are written alike.
fn add(sum: &mut Context, value: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => {
            sum.update(&[1]);
            sum.update(&number.to_be_bytes());
            return;
        }
        ValueRef::Real(number) => {
            sum.update(&[2]);
            sum.update(&number.to_be_bytes());
            return;
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    sum.update(&[kind]);
    sum.update(&(bytes.len() as u64).to_be_bytes());
    sum.update(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::accounts::AccountName;
    use crate::store::{Store, StoreError};

    #[test]
    fn what_was_not_written_by_a_change_is_not_believed_and_no_later_change_seals_it() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "gw.example".parse().unwrap();
        let mut store = Store::create(folder.path(), &domain).unwrap();
        let name = |text| AccountName::parse(text).unwrap();
        store.add(&name("alice"), &[1; 32]).unwrap();
        for damage in [
            "UPDATE account SET verifier = zeroblob(32)",
            "UPDATE account SET verifier = NULL",
            "UPDATE account SET name = 'alicf'",
            "DELETE FROM account",
            "INSERT INTO invite VALUES (zeroblob(32), 'alice', 1, NULL)",
            "UPDATE gateway SET serial = 1",
            "CREATE TABLE other (x)",
            "DELETE FROM seal",
            "DROP TABLE seal",
        ] {
            store.connection.execute_batch(&format!("SAVEPOINT damage; {damage}")).unwrap();
            assert!(!holds(&store.connection).unwrap(), "{damage}");
            store.connection.execute_batch("ROLLBACK TO damage; RELEASE damage").unwrap();
            assert!(holds(&store.connection).unwrap(), "{damage}");
        }
        store.connection.execute_batch("UPDATE account SET flags = 1").unwrap();
        assert!(matches!(store.add(&name("bob"), &[2; 32]), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.accounts(), Err(StoreError::Corrupt { .. })));
        assert!(matches!(Store::open(folder.path(), &domain), Err(StoreError::Corrupt { .. })));
    }
}
