//! Accounts: who may sign in here, as a snapshot of the store held in memory.
//!
//! A snapshot is all the core ever knows of an account: its name, the hashes of its devices' keys and, for other
//! makers' phones, a verifier. The verifier is the digest `HA1 = SHA-256(name ":" realm ":" password)` of RFC 8760,
//! never the password. Passwords are generated with at least 128 bits, so a stolen verifier cannot be turned back
//! into one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use subtle::ConstantTimeEq;
use undertone_sip::digest::Ha1;

use super::device::DeviceHash;

/// Longest account name. Long enough for any handle, short enough that `name@domain` fits a screen.
pub const MAX_ACCOUNT_NAME_LEN: usize = 32;

/// The user part that stands for a hidden caller (RFC 3323 §4.1.1.3), hence nobody's account.
pub const ANONYMOUS: &str = "anonymous";

/// A checked account name: lower-case ASCII letters, digits, `.`, `_`, `-`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountName(String);

impl AccountName {
    /// Checks a name typed by the operator or read from the store.
    pub fn parse(text: &str) -> Result<Self, AccountNameError> {
        if text.is_empty() {
            return Err(AccountNameError::Empty);
        }
        if text.len() > MAX_ACCOUNT_NAME_LEN {
            return Err(AccountNameError::TooLong);
        }
        if text == ANONYMOUS {
            return Err(AccountNameError::Reserved);
        }
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts_well = text.bytes().next().is_some_and(allowed);
        if !starts_well || !text.bytes().all(|b| allowed(b) || matches!(b, b'.' | b'_' | b'-')) {
            return Err(AccountNameError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name in the user part of a SIP URI, where people may write capitals; `None` if no account can be called so.
    pub fn from_user_part(user: &str) -> Option<Self> {
        Self::parse(&user.to_ascii_lowercase()).ok()
    }

    /// The name as it appears in URIs and digests.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names identify people, so they stay out of logs: the text is not shown.
impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountName")
    }
}

/// Why a text is not an account name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountNameError {
    /// Nothing was given.
    #[error("the account name is empty: give one such as \"alice\"")]
    Empty,
    /// Longer than [`MAX_ACCOUNT_NAME_LEN`].
    #[error("the account name is longer than 32 characters: choose a shorter one")]
    TooLong,
    /// `anonymous` stands for hidden callers.
    #[error("\"anonymous\" is reserved for hidden callers: choose another account name")]
    Reserved,
    /// A character outside the allowed set, or a leading `.`, `_` or `-`.
    #[error("an account name holds only a-z, 0-9, '.', '_' and '-', and starts with a letter or digit: choose another")]
    Character,
}

/// What a password is checked against: `SHA-256(name ":" realm ":" password)`.
pub struct Verifier(Ha1);

impl Verifier {
    /// Wraps the bytes kept in the store.
    pub fn new(ha1: [u8; 32]) -> Self {
        Self(Ha1::from_bytes(ha1))
    }

    /// For the digest computation only.
    pub(crate) fn expose(&self) -> &Ha1 {
        &self.0
    }

