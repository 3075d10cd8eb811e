//! A whole call between real processes over real sockets and TLS on loopback: two phones, one gateway,
//! speech through wav files.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;
use undertone_tests::correlation::compare;
use undertone_tests::live::{DOMAIN, Gateway, Phone, PhoneOptions, Speech, peers, read_wav};

/// How alike received and sent speech must be.
const ALIKE: f32 = 0.9;
/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);

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
    // Nothing of the call is on the gateway's output, and nothing but accounts in its folder.
    let said = { gateway }.process.said().join("\n");
    assert!(!said.contains("alice") && !said.contains("bob"), "{said}");
}

fn speech(folder: &Path, voice: &str) -> Speech {
    Speech::render(folder, &format!("speech-{voice}"), voice, 500).unwrap()
}
