//! What must hold whatever arrives at the relay's port.
//!
//! The input is a sequence of datagrams: one octet chooses the source and how much time has passed, two give the
//! length, the rest is the datagram.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use undertone_gateway::core::relay::{LegCredentials, MAX_DATAGRAM_LEN, Relay, RelayAction, RelayCommand, SlotNumbers};

/// Seed of the call's credentials: fixed, so that the corpus can hold checks that admit.
pub const SEED: u64 = 1;

/// The credentials of both legs.
pub fn credentials() -> [LegCredentials; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    [LegCredentials::draw(&mut rng), LegCredentials::draw(&mut rng)]
}

/// Feeds the input and checks that nothing leaves towards anybody who was not admitted, that no answer is longer than
/// its question, and that nothing leaves at all once the call is closed.
pub fn check(input: &[u8]) {
    let mut relay = Relay::new(2, Vec::new(), &mut ChaCha20Rng::seed_from_u64(2));
    let mut numbers = SlotNumbers::new(2);
    let mut now = Instant::now();
    let Some(slot) = numbers.allocate() else { return };
    relay.handle_command(RelayCommand::Open { slot, legs: credentials() }, now);
    let mut admitted = BTreeSet::new();
    let mut rest = input;
    while let Some((from, after, datagram)) = next(rest) {
        rest = after;
        now += Duration::from_millis(u64::from(rest.len() as u8));
        let before = datagram.to_vec();
        let mut bytes = before.clone();
        match relay.handle_datagram(from, &mut bytes, now) {
            RelayAction::Drop => {}
            RelayAction::Reply { len } => {
                assert!(len <= before.len(), "an answer longer than its question");
                admitted.insert(from);
            }
            RelayAction::Forward { to } => {
                assert!(admitted.contains(&to) && admitted.contains(&from), "between strangers");
                assert_eq!(bytes, before, "changed on its way");
            }
        }
        let mut held = [0; MAX_DATAGRAM_LEN];
        while let Some((_, to)) = relay.take_held(&mut held) {
            assert!(admitted.contains(&to), "held for a stranger");
        }
        relay.handle_timeout(now);
    }
    relay.handle_command(RelayCommand::Close { slot }, now);
    let mut rest = input;
    while let Some((from, after, datagram)) = next(rest) {
        rest = after;
        assert_eq!(relay.handle_datagram(from, &mut datagram.to_vec(), now), RelayAction::Drop, "after the close");
    }
}

fn next(input: &[u8]) -> Option<(SocketAddr, &[u8], &[u8])> {
    let (head, rest) = input.split_first_chunk::<3>()?;
    let len = usize::from(u16::from_be_bytes([head[1], head[2]])).min(rest.len());
    let (datagram, rest) = rest.split_at(len);
    let from = match head[0] % 4 {
        0 => SocketAddr::from(([192, 0, 2, 1], 4_000)),
        1 => SocketAddr::from(([198, 51, 100, 2], 5_000)),
        2 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 6_000)),
        _ => SocketAddr::from(([203, 0, 113, 66], 666)),
    };
    Some((from, rest, datagram))
}
