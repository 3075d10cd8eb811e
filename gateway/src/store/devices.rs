//! Devices and invites in the store: how a device gets into an account, and out of it.
//!
//! ```text
//! invite: open ──redeem──▶ used by one device ──┐
//!   └──last day──▶ expired ─────────────────────┴──a week after the last day──▶ forgotten
//! ```
//! A redemption is one transaction that begins with the right to write: of two devices with one token, one wins.

use super::{Store, StoreError};
use crate::core::accounts::AccountName;
use crate::core::errand::{NotListed, RedeemRefusal, TooManyInvites};
use crate::core::{Day, DeviceHash, TokenHash};
use rusqlite::{OptionalExtension, Transaction, params};

/// Devices an account may have: as many as can be signed in at once.
pub const MAX_DEVICES: u32 = 10;

/// Invites that may be open for one account: each is a way in, and a person needs one at a time.
pub const MAX_OPEN_INVITES: u32 = 10;

/// How many days after its last one an invite is still known, so that its holder hears what became of it.
pub const INVITE_KEPT_DAYS: u32 = 7;

/// An account, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Its name.
    pub name: AccountName,
    /// How many devices it has.
    pub devices: u32,
    /// Whether other makers' phones can sign in to it.
    pub has_password: bool,
    /// How many invites to it are open.
    pub open_invites: u32,
}

impl Store {
    /// Keeps an invite to an account that is there, good to the end of the day so many `days` from `today`. Gives the
    /// day on which it is over.
    pub fn invite(
        &mut self,
        account: &AccountName,
        token: &TokenHash,
        days: u32,
        today: Day,
    ) -> Result<Result<Day, TooManyInvites>, StoreError> {
        self.change(|change| invite(change, account, token, days, today))
    }

    /// The same; an account that is not there is made, without a password.
    pub fn invite_to_new(
        &mut self,
        account: &AccountName,
        token: &TokenHash,
        days: u32,
        today: Day,
    ) -> Result<Result<Day, TooManyInvites>, StoreError> {
        self.change(|change| {
            change.execute("INSERT INTO account (name) VALUES (?1) ON CONFLICT DO NOTHING", [account.as_str()])?;
            invite(change, account, token, days, today)
        })
    }

    /// [`Store::invite`] by a device of the account, if it is still listed: one that was revoked a moment ago, and whose
    /// connection is not closed yet, makes no way back in for itself.
    pub fn invite_by(
        &mut self,
        by: &DeviceHash,
        account: &AccountName,
        token: &TokenHash,
        days: u32,
        today: Day,
    ) -> Result<Result<Result<Day, TooManyInvites>, NotListed>, StoreError> {
        self.change(|change| match lists(change, account, by)? {
            true => invite(change, account, token, days, today).map(Ok),
            false => Ok(Err(NotListed)),
        })
    }

    /// Spends a token for a device, which then belongs to the account. The same device may do so again.
    pub fn redeem(
        &mut self,
        account: &AccountName,
        token: &TokenHash,
        device: &DeviceHash,
        today: Day,
    ) -> Result<Result<(), RedeemRefusal>, StoreError> {
        // Strangers' guesses never ask for the right to write, or enough of them would keep the operator waiting.
        let query = "SELECT 1 FROM invite WHERE token_hash = ?1 AND account = ?2";
        let which = params![token.as_bytes(), account.as_str()];
        let known = self.connection.query_row(query, which, |_| Ok(())).optional();
        if known.map_err(|error| self.cause(error))?.is_none() {
            return Ok(Err(RedeemRefusal::Unknown));
        }
        self.change(|change| redeem(change, account, token, device, today))
    }

    /// The account's devices and the days they were added, by hash.
    pub fn devices(&self, account: &AccountName) -> Result<Vec<(DeviceHash, Day)>, StoreError> {
        let read = || -> rusqlite::Result<_> {
            let query = "SELECT hash, added_day FROM device WHERE account = ?1 ORDER BY hash";
            let mut query = self.connection.prepare(query)?;
            let rows = query.query_map([account.as_str()], |row| {
                Ok((DeviceHash::from_sha256(row.get(0)?), Day::from_number(row.get(1)?)))
            })?;
            rows.collect()
        };
        read().map_err(|error| self.cause(error))
    }

    /// Takes a device's access away; false if the account has no such device. A running gateway closes its
    /// connections within [`WATCH_INTERVAL`](super::WATCH_INTERVAL). Invites that were not used go with it: it may have
    /// made them, and nobody knows.
    pub fn revoke(&mut self, account: &AccountName, device: &DeviceHash) -> Result<bool, StoreError> {
        self.change(|change| revoke(change, account, device))
    }

