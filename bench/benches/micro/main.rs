//! The price of single steps, each alone on one core: signalling, protection, sound, relay, verification, post-quantum
//! exchange.
//!
//! `make bench` runs them briefly. Compare numbers of one run only: what counts are ratios on one machine.

#![allow(missing_docs, clippy::unwrap_used)]

mod post_quantum;
mod protection;
mod relay;
mod signalling;
mod sound;
mod verification;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Brief on purpose: the differences of interest are larger than the noise this leaves.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(30)
        .without_plots()
        .configure_from_args()
}

criterion_group! {
    name = micro;
    config = brief();
    targets = signalling::benches, protection::benches, sound::benches, relay::benches, verification::benches, post_quantum::benches
}
criterion_main!(micro);
