//! One encrypted association, and the honest phone at one end of it: the product's own exchange.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::time::{Duration, Instant};
use undertone_media::dtls;
use undertone_media::keys::ExporterBlock;
use undertone_media::srtp::Profile;
use undertone_media::verify::{
    AddressHash, Capabilities, ChannelBinding, Exchange, Failure, IdentityKey, IdentityPublic, Output, Proven, Role,
    Settings,
};

use super::wire::{hash, mac};

pub(crate) const ALICE: &str = "alice@gw.example";
pub(crate) const BOB: &str = "bob@gw.example";
/// No run has so many timers and messages.
pub(crate) const MOST_STEPS: usize = 2_000;

/// An association: its SRTP keys and both certificates, as random as those of a handshake.
#[derive(Clone)]
pub(crate) struct Line {
    keys: [u8; 88],
    client: [u8; 32],
    server: [u8; 32],
}

/// What an honest phone begins with.
pub(crate) struct Phone {
    pub(crate) role: Role,
    pub(crate) own: &'static str,
    pub(crate) peer: Option<&'static str>,
    pub(crate) pinned: Option<IdentityPublic>,
    pub(crate) identity: IdentityKey,
    pub(crate) seed: u64,
}

/// An honest phone in a run.
pub(crate) struct Party {
    pub(crate) exchange: Exchange,
    /// Everything it sent, in order, repetitions included.
    pub(crate) sent: Vec<Vec<u8>>,
    /// What its person is told; `Err(None)` while nothing is.
    pub(crate) result: Result<Proven, Option<Failure>>,
    unread: usize,
}

impl Line {
    pub(crate) fn draw(rng: &mut impl RngCore) -> Self {
        let mut line = Self { keys: [0; 88], client: [0; 32], server: [0; 32] };
        rng.fill_bytes(&mut line.keys);
        rng.fill_bytes(&mut line.client);
        rng.fill_bytes(&mut line.server);
        line
    }

    /// `CB` as the product computes it.
    pub(crate) fn binding(&self, role: dtls::Role) -> ChannelBinding {
        let keys = ExporterBlock::new(Profile::AeadAes256Gcm, &self.keys).unwrap();
        match role {
            dtls::Role::Client => ChannelBinding::new(&keys, role, &self.client, &self.server),
            dtls::Role::Server => ChannelBinding::new(&keys, role, &self.server, &self.client),
        }
    }

    /// `CB` as anybody computes it who ends this association.
    pub(crate) fn cb(&self) -> [u8; 32] {
        hash(&[b"VFY1 cb", &mac(b"VFY1 channel", &[&self.keys]), &self.client, &self.server])
    }
}

impl Phone {
    /// Alice, who calls Bob.
    pub(crate) fn alice(seed: u64) -> Self {
        Self { role: Role::Initiator, own: ALICE, peer: Some(BOB), pinned: None, identity: key(seed), seed }
    }

    /// Bob, whom Alice calls.
    pub(crate) fn bob(seed: u64) -> Self {
        Self { role: Role::Responder, own: BOB, peer: Some(ALICE), pinned: None, identity: key(seed), seed }
    }

    /// Begins the run in this association. The DTLS role does not follow the call's direction.
    pub(crate) fn start(self, line: &Line, now: Instant) -> Party {
        let dtls_role = if self.own == ALICE { dtls::Role::Server } else { dtls::Role::Client };
        let settings = Settings {
            role: self.role,
            channel: line.binding(dtls_role),
            own_address: AddressHash::of(self.own),
            peer_address: self.peer.map(AddressHash::of),
            pinned: self.pinned,
            capabilities: Capabilities::default(),
            post_quantum_ran: false,
            tokens: Vec::new(),
        };
        let exchange = Exchange::new(settings, self.identity, &mut ChaCha20Rng::seed_from_u64(self.seed), now);
        Party { exchange, sent: Vec::new(), result: Err(None), unread: 0 }
    }
}

impl Party {
    /// Gives it a message, and returns what it answers at once.
    pub(crate) fn hear(&mut self, message: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.exchange.handle_message(message, now);
        self.says()
    }

    /// The oldest message it sent that nobody has read.
    pub(crate) fn says(&mut self) -> Option<Vec<u8>> {
        self.drain();
        let message = self.sent.get(self.unread)?;
        self.unread += 1;
        Some(message.clone())
    }

    /// Lets time pass for it until its run is over.
    pub(crate) fn wait(&mut self, now: Instant) {
        let end = now + Duration::from_secs(60);
        for _ in 0..MOST_STEPS {
            let Some(due) = self.exchange.poll_timeout().filter(|due| *due < end) else { return };
            self.exchange.handle_timeout(due);
            self.drain();
        }
        panic!("the run never ends");
    }

    fn drain(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Send(message) => self.sent.push(message),
                Output::Proven(proven) => self.result = Ok(*proven),
                Output::Failed(failure) => self.result = Err(Some(failure)),
                Output::LinkUsedBefore => {}
            }
        }
    }
}

/// The long-term key that belongs to this number.
pub(crate) fn key(seed: u64) -> IdentityKey {
    IdentityKey::generate(&mut ChaCha20Rng::seed_from_u64(seed ^ 0x1d00_0000_0000))
}
