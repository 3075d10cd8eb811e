//! `undertone join` and `device` as real processes, without a gateway: what is refused before anything is sent, each in
//! one sentence with exit code 2, and the profile as it was. Joining a real gateway is tried with the whole product.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone::keeping::identity_file::KeptIdentity;
use undertone::keeping::link_identity::{LinkCode, Place, seal_for};
use undertone::keeping::seal::Cost;
use undertone_config::{ContactLink, JoinLink, LinkToken, Pin};

const PASSPHRASE: &str = "correct horse battery staple";
const DAY_S: u64 = 86_400;

#[test]
fn a_link_that_cannot_be_used_is_one_sentence_and_leaves_nothing() {
    let place = Folder::new();
    let good = link(now_s() + DAY_S);
    let (whole, expired) = (good.to_text().to_string(), link(now_s() - DAY_S).to_text().to_string());
    let contact = ContactLink { address: "bob@gw.test".parse().unwrap(), key: [7; 32], token: None }.to_text();
    for (text, words) in [
        (&whole[..whole.len() - 5], "damaged or not complete: copy all of it again"),
        (&whole[..60], "damaged or not complete"),
        ("https://gw.test/join", "not an Undertone link"),
        ("", "not an Undertone link"),
        (contact.as_str(), "undertone contact add"),
        (&whole.replace("#g=", "#z=1&g="), "newer version"),
        (&expired, "this link was good until"),
    ] {
        for stdin in [None, Some(text)] {
            let argument = if stdin.is_some() { "-" } else { text };
            refused(&place.run("new", &["join", argument], stdin, None), words);
            assert!(!place.at("new").exists(), "{words}: nothing is left behind");
        }
    }
    refused(&place.run("new", &["join"], Some("nonsense"), None), "not an Undertone link");
}

#[test]
fn a_gateway_that_is_down_leaves_the_profile_as_it_was() {
    let place = Folder::new();
    let text = link(now_s() + DAY_S).to_text().to_string();
    refused(&place.run("new", &["join", &text], None, Some(PASSPHRASE)), "does not answer at 127.0.0.1:9");
    assert!(!place.at("new").exists());
    std::fs::create_dir(place.at("used")).unwrap();
    std::fs::write(place.at("used").join("note"), b"mine").unwrap();
    refused(&place.run("used", &["join", &text], None, None), "does not answer at 127.0.0.1:9");
    assert_eq!(names(&place.at("used")), ["note"]);
}

#[test]
fn a_profile_that_has_an_account_is_not_joined_again() {
    let place = Folder::new();
    let setup = ["setup", "--address", "alice@gw.test", "--gateway", "127.0.0.1:9", "--offline", "--password-stdin"];
    let made = place.run("phone", &setup, Some("secret"), None);
    assert!(made.status.success(), "{made:?}");
    let before = std::fs::read(place.at("phone").join("phone.toml")).unwrap();
    let text = link(now_s() + DAY_S).to_text().to_string();
    refused(&place.run("phone", &["join", &text], None, None), "--profile DIR");
    assert_eq!(std::fs::read(place.at("phone").join("phone.toml")).unwrap(), before);
    for device in [&["device", "list"][..], &["device", "add"], &["device", "revoke", "ab", "--yes"]] {
        refused(&place.run("phone", device, None, None), "signs in by password");
        refused(&place.run("new", device, None, None), "undertone join");
    }
}

#[test]
fn the_identity_in_a_link_needs_its_code_before_anything_is_sent() {
    let place = Folder::new();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (kept, code) = (KeptIdentity::generate(&mut rng), LinkCode::draw(&mut rng));
    let mut link = link(now_s() + DAY_S);
    link.identity = Some(seal_for(&kept, &Place::of(&link), &code, Cost::PRODUCTION, &mut rng).unwrap());
    let text = link.to_text().to_string();
    refused(&place.run("new", &["join", &text], None, Some(PASSPHRASE)), "--code-file");
    let code_file = place.at("code");
    let with_code = ["join", &text, "--code-file", code_file.to_str().unwrap()];
    refused(&place.run("new", &with_code, None, Some(PASSPHRASE)), "cannot be read");
    for (written, words) in [
        ("", "has no code"),
        ("ABCD EFGH", "has no code"),
        ("ABCD EFGH IJKL MNOP", "this code does not open the identity"),
    ] {
        std::fs::write(&code_file, written).unwrap();
        refused(&place.run("new", &with_code, None, Some(PASSPHRASE)), words);
    }
    std::fs::write(&code_file, code.shown().as_str()).unwrap();
    refused(&place.run("new", &with_code, None, Some(PASSPHRASE)), "does not answer");
    refused(&place.run("new", &with_code, None, None), "--passphrase-file");
    link.gateway = "127.0.0.1:10".parse().unwrap();
    let led_away = link.to_text().to_string();
    let with_code = ["join", &led_away, "--code-file", code_file.to_str().unwrap()];
    refused(&place.run("new", &with_code, None, Some(PASSPHRASE)), "changed on its way");
    assert!(!place.at("new").exists());
}

#[test]
fn a_missing_device_key_is_said_with_its_file_and_the_account_is_not_written_over() {
    let place = Folder::new();
    std::fs::create_dir(place.at("phone")).unwrap();
    let config =
        "[account]\naddress = \"alice@gw.test\"\ndevice_key = \"device.pem\"\n[gateway]\naddress = \"127.0.0.1:9\"\n";
    std::fs::write(place.at("phone").join("phone.toml"), config).unwrap();
    for command in [&["headless", "--mic", "silence", "--speaker", "none"][..], &["device", "list"]] {
        refused(&place.run("phone", command, None, None), "device.pem, is missing");
    }
    let setup = ["setup", "--address", "alice@gw.test", "--offline", "--password-stdin"];
    refused(&place.run("phone", &setup, Some("secret"), None), "sets up an account already");
    assert_eq!(std::fs::read_to_string(place.at("phone").join("phone.toml")).unwrap(), config);
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, profile: &str, arguments: &[&str], stdin: Option<&str>, passphrase: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_undertone"));
        command.arg("--profile").arg(self.at(profile)).args(arguments);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("UNDERTONE_PASSPHRASE");
        command.envs(passphrase.map(|words| ("UNDERTONE_PASSPHRASE", words)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // A program that asks for nothing may be gone already.
        let _ = std::io::Write::write_all(&mut input, stdin.unwrap_or_default().as_bytes());
        drop(input);
        child.wait_with_output().unwrap()
    }
}

fn refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
    assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// To the discard port (RFC 863), where nobody listens.
fn link(expires_s: u64) -> JoinLink {
    JoinLink {
        address: "alice@gw.test".parse().unwrap(),
        gateway: "127.0.0.1:9".parse().unwrap(),
        pin: Pin::from_sha256([3; 32]),
        operator: [4; 32],
        expires_s,
        token: LinkToken::new([9; 32]),
        contact: None,
        identity: None,
    }
}
