//! Hiding: everything a leg is told, built from an allow-list (privacy.md §1). No message is edited and sent on.
//!
//! What passes from one phone to the other is an account name, or nothing for a hidden caller, and the end-to-end
//! values of the session description: fingerprint, tls-id, setup, direction, verification attributes, ring ticket,
//! codec parameters. Addresses, numbers, tags and credentials are the gateway's own, drawn per leg.

use std::net::{IpAddr, Ipv4Addr};

use rand_core::RngCore;
use ring::digest::{SHA256, digest};
use undertone_sip::sdp::{Candidate, Description, Ice, Origin, OtherMedia, SdpRefusal, Setup};
use undertone_sip::user_agent::Transport;
use undertone_sip::wire::uri::{host_to_string, is_sip, parse_uri};
use undertone_sip::wire::{HeaderName, NameAddr, Request, Uri};
use zeroize::Zeroizing;

use super::accounts::{ANONYMOUS, AccountName};
use super::answers::{self, Answer};
use super::relay::LegCredentials;
use super::settings::{RelayAddresses, Settings};

/// The domain of hidden callers (RFC 3323 §4.1.1.3).
const ANONYMOUS_DOMAIN: &str = "anonymous.invalid";

/// The address shown to the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The account that calls.
    Named(AccountName),
    /// The caller asked not to be named.
    Hidden,
}

/// Who an INVITE of this account may be shown as: the account itself, or nobody if it hides.
pub(crate) fn caller(account: &AccountName, request: &Request, settings: &Settings) -> Result<Caller, Answer> {
    let from = request.headers.from().map_err(|_| answers::NOT_YOUR_NAME)?.uri;
    let hidden = host_to_string(from.host()).eq_ignore_ascii_case(ANONYMOUS_DOMAIN);
    if hidden || asks_for_privacy(request) && names(&from, account, settings) {
        return Ok(Caller::Hidden);
    }
    match names(&from, account, settings) {
        true => Ok(Caller::Named(account.clone())),
        false => Err(answers::NOT_YOUR_NAME),
    }
}

/// Whether the URI is an address of this gateway. Its port and parameters say how to get here, not who is meant.
pub(crate) fn is_ours(uri: &Uri, settings: &Settings) -> bool {
    is_sip(uri) && host_to_string(uri.host()).eq_ignore_ascii_case(settings.domain.as_str())
}

/// Whether the URI is this account's address.
pub(crate) fn names(uri: &Uri, account: &AccountName, settings: &Settings) -> bool {
    is_ours(uri, settings) && uri.user().and_then(AccountName::from_user_part).as_ref() == Some(account)
}

/// `From` towards the callee: no display name, since what he calls the caller is in his own contacts.
pub(crate) fn from(caller: &Caller, settings: &Settings) -> NameAddr {
    match caller {
        Caller::Named(account) => NameAddr::new(account_uri(account, settings)),
        Caller::Hidden => NameAddr::new(own_uri(&format!("sip:{ANONYMOUS}@{ANONYMOUS_DOMAIN}"))),
    }
}

/// `To` towards the callee.
pub(crate) fn to(callee: &AccountName, settings: &Settings) -> NameAddr {
    NameAddr::new(account_uri(callee, settings))
}

/// An account's address.
pub(crate) fn account_uri(account: &AccountName, settings: &Settings) -> Uri {
    own_uri(&format!("sip:{}@{}", account.as_str(), settings.domain))
}

/// `Contact` of one leg: a random token at the gateway.
pub(crate) fn contact(rng: &mut impl RngCore, settings: &Settings, transport: Transport) -> Uri {
    let token = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let transport = transport.as_str().to_ascii_lowercase();
    own_uri(&format!("sip:{token:032x}@{};transport={transport}", settings.domain))
}

/// Reads a session description; one that cannot be carried safely is refused in words.
pub(crate) fn read_offer(sdp: &[u8]) -> Result<Description, Answer> {
    let description = Description::parse(sdp).map_err(refusal)?;
    // The relay admits by ICE checks only: without them the call would connect and stay silent.
    if description.ice.is_none() {
        return Err(answers::NO_ICE);
    }
    Ok(description)
}

/// Reads the answer to an offer.
pub(crate) fn read_answer(sdp: &[u8]) -> Result<Description, Answer> {
    let description = read_offer(sdp)?;
    match description.setup {
        Setup::Active | Setup::Passive => Ok(description),
        Setup::ActPass => Err(refusal(SdpRefusal::BadAnswer)),
    }
}

/// What of a phone's offer shapes the answer it gets (RFC 3264 §6): one line per line of the offer.
#[derive(Debug, Clone)]
pub(crate) struct OfferShape {
    transport: undertone_sip::sdp::Transport,
    other_media: Vec<OtherMedia>,
}

impl OfferShape {
    pub(crate) fn of(offer: &Description) -> Self {
        Self { transport: offer.transport, other_media: offer.other_media.clone() }
    }
}

/// A phone's ICE user name and password, as a hash: enough to see that they have changed, which restarts ICE
/// (RFC 8839 §4.4.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IceMark([u8; 32]);

