//! Offer and answer of this phone's profile (RFC 3264, RFC 5763, RFC 8842) and what follows from them for the media.
//!
//! Through a gateway the phone's description names no address at all (`m=audio 9`, `c=0.0.0.0`, ICE without
//! candidates) and the other side's must name the relay. Phone to phone both descriptions name an address and ICE is
//! not used. A description without a certificate fingerprint cannot exist ([`undertone_sip::sdp`]), so nothing that is
//! agreed on here can carry sound in clear.

use std::net::SocketAddr;

use rand_core::RngCore;
use undertone_media::certificate::Certificate;
use undertone_media::session::{self, SoundGate};
use undertone_media::verify::ring_ticket::RingOffer;
use undertone_media::{codec, dtls};
use undertone_sip::sdp::{
    self, Capabilities, Codec, Description, Direction, DtlsRole, Fingerprint, Ice, Negotiated, Origin, SdpRefusal,
    Setup,
};
use zeroize::Zeroizing;

use super::ice;
use super::media_command::{Route, Settings};

/// Whether our descriptions announce `a=vfy:1`: that this phone can prove itself to the other one inside the call.
/// Between two phones that announce it the strict engine and the constant packet shape are used.
pub const ANNOUNCE_VFY: bool = true;
/// Whether our descriptions announce `a=vfy-pq:1`: that this phone can mix an ML-KEM-768 secret into the keys of a call.
pub const ANNOUNCE_POST_QUANTUM: bool = true;
/// Length of sound per packet that this phone asks for.
pub const PTIME_MS: u16 = 20;

const OPUS_PT: u8 = 111;
const RED_PT: u8 = 112;
const EVENT_PT: u8 = 110;
/// For phones that know telephone events only with the clock of a telephone.
const EVENT_8_KHZ_PT: u8 = 101;
/// 120 random bits: more than the 120 that RFC 8842 §4 asks for would only make the message longer.
const TLS_ID_LEN: usize = 20;

/// This phone's half of the negotiation of one call.
pub(super) struct Local {
    origin: Origin,
    fingerprint: Fingerprint,
    tls_id: String,
    ice: Option<ice::Credentials>,
    address: Option<SocketAddr>,
    last: Option<Description>,
}

/// What both sides have agreed on.
pub(super) struct Agreed {
    negotiated: Negotiated,
    tls_id: Option<String>,
    remote: Remote,
}

enum Remote {
    Relay { ufrag: String, password: Zeroizing<String>, candidates: Vec<SocketAddr> },
    Address(SocketAddr),
}

/// Why an offer or answer cannot be used, in words for the other side and for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The description itself.
    #[error(transparent)]
    Description(#[from] SdpRefusal),
    /// Through a gateway, but no relay is named.
    #[error("No relay for the sound is named")]
    NoRelay,
    /// Phone to phone, but no address is named.
    #[error("No address for the sound is named")]
    NoAddress,
    /// A running call wants to change its certificate, or who began its key agreement.
    #[error("The keys of a running call cannot be replaced")]
    NewKeys,
}

/// What a new description in a running call changes.
#[derive(Debug)]
pub(super) enum PathChange {
    /// Nothing about the path.
    Same,
    /// The relay asks for new checks.
    RestartIce(ice::Remote),
    /// Phone to phone: another address.
    Redirect(SocketAddr),
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Description(refusal) => refusal.status(),
            Self::NoRelay | Self::NoAddress | Self::NewKeys => 488,
        }
    }
}

impl Local {
    /// Draws what is random. `address` is this phone's media address, phone to phone only.
    pub(super) fn draw(certificate: &Certificate, address: Option<SocketAddr>, rng: &mut impl RngCore) -> Self {
        Self {
            // RFC 8866 §5.2: a number; kept below 2^63 for readers with signed ones.
            origin: Origin { id: rng.next_u64() >> 1, version: 0 },
            fingerprint: Fingerprint { sha256: certificate.fingerprint() },
            tls_id: ice::draw_text(rng, TLS_ID_LEN),
            ice: address.is_none().then(|| ice::Credentials::draw(rng)),
            address,
            last: None,
        }
    }

