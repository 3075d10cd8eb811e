//! A whole call between real processes over real sockets and TLS on loopback: two phones, one gateway,
//! speech through wav files.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;
use undertone_tests::correlation::compare;
use undertone_tests::live::{DOMAIN, Gateway, Phone, PhoneOptions, Speech, binary, peers, read_wav};

/// How alike received and sent speech must be.
const ALIKE: f32 = 0.9;
/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);
/// Opens the identities of phones that keep one.
const PASSPHRASE: (&str, &str) = ("UNDERTONE_PASSPHRASE", "correct horse battery staple");

#[test]
fn speech_arrives_both_ways_encrypted_and_each_phone_saw_only_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gateway = Gateway::start(folder.path()).unwrap();
    let (english, french) = (speech(folder.path(), "en"), speech(folder.path(), "fr"));
    let mut alice = PhoneOptions::wav(&english.file, &at("heard-by-alice.wav"));
    let mut bob = PhoneOptions::wav(&french.file, &at("heard-by-bob.wav")).answering();
    alice.network_log = Some(at("alice.log"));
    bob.network_log = Some(at("bob.log"));
    let mut alice = Phone::join(&gateway, folder.path(), "alice", &alice).unwrap();
    let mut bob = Phone::join(&gateway, folder.path(), "bob", &bob).unwrap();

    alice.process.say(&format!("dial bob@{DOMAIN}")).unwrap();
    bob.process.expect("ringing", SOON).unwrap();
    let words: Vec<String> = [&mut alice, &mut bob]
        .map(|phone| {
            let encrypted = phone.process.expect("encrypted", SOON).unwrap();
            assert_eq!(encrypted["cipher"], "AES-256-GCM");
            assert_eq!(encrypted["key_agreement"], "DTLS 1.3");
            phone.process.expect("safety_words", SOON).unwrap()["words"].to_string()
        })
        .into();
    assert_eq!(words[0], words[1], "nobody sits in between, so the words are equal");
    bob.process.expect("sound_started", SOON).unwrap();

    // The sentence takes about ten seconds; waiting for statistics is waiting for the call's own clock.
    let spoken = Duration::from_millis(english.samples.len().max(french.samples.len()) as u64 / 48);
    let until = std::time::Instant::now() + spoken + Duration::from_secs(2);
    while std::time::Instant::now() < until {
        for phone in [&mut alice, &mut bob] {
            let statistics = phone.process.expect("statistics", SOON).unwrap();
            assert_eq!(statistics["addresses"], serde_json::json!([gateway.relay]), "what the person is shown");
        }
    }
    alice.process.say("hangup").unwrap();
    for phone in [&mut alice, &mut bob] {
        phone.process.expect("ended", SOON).unwrap();
    }
    assert_eq!((alice.quit(), bob.quit()), (Some(0), Some(0)));

    for (sent, heard) in [(&english, "heard-by-bob.wav"), (&french, "heard-by-alice.wav")] {
        let likeness = compare(&sent.samples, &read_wav(&at(heard)).unwrap(), 48_000).unwrap();
        assert!(likeness.correlation >= ALIKE && likeness.compared > 0.8, "{heard}: {likeness:?}");
    }
    // What the system saw: neither phone ever exchanged a byte with anybody but the gateway.
    let gateway_only = [&gateway.signalling, &gateway.relay].map(|address| address.parse().unwrap());
    for log in ["alice.log", "bob.log"] {
        assert_eq!(peers(&at(log)).unwrap(), gateway_only.into_iter().collect(), "{log}");
    }
    // The gateway carried all of it confined.
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).unwrap();
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    // Nothing of the call is on the gateway's output, and nothing but accounts in its folder.
    let said = { gateway }.process.said().join("\n");
    assert!(!said.contains("alice") && !said.contains("bob"), "{said}");
}

#[test]
fn a_link_makes_two_phones_verified_at_the_first_call_and_a_reset_is_told_loudly_without_sound() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let [alice_at, bob_at] = ["alice", "bob"].map(|name| {
        let password = gateway.add_user(name).unwrap();
        let profile = Phone::set_up(&gateway, folder.path(), name, &password).unwrap();
        undertone(&profile, &["identity", "create"]);
        profile
    });
    let link = undertone(&bob_at, &["--json", "contact", "link", "Alice from work"]);
    let link: serde_json::Value = serde_json::from_str(link.trim()).unwrap();
    undertone(&alice_at, &["contact", "add", link["link"].as_str().unwrap(), "--name", "Bob"]);
    let options = PhoneOptions {
        microphone: Some("silence".into()),
        speaker: Some("none".into()),
        environment: vec![(PASSPHRASE.0.into(), PASSPHRASE.1.into())],
        ..PhoneOptions::default()
    };
    let mut alice = Phone::start("alice", &alice_at, &options).unwrap();
    let mut bob = Phone::start("bob", &bob_at, &options).unwrap();

    alice.process.say("dial Bob").unwrap();
    assert_eq!(bob.process.expect("ringing", SOON).unwrap()["other"], "Alice from work");
    bob.process.say("answer").unwrap();
    for (phone, name) in [(&mut alice, "Bob"), (&mut bob, "Alice from work")] {
        let verified = phone.process.expect("verified", SOON).unwrap();
        assert_eq!((&verified["name"], &verified["verification"]), (&name.into(), &"verified".into()));
        assert!(verified["how"].as_str().unwrap().starts_with("verified by link"), "{verified}");
    }
    alice.process.say("hangup").unwrap();
    bob.process.expect("ended", SOON).unwrap();
    alice.process.expect("ended", SOON).unwrap();
    assert!(undertone(&bob_at, &["contact", "list"]).contains("alice@gw.test): verified by link"));

    // A command beside the running phone is noticed by it.
    undertone(&alice_at, &["contact", "rename", "Bob", "Robert"]);
    std::thread::sleep(Duration::from_secs(3));
    alice.process.say("dial-hidden Robert").unwrap();
    assert_eq!(bob.process.expect("ringing", SOON).unwrap()["other"], "Alice from work");
    alice.process.say("hangup").unwrap();
    bob.process.expect("ended", SOON).unwrap();
    alice.process.expect("ended", SOON).unwrap();

    assert_eq!(bob.quit(), Some(0));
    undertone(&bob_at, &["identity", "reset", "--yes"]);
    undertone(&bob_at, &["contact", "strangers", "on"]);
    let mut bob = Phone::start("bob", &bob_at, &options).unwrap();
    alice.process.say("dial Robert").unwrap();
    bob.process.expect("ringing", SOON).unwrap();
    bob.process.say("answer").unwrap();
    assert_eq!(alice.process.expect("key_changed", SOON).unwrap()["name"], "Robert");
    assert_eq!(alice.process.expect("ended", SOON).unwrap()["why"], "verification_failed");
    assert_eq!((alice.quit(), bob.quit()), (Some(0), Some(0)));
    assert!(undertone(&alice_at, &["contact", "show", "Robert"]).contains("verified by link"), "the known key stays");
}

/// The output of a command of a phone whose identity is sealed with [`PASSPHRASE`].
fn undertone(profile: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(binary("undertone").unwrap());
    command.arg("--profile").arg(profile).args(arguments).env(PASSPHRASE.0, PASSPHRASE.1);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn speech(folder: &Path, voice: &str) -> Speech {
    Speech::render(folder, &format!("speech-{voice}"), voice, 500).unwrap()
}
