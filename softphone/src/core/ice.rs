//! The phone's end of ICE towards a relay: RFC 8445 with an ice-lite other side (§2.5), consent by RFC 7675.
//!
//! The phone is the full agent and always controlling (RFC 8445 §6.1.1). It offers no candidates of its own; it checks
//! every candidate of the relay at once and uses the first that answers with a valid integrity code.
//!
//! ```text
//!   Checking ──valid answer──▶ Connected ──no answer for 30 s──▶ Lost
//!      │                          │  ▲
//!      │ 8 s without answer       └──┘ consent check every 5 s ± 20 %
//!      ▼
//!   Unreachable                   restart(): Checking anew, the old path stays in use until the new one answers
//! ```
//! Where sound has come and stops, the path is checked at once: the network may have given the phone another address.
//! Each transmission is a check of its own with a fresh transaction id (a relay that is ice-lite answers each from
//! scratch), so an answer tells the round trip exactly, however often a check was repeated.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::RngCore;
use stun_types::attribute::{AttributeType, RawAttribute, XorMappedAddress};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
    MessageWriteVec, ShortTermCredentials, TransactionId,
};
use zeroize::Zeroizing;

/// First repetition of an unanswered check; doubles up to [`CHECK_INTERVAL_MAX`].
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two checks of one candidate: a lossy path must still come up within a second.
const CHECK_INTERVAL_MAX: Duration = Duration::from_millis(400);
/// After this long without any answer there is no path; before the ten seconds are over that the whole connecting may
/// take, so that the person learns what was missing.
const CHECKING_TIME: Duration = Duration::from_secs(8);
/// RFC 7675 §5.1: pause between consent checks, before the jitter of ± 20 %.
const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
/// RFC 7675 §5.1: consent expires this long after the last valid answer; then nothing more may be sent.
const CONSENT_TIME: Duration = Duration::from_secs(30);
/// Sound comes every 20 ms; when nothing came for this long, the network may have given the phone another address (a
/// NAT that rebinds), which the relay learns only by a check. So one is sent at once, and again after twice the pause.
const QUIET_TIME: Duration = Duration::from_millis(200);
/// A relay has one address per family; more than two of each family is an attempt to make the phone a packet cannon.
pub const MAX_CANDIDATES: usize = 4;
/// Checks whose answers are still waited for: eight rounds of checks to each of [`MAX_CANDIDATES`].
pub const MAX_OUTSTANDING: usize = 32;
/// RFC 8445 §5.1.2.1 for a peer-reflexive candidate (preference 110) of the only interface and component.
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;
/// Length of the user name fragment the phone draws (48 bits; RFC 8445 §5.3 asks for 24).
const UFRAG_LEN: usize = 8;
/// Length of the password the phone draws (144 bits; RFC 8445 §5.3 asks for 128).
const PASSWORD_LEN: usize = 24;

const USERNAME: AttributeType = AttributeType::new(0x0006);
const PRIORITY_ATTRIBUTE: AttributeType = AttributeType::new(0x0024);
const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802a);

/// A user name fragment and the password that belongs to it; one side's half of an ICE session.
pub struct Credentials {
    /// Goes in clear into every check.
    pub ufrag: String,
    /// Keys the integrity code of the checks *towards* its owner.
    pub password: Zeroizing<String>,
}

/// What is needed to reach the other side.
pub struct Remote {
    /// The other side's half of the credentials.
    pub credentials: Credentials,
    /// Where it may be reached, in its order of preference; at most [`MAX_CANDIDATES`] are used.
    pub candidates: Vec<SocketAddr>,
}

/// What the client wants done, or has found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// A STUN message.
        bytes: Vec<u8>,
    },
    /// There is a path (or, after a restart, a new one).
    Selected {
        /// The address that answered first.
        remote: SocketAddr,
    },
    /// No candidate answered in time. Final until a restart.
    Unreachable,
    /// The chosen address stopped answering. Final until a restart.
    Lost,
}

/// What was received and not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Not a STUN message, or one of a kind this client has no use for.
    pub malformed: u64,
    /// From an address that is none of the candidates.
    pub stranger: u64,
    /// Integrity code missing or wrong, or a user name that is not ours.
    pub unauthentic: u64,
    /// An answer to nothing that is still waited for.
    pub unasked: u64,
}

