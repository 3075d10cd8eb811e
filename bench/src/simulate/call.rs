//! Two media sessions in virtual time with a simulated network between them.

use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use str0m_netem::{Input, LossModel, Netem, NetemConfig, Output as Emitted, Probability, RandomLoss};
use undertone_media::certificate::Certificate;
use undertone_media::dtls::{Peer, Role};
use undertone_media::session::{DEFAULT_PTIME_MS, Event, Output, Payloads, Session, Settings, SoundGate, Stats};
use undertone_media::verify;

use crate::failure::Failure;

/// Time moves in steps of this length.
const TICK: Duration = Duration::from_millis(1);
/// The speaker asks for sound this often, as small device buffers do.
const SPEAKER_BLOCK_MS: u128 = 10;
const SAMPLES_PER_MS: usize = undertone_media::SAMPLE_RATE_HZ as usize / 1000;
/// Ticks in which keys must be there: two seconds.
const HANDSHAKE_TICKS: usize = 2_000;
/// Payload numbers as our phones agree on them.
const PAYLOADS: Payloads = Payloads { opus: 111, red: Some(112), telephone_event: Some(101) };
/// Any day will do for certificates whose dates nobody checks.
const TODAY: Duration = Duration::from_secs(1_790_000_000);

/// What the simulated network does to each datagram after the keys are agreed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) loss_percent: f32,
    pub(super) jitter: Duration,
    pub(super) latency: Duration,
    pub(super) seed: u64,
}

/// What arrived of what was said.
pub(super) struct Heard {
    /// From the moment on at which the first frame was complete.
    pub(super) samples: Vec<f32>,
    /// The listener's figures.
    pub(super) stats: Stats,
    /// Bit rate of the speaker's media datagrams, without UDP and IP headers.
    pub(super) kilobits_per_s: f64,
}

struct Side {
    session: Session<ChaCha20Rng>,
    link: Netem<Vec<u8>>,
    encrypted: bool,
}

/// Lets one side say `said` while the other is silent; the network is perfect until both have keys.
pub(super) fn speak(said: &[f32], line: Line) -> Result<Heard, Failure> {
    let mut now = Instant::now();
    let [mut speaker, mut listener] = pair(line.seed, now)?;
    for _ in 0..HANDSHAKE_TICKS {
        exchange(&mut speaker, &mut listener, now);
        now += TICK;
        if speaker.encrypted && listener.encrypted {
            break;
        }
    }
    if !(speaker.encrypted && listener.encrypted) {
        return Err(Failure::NotShown("the two sessions did not agree on keys".into()));
    }
    speaker.link = Netem::new(line.network(0));
    listener.link = Netem::new(line.network(1));
    let start = now;
    let sent_before = speaker.session.stats().sent.bytes;
    let frame_len = usize::from(DEFAULT_PTIME_MS) * SAMPLES_PER_MS;
    let silence = vec![0.0; frame_len];
    let mut frames = said.chunks_exact(frame_len);
    let mut samples = Vec::with_capacity(said.len());
    while frames.len() > 0 {
        let elapsed_ms = (now - start).as_millis();
        if elapsed_ms.is_multiple_of(u128::from(DEFAULT_PTIME_MS)) {
            speaker.session.handle_capture(frames.next().unwrap_or(&silence), now);
            listener.session.handle_capture(&silence, now);
        }
        if elapsed_ms.is_multiple_of(SPEAKER_BLOCK_MS) {
            let block = SPEAKER_BLOCK_MS as usize * SAMPLES_PER_MS;
            let from = samples.len();
            samples.resize(from + block, 0.0);
            listener.session.fill_playout(&mut samples[from..], now);
            speaker.session.fill_playout(&mut vec![0.0; block], now);
        }
        exchange(&mut speaker, &mut listener, now);
        now += TICK;
    }
    let bits = (speaker.session.stats().sent.bytes - sent_before) * 8;
    let kilobits_per_s = bits as f64 / (now - start).as_secs_f64() / 1000.0;
    Ok(Heard { samples, stats: listener.session.stats(), kilobits_per_s })
}

impl Line {
    fn network(self, direction: u64) -> NetemConfig {
        let config = NetemConfig::new()
            // Jitter is taken from the latency as well as added to it.
            .latency(self.latency.max(self.jitter))
            .jitter(self.jitter)
            .seed(self.seed * 2 + direction);
        if self.loss_percent > 0.0 {
            let loss = RandomLoss::new(Probability::new(self.loss_percent / 100.0));
            return config.loss(LossModel::from(loss));
        }
        config
    }
}

fn pair(seed: u64, now: Instant) -> Result<[Side; 2], Failure> {
    let certificate = || {
        Certificate::generate(SystemTime::UNIX_EPOCH + TODAY)
            .map_err(|why| Failure::Unusable(format!("no certificate can be made: {why}")))
    };
    let (mine, yours) = (certificate()?, certificate()?);
    let (of_mine, of_yours) = (mine.fingerprint(), yours.fingerprint());
    Ok([Side::new(mine, Role::Client, of_yours, seed, now)?, Side::new(yours, Role::Server, of_mine, !seed, now)?])
}

impl Side {
    fn new(certificate: Certificate, role: Role, peer: [u8; 32], seed: u64, now: Instant) -> Result<Self, Failure> {
        // Who is called begins the handshake.
        let part = match role {
            Role::Client => verify::Role::Responder,
            Role::Server => verify::Role::Initiator,
        };
        let settings = Settings {
            certificate,
            dtls_role: role,
            peer: Peer::Ours,
            peer_fingerprint: peer,
            post_quantum: Some(part),
            payload: PAYLOADS,
            ptime_ms: DEFAULT_PTIME_MS,
            sound: SoundGate::Open,
        };
        let session = Session::new(settings, ChaCha20Rng::seed_from_u64(seed), now)
            .map_err(|why| Failure::Unusable(format!("no session can be made: {why}")))?;
        Ok(Self { session, link: Netem::new(NetemConfig::new()), encrypted: false })
    }

    fn live(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(datagram) => self.link.handle_input(Input::Packet(now, datagram)),
                Output::Event(Event::Encrypted { .. }) => self.encrypted = true,
                Output::Event(_) => {}
            }
        }
    }
}

/// What is due on both sides, then what arrives on both sides.
fn exchange(a: &mut Side, b: &mut Side, now: Instant) {
    a.live(now);
    b.live(now);
    deliver(&mut a.link, &mut b.session, now);
    deliver(&mut b.link, &mut a.session, now);
}

fn deliver(link: &mut Netem<Vec<u8>>, to: &mut Session<ChaCha20Rng>, now: Instant) {
    link.handle_input(Input::Timeout(now));
    while let Some(emitted) = link.poll_output() {
        match emitted {
            Emitted::Packet(datagram) => to.handle_datagram(&datagram, now),
            Emitted::Timeout(_) => {}
        }
    }
}
