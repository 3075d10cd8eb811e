//! A person with a phone: the two cores, a voice, an ear, and a record of everything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone::core::call::CallId;
use undertone::core::contacts::Contacts;
use undertone::core::event::{EndReason, Event, Side};
use undertone::core::media_command;
use undertone::core::media_path::MediaPath;
use undertone::core::phone::Phone;
use undertone::core::phone_settings::{Account, Mode, Settings};
use undertone_config::Secret;
use undertone_media::verify::IdentityPublic;

use super::exchange::{Exchange, Kind};
use super::gateway_site::{DOMAIN, password};
use super::media_link::{Line, MediaLink};
use super::voice::voice;

/// Sound per packet.
pub const FRAME: Duration = Duration::from_millis(20);
/// The same in samples.
pub const FRAME_SAMPLES: usize = 960;
/// The voice starts over after this long.
const VOICE_SAMPLES: usize = 48_000 * 8;

/// Which station, in the order they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StationId(pub usize);

/// A person with a phone.
pub struct Station {
    /// The account it signs in with.
    pub account: String,
    /// Where the network sees its media come from.
    pub media_address: SocketAddr,
    /// Everything the person saw, with its time.
    pub events: Vec<(Duration, Event)>,
    /// Every byte this phone sent.
    pub sent: Vec<Exchange>,
    /// Every byte this phone received.
    pub received: Vec<Exchange>,
    /// What was said into the microphone since the current call's media began.
    pub spoken: Vec<f32>,
    /// What the speaker played since then, sample for sample beside [`Self::spoken`].
    pub heard: Vec<f32>,
    /// Its connections to the gateway can be opened.
    pub online: bool,
    /// The process stands still: nothing is read, nothing written.
    pub frozen: bool,
    /// Nothing is said into the microphone.
    pub silent: bool,
    /// What is kept of contacts and links.
    pub contacts: Contacts,
    /// The public half of its kept identity.
    pub(super) key: Option<IdentityPublic>,
    pub(super) phone: Phone<ChaCha20Rng>,
    pub(super) paths: BTreeMap<CallId, MediaPath<ChaCha20Rng>>,
    pub(super) up: MediaLink,
    pub(super) down: MediaLink,
    next_frame: Option<Instant>,
    voice: Vec<f32>,
    said: usize,
    seed: u64,
}

impl Station {
    pub(super) fn new(seed: u64, id: StationId, account: &str, auto_answer: bool, now: Instant) -> Self {
        let StationId(n) = id;
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(n as u64 * 1_009);
        let mode = Mode::Gateway(Account {
            name: account.to_owned(),
            domain: DOMAIN.to_owned(),
            password: Secret::new(password(account)),
            instance: instance(n),
        });
        let settings = Settings { mode, auto_answer, today: SystemTime::UNIX_EPOCH };
        let random = [1, 2, 3].map(|stream| ChaCha20Rng::seed_from_u64(seed + stream));
        Self {
            account: account.to_owned(),
            media_address: media_address(n, 0),
            events: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            spoken: Vec::new(),
            heard: Vec::new(),
            online: true,
            frozen: false,
            silent: false,
            contacts: Contacts::new(),
            key: None,
            phone: Phone::new(settings, random, now),
            paths: BTreeMap::new(),
            up: MediaLink::new(Line::GOOD, seed + 10),
            down: MediaLink::new(Line::GOOD, seed + 20),
            next_frame: None,
            voice: voice(seed, VOICE_SAMPLES),
            said: 0,
            seed,
        }
    }