/// The ICE client of one call.
pub struct IceClient {
    local: Keyed,
    remote: Keyed,
    tie_breaker: u64,
    state: State,
    selected: Option<SocketAddr>,
    quiet: Option<Quiet>,
    validated: BTreeSet<SocketAddr>,
    checks: Vec<Check>,
    outstanding: VecDeque<Sent>,
    round_trip: Option<Duration>,
    dropped: Dropped,
    outputs: VecDeque<Output>,
}

struct Keyed {
    ufrag: String,
    key: IntegrityKey,
}

#[derive(Clone, Copy)]
enum State {
    Checking { until: Instant },
    Connected { next_check: Instant, consent_until: Instant },
    Over,
}

/// When the path counts as quiet, and the pause until then.
#[derive(Clone, Copy)]
struct Quiet {
    at: Instant,
    pause: Duration,
}

struct Check {
    to: SocketAddr,
    next: Instant,
    interval: Duration,
}

struct Sent {
    id: TransactionId,
    to: SocketAddr,
    at: Instant,
}

impl Credentials {
    /// New credentials from the random source (letters and digits, RFC 8445 §5.3).
    pub fn draw(rng: &mut impl RngCore) -> Self {
        Self { ufrag: draw_text(rng, UFRAG_LEN), password: Zeroizing::new(draw_text(rng, PASSWORD_LEN)) }
    }

    /// A second copy for the media path, which lives on another thread than the offer.
    pub fn duplicate(&self) -> Self {
        Self { ufrag: self.ufrag.clone(), password: self.password.clone() }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ice::Credentials")
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ice::Remote")
    }
}

impl Keyed {
    fn new(credentials: Credentials) -> Self {
        let password = credentials.password.as_str().to_owned();
        Self { ufrag: credentials.ufrag, key: ShortTermCredentials::new(password).make_key() }
    }
}

impl IceClient {
    /// Starts checking at once; the first checks come out of [`Self::poll_output`] after [`Self::handle_timeout`].
    pub fn new(local: Credentials, remote: Remote, rng: &mut impl RngCore, now: Instant) -> Self {
        let candidates = usable(remote.candidates);
        Self {
            local: Keyed::new(local),
            remote: Keyed::new(remote.credentials),
            tie_breaker: rng.next_u64(),
            state: State::Checking { until: now + CHECKING_TIME },
            selected: None,
            quiet: None,
            validated: BTreeSet::new(),
            checks: checks(&candidates, now),
            outstanding: VecDeque::new(),
            round_trip: None,
            dropped: Dropped::default(),
            outputs: VecDeque::new(),
        }
    }

    /// RFC 8445 §9: new credentials and candidates; the old path stays in use until a new check is answered.
    pub fn restart(&mut self, local: Credentials, remote: Remote, now: Instant) {
        self.local = Keyed::new(local);
        self.remote = Keyed::new(remote.credentials);
        self.outstanding.clear();
        self.checks = checks(&usable(remote.candidates), now);
        self.state = State::Checking { until: now + CHECKING_TIME };
    }

    /// The address to send to, once one has answered and as long as it does.
    pub fn selected(&self) -> Option<SocketAddr> {
        match self.state {
            State::Over => None,
            State::Checking { .. } | State::Connected { .. } => self.selected,
        }
    }

    /// Whether this address has proved that it knows the other side's password.
    ///
    /// A relay with two addresses may speak from either of them until it has seen the choice.
    pub fn is_validated(&self, from: SocketAddr) -> bool {
        self.validated.contains(&from)
    }

