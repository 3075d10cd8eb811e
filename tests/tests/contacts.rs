//! `undertone contact` as real processes: who is known, the links that make people known, and what a damaged or foreign
//! file does to neither. No gateway is needed.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use undertone_config::Link;
use undertone_tests::live::binary;

const PASSPHRASE: &str = "correct horse battery staple";
/// Nothing is sent to it; a link only has to be whole.
const JOIN_LINK: &str = "undertone:alice@gw.example#g=gw.example:5061&p=AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM\
     &o=BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ&x=1800000000&j=CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

#[test]
fn a_contact_is_added_found_renamed_and_removed_by_name_or_address() {
    let folder = tempfile::tempdir().unwrap();
    let alice = Profile::new(folder.path(), "alice");
    assert!(alice.says(&["contact", "list"]).contains("No contacts yet"));
    let added = alice.tells(&["contact", "add", "bob@gw.example", "--name", "Bob \u{202e}B.\u{1b}[2J"]);
    assert_eq!((added["event"].as_str(), added["name"].as_str()), (Some("contact"), Some("Bob B.[2J")));
    assert_eq!((added["verified"].as_bool(), added["key_code"].as_str()), (Some(false), None));
    let bare = alice.tells(&["contact", "add", "carol"]);
    assert_eq!(bare["address"], "carol@gw.example", "a bare name is on the own gateway");
    alice.refused(&["contact", "add", "bob@gw.example"], "exists already");
    alice.tells(&["contact", "rename", "bob b.[2j", "Robert"]);
    assert_eq!(alice.tells(&["contact", "show", "Robert"])["address"], "bob@gw.example");
    assert_eq!(
        alice.tells(&["contact", "show", "bob"])["name"],
        "Robert",
        "here too a bare name is on the own gateway"
    );
    alice.refused(&["contact", "rename", "carol@gw.example", "--", "-", "x"], "unexpected argument");
    alice.tells(&["contact", "rename", "carol@gw.example", "Robert"]);
    alice.refused(&["contact", "show", "Robert"], "several contacts have this name");
    assert_eq!(alice.tells(&["contact", "hide-from", "bob@gw.example", "on"])["hide_from"], true);
    assert!(alice.says(&["contact", "show", "bob@gw.example"]).contains("leave out your address"));
    assert_eq!(alice.tells(&["contact", "strangers", "on"])["may_ring"], true);
    let all = alice.tells(&["contact", "list"]);
    assert_eq!((all["contacts"].as_array().unwrap().len(), all["strangers_may_ring"].as_bool()), (2, Some(true)));
    assert_eq!(alice.tells(&["contact", "remove", "bob@gw.example"])["event"], "contact_removed");
    alice.refused(&["contact", "show", "bob@gw.example"], "no such contact");
    alice.refused(&["contact", "remove", "bob@gw.example"], "undertone contact list");
    assert_eq!(alice.says(&["contact", "list"]), "Robert (carol@gw.example): not verified\n");
}

#[test]
fn a_link_makes_its_owner_known_and_the_key_code_confirms_them() {
    let folder = tempfile::tempdir().unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| Profile::new(folder.path(), name));
    let link = alice.link("Bob");
    let piped = bob.run(&["--json", "contact", "add", "-", "--name", "Alice"], &format!("{link}\n"));
    let added = json(&piped);
    assert_eq!((added["address"].as_str(), added["name"].as_str()), (Some("alice@gw.example"), Some("Alice")));
    assert_eq!(added["state"], "not verified yet: will be at the first call, by link");
    assert_eq!(added["key_code"], alice.key_code().as_str());

    let shown = bob.tells(&["contact", "verify", "Alice"]);
    assert_eq!((shown["event"].as_str(), shown["own_key_code"].as_str()), (Some("key_codes"), Some(&*bob.key_code())));
    let words = bob.says(&["contact", "verify", "Alice"]);
    assert!(words.contains(&alice.key_code()) && words.contains(&bob.key_code()), "{words}");
    let wrong = bob.key_code();
    bob.refused(&["contact", "verify", "Alice", "--key-code", &wrong], "not the key code");
    assert_eq!(bob.tells(&["contact", "show", "Alice"])["verified"], false, "nothing was changed");
    let spelled = alice.key_code().to_lowercase().replace(' ', "-");
    let verified = bob.tells(&["contact", "verify", "Alice", "--key-code", &spelled]);
    assert_eq!(verified["verified"], true);
    assert!(verified["state"].as_str().unwrap().starts_with("verified by key code on 20"), "{verified}");

    bob.refused(&["contact", "verify", "Alice", "--anew"], "their phone or their key is new");
    assert_eq!(bob.tells(&["contact", "show", "Alice"])["verified"], true, "nothing was changed");
    let anew = bob.tells(&["contact", "verify", "Alice", "--anew", "--yes"]);
    assert_eq!((anew["verified"].as_bool(), anew["key_code"].as_str()), (Some(false), None));
    bob.refused(&["contact", "verify", "Alice", "--key-code", &spelled], "no key of Alice is known");
    bob.tells(&["contact", "add", "carol@gw.example"]);
    bob.refused(&["contact", "verify", "carol", "--anew", "--yes"], "never verified");
}

