//! Replays the fuzz corpus through the checks of the fuzz target, and makes sure that it reaches the interesting places.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::path::Path;
use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
    ShortTermCredentials, TransactionId,
};

#[path = "../fuzz/checks/stun_relay.rs"]
mod stun_relay;

#[test]
fn the_corpus_of_relay_datagrams_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/stun_relay");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        stun_relay::check(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus is empty");
}

/// The fuzzer cannot compute integrity codes: the corpus must hold checks that are right.
#[test]
fn the_corpus_holds_a_whole_call_with_checks_that_admit() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/stun_relay/whole-call");
    if std::env::var_os("UNDERTONE_WRITE_CORPUS").is_some() {
        std::fs::write(&file, whole_call()).unwrap();
    }
    assert_eq!(std::fs::read(file).unwrap(), whole_call());
}

/// Both legs are admitted, move, speak and handshake; a stranger repeats what he heard.
fn whole_call() -> Vec<u8> {
    let [caller, callee] = stun_relay::credentials();
    let mut input = Vec::new();
    let mut feed = |from: u8, bytes: &[u8]| {
        input.push(from);
        input.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        input.extend_from_slice(bytes);
    };
    let [first, second, third] = [
        binding_request(caller.ufrag(), caller.password(), 1),
        binding_request(callee.ufrag(), callee.password(), 2),
        binding_request(caller.ufrag(), caller.password(), 3),
    ];
    feed(0, &first);
    feed(0, &[22, 0xfe, 0xfd, 0, 0]);
    feed(1, &second);
    feed(1, &[0x80, 0x6f, 0, 1]);
    feed(0, &[16, 0, 0, 0]);
    feed(3, &first);
    feed(3, &[0x80, 0x6f, 0, 1]);
    feed(2, &third);
    feed(1, &[0x80, 0x6f, 0, 2]);
    input
}

fn binding_request(ufrag: &str, password: &str, transaction: u128) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut request = Message::builder(kind, TransactionId::from(transaction), MessageWriteVec::new());
    let username = format!("{ufrag}:phonefrag");
    request.add_attribute(&RawAttribute::new(AttributeType::new(0x0006), username.as_bytes())).unwrap();
    request.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &[0x6e, 0, 1, 0xff])).unwrap();
    request.add_attribute(&RawAttribute::new(AttributeType::new(0x802a), &[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    let key = ShortTermCredentials::new(password.to_owned()).make_key();
    request.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
    request.add_fingerprint().unwrap();
    request.finish()
}
