//! Fuzz target: datagrams during a DTLS handshake. What must hold is in `checks/dtls_record.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/dtls_record.rs"]
mod dtls_record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtls_record::check(bytes));