    /// Smoothed round trip to the chosen address.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What was received and not used.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// A datagram whose first byte says STUN (0–3, RFC 7983).
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], rng: &mut impl RngCore, now: Instant) {
        let Ok(message) = Message::from_bytes(bytes) else {
            self.dropped.malformed += 1;
            return;
        };
        if message.method() != BINDING {
            self.dropped.malformed += 1;
            return;
        }
        match message.class() {
            MessageClass::Success => self.handle_answer(from, &message, rng, now),
            MessageClass::Request => self.handle_request(from, &message),
            // An error answer carries nothing a controlling agent towards a lite one acts on: the check is repeated.
            MessageClass::Error | MessageClass::Indication => self.dropped.malformed += 1,
        }
    }

    /// Something of the other side's has arrived from a validated address: the path carries.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        self.quiet = Some(Quiet { at: now + QUIET_TIME, pause: QUIET_TIME });
    }

    /// Sends what is due and notices what has expired.
    pub fn handle_timeout(&mut self, rng: &mut impl RngCore, now: Instant) {
        match self.state {
            State::Checking { until } if now >= until => self.end(Output::Unreachable),
            State::Checking { .. } => self.send_due_checks(rng, now),
            State::Connected { consent_until, .. } if now >= consent_until => self.end(Output::Lost),
            State::Connected { next_check, consent_until } if now >= next_check => {
                let next_check = now + jittered(CONSENT_INTERVAL, rng);
                self.state = State::Connected { next_check, consent_until };
                self.check_selected(rng, now);
            }
            State::Connected { .. } => self.check_if_quiet(rng, now),
            State::Over => {}
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Checking { until } => Some(self.checks.iter().map(|check| check.next).fold(until, Instant::min)),
            State::Connected { next_check, consent_until } => {
                let quiet_at = self.quiet.map_or(next_check, |quiet| quiet.at);
                Some(next_check.min(consent_until).min(quiet_at))
            }
            State::Over => None,
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Checks ever less often until the checks for consent are as frequent.
    fn check_if_quiet(&mut self, rng: &mut impl RngCore, now: Instant) {
        let Some(Quiet { pause, .. }) = self.quiet.filter(|quiet| now >= quiet.at) else { return };
        let pause = pause * 2;
        self.quiet = (pause < CONSENT_INTERVAL).then_some(Quiet { at: now + pause, pause });
        self.check_selected(rng, now);
    }

    fn handle_answer(&mut self, from: SocketAddr, message: &Message<'_>, rng: &mut impl RngCore, now: Instant) {
        let id = message.transaction_id();
        let Some(index) = self.outstanding.iter().position(|sent| sent.id == id && sent.to == from) else {
            self.dropped.unasked += 1;
            return;
        };
        if message.validate_integrity_with_key(&self.remote.key).is_err() {
            self.dropped.unauthentic += 1;
            return;
        }
        let Some(sent) = self.outstanding.remove(index) else { return };
        if !matches!(self.state, State::Over) {
            self.validated.insert(from);
        }
        match self.state {
            State::Checking { .. } => self.select(from, now.saturating_duration_since(sent.at), rng, now),
            State::Connected { next_check, .. } if self.selected == Some(from) => {
                self.measure(now.saturating_duration_since(sent.at));
                let consent_until = now + CONSENT_TIME;
                self.state = State::Connected { next_check, consent_until };
            }
            State::Connected { .. } | State::Over => {}
        }
    }

    fn select(&mut self, remote: SocketAddr, round_trip: Duration, rng: &mut impl RngCore, now: Instant) {
        let had_choice = self.checks.len() > 1;
        self.checks.clear();
        self.validated = BTreeSet::from([remote]);
        self.selected = Some(remote);
        self.round_trip = None;
        self.measure(round_trip);
        let next_check = now + jittered(CONSENT_INTERVAL, rng);
        self.state = State::Connected { next_check, consent_until: now + CONSENT_TIME };
        self.outputs.push_back(Output::Selected { remote });
        if had_choice {
            // The relay follows the latest check: the chosen address must be the last one it heard.
            self.check_selected(rng, now);
        }
    }

    fn handle_request(&mut self, from: SocketAddr, message: &Message<'_>) {
        let known = self.validated.contains(&from) || self.checks.iter().any(|check| check.to == from);
        if !known {
            self.dropped.stranger += 1;
            return;
        }
        let ours = format!("{}:{}", self.local.ufrag, self.remote.ufrag);
        let named = message.raw_attribute(USERNAME).is_some_and(|name| *name.value == *ours.as_bytes());
        if !named || message.validate_integrity_with_key(&self.local.key).is_err() {
            self.dropped.unauthentic += 1;
            return;
        }
        if let Some(bytes) = answer(message, from, &self.local.key) {
            self.outputs.push_back(Output::Transmit { to: from, bytes });
        }
    }

    fn send_due_checks(&mut self, rng: &mut impl RngCore, now: Instant) {
        let mut due = Vec::with_capacity(self.checks.len());
        for check in self.checks.iter_mut().filter(|check| now >= check.next) {
            check.next = now + check.interval;
            check.interval = (check.interval * 2).min(CHECK_INTERVAL_MAX);
            due.push(check.to);
        }
        for to in due {
            self.send_check(to, rng, now);
        }
    }

    fn check_selected(&mut self, rng: &mut impl RngCore, now: Instant) {
        if let Some(remote) = self.selected {
            self.send_check(remote, rng, now);
        }
    }

    fn send_check(&mut self, to: SocketAddr, rng: &mut impl RngCore, now: Instant) {
        let id = draw_transaction_id(rng);
        let Some(bytes) = self.request(id) else { return };
        if self.outstanding.len() == MAX_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(Sent { id, to, at: now });
        self.outputs.push_back(Output::Transmit { to, bytes });
    }

    /// RFC 8445 §7.2.2. `None` only if the user name does not fit a STUN attribute.
    fn request(&self, id: TransactionId) -> Option<Vec<u8>> {
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let mut request = Message::builder(kind, id, MessageWriteVec::with_capacity(128));
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        request.add_attribute(&RawAttribute::new(USERNAME, username.as_bytes())).ok()?;
        request.add_attribute(&RawAttribute::new(PRIORITY_ATTRIBUTE, &PRIORITY.to_be_bytes())).ok()?;
        request.add_attribute(&RawAttribute::new(ICE_CONTROLLING, &self.tie_breaker.to_be_bytes())).ok()?;
        request.add_attribute(&RawAttribute::new(USE_CANDIDATE, &[])).ok()?;
        request.add_message_integrity_with_key(&self.remote.key, IntegrityAlgorithm::Sha1).ok()?;
        request.add_fingerprint().ok()?;
        Some(request.finish())
    }

    fn measure(&mut self, sample: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => sample,
            Some(smoothed) => (smoothed * 7 + sample) / 8,
        });
    }

    fn end(&mut self, why: Output) {
        self.state = State::Over;
        self.checks.clear();
        self.outstanding.clear();
        self.outputs.push_back(why);
    }
}

