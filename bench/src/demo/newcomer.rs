//! One person's phone before its first call: it joins by an invite, makes a contact link, adds one. Each step is the
//! phone's own command, run to its end; a link is given to it on standard input, where no list of processes shows it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rand_core::{OsRng, RngCore, TryRngCore};
use serde_json::Value;
use undertone_tests::live::{Phone, PhoneOptions, Process, Profile};

use super::time_limit::TimeLimit;
use crate::failure::Failure;

/// How long one command may take: most of it is the price of opening an identity, on a loaded machine.
const STEP: Duration = Duration::from_secs(15);
/// From its last words to a command's end.
const END: Duration = Duration::from_secs(5);
/// Octets of a drawn passphrase.
const PASSPHRASE_LEN: usize = 16;

/// A person with a profile of their own, sealed by a passphrase that only its file knows.
pub(super) struct Newcomer<'a> {
    /// Account and phone are named so.
    pub(super) name: &'static str,
    profile: Profile,
    limit: &'a TimeLimit,
}

/// A link by which one person may call.
pub(super) struct GivenLink {
    /// `undertone:…`
    pub(super) text: String,
    /// Its last day.
    pub(super) expires: String,
}

impl<'a> Newcomer<'a> {
    /// Draws the passphrase; the profile itself comes with [`Self::join`].
    pub(super) fn new(state: &Path, name: &'static str, limit: &'a TimeLimit) -> Result<Self, Failure> {
        let file = state.join(format!("{name}.passphrase"));
        let mut octets = [0; PASSPHRASE_LEN];
        OsRng.unwrap_err().fill_bytes(&mut octets);
        let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut file| writeln!(file, "{text}"))
            .map_err(|why| Failure::Unusable(format!("{} cannot be written ({why}): check TMPDIR", file.display())))?;
        Ok(Self { name, profile: Profile::new(state, name).sealed_by(&file), limit })
    }

    /// Sets the whole phone up with the gateway's link; returns its address.
    pub(super) fn join(&self, invite: &str) -> Result<String, Failure> {
        Ok(text(&self.run(&["join", "-"], invite, "joined")?, "address"))
    }

    /// A link for somebody who is to be called `name` on this phone.
    pub(super) fn link_for(&self, name: &str) -> Result<GivenLink, Failure> {
        let line = self.run(&["contact", "link", name], "", "contact_link")?;
        Ok(GivenLink { text: text(&line, "link"), expires: text(&line, "expires") })
    }

    /// Adds whoever made `link` as a contact; returns what the phone knows of them.
    pub(super) fn add(&self, link: &GivenLink, name: &str) -> Result<String, Failure> {
        Ok(text(&self.run(&["contact", "add", "-", "--name", name], &link.text, "contact")?, "state"))
    }

    /// Switches the phone on and waits until it is ready.
    pub(super) fn start(&self, options: &PhoneOptions) -> Result<Phone, Failure> {
        let phone = self.profile.start(self.name, options)?;
        self.limit.watch(phone.process.id());
        Ok(phone)
    }

    fn run(&self, arguments: &[&str], input: &str, expected: &str) -> Result<Value, Failure> {
        let mut process = Process::start(self.name, &mut self.profile.command(arguments)?)?;
        self.limit.watch(process.id());
        // A command that ended before it read its input says why itself.
        let _ = process.say(input);
        let line = process.expect(expected, STEP);
        let code = process.finish(END);
        self.limit.forget(process.id());
        let line = line?;
        if code == Some(0) {
            return Ok(line);
        }
        Err(Failure::NotShown(format!("{}: `undertone {}` did not end well", self.name, arguments.join(" "))))
    }
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_person_has_a_passphrase_of_their_own_that_nobody_else_can_read() {
        let state = tempfile::tempdir().unwrap();
        let limit = TimeLimit::default();
        let passphrases = ["alice", "bob"].map(|name| {
            Newcomer::new(state.path(), name, &limit).unwrap();
            let file = state.path().join(format!("{name}.passphrase"));
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            fs::read_to_string(file).unwrap()
        });
        assert_eq!(passphrases[0].trim_end().len(), 2 * PASSPHRASE_LEN);
        assert_ne!(passphrases[0], passphrases[1]);
        assert!(Newcomer::new(state.path(), "alice", &limit).is_err(), "nothing is written over");
    }
}
