//! Notices that the operator has changed the store while the gateway runs, and changes it for phones.

use super::{Store, StoreError};
use crate::core::errand::{Errand, NotListed, Outcome};
use crate::core::{Accounts, Day, Succession};
use std::time::Duration;

/// Pause between two looks: a removed account or revoked device is out within this time. A look costs a few system calls.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Days an invite that a phone makes for another device of its account is good for: both are at hand.
const DEVICE_INVITE_DAYS: u32 = 1;

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

    /// Everything the gateway needs of the store, if another process has changed it since the last look.
    pub fn look(&mut self) -> Result<Option<(Accounts, Succession)>, StoreError> {
        if self.store.follow()? {
            self.seen = None;
        }
        let version = self.store.data_version()?;
        if self.seen == Some(version) {
            return Ok(None);
        }
        // Read after the version: a change in between is seen again at the next look, never missed.
        let seen = (self.store.accounts()?, self.store.succession()?);
        self.seen = Some(version);
        Ok(Some(seen))
    }

    /// Carries an errand out. All accounts come with it if it may have changed them: a change of one's own is not seen
    /// by [`AccountWatch::look`].
    pub fn carry_out(&mut self, errand: Errand, today: Day) -> Result<(Outcome, Option<Accounts>), StoreError> {
        let done = self.try_errand(errand, today);
        if done.is_err() {
            // It may have changed something before it failed: the next look tells.
            self.seen = None;
        }
        done
    }

    fn try_errand(&mut self, errand: Errand, today: Day) -> Result<(Outcome, Option<Accounts>), StoreError> {
        match errand {
            Errand::Redeem { account, token, device } => {
                let result = self.store.redeem(&account, &token, &device, today)?;
                let accounts = result.is_ok().then(|| self.store.accounts()).transpose()?;
                Ok((Outcome::Redeemed(result), accounts))
            }
            Errand::Invite { account, token, by } => {
                let invited = self.store.invite_by(&by, &account, &token, DEVICE_INVITE_DAYS, today)?;
                let invited = invited.map(|over| Outcome::Invited(over.map(Day::start_unix_s)));
                Ok((invited.unwrap_or(Outcome::NotListed), None))
            }
            Errand::ListDevices { account } => Ok((Outcome::Devices(self.store.devices(&account)?), None)),
            Errand::RevokeDevice { account, device, by } => match self.store.revoke_by(&by, &account, &device)? {
                Ok(true) => Ok((Outcome::Revoked(true), Some(self.store.accounts()?))),
                Ok(false) => Ok((Outcome::Revoked(false), None)),
                Err(NotListed) => Ok((Outcome::NotListed, None)),
            },
        }
    }

    /// Forgets what is kept for some days only.
    pub fn tidy_up(&mut self, today: Day) -> Result<(), StoreError> {
        self.store.forget_old_invites(today)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::accounts::AccountName;
    use crate::core::{DeviceHash, TokenHash};
    use undertone_config::LinkToken;

    #[test]
    fn the_first_look_and_every_change_give_all_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "gw.example".parse().unwrap();
        let mut other = Store::create(folder.path(), &domain).unwrap();
        let mut watch = AccountWatch::new(Store::open(folder.path(), &domain).unwrap());
        assert!(watch.look().unwrap().unwrap().0.is_empty());
        assert!(watch.look().unwrap().is_none());
        let alice = AccountName::parse("alice").unwrap();
        other.add(&alice, &[1; 32]).unwrap();
        assert_eq!(watch.look().unwrap().unwrap().0.len(), 1);
        assert!(watch.look().unwrap().is_none());
        other.remove(&alice).unwrap();
        assert!(watch.look().unwrap().unwrap().0.is_empty());
    }

    #[test]
    fn after_an_errand_that_failed_the_next_look_gives_all_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "gw.example".parse().unwrap();
        let mut other = Store::create(folder.path(), &domain).unwrap();
        let mut watch = AccountWatch::new(Store::open(folder.path(), &domain).unwrap());
        let (alice, today) = (AccountName::parse("alice").unwrap(), Day::from_number(20_000));
        let (token, device) = (TokenHash::of(&LinkToken::new([1; 32])), DeviceHash::of_key(&[1]));
        other.invite_to_new(&alice, &token, 7, today).unwrap().unwrap();
        watch.look().unwrap();
        let damage = |sql| watch.store.connection.execute_batch(sql).unwrap();
        damage("INSERT INTO account (name) VALUES ('NOT A NAME')");
        let errand = Errand::Redeem { account: alice.clone(), token, device };
        assert!(watch.carry_out(errand, today).is_err());
        watch.store.connection.execute_batch("DELETE FROM account WHERE name = 'NOT A NAME'").unwrap();
        assert!(other.devices(&alice).unwrap().is_empty(), "over damage nothing is changed");
        assert_eq!(watch.look().unwrap().unwrap().0.len(), 1);
        assert!(watch.look().unwrap().is_none());
    }
}
