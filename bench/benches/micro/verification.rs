//! VFY1, both phones' work together: keys, four messages, safety words.

use std::time::Instant;

use criterion::Criterion;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone_media::dtls;
use undertone_media::keys::ExporterBlock;
use undertone_media::srtp::Profile;
use undertone_media::verify::{
    AddressHash, Capabilities, ChannelBinding, Exchange, IdentityKey, Output, Role, Settings,
};

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("verification");
    let mut seed = 0;
    group.bench_function("whole VFY1 run, both sides", |b| {
        b.iter(|| {
            seed += 1;
            assert_eq!(run(seed), 2, "both sides have proven their keys");
        });
    });
    group.finish();
}

/// How many sides proved their keys.
fn run(seed: u64) -> usize {
    let now = Instant::now();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut sides = [
        side(Role::Initiator, dtls::Role::Client, &mut rng, now),
        side(Role::Responder, dtls::Role::Server, &mut rng, now),
    ];
    let mut proven = 0;
    loop {
        let mut moved = false;
        for from in 0..2 {
            while let Some(output) = sides[from].poll_output() {
                moved = true;
                match output {
                    Output::Send(message) => sides[1 - from].handle_message(&message, now),
                    Output::Proven(_) => proven += 1,
                    Output::Failed(failure) => panic!("{failure}"),
                    Output::LinkUsedBefore => panic!("there is no link"),
                }
            }
        }
        if !moved {
            return proven;
        }
    }
}

fn side(role: Role, dtls_role: dtls::Role, rng: &mut ChaCha20Rng, now: Instant) -> Exchange {
    let keys = ExporterBlock::new(Profile::AeadAes256Gcm, &[5; 88]).unwrap();
    let (client, server) = ([1; 32], [2; 32]);
    let (local, peer) = if dtls_role == dtls::Role::Client { (client, server) } else { (server, client) };
    let (own, other) = match role {
        Role::Initiator => ("alice@gw.example", "bob@gw.example"),
        Role::Responder => ("bob@gw.example", "alice@gw.example"),
    };
    let settings = Settings {
        role,
        channel: ChannelBinding::new(&keys, dtls_role, &local, &peer),
        own_address: AddressHash::of(own),
        peer_address: Some(AddressHash::of(other)),
        pinned: None,
        capabilities: Capabilities { ml_kem: false },
        post_quantum_ran: false,
        tokens: Vec::new(),
    };
    let identity = IdentityKey::generate(rng);
    Exchange::new(settings, identity, rng, now)
}
