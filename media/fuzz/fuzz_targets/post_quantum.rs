//! Fuzz target: records during the post-quantum exchange. What must hold is in `checks/post_quantum.rs`, which the tests replay the corpus through.
#![no_main]

#[path = "../checks/post_quantum.rs"]
mod post_quantum;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| post_quantum::check(bytes));
