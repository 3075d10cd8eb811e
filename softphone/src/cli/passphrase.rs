//! The passphrase of what the phone keeps: from a file, the environment, the keystore or a person, in this order; and
//! the identity it opens, made at the first start.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::{OsRng, RngCore, TryRngCore};
use undertone_config::{PhonePaths, Secret};
use zeroize::Zeroizing;

use super::Failure;
use super::arguments::Arguments;
use crate::keeping::contacts_file::ContactsFile;
use crate::keeping::error::KeptError;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::keystore::{self, KeystoreError};
use crate::keeping::keystore_entry::KeystoreEntry;
use crate::keeping::seal::Cost;
use crate::ui::prompt::{ask_new_secret, ask_unseen, read_secret};
use crate::ui::terminal::is_interactive;

/// The environment variable a script may give the passphrase in.
pub(super) const VARIABLE: &str = "UNDERTONE_PASSPHRASE";
/// Octets of a drawn passphrase: nobody guesses 256 bits.
const PASSPHRASE_LEN: usize = 32;

/// What the option or the environment gives.
///
/// # Errors
/// When the file cannot be read or the passphrase is empty.
pub(super) fn given(arguments: &Arguments) -> Result<Option<Secret>, Failure> {
    if let Some(path) = &arguments.passphrase_file {
        let refuse =
            |why: String| Failure::Argument(format!("--passphrase-file {}: {why}: check the file", path.display()));
        let file = File::open(path).map_err(|error| refuse(format!("cannot be read ({error})")))?;
        let passphrase = read_secret(&mut BufReader::new(file));
        let passphrase = passphrase.map_err(|_| refuse("has no passphrase in its first line".into()))?;
        if passphrase.expose().is_empty() {
            return Err(refuse("has no passphrase in its first line".into()));
        }
        return Ok(Some(passphrase));
    }
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => Ok(Some(Secret::new(text))),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::Argument(format!("{VARIABLE} is not text: give the passphrase in UTF-8")))
        }
    }
}

/// The passphrase that was given, else asked for; `None` where there is nobody to ask.
pub(super) fn given_or_asked(arguments: &Arguments, question: &str) -> Result<Option<Secret>, Failure> {
    match given(arguments)? {
        Some(passphrase) => Ok(Some(passphrase)),
        None if can_ask(arguments) => with_terminal(|input, out| ask_unseen(question, input, out)).map(Some),
        None => Ok(None),
    }
}

/// A new passphrase, given or asked for twice; `None` where a person wants none or there is nobody.
pub(super) fn new_one(arguments: &Arguments, question: &str) -> Result<Option<Secret>, Failure> {
    match given(arguments)? {
        Some(passphrase) => Ok(Some(passphrase)),
        None if can_ask(arguments) => with_terminal(|input, out| ask_new_secret(question, input, out)),
        None => Ok(None),
    }
}

/// An identity that was opened, and with what.
#[derive(Debug)]
pub(super) struct Opened {
    /// The keys.
    pub(super) kept: KeptIdentity,
    /// Seals it again.
    pub(super) passphrase: Secret,
}

/// Opens the identity in `file`: with the passphrase that is given, else by the keystore if it was made so, else with
/// the one that is asked for.
pub(super) fn opened(arguments: &Arguments, file: &Path) -> Result<Opened, Failure> {
    if !exists(file) {
        return Err(KeptError::Missing { file: file.to_owned() }.into());
    }
    let entry = KeystoreEntry::of(file)?;
    let passphrase = match (given(arguments)?, &entry) {
        (None, Some(entry)) => return opened_by_keystore(file, entry),
        (Some(passphrase), _) => passphrase,
        (None, None) => given_or_asked(arguments, "Your passphrase (not shown):")?.ok_or(Failure::Locked)?,
    };
    match KeptIdentity::load(file, &passphrase, Cost::PRODUCTION) {
        Ok(kept) => Ok(Opened { kept, passphrase }),
        Err(KeptError::WrongPassphrase { file }) if entry.is_some() => Err(Failure::InKeystore { file }),
        Err(why) => Err(why.into()),
    }
}

/// Opens the identity in `file` with the passphrase that the keystore has for it.
pub(super) fn opened_by_keystore(file: &Path, entry: &KeystoreEntry) -> Result<Opened, Failure> {
    let passphrase = keystore::get(entry.name())?;
    match KeptIdentity::load(file, &passphrase, Cost::PRODUCTION) {
        Ok(kept) => Ok(Opened { kept, passphrase }),
        Err(KeptError::WrongPassphrase { file }) => Err(Failure::OtherKeystore { file }),
        Err(why) => Err(why.into()),
    }
}