    /// The first offer of a call.
    pub(super) fn offer(&mut self, ring_ticket: Option<String>) -> Description {
        let mut offer = self.describe(Setup::ActPass, Direction::SendRecv);
        offer.ring_ticket = ring_ticket;
        self.last = Some(offer.clone());
        offer
    }

    /// What a ring ticket of the first offer is bound to.
    pub(super) fn ring_offer(&self) -> RingOffer<'_> {
        RingOffer { fingerprint: &self.fingerprint.sha256, tls_id: &self.tls_id }
    }

    /// A further offer in a running call; it names the role this phone has, so that nobody can swap it.
    pub(super) fn reoffer(&mut self, agreed: &Agreed, direction: Direction) -> Description {
        let setup = match agreed.negotiated.role {
            DtlsRole::Client => Setup::Active,
            DtlsRole::Server => Setup::Passive,
        };
        let mut offer = self.describe(setup, direction);
        offer.vfy = agreed.negotiated.vfy;
        offer.pq = agreed.is_post_quantum();
        offer
    }

    /// The answer to a first offer, and what both have agreed on then.
    pub(super) fn answer(&mut self, offer: &Description) -> Result<(Description, Agreed), Refusal> {
        let capabilities = self.capabilities(Direction::SendRecv, true);
        let answer = self.versioned(sdp::answer(offer, &capabilities)?);
        let negotiated = sdp::conclude(offer, &answer, false)?;
        let agreed = Agreed { negotiated, tls_id: offer.tls_id.clone(), remote: self.remote(offer)? };
        Ok((answer, agreed))
    }

    /// What the answer to this phone's first offer agrees on.
    pub(super) fn conclude(&self, answer: &Description) -> Result<Agreed, Refusal> {
        let offer = self.last.as_ref().ok_or(Refusal::Description(SdpRefusal::BadAnswer))?;
        let negotiated = sdp::conclude(offer, answer, true)?;
        Ok(Agreed { negotiated, tls_id: answer.tls_id.clone(), remote: self.remote(answer)? })
    }

    /// The answer to a further offer in a running call. Draws new ICE credentials if the relay did.
    pub(super) fn reanswer(
        &mut self,
        offer: &Description,
        agreed: &mut Agreed,
        direction: Direction,
        rng: &mut impl RngCore,
    ) -> Result<(Description, PathChange), Refusal> {
        agreed.check_same_keys(offer)?;
        let change = self.path_change(offer, agreed);
        let restarted = matches!(change, PathChange::RestartIce(_));
        let before = restarted.then(|| self.ice.replace(ice::Credentials::draw(rng))).flatten();
        match self.try_reanswer(offer, agreed, direction) {
            Ok(answer) => {
                agreed.take_path(&change);
                Ok((answer, change))
            }
            Err(refusal) => {
                self.ice = before.or(self.ice.take());
                Err(refusal)
            }
        }
    }

    /// The answer to a further offer of this phone: only direction and path may differ.
    pub(super) fn reconclude(&self, answer: &Description, agreed: &mut Agreed) -> Result<PathChange, Refusal> {
        agreed.check_same_keys(answer)?;
        let offer = self.last.as_ref().ok_or(Refusal::Description(SdpRefusal::BadAnswer))?;
        let negotiated = sdp::conclude(offer, answer, true)?;
        if negotiated.role != agreed.negotiated.role {
            return Err(Refusal::NewKeys);
        }
        let change = self.path_change(answer, agreed);
        agreed.take_path(&change);
        Ok(change)
    }

    /// This phone's half of the ICE credentials, for the media path.
    pub(super) fn ice(&self) -> Option<ice::Credentials> {
        self.ice.as_ref().map(ice::Credentials::duplicate)
    }

    fn try_reanswer(
        &mut self,
        offer: &Description,
        agreed: &Agreed,
        direction: Direction,
    ) -> Result<Description, Refusal> {
        let starts = agreed.negotiated.role == DtlsRole::Client;
        let mut answer = sdp::answer(offer, &self.capabilities(direction, starts))?;
        answer.vfy = agreed.negotiated.vfy && offer.vfy;
        answer.pq = agreed.is_post_quantum() && offer.pq;
        let negotiated = sdp::conclude(offer, &answer, false)?;
        if negotiated.role != agreed.negotiated.role {
            return Err(Refusal::NewKeys);
        }
        Ok(self.versioned(answer))
    }

    fn describe(&mut self, setup: Setup, direction: Direction) -> Description {
        let mut description = Description::new(self.origin, self.fingerprint, codecs());
        description.transport = sdp::Transport::UdpTlsRtpSavpf;
        description.address = self.address.map(|address| address.ip());
        description.port = self.address.map_or(9, |address| address.port());
        description.setup = setup;
        description.direction = direction;
        description.tls_id = Some(self.tls_id.clone());
        description.ice = self.sdp_ice();
        description.vfy = ANNOUNCE_VFY;
        description.pq = ANNOUNCE_POST_QUANTUM;
        description.ptime_ms = PTIME_MS;
        if let Some(last) = &self.last {
            description.transport = last.transport;
        }
        self.versioned(description)
    }

    /// RFC 3264 §8: the version grows by one exactly when something changed.
    fn versioned(&mut self, mut description: Description) -> Description {
        description.origin = self.origin;
        if let Some(last) = &self.last
            && *last != description
        {
            self.origin.version += 1;
            description.origin = self.origin;
        }
        self.last = Some(description.clone());
        description
    }

    fn capabilities(&self, direction: Direction, start_dtls: bool) -> Capabilities {
        Capabilities {
            origin: self.origin,
            address: self.address.map(|address| address.ip()),
            port: self.address.map_or(9, |address| address.port()),
            fingerprint: self.fingerprint,
            tls_id: Some(self.tls_id.clone()),
            ice: self.sdp_ice(),
            codecs: codecs(),
            start_dtls,
            direction,
            vfy: ANNOUNCE_VFY,
            pq: ANNOUNCE_POST_QUANTUM,
            ptime_ms: PTIME_MS,
        }
    }

    fn sdp_ice(&self) -> Option<Ice> {
        let credentials = self.ice.as_ref()?;
        Some(Ice {
            ufrag: credentials.ufrag.clone(),
            pwd: credentials.password.to_string(),
            lite: false,
            candidates: Vec::new(),
        })
    }

    fn remote(&self, description: &Description) -> Result<Remote, Refusal> {
        if self.address.is_some() {
            return match description.address {
                Some(ip) if ice::is_sendable(SocketAddr::new(ip, description.port)) => {
                    Ok(Remote::Address(SocketAddr::new(ip, description.port)))
                }
                Some(_) | None => Err(Refusal::NoAddress),
            };
        }
        match &description.ice {
            Some(ice) if !ice.candidates.is_empty() => Ok(relay(ice)),
            Some(_) | None => Err(Refusal::NoRelay),
        }
    }

    fn path_change(&self, theirs: &Description, agreed: &Agreed) -> PathChange {
        // A description without an address (RFC 3264 §8.4, old style hold) changes nothing about the path.
        match (self.remote(theirs), &agreed.remote) {
            (Ok(Remote::Address(new)), Remote::Address(old)) if new != *old => PathChange::Redirect(new),
            (Ok(Remote::Relay { ufrag, password, candidates }), Remote::Relay { ufrag: u, password: p, .. })
                if ufrag != *u || password != *p =>
            {
                PathChange::RestartIce(ice::Remote { credentials: ice::Credentials { ufrag, password }, candidates })
            }
            (Ok(_) | Err(_), _) => PathChange::Same,
        }
    }
}

