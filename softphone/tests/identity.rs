//! `undertone identity` and `setup` as real processes: the key stays, and what cannot be opened is one sentence.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn an_identity_stays_the_same_until_it_is_reset_and_travels_in_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let made = key_code(&run(&first, &["identity", "create"], Some(PASSPHRASE)));
    assert_eq!(key_code(&run(&first, &["identity", "show"], Some(PASSPHRASE))), made);
    let passphrase_file = folder.path().join("passphrase");
    std::fs::write(&passphrase_file, format!("{PASSPHRASE}\n")).unwrap();
    let by_file = ["identity", "show", "--passphrase-file", passphrase_file.to_str().unwrap()];
    assert_eq!(key_code(&run(&first, &by_file, Some("the option wins"))), made);

    let drawn = |arguments: &[&str]| {
        String::from_utf8(run(&first, arguments, Some(PASSPHRASE)).stdout).unwrap().matches('█').count()
    };
    assert!(drawn(&["identity", "show"]) > 100, "its QR code");
    assert_eq!((drawn(&["identity", "show", "--no-qr"]), drawn(&["identity", "show", "--json"])), (0, 0));

    let copy = folder.path().join("copy");
    let copy = copy.to_str().unwrap();
    run(&first, &["identity", "export", copy], Some(PASSPHRASE));
    refused(&run(&first, &["identity", "export", copy], Some(PASSPHRASE)), "already");
    assert_eq!(key_code(&run(&second, &["identity", "import", copy], Some(PASSPHRASE))), made);
    assert_eq!(key_code(&run(&second, &["identity", "show"], Some(PASSPHRASE))), made);
    refused(&run(&second, &["identity", "import", copy], Some(PASSPHRASE)), "already");
    refused(&run(&second, &["identity", "create"], Some(PASSPHRASE)), "already");

    refused(&run(&second, &["identity", "reset"], Some(PASSPHRASE)), "--yes");
    assert_eq!(key_code(&run(&second, &["identity", "show"], Some(PASSPHRASE))), made, "nothing was changed");
    let reset = key_code(&run(&second, &["identity", "reset", "--yes"], Some(PASSPHRASE)));
    assert_ne!(reset, made);
    assert_eq!(key_code(&run(&second, &["identity", "show"], Some(PASSPHRASE))), reset);
    assert_eq!(key_code(&run(&first, &["identity", "show"], Some(PASSPHRASE))), made, "the other profile is its own");
}

#[test]
fn what_cannot_be_opened_is_one_sentence_and_exit_code_2_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    refused(&run(&profile, &["identity", "show"], Some(PASSPHRASE)), "no identity");
    refused(&run(&profile, &["identity", "create"], None), "--passphrase-file");
    assert!(!profile.exists(), "nothing is left behind");
    setup(&profile, Some(PASSPHRASE));
    let file = profile.join("identity");
    let intact = std::fs::read(&file).unwrap();
    refused(&run(&profile, &["identity", "show"], Some("wrong")), "passphrase");
    refused(&run(&profile, &["identity", "show"], None), "UNDERTONE_PASSPHRASE");
    // A phone with a kept identity does not go on with another.
    let headless = ["headless", "--mic", "silence", "--speaker", "none"];
    refused(&run(&profile, &headless, None), "locked");
    refused(&run(&profile, &headless, Some("wrong")), "passphrase");
    assert_eq!(std::fs::read(&file).unwrap(), intact);
    let mut flipped = intact.clone();
    flipped[60] ^= 1;
    for damaged in [&intact[..50], &flipped, b""] {
        std::fs::write(&file, damaged).unwrap();
        for command in [&["identity", "show"][..], &["identity", "reset", "--yes"], &headless] {
            refused(&run(&profile, command, Some(PASSPHRASE)), "damaged");
        }
        assert_eq!(std::fs::read(&file).unwrap(), damaged);
    }
    std::fs::write(&file, &intact).unwrap();
    run(&profile, &["identity", "show"], Some(PASSPHRASE));
}

#[test]
fn setup_makes_the_identity_when_there_is_a_passphrase_and_works_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let [with, without] = ["with", "without"].map(|name| folder.path().join(name));
    let said = setup(&with, Some(PASSPHRASE));
    let code = key_code(&run(&with, &["identity", "show"], Some(PASSPHRASE)));
    assert!(said.contains(&code), "{said}");
    setup(&with, Some("another passphrase"));
    assert_eq!(key_code(&run(&with, &["identity", "show"], Some(PASSPHRASE))), code, "set up again, it stays");
    setup(&without, None);
    assert!(!without.join("identity").exists());
}

fn setup(profile: &Path, passphrase: Option<&str>) -> String {
    let password = PathBuf::from(format!("{}.password", profile.display()));
    std::fs::write(&password, "account password\n").unwrap();
    let password = password.to_str().unwrap();
    let output =
        run(profile, &["setup", "--offline", "--address", "a@gw.example", "--password-file", password], passphrase);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

fn run(profile: &Path, arguments: &[&str], passphrase: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_undertone"));
    command.arg("--profile").arg(profile).args(arguments).stdin(Stdio::null());
    // Neither the passphrase nor the keystore of whoever runs the tests.
    command.env_remove("UNDERTONE_PASSPHRASE").env_remove("DBUS_SESSION_BUS_ADDRESS");
    if let Some(passphrase) = passphrase {
        command.env("UNDERTONE_PASSPHRASE", passphrase);
    }
    command.output().unwrap()
}

/// The eight groups of four at the end of what was said.
fn key_code(output: &Output) -> String {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(!said.contains(PASSPHRASE));
    let code = said.trim_end().rsplit_once(": ").unwrap().1.to_owned();
    assert_eq!((code.len(), code.split(' ').count()), (39, 8), "{said}");
    code
}

fn refused(output: &Output, words: &str) {
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("undertone: ") && told.contains(words), "{words}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
}