/// The identity of a phone that is about to run: kept, made at this first start, or `None` for a phone that has neither
/// a keystore nor a passphrase.
///
/// A kept one that cannot be opened is no reason to go on with another: every contact would see a changed key.
pub(super) fn identity(arguments: &Arguments, paths: &PhonePaths) -> Result<Option<KeptIdentity>, Failure> {
    let file = identity_path(paths.folder());
    if exists(&file) {
        return opened(arguments, &file).map(|opened| Some(opened.kept));
    }
    let drawn = KeptIdentity::generate(&mut OsRng.unwrap_err());
    match keep_unasked(arguments, paths, &drawn) {
        Ok(()) => Ok(Some(drawn)),
        // The phone works without, and says so.
        Err(Failure::Keystore(_)) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Makes the identity of a profile that has none, as [`keep`] keeps it.
pub(super) fn made(arguments: &Arguments, paths: &PhonePaths, question: &str) -> Result<Option<KeptIdentity>, Failure> {
    keep(arguments, paths, KeptIdentity::generate(&mut OsRng.unwrap_err()), question)
}

/// Keeps an identity in a profile that has none: sealed with the passphrase that is given, else by the keystore, else
/// with one that a person chooses; `None` when the person wants none, or there is neither a keystore nor a person.
pub(super) fn keep(
    arguments: &Arguments,
    paths: &PhonePaths,
    identity: KeptIdentity,
    question: &str,
) -> Result<Option<KeptIdentity>, Failure> {
    let passphrase = match keep_unasked(arguments, paths, &identity) {
        Ok(()) => return Ok(Some(identity)),
        Err(Failure::Keystore(_)) if can_ask(arguments) => new_one(arguments, question)?,
        Err(Failure::Keystore(KeystoreError::Unreachable)) => None,
        Err(why) => return Err(why),
    };
    let Some(passphrase) = passphrase else { return Ok(None) };
    keep_with_passphrase(paths, &identity, &passphrase)?;
    Ok(Some(identity))
}

fn keep_unasked(arguments: &Arguments, paths: &PhonePaths, identity: &KeptIdentity) -> Result<(), Failure> {
    match given(arguments)? {
        Some(passphrase) => keep_with_passphrase(paths, identity, &passphrase),
        None => keep_with_keystore(paths, identity),
    }
}

/// Keeps an identity in a profile that has none, sealed with a passphrase.
pub(super) fn keep_with_passphrase(
    paths: &PhonePaths,
    identity: &KeptIdentity,
    passphrase: &Secret,
) -> Result<(), Failure> {
    // Contacts that this identity does not open would be shut away by it.
    ContactsFile::check(paths.folder(), &identity.contacts_key)?;
    let file = identity_path(paths.folder());
    Ok(identity.create(&file, passphrase, Cost::PRODUCTION, &mut OsRng.unwrap_err())?)
}

/// Keeps an identity in a profile that has none, sealed with a drawn passphrase in the keystore. Nothing is written
/// when there is no keystore that takes it.
pub(super) fn keep_with_keystore(paths: &PhonePaths, identity: &KeptIdentity) -> Result<(), Failure> {
    ContactsFile::check(paths.folder(), &identity.contacts_key)?;
    let mut rng = OsRng.unwrap_err();
    let mut octets = Zeroizing::new([0; PASSPHRASE_LEN]);
    rng.fill_bytes(octets.as_mut());
    let (entry, passphrase) = (KeystoreEntry::draw(&mut rng), Secret::new(URL_SAFE_NO_PAD.encode(octets.as_slice())));
    keystore::put(entry.name(), &passphrase)?;
    let file = identity_path(paths.folder());
    let created = identity.create_with_keystore(&file, &entry, &passphrase, Cost::PRODUCTION, &mut rng);
    if created.is_err() {
        // An entry that opens nothing harms nobody, should it stay.
        let _ = keystore::forget(entry.name());
    }
    Ok(created?)
}

/// Whether questions may be written to standard output.
pub(super) fn can_ask(arguments: &Arguments) -> bool {
    is_interactive() && !arguments.json
}

/// Asks at the terminal.
pub(super) fn with_terminal<T>(
    ask: impl FnOnce(&mut dyn BufRead, &mut dyn Write) -> io::Result<T>,
) -> Result<T, Failure> {
    ask(&mut io::stdin().lock(), &mut io::stdout().lock()).map_err(Failure::Output)
}