/// The candidates worth a check: each once, and no address that reaches many or nobody.
fn usable(candidates: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut usable: Vec<SocketAddr> = Vec::new();
    for candidate in candidates {
        if is_sendable(candidate) && !usable.contains(&candidate) && usable.len() < MAX_CANDIDATES {
            usable.push(candidate);
        }
    }
    usable
}

/// Whether a datagram to this address reaches at most one host.
pub fn is_sendable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

fn checks(candidates: &[SocketAddr], now: Instant) -> Vec<Check> {
    let check = |to: &SocketAddr| Check { to: *to, next: now, interval: CHECK_INTERVAL_MIN };
    candidates.iter().map(check).collect()
}

/// RFC 8489 §6.3.1.1 with the integrity code of the request's own key.
fn answer(request: &Message<'_>, from: SocketAddr, key: &IntegrityKey) -> Option<Vec<u8>> {
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(80));
    answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).ok()?;
    answer.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1).ok()?;
    answer.add_fingerprint().ok()?;
    Some(answer.finish())
}

fn draw_transaction_id(rng: &mut impl RngCore) -> TransactionId {
    let high = u128::from(rng.next_u64());
    let low = u128::from(rng.next_u32());
    TransactionId::from((high << 32) | low)
}

/// ± 20 % (RFC 7675 §5.1), so that phones of one relay do not fall into step.
fn jittered(interval: Duration, rng: &mut impl RngCore) -> Duration {
    let permille = 800 + rng.next_u32() % 401;
    interval * permille / 1000
}

