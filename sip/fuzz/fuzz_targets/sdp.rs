//! Fuzz target: a session description. What must hold is in `checks/sdp.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/sdp.rs"]
mod sdp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sdp::check(bytes));
