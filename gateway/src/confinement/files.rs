//! Landlock: the files the process can still reach, whatever its user may (`landlock(7)`).
//!
//! ABI 1 (Linux 5.13) is required. What newer kernels add is used where it is there: no truncation and no device
//! control outside (3, 5), no TCP connection and no new TCP port (4), no signal to and no abstract socket of another
//! process (6). seccomp denies all of these too.

use super::error::{ConfinementError, Part};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope, make_bitflags,
};
use std::path::Path;

/// Always enforced.
const REQUIRED: ABI = ABI::V1;

/// Enforced as far as the kernel knows it.
const WANTED: ABI = ABI::V6;

/// The store's file, and the journal that comes and goes beside it. No folder, link, socket or device is ever made.
const IN_STATE_FOLDER: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | MakeReg | RemoveFile | Truncate});

/// SQLite draws from it when it first writes a journal.
const RANDOM: &str = "/dev/urandom";

/// Opens what stays reachable; nothing is enforced yet.
pub(super) fn rules(state_folder: &Path) -> Result<RulesetCreated, ConfinementError> {
    let refused = ConfinementError::refused(Part::Files);
    let folder = PathFd::new(state_folder).map_err(|error| refused(error.to_string()))?;
    let required = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))
        .map_err(|_| refused("the kernel has no Landlock, or it is switched off".to_owned()))?;
    let build = || -> Result<RulesetCreated, landlock::RulesetError> {
        let created = required
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(WANTED))?
            .handle_access(AccessNet::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rule(PathBeneath::new(folder, IN_STATE_FOLDER))?;
        // A container may have no devices; SQLite has another source then.
        match PathFd::new(RANDOM) {
            Ok(random) => created.add_rule(PathBeneath::new(random, AccessFs::ReadFile)),
            Err(_) => Ok(created),
        }
    };
    build().map_err(|error| refused(in_one_line(&error)))
}

pub(super) fn enter(rules: RulesetCreated) -> Result<(), ConfinementError> {
    let refused = ConfinementError::refused(Part::Files);
    rules.restrict_self().map(|_| ()).map_err(|error| refused(in_one_line(&error)))
}

fn in_one_line(error: &landlock::RulesetError) -> String {
    error.to_string().replace('\n', " ")
}
