//! Somebody in between who ends both associations, proves keys of his own on both, and spends all his computing on
//! making the two legs' words alike.
//!
//! ```text
//! Alice (I) ── leg A ── relay as callee │ relay as caller ── leg B ── Bob (R)
//! ```
//! Words are taken to have 8 bits, so that success by chance is common enough to be counted.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::time::Instant;
use undertone_media::verify::Failure;

use super::line::{ALICE, BOB, Line, Party, Phone};
use super::wire::{Callee, Caller, Claim, Pair, random, revealed, words};

/// Candidates tried where everything else is known: with 8 bits they miss the target in one of 10⁷ attempts.
const TRIES: usize = 4_096;
/// Where part of the transcript can only be guessed, more candidates gain nothing.
const BLIND_TRIES: usize = 48;
/// Keys made in advance, from which long-term and ephemeral ones are picked.
const KEYS: usize = 64;

/// What the relay does with the order in which it may speak on its two legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Proves its own keys on both legs and hopes.
    Hope,
    /// Learns Bob's random octets first, so that leg B's words are fixed, then chooses its M2 for Alice.
    BobFirst,
    /// Lets Alice reveal everything first, so that leg A's words are fixed, then chooses its M1 for Bob.
    AliceFirst,
    /// As `AliceFirst`, but chooses what M3 reveals to Bob after Bob has spoken.
    OpenAnew,
}

/// Whose phone Bob has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// The product.
    Product,
    /// The same protocol written anew in this test.
    WrittenAnew,
    /// That one, but it does not look whether M3 is what M1 committed to: VFY1 as it would be without `C`.
    Careless,
}

/// What came out of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both people were shown words: what Alice's and Bob's stand for.
    Shown { alice: [u8; 4], bob: [u8; 4] },
    /// Bob's phone refused.
    Refused(Option<Failure>),
}

/// The relay.
pub(crate) struct GrindingRelay {
    rng: ChaCha20Rng,
    keys: Vec<Pair>,
}

/// Bob's phone.
enum Bob {
    Product(Box<Party>),
    WrittenAnew { callee: Box<Callee>, careless: bool },
}

