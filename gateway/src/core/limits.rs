//! Limits: how much one connection, one account, one stranger may take, without storing an address.
//!
//! Password guesses are counted per connection and per (network, account) pair. There is no bucket per
//! account alone: anybody could then lock an account out by guessing at it. The network is known only as
//! an [`Origin`]: an HMAC under a random key of the /24 or /56 prefix, made outside the core, so the core
//! never holds an address. Keys of buckets are pseudonyms too, so a stranger cannot make us keep what he typed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::RngCore;

use super::pseudonym::{Pseudonym, PseudonymKey};

/// Calls one account may have at a time, placed and received together: enough for a call waiting and a
/// transfer by hand, few enough that one stolen account cannot fill the relay.
pub const MAX_CALLS_PER_ACCOUNT: usize = 4;

/// Password guesses per second; passwords have 128 bits, so this only keeps digest work cheap.
pub const GUESSES_PER_S: u32 = 5;

/// Guess buckets that are not full, i.e. networks that guessed within the last second.
pub const MAX_GUESS_BUCKETS: usize = 4_096;

/// SIP messages per second from one connection. A call takes about ten messages in all.
pub const MESSAGES_PER_S: u32 = 50;

/// SIP messages one connection may send at once: ten devices' worth of answers to forked calls.
pub const MESSAGES_BURST: u32 = 100;

/// INVITEs one connection may send in all while nobody is signed in on it. Each is refused, but leaves a transaction
/// for half a minute if its sender does not acknowledge: all connections together must not fill the user agent's
/// table (65,536 transactions, 4,096 connections). A phone sends one at most, when its sign-in has just run out.
pub const MAX_STRANGERS_INVITES: u8 = 12;

/// Tokens refilled at a steady rate up to a burst; each action takes one.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_s: u32,
    burst: u32,
    /// Tokens in billionths, so that refilling by nanoseconds loses nothing.
    nano_tokens: u64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        Self { per_s, burst, nano_tokens: u64::from(burst) * NANO, updated: now }
    }

    /// Takes one token; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        match self.nano_tokens.checked_sub(NANO) {
            Some(rest) => {
                self.nano_tokens = rest;
                true
            }
            None => false,
        }
    }

    /// Gives a token back: what it was taken for does not count after all.
    pub fn put_back(&mut self) {
        self.nano_tokens = (self.nano_tokens + NANO).min(u64::from(self.burst) * NANO);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.nano_tokens == u64::from(self.burst) * NANO
    }

    fn refill(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.updated).min(LONGEST_IDLE);
        self.updated = self.updated.max(now);
        let grown = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX).saturating_mul(u64::from(self.per_s));
        self.nano_tokens = self.nano_tokens.saturating_add(grown).min(u64::from(self.burst) * NANO);
    }
}

const NANO: u64 = 1_000_000_000;
/// A bucket idle for longer than this is full whatever its rate: keeps the arithmetic small.
const LONGEST_IDLE: Duration = Duration::from_secs(3_600);

/// Where a connection comes from, as an opaque value: equal for connections from one network while one salt is in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(Pseudonym);

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

/// The key that turns addresses into [`Origin`]s. Lives in memory only; the shell draws a new one every hour or so.
pub struct OriginSalt(PseudonymKey);

impl OriginSalt {
    /// A fresh salt.
    pub fn draw(rng: &mut impl RngCore) -> Self {
        Self(PseudonymKey::draw(rng))
    }

    /// The origin of an address: its /24 (IPv4, also mapped into IPv6) or /56 (IPv6) prefix under this salt.
    pub fn origin(&self, address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(v4) => Origin(self.0.of(&[b"4", &v4.octets()[..3]])),
            IpAddr::V6(v6) => Origin(self.0.of(&[b"6", &v6.octets()[..7]])),
        }
    }
}

impl fmt::Debug for OriginSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginSalt")
    }
}

/// Password guesses per (origin, account name as typed).
pub(crate) struct Guesses {
    key: PseudonymKey,
    buckets: BTreeMap<Pseudonym, TokenBucket>,
}

impl Guesses {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { key: PseudonymKey::draw(rng), buckets: BTreeMap::new() }
    }

    /// True if one more guess is allowed now. When too many networks guess at once, nobody new may.
    ///
    /// A right password is [`put back`](Guesses::put_back): ten phones behind one router may all come back at once.
    pub(crate) fn take(&mut self, origin: Origin, name: &str, now: Instant) -> bool {
        let key = self.key.of(&[origin.0.bytes(), name.as_bytes()]);
        if !self.buckets.contains_key(&key) && self.buckets.len() >= MAX_GUESS_BUCKETS {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            if self.buckets.len() >= MAX_GUESS_BUCKETS {
                return false;
            }
        }
        self.buckets.entry(key).or_insert_with(|| TokenBucket::new(GUESSES_PER_S, GUESSES_PER_S, now)).take(now)
    }

    /// The guess was no guess.
    pub(crate) fn put_back(&mut self, origin: Origin, name: &str) {
        if let Some(bucket) = self.buckets.get_mut(&self.key.of(&[origin.0.bytes(), name.as_bytes()])) {
            bucket.put_back();
        }
    }
}

impl fmt::Debug for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guesses")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(5, 5, start);
        assert_eq!((0..10).filter(|_| bucket.take(start)).count(), 5);
        assert!(!bucket.take(start + Duration::from_millis(199)));
        assert!(bucket.take(start + Duration::from_millis(200)));
        assert!(!bucket.take(start + Duration::from_millis(201)));
        let later = start + Duration::from_secs(86_400);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 5);
    }

    #[test]
    fn neighbours_share_an_origin_and_a_new_salt_forgets_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let salt = OriginSalt::draw(&mut rng);
        let origin = |text: &str| salt.origin(text.parse().unwrap());
        assert_eq!(origin("192.0.2.1"), origin("192.0.2.200"));
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.7"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.3.1"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8:0:ff::2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:100::1"));
        assert_ne!(origin("192.0.2.1"), OriginSalt::draw(&mut rng).origin("192.0.2.1".parse().unwrap()));
        assert_eq!(format!("{:?} {salt:?}", origin("192.0.2.1")), "Origin OriginSalt");
    }

    #[test]
    fn guesses_at_one_account_from_elsewhere_do_not_lock_its_owner_out() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let now = Instant::now();
        let salt = OriginSalt::draw(&mut rng);
        let (stranger, owner) = (salt.origin([198, 51, 100, 1].into()), salt.origin([192, 0, 2, 1].into()));
        let mut guesses = Guesses::new(&mut rng);
        assert_eq!((0..50).filter(|_| guesses.take(stranger, "alice", now)).count(), 5);
        assert!(guesses.take(owner, "alice", now));
    }

    #[test]
    fn the_table_of_guessers_is_bounded_and_empties_itself() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let now = Instant::now();
        let origin = OriginSalt::draw(&mut rng).origin([192, 0, 2, 1].into());
        let mut guesses = Guesses::new(&mut rng);
        for n in 0..MAX_GUESS_BUCKETS {
            assert!(guesses.take(origin, &format!("name{n}"), now));
        }
        assert!(!guesses.take(origin, "one more", now));
        assert_eq!(guesses.buckets.len(), MAX_GUESS_BUCKETS);
        assert!(guesses.take(origin, "one more", now + Duration::from_secs(1)));
        assert_eq!(guesses.buckets.len(), 1);
    }
}
