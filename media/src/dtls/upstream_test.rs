//! Measures the retransmission defect of `rtc-dtls` alone, for `docs/upstream-dtls-report.md`: two of
//! its endpoints, nothing of ours in between. Not a test of this crate, so it runs only when asked for.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::SystemTime;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;

const SEEDS: u64 = 300;
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    Unfinished,
    /// One side used up its repetitions while the other, unfinished, had no timer any more.
    GaveUpOnSilence,
    GaveUp,
    Alerted,
}

#[test]
#[ignore = "a measurement of another crate"]
fn how_many_handshakes_of_the_bare_crate_never_finish() {
    for loss in [0, 5, 20, 30] {
        let outcomes: Vec<_> = (0..SEEDS).map(|seed| run(loss, seed)).collect();
        let count = |outcome| outcomes.iter().filter(|other| **other == outcome).count();
        println!(
            "{loss:2} % loss: {} complete, {} unfinished without an error, {} at the retry limit while the \
             other side had no timer, {} otherwise, {} by an alert",
            count(Outcome::Complete),
            count(Outcome::Unfinished),
            count(Outcome::GaveUpOnSilence),
            count(Outcome::GaveUp),
            count(Outcome::Alerted),
        );
    }
}

fn run(loss: u32, seed: u64) -> Outcome {
    let mut rng = ChaCha20Rng::seed_from_u64(seed << 8 | u64::from(loss));
    let start = Instant::now();
    let mut ends = two_ends(start);
    let (mut now, mut number) = (start, 0);
    let mut flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)> = BTreeMap::new();
    let mut complete = [false; 2];
    loop {
        for side in [0, 1] {
            while let Some(transmit) = ends[side].poll_transmit() {
                for _ in 0..if rng.next_u32() % 100 < 5 { 2 } else { 1 } {
                    number += 1;
                    let delay = Duration::from_millis(30 + u64::from(rng.next_u32() % 25));
                    if rng.next_u32() % 100 >= loss {
                        flying.insert((now + delay, number), (1 - side, transmit.message.to_vec()));
                    }
                }
            }
        }
        if complete == [true; 2] {
            return Outcome::Complete;
        }
        let timers = ends.iter().filter_map(|end| end.poll_timeout(&PEER));
        let Some(next) = timers.chain(flying.keys().next().map(|(at, _)| *at)).min() else {
            return Outcome::Unfinished;
        };
        now = now.max(next);
        if now > start + LIMIT {
            return Outcome::Unfinished;
        }
        for side in [0, 1] {
            let due = ends[side].poll_timeout(&PEER).is_some_and(|at| at <= now);
            if due && ends[side].handle_timeout(PEER, now).is_err() {
                let silent = !complete[1 - side] && ends[1 - side].poll_timeout(&PEER).is_none();
                return if silent { Outcome::GaveUpOnSilence } else { Outcome::GaveUp };
            }
        }
        while let Some(entry) = flying.first_entry()
            && entry.key().0 <= now
        {
            let (to, datagram) = entry.remove();
            match ends[to].read(now, PEER, None, datagram[..].into()) {
                Ok(events) => {
                    complete[to] |= events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
                }
                Err(_) => return Outcome::Alerted,
            }
        }
    }
}

/// A client that has begun and a server, each knowing the other's certificate.
fn two_ends(start: Instant) -> [Endpoint; 2] {
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let certificates = [Certificate::generate(made).unwrap(), Certificate::generate(made).unwrap()];
    let config = |role, own: usize| {
        let other = certificates[1 - own].fingerprint();
        let wrong = Arc::new(AtomicBool::new(false));
        configure(role, &certificates[own], other, &wrong, Duration::from_secs(1)).unwrap()
    };
    let mut ends = [
        Endpoint::new(PEER, TransportProtocol::UDP, None),
        Endpoint::new(PEER, TransportProtocol::UDP, Some(config(Role::Server, 1))),
    ];
    ends[0].connect(start, PEER, config(Role::Client, 0), None).unwrap();
    ends
}