impl GrindingRelay {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let keys = (0..KEYS).map(|_| Pair::draw(&mut rng)).collect();
        Self { rng, keys }
    }

    /// One call from Alice to Bob in which everything is drawn anew.
    pub(crate) fn attempt(&mut self, plan: Plan, called: Called) -> Outcome {
        let now = Instant::now();
        let (line_a, line_b) = (Line::draw(&mut self.rng), Line::draw(&mut self.rng));
        let mut alice = Phone::alice(self.rng.next_u64()).start(&line_a, now);
        let mut bob = Bob::start(called, &line_b, &mut self.rng, now);
        let m1_a = alice.says().unwrap();
        let mut callee = self.callee(line_a.cb());
        let mut caller = self.caller(line_b.cb());
        let (m1_b, m2_b, m3_a);
        if plan == Plan::BobFirst {
            m1_b = caller.first();
            m2_b = bob.second(&m1_b, now);
            let aim = words(&caller.transcript(&m1_b, &m2_b));
            self.fit_second(&mut callee, &m1_a, aim[0]);
            m3_a = alice.hear(&callee.second(&m1_a), now).unwrap();
        } else {
            m3_a = alice.hear(&callee.second(&m1_a), now).unwrap();
            let aim = words(&callee.transcript(&m1_a, revealed(&m3_a)));
            if plan != Plan::Hope {
                self.fit_first(&mut caller, aim[0]);
            }
            m1_b = caller.first();
            m2_b = bob.second(&m1_b, now);
            if plan == Plan::OpenAnew {
                self.fit_opening(&mut caller, &m1_b, &m2_b, aim[0]);
            }
        }
        alice.hear(&callee.fourth(&m1_a, &m3_a), now);
        let of_alice = words(&callee.transcript(&m1_a, revealed(&m3_a)));
        assert_eq!(
            alice.result.unwrap().words.digits(),
            digits(of_alice),
            "the relay plays by the rules towards Alice"
        );
        match bob.shows(&m1_b, &caller.third(&m1_b, &m2_b), now) {
            Ok(of_bob) => {
                let known = words(&caller.transcript(&m1_b, &m2_b));
                assert_eq!(of_bob, digits(known), "and knows what Bob sees");
                Outcome::Shown { alice: of_alice, bob: known }
            }
            Err(failure) => Outcome::Refused(failure),
        }
    }

    /// Chooses M2 for Alice, whose own octets it can only guess.
    fn fit_second(&mut self, callee: &mut Callee, m1: &[u8], aim: u8) {
        for _ in 0..BLIND_TRIES {
            let guess = self.caller([0; 32]);
            if words(&callee.transcript(m1, &guess.reveals()))[0] == aim {
                return;
            }
            *callee = self.callee(callee.cb);
        }
    }

    /// Chooses M1 for Bob, whose own octets it can only guess.
    fn fit_first(&mut self, caller: &mut Caller, aim: u8) {
        for _ in 0..BLIND_TRIES {
            let guess = self.callee([0; 32]).second_without_tag();
            if words(&caller.transcript(&caller.first(), &guess))[0] == aim {
                return;
            }
            *caller = self.caller(caller.cb);
        }
    }

    /// Chooses what M3 reveals when everything else is known.
    fn fit_opening(&mut self, caller: &mut Caller, m1: &[u8], m2: &[u8], aim: u8) {
        for count in 0..TRIES {
            if words(&caller.transcript(m1, m2))[0] == aim {
                return;
            }
            caller.random[..8].copy_from_slice(&count.to_be_bytes());
            if count % BLIND_TRIES == 0 {
                caller.claim = self.claim(ALICE);
            }
        }
    }

    /// The relay in Bob's place.
    fn callee(&mut self, cb: [u8; 32]) -> Callee {
        Callee { cb, ephemeral: self.pick(), random: random(&mut self.rng), claim: self.claim(BOB) }
    }

    /// The relay in Alice's place.
    fn caller(&mut self, cb: [u8; 32]) -> Caller {
        Caller { cb, ephemeral: self.pick(), random: random(&mut self.rng), claim: self.claim(ALICE) }
    }

    fn claim(&mut self, name: &str) -> Claim {
        Claim::of(self.pick(), name)
    }

    fn pick(&mut self) -> Pair {
        self.keys[self.rng.next_u32() as usize % KEYS].clone()
    }
}

impl Outcome {
    /// Both people were shown words that are alike in their first 8 bits.
    pub(crate) fn is_alike_in_eight_bits(self) -> bool {
        matches!(self, Self::Shown { alice, bob } if alice[0] == bob[0])
    }
}

impl Bob {
    fn start(called: Called, line: &Line, rng: &mut ChaCha20Rng, now: Instant) -> Self {
        if called == Called::Product {
            return Self::Product(Box::new(Phone::bob(rng.next_u64()).start(line, now)));
        }
        let claim = Claim::of(Pair::draw(rng), BOB);
        let callee = Callee { cb: line.cb(), ephemeral: Pair::draw(rng), random: random(rng), claim };
        Self::WrittenAnew { callee: Box::new(callee), careless: called == Called::Careless }
    }

    fn second(&mut self, m1: &[u8], now: Instant) -> Vec<u8> {
        match self {
            Self::Product(party) => party.hear(m1, now).unwrap(),
            Self::WrittenAnew { callee, .. } => callee.second(m1),
        }
    }

    /// The digits that Bob reads, or why there are none.
    fn shows(&mut self, m1: &[u8], m3: &[u8], now: Instant) -> Result<String, Option<Failure>> {
        match self {
            Self::Product(party) => {
                party.hear(m3, now);
                party.result.map(|proven| proven.words.digits())
            }
            Self::WrittenAnew { callee, .. } if !callee.believes(m1, m3) => Err(Some(Failure::ProofRefused)),
            Self::WrittenAnew { callee, careless } if !*careless && !callee.was_committed(m1, m3) => {
                Err(Some(Failure::CommitmentBroken))
            }
            Self::WrittenAnew { callee, .. } => Ok(digits(words(&callee.transcript(m1, revealed(m3))))),
        }
    }
}

fn digits(words: [u8; 4]) -> String {
    format!("{:08}", u32::from_be_bytes(words) % 100_000_000)
}
