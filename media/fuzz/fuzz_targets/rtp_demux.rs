//! Fuzz target: datagrams of the media port. What must hold is in `checks/rtp_demux.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/rtp_demux.rs"]
mod rtp_demux;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtp_demux::check(bytes));
