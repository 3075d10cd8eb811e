//! Joining with one link, between real processes: a gateway, the operator's commands, and phones that were never told
//! anything but a link.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use undertone_tests::live::{DOMAIN, Gateway, PhoneOptions, Profile, Said};

/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);
/// Within which a phone that is on learns that it was revoked.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_link_is_the_whole_setup_and_two_who_joined_are_verified_at_their_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| Profile::new(folder.path(), name));
    for (profile, name) in [(&alice, "alice"), (&bob, "bob")] {
        let said = profile.run(&["join", &gateway.invite(name, &[]).unwrap()]).unwrap();
        assert_eq!(said.event("connecting").unwrap()["gateway"], gateway.signalling);
        let joined = said.event("joined").unwrap();
        assert_eq!(joined["sentence"], format!("Ready. You can be called at {name}@{DOMAIN}."));
        assert_eq!(joined["key_code"].as_str().unwrap().len(), 39);
        let config = std::fs::read_to_string(profile.folder().join("phone.toml")).unwrap();
        assert!(config.contains("device_key = \"device.pem\"") && !config.contains("password"), "{config}");
        for file in ["phone.toml", "device.pem", "identity"] {
            let mode = std::fs::metadata(profile.folder().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!(names(profile.folder()), ["device.pem", "identity", "lock", "phone.toml"]);
    }
    let of_bob = bob.done(&["contact", "link", "Alice"]).unwrap();
    alice.done(&["contact", "add", of_bob["link"].as_str().unwrap()]).unwrap();
    let mut caller = alice.start("alice", &quiet()).unwrap();
    let mut callee = bob.start("bob", &quiet().answering()).unwrap();
    caller.process.say(&format!("dial bob@{DOMAIN}")).unwrap();
    for phone in [&mut caller, &mut callee] {
        phone.process.expect("verified", SOON).unwrap();
        let said = phone.process.said().join("\n");
        assert!(said.contains("encrypted") && !said.contains("compare"), "nobody has to read anything: {said}");
    }
    caller.process.say("hangup").unwrap();
    callee.process.expect("ended", SOON).unwrap();
    assert_eq!((caller.quit(), callee.quit()), (Some(0), Some(0)));
}

#[test]
fn a_second_device_joins_from_the_first_with_its_identity_and_can_be_revoked_while_it_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let [first, second] = ["first", "second"].map(|name| Profile::new(folder.path(), name));
    let link = gateway.invite("alice", &[]).unwrap();
    let key_code = first.done(&["join", &link]).unwrap()["key_code"].clone();
    let mut first_phone = first.start("first", &quiet()).unwrap();
    let invite = first.done(&["device", "add"]).unwrap();
    let code_file = folder.path().join("code");
    std::fs::write(&code_file, invite["code"].as_str().unwrap()).unwrap();
    let link = invite["link"].as_str().unwrap();
    assert!(!link.contains(invite["code"].as_str().unwrap()));
    let joined = second.done(&["join", link, "--code-file", code_file.to_str().unwrap()]).unwrap();
    assert_eq!((&joined["key_code"], &joined["address"]), (&key_code, &format!("alice@{DOMAIN}").into()));

    let listed = first.run(&["device", "list"]).unwrap().lines;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let of = |is_this: bool| listed.iter().find(|line| line["this"] == is_this).unwrap()["device"].as_str().unwrap();
    let (own, other) = (of(true), of(false));
    let by_second = second.run(&["device", "list"]).unwrap().lines;
    assert!(by_second.iter().any(|line| line["device"] == other && line["this"] == true), "{by_second:?}");
    let unknown = first.run(&["device", "revoke", "xyz", "--yes"]).unwrap();
    assert!(unknown.refusal().unwrap().contains("no such device"), "{unknown:?}");
    let unasked = first.run(&["device", "revoke", &other[..12]]).unwrap();
    assert!(unasked.refusal().unwrap().contains("add --yes"), "{unasked:?}");

    let mut second_phone = second.start("second", &quiet()).unwrap();
    let revoked = first.done(&["device", "revoke", &other[..12], "--yes"]).unwrap();
    let from = Instant::now();
    assert_eq!((&revoked["event"], &revoked["device"]), (&"device_revoked".into(), &other.into()));
    let lost = second_phone.process.expect("not_connected", SOON).unwrap();
    let noticed = from.elapsed();
    assert_eq!(lost["why"], "connection_lost");
    assert!(noticed <= REVOKED_WITHIN, "{noticed:?}");
    let refused = second_phone.process.expect("not_connected", SOON).unwrap();
    assert_eq!((&refused["why"], &refused["retry_in_s"]), (&"device_not_allowed".into(), &Value::Null));
    assert!(refused["sentence"].as_str().unwrap().contains("no longer allowed on this account"), "{refused}");
    assert_eq!(second_phone.process.finish(SOON), Some(2), "it does not try again");

    let again = second.run(&["listen", "--mic", "silence", "--speaker", "none"]).unwrap();
    assert!(again.refusal().unwrap().contains("no longer allowed"), "{again:?}");
    assert!(second.run(&["device", "list"]).unwrap().refusal().unwrap().contains("no longer allowed"));
    assert_eq!(first.run(&["device", "list"]).unwrap().lines.len(), 1);
    // The first device has noticed nothing of all this.
    let said = first_phone.process.said().join("\n");
    assert!(!said.contains("not_connected"), "{said}");
    assert_eq!(first_phone.quit(), Some(0));
    let itself = first.done(&["device", "revoke", &own[..12], "--yes"]).unwrap();
    assert_eq!((&itself["event"], &itself["this"]), (&"device_revoked".into(), &true.into()));
    assert!(first.run(&["device", "list"]).unwrap().refusal().unwrap().contains("no longer allowed"));
}