#[test]
fn what_is_no_good_link_is_refused_in_one_sentence_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|name| Profile::new(folder.path(), name));
    let link = alice.link("Bob");
    bob.tells(&["contact", "add", "carol@gw.example"]);
    let before = bob.contacts();
    for at in [12, 30, 60, link.len() - 1] {
        bob.refused(&["contact", "add", &link[..at]], "copy all of it again");
    }
    bob.refused(&["contact", "add", &link[40..]], "paste the whole text");
    bob.refused(&["contact", "add", &format!("{link}&z=1")], "newer version");
    bob.refused(&["contact", "add", JOIN_LINK], "undertone join");
    bob.refused(&["contact", "add", "not an address"], "small letters, digits");
    alice.refused(&["contact", "add", &link], "your own link");
    alice.refused(&["contact", "add", &link.replace("alice@", "alias@")], "your own link");
    alice.refused(&["contact", "add", "alice"], "your own address");
    assert_eq!(bob.contacts(), before);

    bob.tells(&["contact", "add", &link]);
    bob.tells(&["contact", "verify", "alice", "--key-code", &alice.key_code()]);
    let verified = bob.contacts();
    let posing = mallory.link("Bob").replace("mallory@", "alice@");
    bob.refused(&["contact", "add", &posing], "somebody may be posing as them");
    assert_eq!(bob.contacts(), verified);
}

#[test]
fn links_are_shown_with_a_qr_code_listed_and_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let alice = Profile::new(folder.path(), "alice");
    let said = alice.says(&["contact", "link", "Bob"]);
    let link = said.lines().last().unwrap();
    assert!(link.starts_with("undertone:alice@gw.example#t=") && said.contains("for Bob, good for one phone until 20"));
    assert!(said.lines().filter(|line| line.contains('█')).count() > 20, "{said}");
    let plain = alice.says(&["contact", "link", "Bob", "--no-qr"]);
    assert!(!plain.contains('█') && plain.lines().last().unwrap() != link, "every link has its own secret");

    let links = alice.tells(&["contact", "links"]);
    assert_eq!(links["links"].as_array().unwrap().len(), 2);
    assert_eq!((links["links"][0]["state"].as_str(), links["links"][0]["name"].as_str()), (Some("open"), Some("Bob")));
    alice.refused(&["contact", "withdraw", "Bob"], "give the number");
    let number = links["links"][0]["number"].to_string();
    assert_eq!(alice.tells(&["contact", "withdraw", &number])["event"], "link_withdrawn");
    alice.refused(&["contact", "withdraw", &number], "no such open link");
    alice.tells(&["contact", "withdraw", "bob"]);
    assert_eq!(alice.tells(&["contact", "links"])["links"].as_array().unwrap().len(), 0);

    let public = alice.tells(&["contact", "link", "--public"]);
    assert!(public["link"].as_str().unwrap().starts_with("undertone:alice@gw.example#k="), "without a token");
    assert_eq!(alice.tells(&["contact", "links"])["public_link"], true);
    assert_eq!(alice.tells(&["contact", "link", "--public", "--close"])["open"], false);
    assert_eq!(alice.tells(&["contact", "links"])["public_link"], false);
    alice.refused(&["contact", "link"], "required");
    alice.refused(&["contact", "link", " \u{202e} "], "whom the link is for");
}

#[test]
fn what_cannot_be_opened_is_one_sentence_that_names_the_file_which_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let alice = Profile::new(folder.path(), "alice");
    let file = alice.folder.join("contacts");
    alice.tells(&["contact", "add", "bob@gw.example"]);
    let intact = fs::read(&file).unwrap();
    let wrong = alice.command(&["contact", "list"]).env("UNDERTONE_PASSPHRASE", "wrong").output().unwrap();
    one_sentence(&wrong, "this passphrase does not open");
    let (mut flipped, mut newer) = (intact.clone(), intact.clone());
    flipped[100] ^= 1;
    newer[15] += 1;
    let checksum_at = newer.len() - 32;
    let checksum = ring::digest::digest(&ring::digest::SHA256, &newer[..checksum_at]);
    newer[checksum_at..].copy_from_slice(checksum.as_ref());
    for (content, words) in
        [(&flipped[..], "is damaged"), (&intact[..200], "is damaged"), (b"", "is damaged"), (&newer, "newer version")]
    {
        fs::write(&file, content).unwrap();
        for command in [&["contact", "list"][..], &["contact", "add", "carol@gw.example"], &["contact", "link", "Dave"]]
        {
            let told = alice.refused(command, words);
            assert!(told.contains(file.to_str().unwrap()), "{told}");
        }
        assert_eq!(fs::read(&file).unwrap(), content, "nothing was changed");
    }
    fs::write(&file, &intact).unwrap();
    assert!(alice.says(&["contact", "list"]).contains("bob@gw.example"));
    let nobody = Profile { folder: folder.path().join("nobody") };
    nobody.refused(&["contact", "list"], "undertone identity create");
    assert!(!nobody.folder.exists());
}

