//! Fuzz target: datagrams to the relay. What must hold is in `checks/stun_relay.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/stun_relay.rs"]
mod stun_relay;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stun_relay::check(bytes));