impl IceMark {
    pub(crate) fn of(description: &Description) -> Option<Self> {
        let ice = description.ice.as_ref()?;
        // Neither part can hold a space.
        Some(Self(hash(Zeroizing::new(format!("{} {}", ice.ufrag, ice.pwd)).as_bytes())))
    }
}

/// The session descriptions one leg is sent: same random number, one version more per change.
#[derive(Debug)]
pub(crate) struct LegSdp {
    origin: Origin,
    /// What was sent last, as a hash without its version.
    last: Option<[u8; 32]>,
    phone_ice: Option<IceMark>,
}

impl LegSdp {
    pub(crate) fn draw(rng: &mut impl RngCore) -> Self {
        // 62 bits, as some phones read the number as a signed 64-bit integer (RFC 3264 §5).
        Self { origin: Origin { id: rng.next_u64() >> 2, version: 0 }, last: None, phone_ice: None }
    }

    /// Notes the ICE side of this leg's phone, as agreed. True if it was another before: the phone restarts ICE.
    pub(crate) fn agree_on_ice(&mut self, mark: Option<IceMark>) -> bool {
        let earlier = std::mem::replace(&mut self.phone_ice, mark);
        earlier.is_some() && earlier != mark
    }

    /// The other leg's offer as this leg is told it.
    pub(crate) fn offer(&mut self, offer: &Description, relay: &RelayAddresses, leg: &LegCredentials) -> Vec<u8> {
        self.write(rebuilt(offer, relay, leg))
    }

    /// The other leg's answer as this leg, which offered `shape`, is told it.
    pub(crate) fn answer(
        &mut self,
        answer: &Description,
        shape: &OfferShape,
        relay: &RelayAddresses,
        leg: &LegCredentials,
    ) -> Vec<u8> {
        let mut description = rebuilt(answer, relay, leg);
        description.transport = shape.transport;
        description.other_media.clone_from(&shape.other_media);
        self.write(description)
    }

    fn write(&mut self, mut description: Description) -> Vec<u8> {
        let content = hash(&Zeroizing::new(description.to_bytes()));
        if self.last.replace(content) != Some(content) {
            self.origin.version += 1;
        }
        description.origin = self.origin;
        description.to_bytes()
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn rebuilt(description: &Description, relay: &RelayAddresses, leg: &LegCredentials) -> Description {
    let addresses: Vec<_> = [relay.v4, relay.v6].into_iter().flatten().collect();
    let (address, port) =
        addresses.first().map_or((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9), |first| (first.ip(), first.port()));
    let ice = Ice {
        ufrag: leg.ufrag().to_owned(),
        pwd: leg.password().to_owned(),
        lite: true,
        candidates: addresses.into_iter().map(Candidate::host).collect(),
    };
    description.relayed(Origin::default(), address, port, Some(ice))
}

/// The refusal in words for the person whose own phone wrote the description.
fn refusal(refusal: SdpRefusal) -> Answer {
    let reason = match refusal {
        SdpRefusal::Malformed => "The call description cannot be read",
        SdpRefusal::TooLarge => "The call description is too large",
        SdpRefusal::NoAudio => "Only calls with sound are carried",
        SdpRefusal::PlainRtp => "Only encrypted calls are carried: switch DTLS-SRTP on in this phone",
        SdpRefusal::Sdes => "Keys in signalling (SDES) are refused: switch DTLS-SRTP on in this phone",
        SdpRefusal::ZrtpOnly => "ZRTP alone is refused: switch DTLS-SRTP on in this phone",
        SdpRefusal::UnknownTransport => "Unknown media transport: switch DTLS-SRTP on in this phone",
        SdpRefusal::NoFingerprint => "No certificate fingerprint: switch DTLS-SRTP on in this phone",
        SdpRefusal::WeakFingerprint => "No SHA-256 certificate fingerprint: switch it on in this phone",
        SdpRefusal::BadSetup => "It is not said who starts DTLS: a=setup is missing or out of place",
        SdpRefusal::NoCommonCodec => "No common codec: switch Opus on in this phone",
        SdpRefusal::NoRtcpMux => "A second media port is refused: switch rtcp-mux on in this phone",
        SdpRefusal::BadAnswer => "The answer does not fit the offer",
    };
    Answer { status: refusal.status(), reason, header: None }
}

/// RFC 3323 §4.2: any of these asks that the callee does not learn who calls.
fn asks_for_privacy(request: &Request) -> bool {
    let privacy = HeaderName::Other("Privacy".to_owned());
    let named = |name: &HeaderName| name.as_str().eq_ignore_ascii_case(privacy.as_str());
    request.headers.iter().filter(|(name, _)| named(name)).any(|(_, value)| {
        value.split(';').any(|part| matches!(part.trim().to_ascii_lowercase().as_str(), "id" | "user" | "header"))
    })
}

fn own_uri(text: &str) -> Uri {
    parse_uri(text).expect("account names, tokens and domains hold only characters a URI allows")
}
