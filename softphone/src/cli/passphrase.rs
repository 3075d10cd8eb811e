//! The passphrase of what the phone keeps: from a file, the environment or a person, in this order; and the identity
//! it opens, made at the first start with one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use rand_core::{OsRng, TryRngCore};
use undertone_config::{PhonePaths, Secret};

use super::Failure;
use super::arguments::Arguments;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::seal::Cost;
use crate::ui::prompt::{ask_new_secret, ask_unseen, read_secret};
use crate::ui::terminal::is_interactive;

/// The environment variable a script may give the passphrase in.
pub(super) const VARIABLE: &str = "UNDERTONE_PASSPHRASE";

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

/// The identity of a phone that is about to run: kept, made now, or `None` for a phone that nobody gave a passphrase.
///
/// A kept one that cannot be opened is no reason to go on with another: every contact would see a changed key.
pub(super) fn identity(arguments: &Arguments, paths: &PhonePaths) -> Result<Option<KeptIdentity>, Failure> {
    let file = identity_path(paths.folder());
    if exists(&file) {
        let passphrase = given_or_asked(arguments, "Your passphrase (not shown):")?.ok_or(Failure::Locked)?;
        return Ok(Some(KeptIdentity::load(&file, &passphrase, Cost::PRODUCTION)?));
    }
    given(arguments)?.map(|passphrase| make(paths, &passphrase)).transpose()
}

/// Makes the identity of a profile that has none.
pub(super) fn make(paths: &PhonePaths, passphrase: &Secret) -> Result<KeptIdentity, Failure> {
    let mut rng = OsRng.unwrap_err();
    let made = KeptIdentity::generate(&mut rng);
    made.create(&identity_path(paths.folder()), passphrase, Cost::PRODUCTION, &mut rng)?;
    Ok(made)
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
