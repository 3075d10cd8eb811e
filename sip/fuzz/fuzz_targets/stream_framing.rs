//! Fuzz target: a stream of messages and keep-alives. What must hold is in `checks/stream_framing.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/stream_framing.rs"]
mod stream_framing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stream_framing::check(bytes));