#[test]
fn a_reset_keeps_the_contacts_and_another_identity_does_not_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let [alice, other] = ["alice", "other"].map(|name| Profile::new(folder.path(), name));
    let [own, foreign] = ["own", "foreign"].map(|name| folder.path().join(name).display().to_string());
    alice.tells(&["contact", "add", "bob@gw.example"]);
    let exported = alice.says(&["identity", "export", &own]);
    assert!(exported.contains("Your contacts are not in it"), "{exported}");
    let before = alice.key_code();
    let reset = alice.says(&["identity", "reset", "--yes"]);
    assert!(reset.contains("your contacts stay") && reset.contains("verify you again"), "{reset}");
    assert_ne!(alice.key_code(), before);
    assert!(alice.says(&["contact", "list"]).contains("bob@gw.example"));

    other.says(&["identity", "export", &foreign]);
    let (identity, contacts) = (alice.folder.join("identity"), alice.contacts());
    fs::remove_file(&identity).unwrap();
    for command in [&["identity", "import", &foreign][..], &["identity", "create"]] {
        let told = alice.refused(command, "kept under another identity");
        assert!(told.contains(alice.folder.join("contacts").to_str().unwrap()), "{told}");
        assert!(!identity.exists());
    }
    assert_eq!(alice.contacts(), contacts);
    alice.says(&["identity", "import", &own]);
    assert_eq!(alice.key_code(), before);
    assert!(alice.says(&["contact", "list"]).contains("bob@gw.example"), "also with the copy from before the reset");
}

#[test]
fn nothing_of_names_addresses_keys_and_tokens_is_in_clear_in_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| Profile::new(folder.path(), name));
    let link = alice.link("Bartholomew");
    bob.tells(&["contact", "add", &link, "--name", "Adelheid"]);
    alice.tells(&["contact", "add", "zacharias@other.example"]);
    let Ok(Link::Contact(read)) = link.parse() else { panic!("{link}") };
    let parts: Vec<_> = link.split(['#', '&']).skip(1).map(|part| &part[2..]).collect();
    let words = ["Bartholomew", "Adelheid", "zacharias", "other.example", parts[0], parts[1], PASSPHRASE];
    let octets = [&read.key[..], read.token.as_ref().unwrap().expose()];
    let needles = words.map(str::as_bytes).into_iter().chain(octets);
    let files: Vec<_> = [&alice, &bob].iter().flat_map(|phone| fs::read_dir(&phone.folder).unwrap()).collect();
    let files: Vec<_> = files.into_iter().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().filter(|file| file.ends_with("contacts")).count() == 2, "{files:?}");
    for needle in needles {
        for file in &files {
            let content = fs::read(file).unwrap();
            let found = content.windows(needle.len()).any(|octets| octets.eq_ignore_ascii_case(needle));
            assert!(!found, "{}: {}", file.display(), String::from_utf8_lossy(needle));
        }
    }
}

#[test]
fn contacts_added_by_many_processes_at_once_are_all_kept() {
    const PROCESSES: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let alice = Profile::new(folder.path(), "alice");
    let added: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let address = format!("friend{number}@gw.example");
            alice.command(&["contact", "add", &address]).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut process in added {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(alice.tells(&["contact", "list"])["contacts"].as_array().unwrap().len(), PROCESSES);
    let left: Vec<_> = fs::read_dir(&alice.folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".new")), "{left:?}");
}

/// A phone's folder with account and identity.
struct Profile {
    folder: PathBuf,
}

impl Profile {
    fn new(folder: &Path, name: &str) -> Self {
        let profile = Self { folder: folder.join(name) };
        let address = format!("{name}@gw.example");
        let setup = ["setup", "--offline", "--password-stdin", "--address", &address];
        let output = profile.run(&setup, "account password\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        profile
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("undertone").unwrap());
        command.arg("--profile").arg(&self.folder).args(arguments).stdin(Stdio::null());
        command.env("UNDERTONE_PASSPHRASE", PASSPHRASE).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{told}");
        assert_eq!(told, "");
        said
    }

    fn tells(&self, arguments: &[&str]) -> Value {
        json(&self.command(&[&["--json"], arguments].concat()).output().unwrap())
    }

    fn refused(&self, arguments: &[&str], words: &str) -> String {
        one_sentence(&self.command(arguments).output().unwrap(), words)
    }

    fn link(&self, name: &str) -> String {
        self.tells(&["contact", "link", name])["link"].as_str().unwrap().to_owned()
    }

    fn key_code(&self) -> String {
        self.tells(&["identity", "show"])["key_code"].as_str().unwrap().to_owned()
    }

    fn contacts(&self) -> Vec<u8> {
        fs::read(self.folder.join("contacts")).unwrap()
    }
}

fn json(output: &Output) -> Value {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// One line on standard error, exit code 2, nothing on standard output.
fn one_sentence(output: &Output, words: &str) -> String {
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{told}");
    assert!(told.starts_with("undertone: ") && told.contains(words), "{words}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    told
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}
