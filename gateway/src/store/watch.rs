//! Notices that the operator has added or removed accounts while the gateway runs.

use super::{Store, StoreError};
use crate::core::accounts::Accounts;
use std::time::Duration;

/// Pause between two looks: a removed account is out within this time. A look costs a few system calls.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// A store and what was last seen of it.
#[derive(Debug)]
pub struct AccountWatch {
    store: Store,
    seen: Option<i64>,
}

impl AccountWatch {
    /// Nothing has been seen yet: the first look gives all accounts.
    pub fn new(store: Store) -> Self {
        Self { store, seen: None }
    }

    /// All accounts if they have changed since the last look.
    pub fn look(&mut self) -> Result<Option<Accounts>, StoreError> {
        let version = self.store.data_version()?;
        if self.seen == Some(version) {
            return Ok(None);
        }
        // Read after the version: a change in between is seen again at the next look, never missed.
        let accounts = self.store.accounts()?;
        self.seen = Some(version);
        Ok(Some(accounts))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::accounts::AccountName;

    #[test]
    fn the_first_look_and_every_change_give_all_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "gw.example".parse().unwrap();
        let mut other = Store::create(folder.path(), &domain).unwrap();
        let mut watch = AccountWatch::new(Store::open(folder.path(), &domain).unwrap());
        assert!(watch.look().unwrap().unwrap().is_empty());
        assert!(watch.look().unwrap().is_none());
        let alice = AccountName::parse("alice").unwrap();
        other.add(&alice, &[1; 32]).unwrap();
        assert_eq!(watch.look().unwrap().unwrap().len(), 1);
        assert!(watch.look().unwrap().is_none());
        other.remove(&alice).unwrap();
        assert!(watch.look().unwrap().unwrap().is_empty());
    }
}
