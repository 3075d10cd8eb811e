//! Replays every fuzz corpus, and the torture messages, through the checks of the fuzz targets.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::path::Path;

#[path = "../fuzz/checks/sdp.rs"]
mod sdp;
#[path = "../fuzz/checks/sip_message.rs"]
mod sip_message;
#[path = "../fuzz/checks/stream_framing.rs"]
mod stream_framing;

#[test]
fn the_corpus_of_sip_messages_holds() {
    replay("fuzz/corpus/sip_message", sip_message::check);
    replay("tests/torture", sip_message::check);
}

#[test]
fn the_corpus_of_streams_holds() {
    replay("fuzz/corpus/stream_framing", stream_framing::check);
    replay("tests/torture", stream_framing::check);
}

#[test]
fn the_corpus_of_session_descriptions_holds() {
    replay("fuzz/corpus/sdp", sdp::check);
}

fn replay(folder: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus is empty");
}
