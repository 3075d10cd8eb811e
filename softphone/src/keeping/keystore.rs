//! The keystore of the desktop session (Secret Service): the only place that talks with it.
//!
//! Every call is given a limited time in a thread of its own: a bus that never answers must not hold up the phone, and
//! the library must not run inside its event loop. Only a session that names its bus has a keystore.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use keyring::{Entry, Error};
use thiserror::Error;
use undertone_config::Secret;
use zeroize::Zeroizing;

/// Under which name the keystore shows the entries.
const SERVICE: &str = "undertone";
/// The variable in which a desktop session names its bus.
const BUS_VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";
/// For the keystore to be found and started.
const FIND_WAIT: Duration = Duration::from_secs(10);
/// For a person to unlock it when it asks for that.
const UNLOCK_WAIT: Duration = Duration::from_secs(120);

/// Why the keystore did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeystoreError {
    /// There is none in this session.
    #[error(
        "your identity is protected by the keystore of your desktop session, which cannot be reached from here: log in \
         to the desktop and start the phone there"
    )]
    Unreachable,
    /// It is locked, and nobody unlocked it.
    #[error("the keystore of your desktop session is locked: unlock it with your login password and try again")]
    Locked,
    /// It does not know this entry.
    #[error(
        "the keystore of your desktop session has no entry for this identity (it may have been copied from another \
         computer, or the entry was removed): move the files `identity` and `identity.keystore` away and take over an \
         exported copy with `undertone identity import`"
    )]
    NoEntry,
    /// It answered with an error, or not at all.
    #[error("the keystore of your desktop session does not answer as it should: restart the session and try again")]
    Faulty,
}

/// Keeps `secret` under `name`.
///
/// # Errors
/// When there is no keystore, or it does not keep it.
pub fn put(name: &str, secret: &Secret) -> Result<(), KeystoreError> {
    let (name, secret) = (name.to_owned(), Zeroizing::new(secret.expose().to_owned()));
    with_keystore(move || {
        let entry = Entry::new(SERVICE, &name)?;
        entry.set_secret(secret.as_bytes())?;
        // What cannot be read back would lock the owner out.
        let kept = Zeroizing::new(entry.get_secret()?);
        if *kept == secret.as_bytes() { Ok(()) } else { Err(Error::NoEntry) }
    })
}

/// The secret under `name`.
///
/// # Errors
/// When there is no keystore, it stays locked, or it has no such entry.
pub fn get(name: &str) -> Result<Secret, KeystoreError> {
    let name = name.to_owned();
    let mut kept = with_keystore(move || Entry::new(SERVICE, &name)?.get_secret().map(Zeroizing::new))?;
    String::from_utf8(std::mem::take(&mut *kept)).map(Secret::new).map_err(|_| KeystoreError::Faulty)
}

/// Removes the entry `name`.
///
/// # Errors
/// When there is no keystore, it stays locked, or it has no such entry.
pub fn forget(name: &str) -> Result<(), KeystoreError> {
    let name = name.to_owned();
    with_keystore(move || Entry::new(SERVICE, &name)?.delete_credential())
}

fn with_keystore<T: Send + 'static>(
    work: impl FnOnce() -> keyring::Result<T> + Send + 'static,
) -> Result<T, KeystoreError> {
    if std::env::var_os(BUS_VARIABLE).is_none_or(|address| address.is_empty()) {
        return Err(KeystoreError::Unreachable);
    }
    let found = within(FIND_WAIT, || Entry::store_status().is_ok()).ok_or(KeystoreError::Unreachable)?;
    if !found {
        return Err(KeystoreError::Unreachable);
    }
    within(UNLOCK_WAIT, work).ok_or(KeystoreError::Locked)?.map_err(|why| told(&why))
}

/// What `work` returns, if it does in time; else its thread is left behind.
fn within<T: Send + 'static>(wait: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = sync_channel(1);
    let worker = std::thread::Builder::new().name("keystore".to_owned());
    // Nobody receives the result of work that took too long.
    worker.spawn(move || drop(done.send(work()))).ok()?;
    result.recv_timeout(wait).ok()
}

fn told(why: &Error) -> KeystoreError {
    match why {
        Error::NoEntry => KeystoreError::NoEntry,
        Error::NoStorageAccess(_) => KeystoreError::Locked,
        Error::NoDefaultStore => KeystoreError::Unreachable,
        Error::PlatformFailure(_)
        | Error::BadEncoding(_)
        | Error::BadDataFormat(..)
        | Error::BadStoreFormat(_)
        | Error::TooLong(..)
        | Error::Invalid(..)
        | Error::Ambiguous(_)
        | Error::NotSupportedByStore(_)
        | _ => KeystoreError::Faulty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_left_behind() {
        let (_never, wait) = sync_channel::<()>(0);
        assert_eq!(within(Duration::from_millis(1), move || wait.recv()), None);
        assert_eq!(within(Duration::from_secs(10), || 7), Some(7));
    }

    #[test]
    fn what_the_library_says_becomes_a_sentence_with_a_remedy() {
        for (why, told_as) in [
            (Error::NoEntry, KeystoreError::NoEntry),
            (Error::NoStorageAccess("locked".into()), KeystoreError::Locked),
            (Error::NoDefaultStore, KeystoreError::Unreachable),
            (Error::BadStoreFormat("?".into()), KeystoreError::Faulty),
        ] {
            assert_eq!(told(&why), told_as);
            assert!(told_as.to_string().contains(": "), "{told_as}");
        }
    }
}