impl Agreed {
    /// Which engine speaks to the other phone.
    pub(super) fn peer(&self) -> dtls::Peer {
        if self.negotiated.vfy { dtls::Peer::Ours } else { dtls::Peer::Foreign }
    }

    /// Whether both phones mix an ML-KEM-768 secret into the keys; only ours do.
    pub(super) fn is_post_quantum(&self) -> bool {
        self.negotiated.vfy && self.negotiated.pq
    }

    /// SHA-256 of the certificate that the other phone must show.
    pub(super) fn peer_fingerprint(&self) -> [u8; 32] {
        self.negotiated.peer_fingerprint.sha256
    }

    /// Everything the media path is built from.
    pub(super) fn media(&self, local: &Local, certificate: Certificate) -> Settings {
        let negotiated = &self.negotiated;
        let ours = self.peer() == dtls::Peer::Ours;
        let payloads = negotiated.payloads;
        Settings {
            route: self.route(local),
            // Who proves what to whom, and who sends the first key, is known to the call, not to its descriptions.
            verification: None,
            session: session::Settings {
                certificate,
                dtls_role: match negotiated.role {
                    DtlsRole::Client => dtls::Role::Client,
                    DtlsRole::Server => dtls::Role::Server,
                },
                peer: self.peer(),
                peer_fingerprint: self.peer_fingerprint(),
                post_quantum: None,
                payload: session::Payloads {
                    opus: payloads.opus,
                    // Redundancy is how our phones keep one packet shape; foreign ones get plain Opus.
                    red: payloads.red.filter(|_| ours),
                    telephone_event: payloads.telephone_event.map(|(pt, _)| pt),
                },
                ptime_ms: packet_length(negotiated.ptime_ms),
                // A gateway that strips the announcement between our phones is found out by the verification: not before
                // that shall a recording hold a word.
                sound: if ours && !self.is_post_quantum() { SoundGate::UntilVerified } else { SoundGate::Open },
            },
        }
    }

