//! `undertone identity`: shows, makes, copies and replaces the key by which contacts know this phone.

use std::path::Path;

use rand_core::{OsRng, TryRngCore};
use undertone_config::Secret;
use undertone_media::verify::IdentityKey;

use super::arguments::{Arguments, IdentityTask};
use super::passphrase::{self, Opened};
use super::setup::paths;
use super::{Failure, code, say};
use crate::keeping::contacts_file::contacts_path;
use crate::keeping::error::KeptError;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::keystore_entry::KeystoreEntry;
use crate::keeping::seal::Cost;
use crate::ui::prompt::ask;

/// What a reset means, before it is done.
const RESET_MEANING: &str = "A reset makes a new key: every contact who has verified you is warned that your key has \
     changed, and cannot be called until you both compare safety words again. Links that you gave out show the old \
     key and lead to that warning too. Your contacts and their keys stay.";

/// Runs the command.
///
/// # Errors
/// When the identity is not there, cannot be opened or written, or nobody agreed.
pub(super) fn run(arguments: &Arguments, task: &IdentityTask) -> Result<(), Failure> {
    let paths = paths(arguments)?;
    let file = identity_path(paths.folder());
    match task {
        IdentityTask::Show { no_qr } => {
            let kept = passphrase::opened(arguments, &file)?.kept;
            if !no_qr && !arguments.json {
                code::draw(&kept.identity.public().key_code());
            }
            tell(arguments, &file, &kept, "Your key code")
        }
        IdentityTask::Create => {
            if exists(&file) {
                return Err(KeptError::Exists { file }.into());
            }
            let made = passphrase::made(arguments, &paths, "Choose a passphrase (not shown):")?;
            let made = made.ok_or(Failure::NobodyToAsk("--passphrase-file"))?;
            let words = format!("Made, {}. Your key code", protected(&file)?);
            tell(arguments, &file, &made, &words)
        }
        IdentityTask::Export { file: copy } => export(arguments, &file, copy),
        IdentityTask::Import { file: copy } => import(arguments, copy, &file),
        IdentityTask::Reset { yes } => reset(arguments, *yes, &file),
    }
}

fn export(arguments: &Arguments, file: &Path, copy: &Path) -> Result<(), Failure> {
    let (kept, passphrase, sealed) = match KeystoreEntry::of(file)? {
        // No person knows a drawn passphrase, so the copy gets one of its own.
        Some(entry) if exists(file) => {
            let kept = passphrase::opened_by_keystore(file, &entry)?.kept;
            let chosen = passphrase::new_one(arguments, "Choose a passphrase for the copy (not shown):")?;
            (kept, needed(chosen)?, "with the passphrase of this copy")
        }
        Some(_) | None => {
            let Opened { kept, passphrase, .. } = passphrase::opened(arguments, file)?;
            (kept, passphrase, "with the same passphrase")
        }
    };
    kept.export(copy, &passphrase, Cost::PRODUCTION, &mut OsRng.unwrap_err())?;
    let contacts = contacts_path(file.parent().unwrap_or(file));
    let beside = if exists(&contacts) {
        format!(" Your contacts are not in it: copy {} as well, it opens with this identity.", contacts.display())
    } else {
        String::new()
    };
    tell(arguments, file, &kept, &format!("Exported, sealed {sealed}.{beside} Your key code"))
}

fn import(arguments: &Arguments, copy: &Path, file: &Path) -> Result<(), Failure> {
    if exists(file) {
        return Err(KeptError::Exists { file: file.to_owned() }.into());
    }
    let Opened { kept, passphrase, .. } = passphrase::opened(arguments, copy)?;
    let paths = paths(arguments)?;
    let asked = passphrase::given(arguments)?.is_none();
    match asked.then(|| passphrase::keep_with_keystore(&paths, &kept)) {
        None | Some(Err(Failure::Keystore(_))) => passphrase::keep_with_passphrase(&paths, &kept, &passphrase)?,
        Some(kept_or_failed) => kept_or_failed?,
    }
    tell(arguments, file, &kept, &format!("Imported, {}. Your key code", protected(file)?))
}

fn reset(arguments: &Arguments, yes: bool, file: &Path) -> Result<(), Failure> {
    let Opened { kept, passphrase, .. } = passphrase::opened(arguments, file)?;
    if !yes {
        if !passphrase::can_ask(arguments) {
            return Err(Failure::Argument(format!("{RESET_MEANING} Nothing was changed: add --yes to do it")));
        }
        say(RESET_MEANING);
        if !agreed("RESET")? {
            say("Nothing was changed.");
            return Ok(());
        }
    }
    let mut rng = OsRng.unwrap_err();
    let fresh = KeptIdentity { identity: IdentityKey::generate(&mut rng), contacts_key: kept.contacts_key };
    fresh.replace(file, &passphrase, Cost::PRODUCTION, &mut rng)?;
    tell(
        arguments,
        file,
        &fresh,
        "Reset: your contacts stay, and each of them has to verify you again. Your new key code",
    )
}

/// Whether a person types the word that does what was explained.
pub(super) fn agreed(word: &str) -> Result<bool, Failure> {
    passphrase::with_terminal(|input, out| {
        ask(&format!("Type {word} to do it, anything else to leave it:"), input, out, |answer| {
            Ok::<_, std::convert::Infallible>(answer == word)
        })
    })
}

fn needed(passphrase: Option<Secret>) -> Result<Secret, Failure> {
    passphrase.ok_or(Failure::NobodyToAsk("--passphrase-file"))
}

fn protected(file: &Path) -> Result<&'static str, Failure> {
    let entry = KeystoreEntry::of(file)?;
    Ok(if entry.is_some() { "kept by the keystore of your desktop session" } else { "sealed with your passphrase" })
}

fn tell(arguments: &Arguments, file: &Path, kept: &KeptIdentity, words: &str) -> Result<(), Failure> {
    let code = kept.identity.public().key_code();
    if arguments.json {
        let by = if KeystoreEntry::of(file)?.is_some() { "keystore" } else { "passphrase" };
        say(&serde_json::json!({ "event": "identity", "key_code": code, "protected_by": by }).to_string());
    } else {
        say(&format!("{words}: {code}"));
    }
    Ok(())
}