#[test]
fn a_link_that_was_used_withdrawn_or_changed_is_refused_in_words_and_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let [used, withdrawn] = ["alice", "carol"].map(|name| gateway.invite(name, &[]).unwrap());
    Profile::new(folder.path(), "alice").done(&["join", &used]).unwrap();
    assert!(gateway.command(&["invite", "carol", "--withdraw"]).unwrap().status.success());
    let open = gateway.invite("dave", &[]).unwrap();
    let of_another = open.replacen("dave@", "carol@", 1);
    let elsewhere = open.replacen(&format!("@{DOMAIN}"), "@elsewhere.test", 1);
    let foreign_pin = {
        let pin = gateway.pin.trim_start_matches("sha256:");
        open.replacen(pin, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1)
    };
    for (link, words) in [
        (&used, "used by another device"),
        (&withdrawn, "does not know this link"),
        (&of_another, "does not know this link"),
        (&elsewhere, "does not know this link"),
        (&foreign_pin, "another key than this link says"),
        (&open[..open.len() - 1].to_owned(), "damaged or not complete"),
    ] {
        let profile = Profile::new(folder.path(), "new");
        let said = profile.run(&["join", link]).unwrap();
        let sentence = said.refusal().unwrap_or_else(|| panic!("{said:?}"));
        assert!(sentence.contains(words), "{words}: {sentence}");
        assert!(!profile.folder().exists(), "{words}");
    }
    Profile::new(folder.path(), "dave").done(&["join", &open]).unwrap();
}

#[test]
fn of_two_who_race_for_one_link_exactly_one_joins_and_the_other_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let link = gateway.invite("alice", &[]).unwrap();
    let profiles = ["one", "other"].map(|name| Profile::new(folder.path(), name));
    let running = [0, 1].map(|n| {
        let mut command = profiles[n].command(&["join", &link]).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let said = running.map(|child| Said::read(&child.wait_with_output().unwrap()));
    let (winner, loser) = if said[0].code == Some(0) { (0, 1) } else { (1, 0) };
    assert_eq!(said[winner].event("joined").unwrap()["address"], format!("alice@{DOMAIN}"));
    assert!(said[loser].refusal().unwrap().contains("used by another device"), "{said:?}");
    assert!(!profiles[loser].folder().exists());
    assert_eq!(profiles[winner].run(&["device", "list"]).unwrap().lines.len(), 1);
}

#[test]
fn a_join_that_breaks_off_after_the_gateways_yes_goes_on_with_the_same_link() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let link = gateway.invite("alice", &[]).unwrap();
    let profile = Profile::new(folder.path(), "alice");
    // Where the key should go there is something in the way.
    std::fs::create_dir_all(profile.folder().join("device.pem")).unwrap();
    let broken = profile.run(&["join", &link]).unwrap();
    assert!(broken.refusal().unwrap().contains("device.pem"), "{broken:?}");
    assert!(!profile.folder().join("phone.toml").exists());
    std::fs::remove_dir(profile.folder().join("device.pem")).unwrap();
    profile.done(&["join", &link]).unwrap();
    assert_eq!(names(profile.folder()), ["device.pem", "identity", "lock", "phone.toml"]);
    assert_eq!(profile.run(&["device", "list"]).unwrap().lines.len(), 1, "the same device both times");
}