    fn route(&self, local: &Local) -> Route {
        match (&self.remote, local.ice()) {
            (Remote::Relay { ufrag, password, candidates }, Some(local)) => Route::Relay {
                local,
                remote: ice::Remote {
                    credentials: ice::Credentials { ufrag: ufrag.clone(), password: password.clone() },
                    candidates: candidates.clone(),
                },
            },
            // Without credentials of its own the phone asked for no relay: `Local::remote` gave an address.
            (Remote::Relay { candidates, .. }, None) => {
                Route::Address(candidates.first().copied().unwrap_or(([0, 0, 0, 0], 0).into()))
            }
            (Remote::Address(address), _) => Route::Address(*address),
        }
    }

    fn check_same_keys(&self, theirs: &Description) -> Result<(), Refusal> {
        let other_tls_id = self.tls_id.is_some() && theirs.tls_id.is_some() && self.tls_id != theirs.tls_id;
        if theirs.fingerprint.sha256 != self.peer_fingerprint() || other_tls_id {
            return Err(Refusal::NewKeys);
        }
        Ok(())
    }

    fn take_path(&mut self, change: &PathChange) {
        match change {
            PathChange::Same => {}
            PathChange::Redirect(address) => self.remote = Remote::Address(*address),
            PathChange::RestartIce(remote) => {
                self.remote = Remote::Relay {
                    ufrag: remote.credentials.ufrag.clone(),
                    password: remote.credentials.password.clone(),
                    candidates: remote.candidates.clone(),
                };
            }
        }
    }
}

/// Whether the writer of this description has put the reader on hold.
pub(super) fn holds(theirs: &Description) -> bool {
    !theirs.direction.receives()
}

/// What this phone wants while it holds the call or does not.
pub(super) fn wanted(held_here: bool) -> Direction {
    Direction::of(true, !held_here)
}

fn codecs() -> Vec<Codec> {
    vec![
        Codec::opus(OPUS_PT),
        Codec::red(RED_PT, OPUS_PT),
        Codec::telephone_event(EVENT_PT, undertone_media::SAMPLE_RATE_HZ),
        Codec::telephone_event(EVENT_8_KHZ_PT, 8_000),
    ]
}

fn relay(ice: &Ice) -> Remote {
    let mut candidates = ice.candidates.clone();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
    Remote::Relay {
        ufrag: ice.ufrag.clone(),
        password: Zeroizing::new(ice.pwd.clone()),
        candidates: candidates.iter().map(|candidate| candidate.addr).collect(),
    }
}

