//! `undertone identity`: shows, makes, copies and replaces the key by which contacts know this phone.

use std::path::Path;

use rand_core::{OsRng, TryRngCore};
use undertone_config::Secret;
use undertone_media::verify::IdentityKey;

use super::arguments::{Arguments, IdentityTask};
use super::setup::paths;
use super::{Failure, passphrase, say};
use crate::keeping::error::KeptError;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::seal::Cost;
use crate::ui::prompt::ask;

/// What a reset means, before it is done.
const RESET_MEANING: &str = "A reset makes a new key: every contact who has verified you is warned that your key has \
     changed, and cannot be called until you both compare safety words again. Your contacts and their keys stay.";

/// Runs the command.
///
/// # Errors
/// When the identity is not there, cannot be opened or written, or nobody agreed.
pub(super) fn run(arguments: &Arguments, task: &IdentityTask) -> Result<(), Failure> {
    let file = identity_path(paths(arguments)?.folder());
    match task {
        IdentityTask::Show => tell(arguments, &opened(arguments, &file)?, "Your key code"),
        IdentityTask::Create => {
            if exists(&file) {
                return Err(KeptError::Exists { file }.into());
            }
            let passphrase = needed(passphrase::new_one(arguments, "Choose a passphrase (not shown):")?)?;
            tell(arguments, &passphrase::make(&paths(arguments)?, &passphrase)?, "Made. Your key code")
        }
        IdentityTask::Export { file: copy } => {
            let (kept, passphrase) = opened_with(arguments, &file)?;
            kept.export(copy, &passphrase, Cost::PRODUCTION, &mut OsRng.unwrap_err())?;
            tell(arguments, &kept, "Exported, sealed with the same passphrase. Your key code")
        }
        IdentityTask::Import { file: copy } => import(arguments, copy, &file),
        IdentityTask::Reset { yes } => reset(arguments, *yes, &file),
    }
}

fn opened(arguments: &Arguments, file: &Path) -> Result<KeptIdentity, Failure> {
    opened_with(arguments, file).map(|(kept, _)| kept)
}

fn opened_with(arguments: &Arguments, file: &Path) -> Result<(KeptIdentity, Secret), Failure> {
    if !exists(file) {
        return Err(KeptError::Missing { file: file.to_owned() }.into());
    }
    let passphrase = passphrase::given_or_asked(arguments, "Your passphrase (not shown):")?.ok_or(Failure::Locked)?;
    Ok((KeptIdentity::load(file, &passphrase, Cost::PRODUCTION)?, passphrase))
}

fn import(arguments: &Arguments, copy: &Path, file: &Path) -> Result<(), Failure> {
    if exists(file) {
        return Err(KeptError::Exists { file: file.to_owned() }.into());
    }
    let (kept, passphrase) = opened_with(arguments, copy)?;
    kept.create(file, &passphrase, Cost::PRODUCTION, &mut OsRng.unwrap_err())?;
    tell(arguments, &kept, "Imported, sealed with the same passphrase. Your key code")
}

fn reset(arguments: &Arguments, yes: bool, file: &Path) -> Result<(), Failure> {
    let (kept, passphrase) = opened_with(arguments, file)?;
    if !yes {
        if !passphrase::can_ask(arguments) {
            return Err(Failure::Argument(format!("{RESET_MEANING} Nothing was changed: add --yes to do it")));
        }
        say(RESET_MEANING);
        let agreed = passphrase::with_terminal(|input, out| {
            ask("Type RESET to do it, anything else to leave it:", input, out, |answer| {
                Ok::<_, std::convert::Infallible>(answer == "RESET")
            })
        })?;
        if !agreed {
            say("Nothing was changed.");
            return Ok(());
        }
    }
    let mut rng = OsRng.unwrap_err();
    let fresh = KeptIdentity { identity: IdentityKey::generate(&mut rng), contacts_key: kept.contacts_key };
    fresh.replace(file, &passphrase, Cost::PRODUCTION, &mut rng)?;
    tell(arguments, &fresh, "Reset. Your new key code")
}

fn needed(passphrase: Option<Secret>) -> Result<Secret, Failure> {
    passphrase.ok_or(Failure::NobodyToAsk("--passphrase-file"))
}

fn tell(arguments: &Arguments, kept: &KeptIdentity, words: &str) -> Result<(), Failure> {
    let code = kept.identity.public().key_code();
    if arguments.json {
        say(&serde_json::json!({ "event": "identity", "key_code": code }).to_string());
    } else {
        say(&format!("{words}: {code}"));
    }
    Ok(())
}