#[test]
fn one_link_joins_and_adds_a_contact() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| Profile::new(folder.path(), name));
    bob.done(&["join", &gateway.invite("bob", &[]).unwrap()]).unwrap();
    let of_bob = bob.done(&["contact", "link", "Alice"]).unwrap();
    let link = gateway.invite("alice", &["--contact", of_bob["link"].as_str().unwrap()]).unwrap();
    assert_eq!(alice.done(&["join", &link]).unwrap()["contact"], format!("bob@{DOMAIN}"));
    let contacts = alice.done(&["contact", "list"]).unwrap();
    assert_eq!(contacts["contacts"][0]["address"], format!("bob@{DOMAIN}"));
}

#[test]
fn a_phone_follows_the_gateway_to_the_key_that_its_operator_announced_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let profiles = ["alice", "mallet"].map(|name| Profile::new(folder.path(), name));
    for (profile, name) in profiles.iter().zip(["alice", "mallet"]) {
        profile.done(&["join", &gateway.invite(name, &[]).unwrap()]).unwrap();
    }
    let [alice, mallet] = &profiles;
    // To this phone the operator's key is another one.
    edit(mallet, "operator", "operator = \"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA\"");
    let before = config(mallet);
    let operator = gateway.config().with_file_name("operator.key");
    let next = announce(&gateway, &operator);
    let phones = profiles.each_ref().map(|profile| profile.start("phone", &quiet()).unwrap());
    let [in_time, mut misled] = phones;
    assert_eq!(in_time.quit(), Some(0));
    assert!(
        misled.process.said().iter().any(|line| line.contains("false_announcement")),
        "{:?}",
        misled.process.said()
    );
    assert_eq!(misled.quit(), Some(0));
    assert!(config(alice).contains(&format!("pin = \"{}\"\n", gateway.pin)), "{}", config(alice));
    assert!(config(alice).contains(&format!("next_pin = \"{next}\"\nnext_serial = 1\n")), "{}", config(alice));
    assert_eq!(config(mallet), before);
    let late = Profile::new(folder.path(), "late");
    late.done(&["join", &gateway.invite("late", &[]).unwrap()]).unwrap();
    assert!(config(&late).contains(&format!("next_pin = \"{next}\"\n")), "{}", config(&late));

    let gateway = switch_key(gateway);
    assert_eq!(gateway.pin, next);
    for profile in [alice, &late] {
        assert_eq!(profile.start("phone", &quiet()).unwrap().quit(), Some(0));
        assert!(config(profile).contains(&format!("\npin = \"{next}\"\n")), "{}", config(profile));
    }
    assert_eq!(alice.run(&["device", "list"]).unwrap().lines.len(), 1);
    let refused = mallet.run(&["listen", "--mic", "silence", "--speaker", "none"]).unwrap();
    assert!(refused.refusal().unwrap().contains("not the pinned one"), "{refused:?}");
}

/// Makes, signs and announces the gateway's next key; its pin.
fn announce(gateway: &Gateway, operator: &Path) -> String {
    let json = |arguments: &[&str]| -> Value {
        let output = gateway.command(arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let next = json(&["next-key", "new"])["pin"].as_str().unwrap().to_owned();
    let key = operator.to_str().unwrap();
    let sign = ["next-key", "sign", "--operator-key", key, "--domain", DOMAIN, "--pin", &next, "--serial", "1"];
    let announcement = json(&sign)["announcement"].as_str().unwrap().to_owned();
    json(&["next-key", "announce", &announcement]);
    next
}

/// Stops the gateway, puts its next key to use and serves again at the same address.
fn switch_key(gateway: Gateway) -> Gateway {
    let (config, signalling) = (gateway.config().to_owned(), gateway.signalling.clone());
    assert!(gateway.command(&["next-key", "use"]).unwrap().status.success());
    drop(gateway);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("127.0.0.1:0", &signalling, 1)).unwrap();
    let gateway = Gateway::serve(&config).unwrap();
    assert_eq!(gateway.signalling, signalling);
    gateway
}

fn config(profile: &Profile) -> String {
    std::fs::read_to_string(profile.folder().join("phone.toml")).unwrap()
}

/// Replaces the line of `key`.
fn edit(profile: &Profile, key: &str, line: &str) {
    let file = profile.folder().join("phone.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let start = format!("{key} = ");
    let lines: Vec<&str> = text.lines().map(|old| if old.starts_with(&start) { line } else { old }).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
}

fn quiet() -> PhoneOptions {
    PhoneOptions { microphone: Some("silence".into()), speaker: Some("none".into()), ..PhoneOptions::default() }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
