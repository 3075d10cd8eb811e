//! Tells the hellos of different attempts apart, and damaged copies from new ones.
//!
//! A hello is the one message nothing authenticates yet. If it arrives damaged, or late from an
//! attempt that was given up, both engines go on with keys that will never agree. The random number
//! in it shows what it is: copies of one hello differ in a few bits at most, hellos of two attempts in
//! about half of the 256.

use std::time::{Duration, Instant};

use super::Role;
use super::record::{CLIENT_HELLO, Record, SERVER_HELLO};
use crate::certificate::sha256;

/// Attempts of the peer remembered; hellos of further ones are dropped.
const MAX_ATTEMPTS: usize = 8;
/// A copy that differs from the hello in use is not believed sooner: one of the two is damaged, and
/// the handshake may succeed with the first.
const PATIENCE: Duration = Duration::from_secs(1);
/// Two random numbers differ in 128 ± 8 bits.
const NEAR_BITS: u32 = 64;

/// What a datagram means for the attempt under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It belongs to the attempt, or is no hello.
    Pass,
    /// Damaged, or of an attempt given up.
    Drop,
    /// The peer started anew.
    NewAttempt,
}

/// The peer's hellos.
pub(super) struct Hellos {
    /// Who sends them.
    sender: Role,
    current: Option<Hello>,
    retired: Vec<[u8; 32]>,
}

struct Hello {
    random: [u8; 32],
    digest: [u8; 32],
    since: Instant,
}

impl Hellos {
    pub(super) fn new(sender: Role) -> Self {
        Self { sender, current: None, retired: Vec::new() }
    }

    pub(super) fn judge(&mut self, datagram: &[u8], now: Instant) -> Verdict {
        let Some((random, digest)) = read(datagram, self.sender) else {
            return if claims_hello(datagram, self.sender) { Verdict::Drop } else { Verdict::Pass };
        };
        let hello = Hello { random, digest, since: now };
        match &self.current {
            Some(current) if current.digest == digest => Verdict::Pass,
            Some(current) if is_near(&current.random, &random) => {
                if now < current.since + PATIENCE {
                    return Verdict::Drop;
                }
                self.current = Some(hello);
                Verdict::NewAttempt
            }
            _ if self.retired.iter().any(|retired| is_near(retired, &random)) => Verdict::Drop,
            _ if self.retired.len() >= MAX_ATTEMPTS => Verdict::Drop,
            None => {
                self.current = Some(hello);
                Verdict::Pass
            }
            Some(_) => {
                self.retire();
                self.current = Some(hello);
                Verdict::NewAttempt
            }
        }
    }

    /// We start anew. A server may be sent the same hello again, a client must never take up an old one.
    pub(super) fn handle_restart(&mut self) {
        match self.sender {
            Role::Client => self.current = None,
            Role::Server => self.retire(),
        }
    }

    fn retire(&mut self) {
        if let Some(hello) = self.current.take()
            && self.retired.len() < MAX_ATTEMPTS
        {
            self.retired.push(hello.random);
        }
    }
}

/// Whether the datagram starts like a hello of that side.
fn claims_hello(datagram: &[u8], sender: Role) -> bool {
    let fragment = Record::all(datagram).next().and_then(|record| record.fragments().next());
    fragment.is_some_and(|fragment| {
        fragment.kind == kind_of(sender) && fragment.message_sequence == 0 && fragment.is_whole()
    })
}

/// Random number and digest of a whole, well-formed first hello.
fn read(datagram: &[u8], sender: Role) -> Option<([u8; 32], [u8; 32])> {
    let fragment = Record::all(datagram).next()?.fragments().next()?;
    let first = fragment.kind == kind_of(sender) && fragment.message_sequence == 0;
    if !first || !fragment.is_whole() {
        return None;
    }
    let body = fragment.body();
    let random = body.get(2..)?.first_chunk::<32>()?;
    let rest = vector(body.get(34..)?, 1)?;
    let extensions = match sender {
        Role::Client => vector(vector(vector(rest, 1)?, 2)?, 1)?,
        Role::Server => rest.get(3..)?,
    };
    (extensions.is_empty() || are_extensions(extensions)).then(|| (*random, sha256(fragment.bytes)))
}

