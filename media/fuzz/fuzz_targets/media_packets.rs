//! Fuzz target: what an authenticated peer sends. What must hold is in `checks/media_packets.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/media_packets.rs"]
mod media_packets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media_packets::check(bytes));