    fn same(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// By what somebody may sign in to an account.
#[derive(Debug, Default)]
struct Account {
    /// None for who joined by an invite: no password is the right one.
    verifier: Option<Verifier>,
    devices: BTreeSet<DeviceHash>,
}

/// All accounts at one moment. A new snapshot replaces the old one whole.
#[derive(Debug, Default)]
pub struct Accounts(BTreeMap<AccountName, Account>);

impl Accounts {
    /// No accounts: nobody can sign in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an account without a password, if it is not there.
    pub fn add(&mut self, name: AccountName) {
        self.0.entry(name).or_default();
    }

    /// Adds an account, or replaces its verifier.
    pub fn insert(&mut self, name: AccountName, verifier: Verifier) {
        self.0.entry(name).or_default().verifier = Some(verifier);
    }

    /// Adds a device to an account, which is added if it is not there.
    pub fn add_device(&mut self, name: AccountName, device: DeviceHash) {
        self.0.entry(name).or_default().devices.insert(device);
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nobody can sign in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to check this account's password against.
    pub(crate) fn verifier(&self, name: &AccountName) -> Option<&Verifier> {
        self.0.get(name)?.verifier.as_ref()
    }

    /// True if this device may sign in to this account.
    pub(crate) fn lists(&self, name: &AccountName, device: &DeviceHash) -> bool {
        self.0.get(name).is_some_and(|account| account.devices.contains(device))
    }

    /// True if whoever signed in to `name` against `earlier`, by this device's key or else by password, could still
    /// do so now: same account, and the device listed or the password the same.
    pub(crate) fn still_holds(&self, name: &AccountName, device: Option<&DeviceHash>, earlier: &Accounts) -> bool {
        match (device, self.verifier(name), earlier.verifier(name)) {
            (Some(device), _, _) => self.lists(name, device),
            (None, Some(mine), Some(theirs)) => mine.same(theirs),
            (None, None, _) | (None, _, None) => false,
        }
    }
}

impl FromIterator<(AccountName, Verifier)> for Accounts {
    fn from_iter<I: IntoIterator<Item = (AccountName, Verifier)>>(accounts: I) -> Self {
        let mut all = Self::new();
        for (name, verifier) in accounts {
            all.insert(name, verifier);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_few_signs() {
        for good in ["alice", "a", "7", "bob.smith", "x_y-z", &"a".repeat(MAX_ACCOUNT_NAME_LEN)] {
            assert_eq!(AccountName::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(AccountName::parse(""), Err(AccountNameError::Empty));
        assert_eq!(AccountName::parse(&"a".repeat(MAX_ACCOUNT_NAME_LEN + 1)), Err(AccountNameError::TooLong));
        assert_eq!(AccountName::parse("anonymous"), Err(AccountNameError::Reserved));
        for bad in ["Alice", ".a", "-a", "a b", "a@b", "a\r\nX: y", "ä", "a\"", "a;b"] {
            assert_eq!(AccountName::parse(bad), Err(AccountNameError::Character), "{bad:?}");
        }
    }

    #[test]
    fn capitals_in_a_uri_name_the_same_account() {
        assert_eq!(AccountName::from_user_part("Alice").unwrap().as_str(), "alice");
        assert!(AccountName::from_user_part("Anonymous").is_none());
        assert!(AccountName::from_user_part("a%20b").is_none());
    }

    #[test]
    fn debug_shows_neither_name_nor_verifier() {
        let text = format!("{:?} {:?}", AccountName::parse("alice").unwrap(), Verifier::new([0xab; 32]));
        assert_eq!(text, "AccountName Verifier");
    }

    #[test]
    fn a_removed_account_or_a_new_password_no_longer_holds() {
        let alice = || AccountName::parse("alice").unwrap();
        let with = |byte: u8| Accounts::from_iter([(alice(), Verifier::new([byte; 32]))]);
        assert!(with(1).still_holds(&alice(), None, &with(1)));
        assert!(!with(2).still_holds(&alice(), None, &with(1)));
        assert!(!Accounts::new().still_holds(&alice(), None, &with(1)));
    }

    #[test]
    fn a_device_holds_while_it_is_listed_whatever_becomes_of_the_password() {
        let alice = || AccountName::parse("alice").unwrap();
        let (phone, other) = (DeviceHash::of_key(b"phone"), DeviceHash::of_key(b"other"));
        let mut before = Accounts::from_iter([(alice(), Verifier::new([1; 32]))]);
        before.add_device(alice(), phone);
        let mut after = Accounts::new();
        after.add_device(alice(), phone);
        assert!(after.still_holds(&alice(), Some(&phone), &before));
        assert!(!after.still_holds(&alice(), Some(&other), &before));
        assert!(!after.still_holds(&alice(), None, &before), "the password is gone");
        after = Accounts::new();
        after.add(alice());
        assert!(!after.still_holds(&alice(), Some(&phone), &before));
        assert!(after.verifier(&alice()).is_none());
    }
}