const fn kind_of(sender: Role) -> u8 {
    match sender {
        Role::Client => CLIENT_HELLO,
        Role::Server => SERVER_HELLO,
    }
}

/// Skips a vector with a length of that many bytes (RFC 8446 §3.4).
fn vector(bytes: &[u8], len_bytes: usize) -> Option<&[u8]> {
    let (len, rest) = bytes.split_at_checked(len_bytes)?;
    rest.get(len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))..)
}

/// Whether a list of extensions is exactly as long as it says.
fn are_extensions(bytes: &[u8]) -> bool {
    if vector(bytes, 2).is_none_or(|behind| !behind.is_empty()) {
        return false;
    }
    let mut rest = &bytes[2..];
    while !rest.is_empty() {
        match rest.get(2..).and_then(|extension| vector(extension, 2)) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

fn is_near(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>() < NEAR_BITS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn copies_pass_damaged_ones_wait_and_new_ones_start_anew() {
        let start = Instant::now();
        let mut hellos = Hellos::new(Role::Client);
        let first = client_hello([1; 32]);
        let mut damaged = first.clone();
        damaged[30] ^= 4;
        assert_eq!(hellos.judge(&first, start), Verdict::Pass);
        assert_eq!(hellos.judge(&first, start), Verdict::Pass);
        assert_eq!(hellos.judge(&damaged, start), Verdict::Drop);
        let second = client_hello([0xee; 32]);
        assert_eq!(hellos.judge(&second, start), Verdict::NewAttempt);
        assert_eq!(hellos.judge(&first, start + PATIENCE), Verdict::Drop);
        let mut damaged = second.clone();
        damaged[30] ^= 4;
        assert_eq!(hellos.judge(&damaged, start + PATIENCE), Verdict::NewAttempt);
    }

    #[test]
    fn a_hello_whose_lengths_do_not_add_up_is_dropped() {
        let mut hellos = Hellos::new(Role::Client);
        let mut hello = client_hello([1; 32]);
        let last = hello.len() - 2;
        hello[last] ^= 1;
        assert_eq!(hellos.judge(&hello, Instant::now()), Verdict::Drop);
    }

    #[test]
    fn the_number_of_attempts_is_bounded() {
        let mut hellos = Hellos::new(Role::Client);
        let now = Instant::now();
        // Each two of these differ in 128 bits.
        let verdicts: Vec<_> = (0..20_u32)
            .map(|n| {
                let random = std::array::from_fn(|i| {
                    let parity = (n & u32::try_from(i).unwrap()).count_ones() % 2;
                    if parity == 0 { 0xff } else { 0 }
                });
                hellos.judge(&client_hello(random), now)
            })
            .collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::NewAttempt).count(), MAX_ATTEMPTS);
        assert_eq!(verdicts[19], Verdict::Drop);
    }

    proptest! {
        #[test]
        fn no_bytes_from_the_network_cause_a_panic(at in 0_usize..80, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut hello = client_hello([1; 32]);
            hello.truncate(at);
            hello.extend(bytes);
            for sender in [Role::Client, Role::Server] {
                let mut hellos = Hellos::new(sender);
                hellos.judge(&hello, Instant::now());
            }
        }
    }

    fn client_hello(random: [u8; 32]) -> Vec<u8> {
        let mut body = vec![254, 253];
        body.extend(random);
        body.extend([0, 0, 0, 2, 0x13, 2, 1, 0, 0, 5, 0, 43, 0, 1, 9]);
        let len = u8::try_from(body.len()).unwrap();
        let mut datagram = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, len + 12];
        datagram.extend([CLIENT_HELLO, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len]);
        datagram.extend(body);
        datagram
    }
}
