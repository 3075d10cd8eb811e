//! Calls between our phone and other makers' phones, phone to phone: encrypted both ways, or refused with a reason.
//! Both peers use RSA certificates on DTLS.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::time::{Duration, Instant};
use undertone_tests::correlation::compare;
use undertone_tests::live::{Island, Peer, Phone, PhoneOptions, Protection, Speech, free_port, is_installed, read_wav};

/// How alike speech must be after another maker's encoder or decoder.
const ALIKE: f32 = 0.85;
/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);

type StartPeer = fn(&Island, &Path, Protection, &[f32]) -> Result<Peer, undertone_tests::live::LiveError>;

#[test]
fn baresip_and_our_phone_call_each_other_with_speech_both_ways() {
    if present("baresip") {
        for peer_calls in [false, true] {
            talk(Peer::baresip, peer_calls, true);
        }
    }
}

#[test]
fn linphone_and_our_phone_call_each_other_with_speech_both_ways() {
    if present("linphonec") {
        for peer_calls in [false, true] {
            talk(Peer::linphone, peer_calls, false);
        }
    }
}

#[test]
fn peers_that_cannot_encrypt_from_phone_to_phone_are_refused_with_a_reason() {
    let cases: [(&str, StartPeer, Protection, &str); 5] = [
        ("baresip", Peer::baresip, Protection::Sdes, "SDES"),
        ("baresip", Peer::baresip, Protection::Plain, "unencrypted"),
        ("linphonec", Peer::linphone, Protection::Sdes, "SDES"),
        ("linphonec", Peer::linphone, Protection::Plain, "unencrypted"),
        ("linphonec", Peer::linphone, Protection::Zrtp, "ZRTP"),
    ];
    for (program, start, protection, words) in cases {
        if !present(program) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let island = Island::new().unwrap();
        let mut phone = phone(&island, folder.path(), PhoneOptions { speaker: Some("none".into()), ..silent() });
        let mut peer = start(&island, folder.path(), protection, &[0.0; 48_000]).unwrap();
        peer.call(&phone.address).unwrap();
        let refused = phone.process.expect("refused", SOON).unwrap();
        let why = refused["why"].as_str().unwrap();
        assert!(why.contains(words), "{program} {protection:?}: {why}");
        if program == "baresip" {
            peer.process.expect_line(&format!("488 {why}"), SOON).unwrap();
        }
        assert_eq!(phone.quit(), Some(0));
    }
}

/// One call, started by either side. A peer that `hangs_up` does so when its speech ends.
fn talk(start: StartPeer, peer_calls: bool, hangs_up: bool) {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["en", "fr"].map(|voice| Speech::render(folder.path(), voice, voice, 1_000).unwrap());
    let heard = folder.path().join("heard.wav");
    let island = Island::new().unwrap();
    let mut phone = phone(&island, folder.path(), PhoneOptions::wav(&ours.file, &heard).answering());
    let mut peer = start(&island, folder.path(), Protection::Dtls, &theirs.samples).unwrap();
    if peer_calls {
        peer.call(&phone.address).unwrap();
    } else {
        phone.process.say(&format!("dial {}", peer.address)).unwrap();
    }
    let encrypted = phone.process.expect("encrypted", SOON).unwrap();
    assert_eq!(encrypted["verification"], "cannot_be_verified");
    let until =
        Instant::now() + Duration::from_millis(ours.samples.len().max(theirs.samples.len()) as u64 / 48 + 1_000);
    phone.process.expect("sound_started", SOON).unwrap();
    if !hangs_up {
        while Instant::now() < until {
            phone.process.expect("statistics", SOON).unwrap();
        }
        phone.process.say("hangup").unwrap();
    }
    phone.process.expect("ended", 2 * SOON).unwrap();
    assert_eq!(phone.quit(), Some(0));

    let at_peer = peer.quit().unwrap();
    for (who, sent, received) in [("we", &theirs, read_wav(&heard).unwrap()), ("the peer", &ours, at_peer)] {
        let likeness = compare(&sent.samples, &received, 48_000).unwrap();
        assert!(likeness.correlation >= ALIKE && likeness.compared > 0.8, "what {who} heard: {likeness:?}");
    }
}

fn phone(island: &Island, folder: &Path, mut options: PhoneOptions) -> Phone {
    options.direct = Some(format!("bob@127.0.0.1:{}", free_port().unwrap()));
    options.prefix = island.prefix();
    Phone::start("bob", folder, &options).unwrap()
}

fn silent() -> PhoneOptions {
    PhoneOptions { microphone: Some("silence".into()), ..PhoneOptions::default() }
}

/// `make test` installs the peers; who runs the tests without it is told what was left out.
fn present(program: &str) -> bool {
    let present = is_installed(program);
    if !present {
        eprintln!("SKIPPED: {program} is not installed; `make test` installs it");
    }
    present
}
