//! The operator's public key and the announcement of the next key in the store.

use super::{Store, StoreError};
use crate::core::{Announcement, Succession};
use rusqlite::{Row, params};
use undertone_config::{OperatorKey, Pin};

impl Store {
    /// What phones and links are told of the gateway's keys.
    pub fn succession(&self) -> Result<Succession, StoreError> {
        let query = "SELECT operator, serial, next_pin, next_signature FROM gateway";
        self.connection.query_row(query, [], succession).map_err(|error| self.cause(error))
    }

    /// Takes an operator's key over, in place of an earlier one. What the earlier one announced is void.
    pub fn set_operator(&mut self, key: &OperatorKey) -> Result<(), StoreError> {
        self.change(|change| {
            let set = "UPDATE gateway SET operator = ?1, next_pin = NULL, next_signature = NULL";
            change.execute(set, [key.as_bytes()]).map(|_| ())
        })
    }

    /// Announces a next key from here on. Its serial must be greater than that of any before.
    pub fn announce(&mut self, announcement: &Announcement) -> Result<(), StoreError> {
        let serial = i64::try_from(announcement.serial).unwrap_or(i64::MAX);
        let last = self.change(|change| {
            let last: i64 = change.query_row("SELECT serial FROM gateway", [], |row| row.get(0))?;
            if serial > last {
                let set = "UPDATE gateway SET serial = ?1, next_pin = ?2, next_signature = ?3";
                change.execute(set, params![serial, announcement.pin.as_bytes(), announcement.signature])?;
            }
            Ok(last)
        })?;
        if serial > last { Ok(()) } else { Err(StoreError::Serial { serial: announcement.serial, last }) }
    }

    /// The serial of the last announcement; 0 if there has been none.
    pub fn last_serial(&self) -> Result<i64, StoreError> {
        let query = "SELECT serial FROM gateway";
        self.connection.query_row(query, [], |row| row.get(0)).map_err(|error| self.cause(error))
    }

    /// Announces nothing any more; its serial stays used.
    pub fn end_announcement(&mut self) -> Result<(), StoreError> {
        let set = "UPDATE gateway SET next_pin = NULL, next_signature = NULL";
        self.change(|change| change.execute(set, []).map(|_| ()))
    }
}

fn succession(row: &Row<'_>) -> rusqlite::Result<Succession> {
    let operator: Option<[u8; 32]> = row.get(0)?;
    let serial: i64 = row.get(1)?;
    let announcement = match (row.get::<_, Option<[u8; 32]>>(2)?, row.get(3)?) {
        (Some(pin), Some(signature)) => {
            Some(Announcement { pin: Pin::from_sha256(pin), serial: serial.unsigned_abs(), signature })
        }
        (None, _) | (_, None) => None,
    };
    Ok(Succession { operator: operator.map(OperatorKey::from_bytes), announcement })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_announcement_is_kept_until_it_ends_and_its_serial_stays_used() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "gw.example".parse().unwrap();
        let mut store = Store::create(folder.path(), &domain).unwrap();
        assert_eq!(store.succession().unwrap(), Succession::default());
        let (operator, next) = (OperatorKey::from_bytes([5; 32]), announcement(7));
        store.set_operator(&operator).unwrap();
        store.announce(&next).unwrap();
        let mut store = Store::open(folder.path(), &domain).unwrap();
        let both = Succession { operator: Some(operator), announcement: Some(next.clone()) };
        assert_eq!(store.succession().unwrap(), both);
        store.end_announcement().unwrap();
        assert_eq!(store.succession().unwrap().announcement, None);
        for serial in [7, 6] {
            let refused = store.announce(&announcement(serial)).unwrap_err().to_string();
            assert!(refused.contains("8 or more"), "{refused}");
        }
        store.announce(&announcement(8)).unwrap();
        store.set_operator(&OperatorKey::from_bytes([6; 32])).unwrap();
        assert_eq!(store.succession().unwrap().announcement, None, "another operator did not announce it");
        assert_eq!(store.last_serial().unwrap(), 8);
    }

    fn announcement(serial: u64) -> Announcement {
        Announcement { pin: Pin::from_sha256([serial as u8; 32]), serial, signature: [9; 64] }
    }
}
