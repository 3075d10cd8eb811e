//! Replays the fuzz corpus through the checks of the fuzz target.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::path::Path;

#[path = "../fuzz/checks/media_packets.rs"]
mod media_packets;

#[test]
fn the_corpus_of_media_packets_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/media_packets");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        media_packets::check(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 5, "the corpus is empty");
}