    /// Why the last call ended here.
    pub fn ended(&self) -> Option<EndReason> {
        self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Ended { why, .. } => Some(*why),
            _ => None,
        })
    }

    /// How many events of this name there were, as in JSON: `ringing`, `encrypted`, …
    pub fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|(_, event)| event.name() == name).count()
    }

    /// When an event of this name came last.
    pub fn last(&self, name: &str) -> Option<Duration> {
        self.events.iter().rev().find(|(_, event)| event.name() == name).map(|(at, _)| *at)
    }

    /// Whether an event of this name was seen since the last call ended.
    pub fn sees_in_this_call(&self, name: &str) -> bool {
        let newest = self.events.iter().rev().map(|(_, event)| event.name());
        newest.take_while(|seen| *seen != "ended").any(|seen| seen == name)
    }

    /// Whether such an event was seen.
    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    /// Whether this side holds the call, or the other.
    pub fn holds(&self, side: Side) -> Option<bool> {
        self.events.iter().rev().find_map(|(_, event)| match event {
            Event::OnHold { by, on, .. } if *by == side => Some(*on),
            _ => None,
        })
    }

    /// Keys of the other side's dial pad that arrived.
    pub fn digits(&self) -> String {
        let digit = |(_, event): &(Duration, Event)| match event {
            Event::Digit { digit, .. } => Some(*digit),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    /// Whether the call has media.
    pub fn has_media(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Sent datagrams of one kind.
    pub fn sent_of(&self, kind: Kind) -> impl Iterator<Item = &Exchange> {
        self.sent.iter().filter(move |exchange| exchange.kind == kind)
    }

    /// The random name of this phone among the phones of its account, which nobody but the gateway may see.
    pub fn instance(&self, id: StationId) -> String {
        instance(id.0)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let links = [self.up.next(), self.down.next()];
        let inside = match self.frozen {
            true => None,
            false => {
                let paths = self.paths.values().filter_map(MediaPath::poll_timeout).min();
                [self.phone.poll_timeout(), paths, self.next_frame].into_iter().flatten().min()
            }
        };
        links.into_iter().flatten().chain(inside).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.frozen {
            return;
        }
        if self.phone.poll_timeout().is_some_and(|at| now >= at) {
            self.phone.handle_timeout(now);
        }
        for path in self.paths.values_mut() {
            if path.poll_timeout().is_some_and(|at| now >= at) {
                path.handle_timeout(now);
            }
        }
    }

    /// The sound card's turn: a frame for the ear, a frame from the mouth. What the speaker played, if it was its turn.
    pub(super) fn handle_sound(&mut self, now: Instant) -> Option<&[f32]> {
        if self.frozen || self.next_frame.is_none_or(|at| now < at) {
            return None;
        }
        let path = self.paths.values_mut().last()?;
        let mut played = [0.0; FRAME_SAMPLES];
        path.fill_playout(&mut played, now);
        let from = self.said % VOICE_SAMPLES;
        let frame = match self.silent {
            true => vec![0.0; FRAME_SAMPLES],
            false => self.voice[from..from + FRAME_SAMPLES].to_vec(),
        };
        path.handle_capture(&frame, now);
        self.said += FRAME_SAMPLES;
        self.heard.extend_from_slice(&played);
        self.spoken.extend_from_slice(&frame);
        self.next_frame = self.next_frame.map(|at| at + FRAME);
        self.heard.last_chunk::<FRAME_SAMPLES>().map(<[f32; FRAME_SAMPLES]>::as_slice)
    }

    pub(super) fn open_path(&mut self, call: CallId, settings: media_command::Settings, now: Instant) {
        let draw = |stream| ChaCha20Rng::seed_from_u64(self.seed + 100 + call.0 * 10 + stream);
        self.paths.insert(call, MediaPath::new(settings, draw(1), draw(2), now));
        self.next_frame = Some(now + FRAME);
        self.spoken.clear();
        self.heard.clear();
    }

    pub(super) fn close_path(&mut self, call: CallId) {
        self.paths.remove(&call);
        if self.paths.is_empty() {
            self.next_frame = None;
        }
    }

    pub(super) fn rebind(&mut self, id: StationId) {
        let port = self.media_address.port() + 1;
        self.media_address = media_address(id.0, port - MEDIA_PORT);
    }
}

const MEDIA_PORT: u16 = 40_000;

fn media_address(n: usize, further: u16) -> SocketAddr {
    // A small world: more stations than addresses in the documentation block would be a mistake of the test.
    let host = u8::try_from(n + 10).expect("a world has fewer than 200 stations");
    SocketAddr::new([198, 51, 100, host].into(), MEDIA_PORT + further)
}

fn instance(n: usize) -> String {
    format!("urn:uuid:5ec0e700-aaaa-4bbb-8ccc-{n:012}")
}