/// What the other side asked for if Opus can do it, else the usual.
fn packet_length(asked_ms: u16) -> u16 {
    if codec::FRAME_DURATIONS_MS.contains(&asked_ms) { asked_ms } else { PTIME_MS }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::SystemTime;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use undertone_sip::sdp::Candidate;

    use super::*;

    #[test]
    fn the_phones_own_offer_names_no_address_and_no_candidate() {
        let text = String::from_utf8(phone(1).local.offer(None).to_bytes()).unwrap();
        for line in [
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 112 110 101",
            "c=IN IP4 0.0.0.0",
            "a=setup:actpass",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 usedtx=0;cbr=1;useinbandfec=1",
            "a=vfy:1",
            "a=vfy-pq:1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} missing in\n{text}");
        }
        assert!(!text.contains("candidate") && !text.contains("ice-lite"), "{text}");
        assert_eq!(value(&text, "a=ice-ufrag:").len(), 8);
        assert_eq!(value(&text, "a=ice-pwd:").len(), 24);
        assert_eq!(value(&text, "a=tls-id:").len(), TLS_ID_LEN);
    }

    #[test]
    fn two_calls_have_nothing_in_common_but_the_template() {
        let one = String::from_utf8(phone(1).local.offer(None).to_bytes()).unwrap();
        let other = String::from_utf8(phone(2).local.offer(None).to_bytes()).unwrap();
        for key in ["o=- ", "a=fingerprint:sha-256 ", "a=tls-id:", "a=ice-ufrag:", "a=ice-pwd:"] {
            assert_ne!(value(&one, key), value(&other, key), "{key}");
        }
    }

    #[test]
    fn through_a_relay_caller_and_callee_agree_and_the_callee_begins_the_key_agreement() {
        let (mut caller, mut callee) = (phone(1), phone(2));
        let offer = caller.local.offer(None);
        let (answer, at_callee) = callee.local.answer(&relayed(&offer, "relayleg1", "192.0.2.10:3478")).unwrap();
        let at_caller = caller.local.conclude(&relayed(&answer, "relayleg2", "192.0.2.10:3478")).unwrap();
        let callee = at_callee.media(&callee.local, callee.certificate);
        let caller = at_caller.media(&caller.local, caller.certificate);
        assert_eq!(callee.session.dtls_role, dtls::Role::Client);
        assert_eq!(caller.session.dtls_role, dtls::Role::Server);
        assert_eq!(caller.session.peer, dtls::Peer::Ours);
        assert_eq!(caller.session.peer_fingerprint, callee.session.certificate.fingerprint());
        assert_eq!(callee.session.peer_fingerprint, caller.session.certificate.fingerprint());
        assert_eq!(caller.session.payload, callee.session.payload);
        assert_eq!(caller.session.payload.red, Some(RED_PT));
        let Route::Relay { remote, .. } = caller.route else { panic!("no relay") };
        assert_eq!(remote.credentials.ufrag, "relayleg2");
        assert_eq!(remote.candidates, ["192.0.2.10:3478".parse::<SocketAddr>().unwrap()]);
    }

    #[test]
    fn a_phone_that_does_not_announce_verification_gets_the_foreign_engine_and_plain_opus() {
        let (mut caller, mut callee) = (direct_phone(1), direct_phone(2));
        let mut offer = caller.local.offer(None);
        offer.vfy = false;
        let (answer, at_callee) = callee.local.answer(&offer).unwrap();
        assert!(!answer.vfy);
        let settings = at_callee.media(&callee.local, callee.certificate);
        assert_eq!(settings.session.peer, dtls::Peer::Foreign);
        assert_eq!(settings.session.payload.red, None);
    }

    #[test]
    fn the_post_quantum_exchange_is_agreed_on_where_both_announce_it_and_both_are_ours() {
        for (offers_pq, answers_pq, vfy) in
            [(true, true, true), (false, false, true), (false, true, true), (true, false, true), (true, true, false)]
        {
            let (mut caller, mut callee) = (direct_phone(1), direct_phone(2));
            let mut offer = caller.local.offer(None);
            assert!(offer.pq, "always announced");
            (offer.pq, offer.vfy) = (offers_pq, vfy);
            let (mut answer, at_callee) = callee.local.answer(&offer).unwrap();
            assert_eq!(at_callee.is_post_quantum(), offers_pq && vfy);
            assert_eq!(answer.pq, offers_pq);
            answer.pq = answers_pq;
            let mut at_caller = caller.local.conclude(&answer).unwrap();
            assert_eq!(at_caller.is_post_quantum(), answers_pq && vfy);
            let again = caller.local.reoffer(&at_caller, wanted(true));
            assert_eq!(again.pq, at_caller.is_post_quantum(), "a running call repeats what it agreed on");
            let stays = at_caller.is_post_quantum();
            let mut other = answer.clone();
            other.pq = !answers_pq;
            caller.local.reconclude(&other, &mut at_caller).unwrap();
            assert_eq!(at_caller.is_post_quantum(), stays, "later descriptions change nothing about keys");
        }
    }

    #[test]
    fn without_a_gateway_the_address_of_the_description_is_used() {
        let (mut caller, mut callee) = (direct_phone(1), direct_phone(2));
        let offer = caller.local.offer(None);
        assert!(offer.ice.is_none());
        let (_, at_callee) = callee.local.answer(&offer).unwrap();
        let Route::Address(address) = at_callee.media(&callee.local, callee.certificate).route else { panic!() };
        assert_eq!(address, "127.0.0.1:4001".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn an_offer_without_relay_or_address_is_refused() {
        let bare = phone(1).local.offer(None);
        assert_eq!(phone(2).local.answer(&bare).err(), Some(Refusal::NoRelay));
        assert_eq!(direct_phone(2).local.answer(&bare).err(), Some(Refusal::NoAddress));
        for refusal in [Refusal::NoRelay, Refusal::NoAddress, Refusal::NewKeys] {
            assert_eq!(refusal.status(), 488);
        }
    }

    #[test]
    fn hold_towards_a_foreign_phone_keeps_everything_but_the_direction_and_counts_the_version_up() {
        let Pair { mut caller, mut callee, mut at_caller, mut at_callee } = foreign_pair();
        let first = caller.last.clone().unwrap();
        let hold = caller.reoffer(&at_caller, wanted(true));
        assert_eq!(hold.direction, Direction::SendOnly);
        assert_eq!((hold.origin.id, hold.origin.version), (first.origin.id, first.origin.version + 1));
        assert_eq!((hold.fingerprint, hold.tls_id.clone()), (first.fingerprint, first.tls_id));
        assert!(holds(&hold));
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (answer, change) = callee.reanswer(&hold, &mut at_callee, wanted(false), &mut rng).unwrap();
        assert_eq!(answer.direction, Direction::RecvOnly);
        assert!(matches!(change, PathChange::Same));
        assert!(matches!(caller.reconclude(&answer, &mut at_caller).unwrap(), PathChange::Same));
        let back = caller.reoffer(&at_caller, wanted(false));
        assert_eq!(back.origin.version, first.origin.version + 2);
        assert!(!holds(&back));
    }

    #[test]
    fn both_may_hold_at_once() {
        let Pair { mut caller, mut callee, at_caller, mut at_callee } = foreign_pair();
        let hold = caller.reoffer(&at_caller, wanted(true));
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (answer, _) = callee.reanswer(&hold, &mut at_callee, wanted(true), &mut rng).unwrap();
        assert_eq!(answer.direction, Direction::Inactive);
        assert!(holds(&answer));
    }

    #[test]
    fn a_running_call_takes_no_other_certificate_and_no_other_role() {
        let Pair { mut caller, mut callee, at_caller, mut at_callee } = foreign_pair();
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let good = caller.reoffer(&at_caller, wanted(false));
        let mut other_key = good.clone();
        other_key.fingerprint = Fingerprint { sha256: [7; 32] };
        let mut other_association = good.clone();
        other_association.tls_id = Some("x".repeat(20));
        let mut other_role = good.clone();
        other_role.setup = Setup::Active;
        for changed in [other_key, other_association, other_role] {
            let refused = callee.reanswer(&changed, &mut at_callee, wanted(false), &mut rng);
            assert_eq!(refused.err(), Some(Refusal::NewKeys));
        }
        assert!(callee.reanswer(&good, &mut at_callee, wanted(false), &mut rng).is_ok());
    }

    #[test]
    fn new_relay_credentials_restart_the_checks_and_draw_new_ones_here() {
        let (mut caller, mut callee) = (phone(1), phone(2));
        let offer = caller.local.offer(None);
        let (first, mut agreed) = callee.local.answer(&relayed(&offer, "relayleg1", "192.0.2.10:3478")).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let again = relayed(&offer, "relayleg1", "192.0.2.10:3478");
        let (same, change) = callee.local.reanswer(&again, &mut agreed, wanted(false), &mut rng).unwrap();
        assert!(matches!(change, PathChange::Same));
        assert_eq!(same.ice, first.ice);
        let restart = relayed(&offer, "relayleg9", "192.0.2.99:3478");
        let (answer, change) = callee.local.reanswer(&restart, &mut agreed, wanted(false), &mut rng).unwrap();
        let PathChange::RestartIce(remote) = change else { panic!("no restart") };
        assert_eq!(remote.credentials.ufrag, "relayleg9");
        assert_ne!(answer.ice, first.ice);
        assert_eq!(answer.origin.version, first.origin.version + 1);
    }

    #[test]
    fn without_a_gateway_media_may_move_to_another_address() {
        let Pair { mut caller, mut callee, at_caller, mut at_callee } = foreign_pair();
        let mut moved = caller.reoffer(&at_caller, wanted(false));
        moved.port = 4999;
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (_, change) = callee.reanswer(&moved, &mut at_callee, wanted(false), &mut rng).unwrap();
        assert!(matches!(change, PathChange::Redirect(to) if to.port() == 4999));
        let mut old_style_hold = moved.clone();
        old_style_hold.address = None;
        let (_, change) = callee.reanswer(&old_style_hold, &mut at_callee, wanted(false), &mut rng).unwrap();
        assert!(matches!(change, PathChange::Same));
    }

    struct Party {
        local: Local,
        certificate: Certificate,
    }

    struct Pair {
        caller: Local,
        callee: Local,
        at_caller: Agreed,
        at_callee: Agreed,
    }

    fn phone(seed: u64) -> Party {
        party(seed, None)
    }

    fn direct_phone(seed: u64) -> Party {
        party(seed, Some(SocketAddr::new([127, 0, 0, 1].into(), 4000 + u16::try_from(seed).unwrap())))
    }

    fn party(seed: u64, address: Option<SocketAddr>) -> Party {
        let certificate = Certificate::generate(SystemTime::UNIX_EPOCH).unwrap();
        let local = Local::draw(&certificate, address, &mut ChaCha20Rng::seed_from_u64(seed));
        Party { local, certificate }
    }

    fn foreign_pair() -> Pair {
        let (Party { local: mut caller, .. }, Party { local: mut callee, .. }) = (direct_phone(1), direct_phone(2));
        let mut offer = caller.offer(None);
        offer.vfy = false;
        let (answer, at_callee) = callee.answer(&offer).unwrap();
        let at_caller = caller.conclude(&answer).unwrap();
        Pair { caller, callee, at_caller, at_callee }
    }

    /// As a gateway would write it for the other leg.
    fn relayed(description: &Description, ufrag: &str, address: &str) -> Description {
        let address: SocketAddr = address.parse().unwrap();
        let ice = Ice {
            ufrag: ufrag.to_owned(),
            pwd: "p".repeat(24),
            lite: true,
            candidates: vec![Candidate::host(address)],
        };
        description.relayed(description.origin, address.ip(), address.port(), Some(ice))
    }

    fn value<'a>(text: &'a str, key: &str) -> &'a str {
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap()
    }
}