/// 64 characters, so that six random bits make one without bias.
pub(super) fn draw_text(rng: &mut impl RngCore, len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..len).map(|_| char::from(ALPHABET[(rng.next_u32() % 64) as usize])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const RELAY: &str = "192.0.2.10:3478";
    const RELAY_V6: &str = "[2001:db8::10]:3478";

    #[test]
    fn the_first_check_carries_the_required_attributes_and_a_valid_integrity_code() {
        let mut test = Bench::new(&[RELAY]);
        let (to, bytes) = test.sent().remove(0);
        assert_eq!(to, address(RELAY));
        let check = Message::from_bytes(&bytes).unwrap();
        assert_eq!(check.class(), MessageClass::Request);
        assert_eq!(check.raw_attribute(USERNAME).unwrap().value.as_ref(), b"relayfrag:phonefrag");
        assert!(check.raw_attribute(USE_CANDIDATE).is_some());
        assert_eq!(check.raw_attribute(PRIORITY_ATTRIBUTE).unwrap().value.len(), 4);
        assert_eq!(check.raw_attribute(ICE_CONTROLLING).unwrap().value.len(), 8);
        assert!(check.validate_integrity_with_key(&key("relay password")).is_ok());
    }

    #[test]
    fn unanswered_checks_are_repeated_after_50_ms_doubling_up_to_400_ms() {
        let mut test = Bench::new(&[RELAY]);
        let mut sent_at = Vec::new();
        while test.elapsed() < Duration::from_millis(2000) {
            if !test.sent().is_empty() {
                sent_at.push(test.elapsed().as_millis());
            }
            test.advance(Duration::from_millis(10));
        }
        assert_eq!(sent_at, [0, 50, 150, 350, 750, 1150, 1550, 1950]);
    }

    #[test]
    fn the_first_candidate_to_answer_is_used_and_checked_once_more() {
        let mut test = Bench::new(&[RELAY_V6, RELAY]);
        let sent = test.sent();
        assert_eq!(sent.len(), 2);
        test.advance(Duration::from_millis(30));
        test.answer(&sent[1]);
        assert_eq!(test.ice.selected(), Some(address(RELAY)));
        assert_eq!(test.ice.round_trip(), Some(Duration::from_millis(30)));
        let confirming = test.sent();
        assert_eq!(confirming.len(), 1);
        assert_eq!(confirming[0].0, address(RELAY));
        assert!(!test.ice.is_validated(address(RELAY_V6)));
        test.answer(&sent[0]);
        assert!(test.ice.is_validated(address(RELAY_V6)), "it answered as well");
        assert_eq!(test.ice.selected(), Some(address(RELAY)), "the choice stays");
    }

    #[test]
    fn an_answer_with_a_wrong_or_missing_integrity_code_is_counted_and_not_believed() {
        let mut test = Bench::new(&[RELAY]);
        let sent = test.sent();
        test.answer_with(&sent[0], Some("wrong password"), address(RELAY));
        test.answer_with(&sent[0], None, address(RELAY));
        assert_eq!(test.ice.selected(), None);
        assert_eq!(test.ice.dropped().unauthentic, 2);
        test.answer(&sent[0]);
        assert_eq!(test.ice.selected(), Some(address(RELAY)));
    }

    #[test]
    fn an_answer_from_another_address_or_to_nothing_is_counted_and_not_believed() {
        let mut test = Bench::new(&[RELAY]);
        let sent = test.sent();
        test.answer_with(&sent[0], Some("relay password"), address("192.0.2.66:3478"));
        test.answer(&sent[0]);
        test.answer(&sent[0]);
        assert_eq!(test.ice.dropped().unasked, 2);
        assert_eq!(test.ice.selected(), Some(address(RELAY)));
    }

    #[test]
    fn consent_is_asked_for_every_five_seconds_give_or_take_a_fifth() {
        let mut test = Bench::connected();
        let mut asked = Vec::new();
        while test.elapsed() < Duration::from_secs(60) {
            for check in test.sent() {
                asked.push(test.elapsed());
                test.answer(&check);
            }
            test.advance(Duration::from_millis(10));
        }
        let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 9);
        assert!(gaps.iter().all(|gap| (4000..=6010).contains(&gap.as_millis())), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap != gaps[0]), "jittered");
        assert!(test.ice.selected().is_some());
    }

    #[test]
    fn a_path_on_which_sound_stops_is_checked_within_a_fifth_of_a_second_and_then_ever_less_often() {
        let mut test = Bench::connected();
        test.sent();
        for _ in 0..50 {
            test.ice.handle_sign_of_life(test.now);
            test.advance(Duration::from_millis(20));
        }
        assert!(test.sent().is_empty(), "nothing more than usual while sound comes");
        let stopped = test.elapsed();
        let mut asked = Vec::new();
        while test.elapsed() < stopped + Duration::from_millis(2_990) {
            asked.extend(test.sent().iter().map(|_| (test.elapsed() - stopped).as_millis()));
            test.advance(Duration::from_millis(10));
        }
        assert_eq!(asked, [180, 580, 1_380, 2_980], "since the last sound 20 ms earlier: 200, 400, 800 and 1600 ms");
    }

    #[test]
    fn consent_expires_after_thirty_seconds_of_silence_and_nothing_more_is_sent() {
        let mut test = Bench::connected();
        while test.elapsed() < Duration::from_secs(29) {
            test.advance(Duration::from_millis(100));
        }
        assert!(test.ice.selected().is_some());
        test.advance(Duration::from_secs(2));
        assert!(test.events.contains(&Output::Lost));
        assert_eq!(test.ice.selected(), None);
        test.sent();
        test.advance(Duration::from_secs(60));
        assert!(test.sent().is_empty());
        assert_eq!(test.ice.poll_timeout(), None);
    }

    #[test]
    fn a_relay_that_never_answers_is_given_up_after_eight_seconds() {
        let mut test = Bench::new(&[RELAY]);
        while test.elapsed() < Duration::from_secs(11) {
            test.advance(Duration::from_millis(50));
        }
        assert_eq!(test.events, [Output::Unreachable]);
    }

    #[test]
    fn no_candidate_at_all_is_given_up_too() {
        let mut test = Bench::new(&["0.0.0.0:9", "239.1.2.3:5000", "255.255.255.255:5000", "192.0.2.1:0"]);
        assert!(test.sent().is_empty(), "none of these is one host");
        test.advance(Duration::from_secs(10));
        assert_eq!(test.events, [Output::Unreachable]);
    }

    #[test]
    fn at_most_four_candidates_are_checked() {
        let many: Vec<String> = (1..=50).map(|n| format!("192.0.2.{n}:3478")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(Bench::new(&many).sent().len(), MAX_CANDIDATES);
    }

    #[test]
    fn a_long_silence_keeps_no_more_than_the_outstanding_limit() {
        let mut test = Bench::new(&[RELAY, RELAY_V6, "192.0.2.11:1", "192.0.2.12:1"]);
        while test.elapsed() < Duration::from_secs(7) {
            test.advance(Duration::from_millis(10));
        }
        assert_eq!(test.ice.outstanding.len(), MAX_OUTSTANDING);
    }

    #[test]
    fn after_a_restart_the_old_path_is_used_until_the_new_one_answers() {
        let mut test = Bench::connected();
        let (local, remote) = halves(&[RELAY_V6]);
        test.ice.restart(local, remote, test.now);
        test.advance(Duration::ZERO);
        assert_eq!(test.ice.selected(), Some(address(RELAY)));
        assert!(test.ice.is_validated(address(RELAY)));
        let sent = test.sent();
        test.answer(&sent[0]);
        assert_eq!(test.ice.selected(), Some(address(RELAY_V6)));
        assert!(!test.ice.is_validated(address(RELAY)));
    }

    #[test]
    fn an_authentic_check_from_the_relay_is_answered_and_any_other_is_not() {
        let mut test = Bench::connected();
        let good = check_towards_phone("phonefrag:relayfrag", "phone password");
        test.receive(address(RELAY), &good);
        let answers = test.sent();
        assert_eq!(answers.len(), 1);
        let answer = Message::from_bytes(&answers[0].1).unwrap();
        assert_eq!(answer.class(), MessageClass::Success);
        assert!(answer.validate_integrity_with_key(&key("phone password")).is_ok());
        test.receive(address("192.0.2.66:1"), &good);
        test.receive(address(RELAY), &check_towards_phone("phonefrag:relayfrag", "guess"));
        test.receive(address(RELAY), &check_towards_phone("someone:relayfrag", "phone password"));
        assert!(test.sent().is_empty());
        assert_eq!(test.ice.dropped().stranger, 1);
        assert_eq!(test.ice.dropped().unauthentic, 2);
    }

    #[test]
    fn truncated_and_mutated_datagrams_are_counted_and_never_believed() {
        let mut test = Bench::new(&[RELAY]);
        let sent = test.sent();
        let good = answer_to(&sent[0].1, Some("relay password"), address(RELAY));
        for cut in 0..good.len() {
            test.receive(address(RELAY), &good[..cut]);
        }
        // What follows the integrity code (8 bytes of FINGERPRINT) is not covered by it and never read.
        for index in 0..good.len() - 8 {
            let mut changed = good.clone();
            changed[index] ^= 0x01;
            test.receive(address(RELAY), &changed);
        }
        assert_eq!(test.ice.selected(), None);
        test.receive(address(RELAY), &good);
        assert_eq!(test.ice.selected(), Some(address(RELAY)));
    }

    #[test]
    fn drawn_credentials_have_the_promised_length_and_differ() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let (one, other) = (Credentials::draw(&mut rng), Credentials::draw(&mut rng));
        assert_eq!((one.ufrag.len(), one.password.len()), (8, 24));
        assert!(one.ufrag != other.ufrag && one.password != other.password);
        assert!(!format!("{one:?}").contains(one.password.as_str()));
    }

    struct Bench {
        ice: IceClient,
        rng: ChaCha20Rng,
        start: Instant,
        now: Instant,
        transmitted: Vec<(SocketAddr, Vec<u8>)>,
        events: Vec<Output>,
    }

    impl Bench {
        fn new(candidates: &[&str]) -> Self {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let now = Instant::now();
            let (local, remote) = halves(candidates);
            let ice = IceClient::new(local, remote, &mut rng, now);
            let mut bench = Self { ice, rng, start: now, now, transmitted: vec![], events: vec![] };
            bench.advance(Duration::ZERO);
            bench
        }

        fn connected() -> Self {
            let mut bench = Self::new(&[RELAY]);
            let sent = bench.sent();
            bench.answer(&sent[0]);
            assert_eq!(bench.events, [Output::Selected { remote: address(RELAY) }]);
            bench.events.clear();
            bench
        }

        fn elapsed(&self) -> Duration {
            self.now - self.start
        }

        fn advance(&mut self, by: Duration) {
            self.now += by;
            self.ice.handle_timeout(&mut self.rng, self.now);
            self.drain();
        }

        fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
            self.ice.handle_datagram(from, bytes, &mut self.rng, self.now);
            self.drain();
        }

        fn drain(&mut self) {
            while let Some(output) = self.ice.poll_output() {
                match output {
                    Output::Transmit { to, bytes } => self.transmitted.push((to, bytes)),
                    Output::Selected { .. } | Output::Unreachable | Output::Lost => self.events.push(output),
                }
            }
        }

        fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
            std::mem::take(&mut self.transmitted)
        }

        fn answer(&mut self, check: &(SocketAddr, Vec<u8>)) {
            self.answer_with(check, Some("relay password"), check.0);
        }

        fn answer_with(&mut self, check: &(SocketAddr, Vec<u8>), password: Option<&str>, from: SocketAddr) {
            let bytes = answer_to(&check.1, password, from);
            self.receive(from, &bytes);
        }
    }

    fn halves(candidates: &[&str]) -> (Credentials, Remote) {
        let local = Credentials { ufrag: "phonefrag".into(), password: Zeroizing::new("phone password".into()) };
        let credentials = Credentials { ufrag: "relayfrag".into(), password: Zeroizing::new("relay password".into()) };
        let candidates = candidates.iter().map(|text| address(text)).collect();
        (local, Remote { credentials, candidates })
    }

    fn answer_to(check: &[u8], password: Option<&str>, seen: SocketAddr) -> Vec<u8> {
        let check = Message::from_bytes(check).unwrap();
        let mut answer = Message::builder_success(&check, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(seen, check.transaction_id())).unwrap();
        if let Some(password) = password {
            answer.add_message_integrity_with_key(&key(password), IntegrityAlgorithm::Sha1).unwrap();
        }
        answer.add_fingerprint().unwrap();
        answer.finish()
    }

    fn check_towards_phone(username: &str, password: &str) -> Vec<u8> {
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let mut check = Message::builder(kind, TransactionId::from(5), MessageWriteVec::new());
        check.add_attribute(&RawAttribute::new(USERNAME, username.as_bytes())).unwrap();
        check.add_message_integrity_with_key(&key(password), IntegrityAlgorithm::Sha1).unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }

    fn key(password: &str) -> IntegrityKey {
        ShortTermCredentials::new(password.to_owned()).make_key()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
