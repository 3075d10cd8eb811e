//! The post-quantum exchange step by step: what a call pays for it once, beside one round trip.

use std::time::Instant;

use criterion::{BatchSize, Criterion};
use undertone_media::keys::ExporterBlock;
use undertone_media::post_quantum::{Exchange, Output, Secret};
use undertone_media::srtp::Profile;
use undertone_media::verify::Role;

pub(crate) fn benches(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("post_quantum");
    group.bench_function("make a key and frame it", |b| b.iter(|| started(now)));
    group.bench_function("encapsulate to it and frame the ciphertext", |b| {
        let (_, key) = started(now);
        b.iter_batched(
            || Exchange::new(Role::Responder, now),
            |mut responder| answered(&mut responder, &key, now),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("open the ciphertext and mix the keys", |b| {
        b.iter_batched(
            || {
                let (initiator, key) = started(now);
                let ciphertext = answered(&mut Exchange::new(Role::Responder, now), &key, now).0;
                (initiator, ciphertext, ExporterBlock::new(Profile::AeadAes256Gcm, &[5; 88]).unwrap())
            },
            |(mut initiator, ciphertext, mut block)| {
                let (_, secret) = answered(&mut initiator, &ciphertext, now);
                secret.unwrap().mix_into(&mut block).unwrap();
                block
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn started(now: Instant) -> (Exchange, Vec<Vec<u8>>) {
    let mut initiator = Exchange::new(Role::Initiator, now);
    let (frames, _) = answered(&mut initiator, &[], now);
    assert_eq!(frames.len(), 2, "the key in two fragments");
    (initiator, frames)
}

/// What the exchange sends after these frames, and the secret once it has one.
fn answered(exchange: &mut Exchange, frames: &[Vec<u8>], now: Instant) -> (Vec<Vec<u8>>, Option<Secret>) {
    frames.iter().for_each(|frame| exchange.handle_message(frame, now));
    let (mut sent, mut secret) = (Vec::new(), None);
    while let Some(output) = exchange.poll_output() {
        match output {
            Output::Send(frame) => sent.push(frame),
            Output::Agreed(agreed) => secret = Some(agreed),
            Output::Failed(failure) => panic!("{failure}"),
        }
    }
    (sent, secret)
}
