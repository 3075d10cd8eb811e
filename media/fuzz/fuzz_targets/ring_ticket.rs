//! Fuzz target: what stands where a ring ticket is expected. What must hold is in `checks/ring_ticket.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/ring_ticket.rs"]
mod ring_ticket;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ring_ticket::check(bytes));
