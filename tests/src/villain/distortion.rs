//! Messages on their way: cut, changed, doubled, reordered, delayed, repeated.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use super::mischief::Distortion;

/// Messages kept for being repeated: more than one handshake or verification has.
const MAX_EARLIER: usize = 64;

/// One direction.
pub(super) struct Distorter {
    distortions: Vec<Distortion>,
    held: Option<Vec<u8>>,
    earlier: Vec<Vec<u8>>,
    /// How many messages came out otherwise than they went in.
    pub(super) changed: usize,
    rng: ChaCha20Rng,
}

impl Distorter {
    pub(super) fn new(distortions: Vec<Distortion>, rng: ChaCha20Rng) -> Self {
        Self { distortions, held: None, earlier: Vec::new(), changed: 0, rng }
    }

    /// What arrives in place of this message, and how much later.
    pub(super) fn distort(&mut self, message: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
        let mut out = vec![(Duration::ZERO, message)];
        for distortion in self.distortions.clone() {
            let before = out.clone();
            out = out.into_iter().flat_map(|(delay, message)| self.apply(distortion, delay, message)).collect();
            self.changed += usize::from(out != before);
        }
        out
    }

    fn apply(&mut self, distortion: Distortion, delay: Duration, mut message: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
        match distortion {
            Distortion::CutsShort => {
                message.pop();
                vec![(delay, message)]
            }
            Distortion::TurnsABit => {
                if !message.is_empty() {
                    let octet = self.rng.next_u32() as usize % message.len();
                    message[octet] ^= 1 << (self.rng.next_u32() % 8);
                }
                vec![(delay, message)]
            }
            Distortion::Doubles => vec![(delay, message.clone()), (delay, message)],
            Distortion::Reorders => match self.held.take() {
                None => {
                    self.held = Some(message);
                    Vec::new()
                }
                Some(held) => vec![(delay, message), (delay, held)],
            },
            Distortion::Delays(more) => vec![(delay + more, message)],
            Distortion::RepeatsEarlier => {
                let pick = (!self.earlier.is_empty()).then(|| self.rng.next_u32() as usize % self.earlier.len());
                let again = pick.map(|at| (delay, self.earlier[at].clone()));
                if self.earlier.len() < MAX_EARLIER {
                    self.earlier.push(message.clone());
                }
                [Some((delay, message)), again].into_iter().flatten().collect()
            }
        }
    }
}
