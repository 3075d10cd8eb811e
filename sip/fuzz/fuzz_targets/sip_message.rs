//! Fuzz target: one SIP message. What must hold is in `checks/sip_message.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/sip_message.rs"]
mod sip_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sip_message::check(bytes));