    /// The same by another device of the account, if that is itself still listed.
    pub fn revoke_by(
        &mut self,
        by: &DeviceHash,
        account: &AccountName,
        device: &DeviceHash,
    ) -> Result<Result<bool, NotListed>, StoreError> {
        self.change(|change| match lists(change, account, by)? {
            true => revoke(change, account, device).map(Ok),
            false => Ok(Err(NotListed)),
        })
    }

    /// Withdraws all open invites to an account and says how many there were.
    pub fn withdraw_invites(&mut self, account: &AccountName, today: Day) -> Result<usize, StoreError> {
        self.change(|change| {
            let withdrawn = "DELETE FROM invite WHERE account = ?1 AND used_by IS NULL AND expires_day > ?2";
            change.execute(withdrawn, params![account.as_str(), today.number()])
        })
    }

    /// Forgets the invites that have been over for long.
    pub fn forget_old_invites(&mut self, today: Day) -> Result<(), StoreError> {
        self.change(|change| forget_old(change, today))
    }

    /// All accounts, in alphabetical order.
    pub fn overview(&self, today: Day) -> Result<Vec<Overview>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(String, u32, bool, u32)>> {
            let mut query = self.connection.prepare(
                "SELECT name, (SELECT count(*) FROM device WHERE account = name), verifier IS NOT NULL,
                 (SELECT count(*) FROM invite WHERE account = name AND used_by IS NULL AND expires_day > ?1)
                 FROM account ORDER BY name",
            )?;
            let rows =
                query.query_map([today.number()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        };
        let rows = read().map_err(|error| self.cause(error))?;
        let account = |(name, devices, has_password, open_invites): (String, u32, bool, u32)| {
            Ok(Overview { name: self.name(&name)?, devices, has_password, open_invites })
        };
        rows.into_iter().map(account).collect()
    }

    /// Whether there is an account of this name.
    pub fn has(&self, account: &AccountName) -> Result<bool, StoreError> {
        let query = "SELECT 1 FROM account WHERE name = ?1";
        let found = self.connection.query_row(query, [account.as_str()], |_| Ok(())).optional();
        Ok(found.map_err(|error| self.cause(error))?.is_some())
    }
}

fn invite(
    change: &Transaction<'_>,
    account: &AccountName,
    token: &TokenHash,
    days: u32,
    today: Day,
) -> rusqlite::Result<Result<Day, TooManyInvites>> {
    forget_old(change, today)?;
    let open = "SELECT count(*) FROM invite WHERE account = ?1 AND used_by IS NULL AND expires_day > ?2";
    let open: u32 = change.query_row(open, params![account.as_str(), today.number()], |row| row.get(0))?;
    if open >= MAX_OPEN_INVITES {
        return Ok(Err(TooManyInvites));
    }
    let over = today.plus(days).plus(1);
    let insert = "INSERT INTO invite (token_hash, account, expires_day) VALUES (?1, ?2, ?3)";
    change.execute(insert, params![token.as_bytes(), account.as_str(), over.number()])?;
    Ok(Ok(over))
}

fn redeem(
    change: &Transaction<'_>,
    account: &AccountName,
    token: &TokenHash,
    device: &DeviceHash,
    today: Day,
) -> rusqlite::Result<Result<(), RedeemRefusal>> {
    let query = "SELECT expires_day, used_by FROM invite WHERE token_hash = ?1 AND account = ?2";
    let found: Option<(u32, Option<[u8; 32]>)> = change
        .query_row(query, params![token.as_bytes(), account.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((expires_day, used_by)) = found else { return Ok(Err(RedeemRefusal::Unknown)) };
    let is_listed = lists(change, account, device)?;
    match used_by {
        Some(user) if user == *device.as_bytes() && is_listed => return Ok(Ok(())),
        Some(_) => return Ok(Err(RedeemRefusal::Used)),
        None if expires_day <= today.number() => return Ok(Err(RedeemRefusal::Expired)),
        None => {}
    }
    let query = "SELECT count(*) FROM device WHERE account = ?1";
    let devices: u32 = change.query_row(query, [account.as_str()], |row| row.get(0))?;
    if devices >= MAX_DEVICES && !is_listed {
        return Ok(Err(RedeemRefusal::TooManyDevices));
    }
    let insert = "INSERT INTO device (account, hash, added_day) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    change.execute(insert, params![account.as_str(), device.as_bytes(), today.number()])?;
    let spend = "UPDATE invite SET used_by = ?2 WHERE token_hash = ?1";
    change.execute(spend, params![token.as_bytes(), device.as_bytes()])?;
    Ok(Ok(()))
}

fn revoke(change: &Transaction<'_>, account: &AccountName, device: &DeviceHash) -> rusqlite::Result<bool> {
    if !lists(change, account, device)? {
        return Ok(false);
    }
    let which = params![account.as_str(), device.as_bytes()];
    // With its invite goes the way back in, and the last trace of its key.
    change.execute("DELETE FROM invite WHERE account = ?1 AND (used_by = ?2 OR used_by IS NULL)", which)?;
    change.execute("DELETE FROM device WHERE account = ?1 AND hash = ?2", which)?;
    Ok(true)
}

fn lists(change: &Transaction<'_>, account: &AccountName, device: &DeviceHash) -> rusqlite::Result<bool> {
    let query = "SELECT 1 FROM device WHERE account = ?1 AND hash = ?2";
    let found = change.query_row(query, params![account.as_str(), device.as_bytes()], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn forget_old(change: &Transaction<'_>, today: Day) -> rusqlite::Result<()> {
    let old = "DELETE FROM invite WHERE expires_day + ?1 <= ?2";
    change.execute(old, params![INVITE_KEPT_DAYS, today.number()]).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::STORE_FILE;
    use super::*;
    use std::sync::Barrier;
    use undertone_config::LinkToken;

    const TODAY: Day = Day::from_number(20_000);

    #[test]
    fn a_token_is_good_for_one_device_which_may_show_it_again() {
        let (_folder, mut store) = fresh();
        assert_eq!(store.invite_to_new(&alice(), &token(1), 7, TODAY).unwrap(), Ok(TODAY.plus(8)));
        assert_eq!(store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap(), Ok(()));
        assert_eq!(store.redeem(&alice(), &token(1), &device(1), TODAY.plus(100)).unwrap(), Ok(()));
        assert_eq!(store.redeem(&alice(), &token(1), &device(2), TODAY).unwrap(), Err(RedeemRefusal::Used));
        assert_eq!(store.devices(&alice()).unwrap(), [(device(1), TODAY)]);
    }

    #[test]
    fn a_token_is_good_to_the_end_of_its_last_day_for_its_account_only() {
        let (_folder, mut store) = fresh();
        for n in [1, 2] {
            store.invite_to_new(&alice(), &token(n), 7, TODAY).unwrap().unwrap();
        }
        store.invite_to_new(&name("bob"), &token(3), 7, TODAY).unwrap().unwrap();
        let mut redeem = |account: &str, n, today| store.redeem(&name(account), &token(n), &device(n), today).unwrap();
        assert_eq!(redeem("bob", 1, TODAY), Err(RedeemRefusal::Unknown));
        assert_eq!(redeem("alice", 9, TODAY), Err(RedeemRefusal::Unknown));
        assert_eq!(redeem("nobody", 1, TODAY), Err(RedeemRefusal::Unknown));
        assert_eq!(redeem("alice", 1, TODAY.plus(8)), Err(RedeemRefusal::Expired));
        assert_eq!(redeem("alice", 2, TODAY.plus(7)), Ok(()));
    }

    #[test]
    fn of_two_devices_that_race_for_one_token_exactly_one_wins() {
        let (folder, mut store) = fresh();
        for round in 0..10 {
            store.invite_to_new(&alice(), &token(round), 7, TODAY).unwrap().unwrap();
            let start = Barrier::new(2);
            let race = |who: u8| {
                let mut store = Store::open(&folder.path().join("state"), &domain()).unwrap();
                start.wait();
                store.redeem(&alice(), &token(round), &device(who), TODAY).unwrap()
            };
            let results = std::thread::scope(|scope| {
                let racing: Vec<_> = (1..=2).map(|who| scope.spawn(move || race(who))).collect();
                racing.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            assert!(results.contains(&Err(RedeemRefusal::Used)), "{results:?}");
            let devices = store.devices(&alice()).unwrap();
            assert_eq!(devices.len(), 1);
            assert!(store.revoke(&alice(), &devices[0].0).unwrap());
        }
    }

    #[test]
    fn an_account_has_ten_devices_and_ten_open_invites_at_most() {
        let (_folder, mut store) = fresh();
        for n in 0..MAX_DEVICES as u8 {
            store.invite_to_new(&alice(), &token(n), 1, TODAY).unwrap().unwrap();
            store.redeem(&alice(), &token(n), &device(n), TODAY).unwrap().unwrap();
        }
        for n in 0..MAX_OPEN_INVITES as u8 {
            store.invite(&alice(), &token(100 + n), 1, TODAY).unwrap().unwrap();
        }
        assert_eq!(store.invite(&alice(), &token(200), 1, TODAY).unwrap(), Err(TooManyInvites));
        let full = store.redeem(&alice(), &token(100), &device(100), TODAY).unwrap();
        assert_eq!(full, Err(RedeemRefusal::TooManyDevices));
        assert_eq!(store.withdraw_invites(&alice(), TODAY).unwrap(), MAX_OPEN_INVITES as usize, "it was not spent");
        assert!(store.invite(&alice(), &token(200), 1, TODAY).unwrap().is_ok());
        assert_eq!(store.withdraw_invites(&alice(), TODAY).unwrap(), 1);
        assert_eq!(store.redeem(&alice(), &token(200), &device(1), TODAY).unwrap(), Err(RedeemRefusal::Unknown));
        let later = TODAY.plus(2);
        store.invite(&alice(), &token(201), 1, TODAY).unwrap().unwrap();
        assert_eq!(store.overview(later).unwrap()[0].open_invites, 0, "an expired one is not open");
    }

    #[test]
    fn a_revoked_device_does_not_come_back_with_its_old_token() {
        let (_folder, mut store) = fresh();
        store.invite_to_new(&alice(), &token(1), 7, TODAY).unwrap().unwrap();
        store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap().unwrap();
        assert!(store.revoke(&alice(), &device(1)).unwrap());
        assert!(!store.revoke(&alice(), &device(1)).unwrap());
        assert!(store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap().is_err());
        assert!(store.devices(&alice()).unwrap().is_empty());
    }

    #[test]
    fn invites_that_were_open_when_a_device_was_revoked_open_nothing() {
        let (_folder, mut store) = fresh();
        for n in [1, 2, 3] {
            store.invite_to_new(&alice(), &token(n), 7, TODAY).unwrap().unwrap();
        }
        store.invite_to_new(&name("bob"), &token(4), 7, TODAY).unwrap().unwrap();
        store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap().unwrap();
        store.redeem(&alice(), &token(2), &device(2), TODAY).unwrap().unwrap();
        assert!(!store.revoke(&alice(), &device(9)).unwrap());
        assert_eq!(store.overview(TODAY).unwrap()[0].open_invites, 1, "nobody was revoked");
        assert!(store.revoke(&alice(), &device(1)).unwrap());
        let back = store.redeem(&alice(), &token(3), &device(3), TODAY).unwrap();
        assert_eq!(back, Err(RedeemRefusal::Unknown), "the revoked device may have made it");
        assert_eq!(store.redeem(&alice(), &token(2), &device(2), TODAY).unwrap(), Ok(()), "another device's stays");
        assert_eq!(store.redeem(&name("bob"), &token(4), &device(4), TODAY).unwrap(), Ok(()));
    }

    #[test]
    fn a_device_that_is_not_listed_any_more_invites_and_revokes_nobody() {
        let (_folder, mut store) = fresh();
        for n in [1, 2] {
            store.invite_to_new(&alice(), &token(n), 7, TODAY).unwrap().unwrap();
            store.redeem(&alice(), &token(n), &device(n), TODAY).unwrap().unwrap();
        }
        assert!(store.invite_by(&device(1), &alice(), &token(3), 1, TODAY).unwrap().is_ok());
        assert_eq!(store.revoke_by(&device(2), &alice(), &device(1)).unwrap(), Ok(true));
        assert_eq!(store.invite_by(&device(1), &alice(), &token(4), 1, TODAY).unwrap(), Err(NotListed));
        assert_eq!(store.revoke_by(&device(1), &alice(), &device(2)).unwrap(), Err(NotListed));
        assert_eq!(store.overview(TODAY).unwrap()[0].open_invites, 0);
        store.remove(&alice()).unwrap();
        store.invite_to_new(&alice(), &token(5), 7, TODAY).unwrap().unwrap();
        assert_eq!(store.invite_by(&device(2), &alice(), &token(6), 1, TODAY).unwrap(), Err(NotListed), "made anew");
    }

    #[test]
    fn an_invite_is_forgotten_a_week_after_its_last_day() {
        let (_folder, mut store) = fresh();
        store.invite_to_new(&alice(), &token(1), 0, TODAY).unwrap().unwrap();
        let mut told = |today| {
            store.forget_old_invites(today).unwrap();
            store.redeem(&alice(), &token(1), &device(1), today).unwrap()
        };
        assert_eq!(told(TODAY.plus(INVITE_KEPT_DAYS)), Err(RedeemRefusal::Expired));
        assert_eq!(told(TODAY.plus(INVITE_KEPT_DAYS + 1)), Err(RedeemRefusal::Unknown));
    }

    #[test]
    fn an_invite_to_an_account_that_is_gone_is_refused_and_leaves_nothing() {
        let (_folder, mut store) = fresh();
        assert!(store.invite(&alice(), &token(1), 7, TODAY).is_err());
        assert!(store.overview(TODAY).unwrap().is_empty());
    }

    #[test]
    fn nothing_of_a_revoked_device_or_a_removed_account_is_left_in_the_file() {
        let (folder, mut store) = fresh();
        let file = folder.path().join("state").join(STORE_FILE);
        let holds = |word: &[u8]| std::fs::read(&file).unwrap().windows(word.len()).any(|window| window == word);
        for n in [1, 2] {
            store.invite_to_new(&alice(), &token(n), 7, TODAY).unwrap().unwrap();
            store.redeem(&alice(), &token(n), &device(n), TODAY).unwrap().unwrap();
        }
        store.invite(&alice(), &token(3), 7, TODAY).unwrap().unwrap();
        assert!(holds(device(1).as_bytes()) && holds(token(1).as_bytes()));
        store.revoke(&alice(), &device(1)).unwrap();
        assert!(!holds(device(1).as_bytes()) && !holds(token(1).as_bytes()));
        store.remove(&alice()).unwrap();
        for gone in [device(2).as_bytes(), token(2).as_bytes(), token(3).as_bytes()] {
            assert!(!holds(gone));
        }
    }

    #[test]
    fn a_guess_at_a_token_does_not_wait_for_who_is_writing() {
        let (folder, mut store) = fresh();
        store.invite_to_new(&alice(), &token(1), 7, TODAY).unwrap().unwrap();
        let other = Store::open(&folder.path().join("state"), &domain()).unwrap();
        other.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        store.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        assert_eq!(store.redeem(&alice(), &token(2), &device(1), TODAY).unwrap(), Err(RedeemRefusal::Unknown));
        assert!(matches!(store.redeem(&alice(), &token(1), &device(1), TODAY), Err(StoreError::Busy { .. })));
    }

    #[test]
    fn no_time_finer_than_a_day_is_stored() {
        let (_folder, mut store) = fresh();
        store.invite_to_new(&alice(), &token(1), 7, TODAY).unwrap().unwrap();
        store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap().unwrap();
        let numbers = "SELECT max(added_day), 0 FROM device UNION SELECT max(expires_day), 0 FROM invite";
        let mut query = store.connection.prepare(numbers).unwrap();
        let days = query.query_map([], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(days.map(Result::unwrap).collect::<Vec<_>>(), [TODAY.number(), TODAY.number() + 8]);
        let columns = "SELECT group_concat(c.name) FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.name = ?1";
        let columns = |table| store.connection.query_row(columns, [table], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(columns("account"), "name,verifier,flags");
        assert_eq!(columns("device"), "account,hash,added_day");
        assert_eq!(columns("invite"), "token_hash,account,expires_day,used_by", "nor who invited whom");
    }

    #[test]
    fn the_overview_counts_devices_invites_and_passwords() {
        let (_folder, mut store) = fresh();
        store.add(&name("bob"), &[1; 32]).unwrap();
        store.invite_to_new(&alice(), &token(1), 7, TODAY).unwrap().unwrap();
        store.invite(&alice(), &token(2), 7, TODAY).unwrap().unwrap();
        store.redeem(&alice(), &token(1), &device(1), TODAY).unwrap().unwrap();
        let row = |text: &str, devices, has_password, open_invites| Overview {
            name: name(text),
            devices,
            has_password,
            open_invites,
        };
        assert_eq!(store.overview(TODAY).unwrap(), [row("alice", 1, false, 1), row("bob", 0, true, 0)]);
        assert!(store.has(&alice()).unwrap() && !store.has(&name("carol")).unwrap());
    }

    fn alice() -> AccountName {
        name("alice")
    }

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    fn domain() -> undertone_config::Domain {
        "gw.example".parse().unwrap()
    }

    fn token(n: u8) -> TokenHash {
        TokenHash::of(&LinkToken::new([n; 32]))
    }

    fn device(n: u8) -> DeviceHash {
        DeviceHash::of_key(&[n])
    }

    fn fresh() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("state"), &domain()).unwrap();
        (folder, store)
    }
}
