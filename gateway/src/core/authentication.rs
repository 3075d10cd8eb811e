//! Authentication: digest SHA-256 with one-use nonces that belong to one flow (RFC 8760, RFC 7616).
//!
//! ```text
//! REGISTER ───────────────────▶ 401, fresh nonce of this flow
//! REGISTER + proof ───────────▶ nonce known here, unused, young? ──no──▶ 401, stale if the proof was right
//!                               proof right? ──no──▶ 403 (unknown account: same work, same answer)
//!                               └──yes──▶ the account
//! ```
//! A proof cannot be replayed: its nonce is gone with the first use and was never good on another connection.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rand_core::RngCore;
use undertone_sip::digest::{Challenge, Credentials, DigestError};
use undertone_sip::wire::uri::parse_uri;
use undertone_sip::wire::{HeaderName, Request};

use super::accounts::{AccountName, Accounts, Verifier};
use super::answers::{self, Answer};
use super::flows::Flow;
use super::hide;
use super::limits::Guesses;
use super::settings::Settings;

/// How long a nonce may be answered: the time of one round trip over a bad network and a slow phone.
pub const NONCE_LIFE: Duration = Duration::from_secs(60);

/// Nonces open per flow: a phone that registers several times at once; older ones are forgotten.
pub const MAX_NONCES_PER_FLOW: usize = 4;

/// The nonces one flow was given and has not used.
#[derive(Debug, Default)]
pub(crate) struct Challenges(VecDeque<(String, Instant)>);

impl Challenges {
    fn issue(&mut self, rng: &mut impl RngCore, now: Instant) -> String {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let nonce = bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        if self.0.len() >= MAX_NONCES_PER_FLOW {
            self.0.pop_front();
        }
        self.0.push_back((nonce.clone(), now + NONCE_LIFE));
        nonce
    }

    /// True once for each nonce issued here, within its life.
    fn spend(&mut self, nonce: &str, now: Instant) -> bool {
        self.0.retain(|(_, until)| now < *until);
        match self.0.iter().position(|(issued, _)| issued == nonce) {
            Some(at) => self.0.remove(at).is_some(),
            None => false,
        }
    }
}

/// Checks proofs. Holds what an unknown account is checked against, so that it takes the same work.
#[derive(Debug)]
pub(crate) struct Authenticator {
    nobody: Verifier,
    guesses: Guesses,
}

impl Authenticator {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self { nobody: Verifier::new(bytes), guesses: Guesses::new(rng) }
    }

    /// Who sent this request, proven by its `Authorization`; otherwise the answer to give.
    pub(crate) fn check(
        &mut self,
        request: &Request,
        flow: &mut Flow,
        accounts: &Accounts,
        settings: &Settings,
        rng: &mut impl RngCore,
        now: Instant,
    ) -> Result<AccountName, Answer> {
        let Some(proof) = proof(request, settings)? else {
            return Err(challenge(flow, false, settings, rng, now));
        };
        if !self.may_guess(flow, &proof.username, now) {
            return Err(answers::SLOW_DOWN.with(HeaderName::RetryAfter, "1".to_owned()));
        }
        let fresh = flow.challenges.spend(&proof.nonce, now);
        let account = AccountName::parse(&proof.username).ok();
        let verifier = account.as_ref().and_then(|account| accounts.verifier(account));
        let right = proof.verify(verifier.unwrap_or(&self.nobody).expose(), &request.method);
        let uri_is_ours = parse_uri(&proof.uri).is_ok_and(|uri| hide::is_ours(&uri, settings));
        match account.filter(|_| right && verifier.is_some() && uri_is_ours) {
            right if !fresh => Err(challenge(flow, right.is_some(), settings, rng, now)),
            Some(_) if proof.nc != 1 => Err(answers::NONCE_COUNT),
            Some(account) => {
                self.put_back(flow, &proof.username);
                Ok(account)
            }
            None => Err(answers::WRONG_PASSWORD),
        }
    }

    /// Whether this flow may try one more password or token for this account.
    pub(crate) fn may_guess(&mut self, flow: &mut Flow, name: &str, now: Instant) -> bool {
        flow.guesses.take(now) && self.guesses.take(flow.origin, name, now)
    }

    /// What was tried was right, so it counts as no guess.
    pub(crate) fn put_back(&mut self, flow: &mut Flow, name: &str) {
        flow.guesses.put_back();
        self.guesses.put_back(flow.origin, name);
    }
}

/// The proof meant for our realm, if the request has one.
fn proof(request: &Request, settings: &Settings) -> Result<Option<Credentials>, Answer> {
    for value in request.headers.get_all(&HeaderName::Authorization) {
        match Credentials::parse(value) {
            Ok(proof) if proof.realm == settings.domain.as_str() => return Ok(Some(proof)),
            Ok(_) | Err(DigestError::OtherScheme) => {}
            Err(DigestError::Md5Refused | DigestError::UnknownAlgorithm | DigestError::NoQopAuth) => {
                return Err(answers::WEAK_DIGEST);
            }
            Err(DigestError::Malformed | DigestError::Missing(_)) => return Err(answers::BAD_DIGEST),
        }
    }
    Ok(None)
}

/// A new challenge. `stale` tells a phone that knows its password to answer again without asking its owner.
fn challenge(flow: &mut Flow, stale: bool, settings: &Settings, rng: &mut impl RngCore, now: Instant) -> Answer {
    let nonce = flow.challenges.issue(rng, now);
    let challenge = Challenge { realm: settings.domain.as_str().to_owned(), nonce, opaque: None, stale };
    answers::UNAUTHORIZED.with(HeaderName::WwwAuthenticate, challenge.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let (mut rng, now) = (ChaCha20Rng::seed_from_u64(1), Instant::now());
        let mut challenges = Challenges::default();
        let nonce = challenges.issue(&mut rng, now);
        assert!(!challenges.spend("0123", now));
        assert!(challenges.spend(&nonce, now));
        assert!(!challenges.spend(&nonce, now));
        let late = challenges.issue(&mut rng, now);
        assert!(!challenges.spend(&late, now + NONCE_LIFE));
        assert!(challenges.0.is_empty());
    }

    #[test]
    fn a_flow_holds_few_nonces_and_forgets_the_oldest() {
        let (mut rng, now) = (ChaCha20Rng::seed_from_u64(1), Instant::now());
        let mut challenges = Challenges::default();
        let nonces: Vec<String> = (0..=MAX_NONCES_PER_FLOW).map(|_| challenges.issue(&mut rng, now)).collect();
        assert_eq!(challenges.0.len(), MAX_NONCES_PER_FLOW);
        assert!(!challenges.spend(&nonces[0], now));
        assert!(nonces[1..].iter().all(|nonce| challenges.spend(nonce, now)));
    }
}
