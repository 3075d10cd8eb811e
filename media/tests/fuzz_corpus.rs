//! Replays every fuzz corpus of this crate through the checks of the fuzz targets.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::path::Path;

#[path = "../fuzz/checks/dtls_record.rs"]
mod dtls_record;
#[path = "../fuzz/checks/media_packets.rs"]
mod media_packets;
#[path = "../fuzz/checks/post_quantum.rs"]
mod post_quantum;
#[path = "../fuzz/checks/ring_ticket.rs"]
mod ring_ticket;
#[path = "../fuzz/checks/rtp_demux.rs"]
mod rtp_demux;

#[test]
fn the_corpus_of_media_packets_holds() {
    replay("fuzz/corpus/media_packets", media_packets::check);
}

#[test]
fn the_corpus_of_protected_datagrams_holds() {
    replay("fuzz/corpus/rtp_demux", rtp_demux::check);
}

#[test]
fn the_corpus_of_handshake_datagrams_holds() {
    replay("fuzz/corpus/dtls_record", dtls_record::check);
}

#[test]
fn the_corpus_of_ring_tickets_holds() {
    replay("fuzz/corpus/ring_ticket", ring_ticket::check);
}

#[test]
fn the_corpus_of_records_of_the_post_quantum_exchange_holds() {
    replay("fuzz/corpus/post_quantum", post_quantum::check);
}

fn replay(folder: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 3, "the corpus is empty");
}
