//! The blind relay without its socket: find the leg a datagram comes from and where it goes.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
    ShortTermCredentials, TransactionId,
};
use undertone_gateway::core::relay::{LegCredentials, Relay, RelayAction, RelayCommand, SlotNumbers};

/// A media datagram of our phones: RTP header, payload, tag.
const DATAGRAM_LEN: usize = 188;
/// Time between two datagrams of one leg.
const PTIME: Duration = Duration::from_millis(20);

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay");
    for calls in [1, 1_000] {
        let (mut relay, legs, mut now) = busy_relay(calls);
        let step = PTIME / legs.len() as u32;
        let mut datagram = [0x80; DATAGRAM_LEN];
        let mut at = 0;
        group.bench_with_input(BenchmarkId::new("forward a datagram, open calls", calls), &calls, |b, _| {
            b.iter(|| {
                // A stride that no cache line and no prefetcher can guess.
                at = (at + 997) % legs.len();
                now += step;
                let action = relay.handle_datagram(legs[at], black_box(&mut datagram), now);
                assert!(matches!(action, RelayAction::Forward { .. }));
                action
            });
        });
    }
    let (mut relay, ..) = busy_relay(1_000);
    let stranger = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 66), 666));
    let (now, mut datagram) = (Instant::now(), [0x80; DATAGRAM_LEN]);
    group.bench_function("drop a stranger's datagram, 1000 open calls", |b| {
        b.iter(|| relay.handle_datagram(black_box(stranger), &mut datagram, now));
    });
    group.finish();
}

/// A relay with so many calls, both legs of each admitted, and the legs' addresses.
fn busy_relay(calls: u32) -> (Relay, Vec<SocketAddr>, Instant) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut numbers = SlotNumbers::new(calls);
    let mut relay = Relay::new(calls, vec![], &mut rng);
    let now = Instant::now();
    let mut addresses = Vec::new();
    for call in 0..calls {
        let slot = numbers.allocate().unwrap();
        let legs = [LegCredentials::draw(&mut rng), LegCredentials::draw(&mut rng)];
        let order = RelayCommand::Open { slot, legs: [legs[0].duplicate(), legs[1].duplicate()] };
        relay.handle_command(order, now);
        for (side, credentials) in legs.iter().enumerate() {
            let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + call), 4_000 + side as u16));
            let mut request = check(credentials, u128::from(call * 2) + side as u128 + 1);
            let action = relay.handle_datagram(address, &mut request, now);
            assert!(matches!(action, RelayAction::Reply { .. }), "{action:?}");
            addresses.push(address);
        }
    }
    (relay, addresses, now)
}

/// A phone's authentic check.
fn check(credentials: &LegCredentials, transaction: u128) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut check = Message::builder(kind, TransactionId::from(transaction), MessageWriteVec::new());
    let username = format!("{}:phonefrag", credentials.ufrag());
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0006), username.as_bytes())).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &[0x6e, 0, 1, 0xff])).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x802a), &[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0025), &[])).unwrap();
    let key = ShortTermCredentials::new(credentials.password().to_owned()).make_key();
    check.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
    check.add_fingerprint().unwrap();
    check.finish()
}
