//! One call's media: everything between captured sound and protected datagrams, and back.
//!
//! Ladder: `new` → DTLS handshake and, where agreed, post-quantum exchange (capture dropped, silence played) →
//! `Encrypted`: one packet per frame in a constant rhythm, reports every 5 s → `Failed` (nothing in or out any more).
//! Datagrams are told apart by their first byte (RFC 7983), RTP and RTCP by their second (RFC 5761 §4).
//!
//! The packets of one call have one size and one rhythm, in speech, silence, mute and hold: where the
//! capture is late or absent, encoded silence takes its place.

mod event;
mod failure;
mod incoming;
mod key_mix;
mod layout;
mod outgoing;
mod reports;
mod settings;
mod stats;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_core::RngCore;

pub use event::{Event, Output};
pub use failure::Failure;
pub use settings::{DEFAULT_PTIME_MS, Payloads, Settings, SettingsError, SoundGate};
pub use stats::{Discarded, MouthToEar, Network, Received, Sent, Stats};

use crate::dtls::{self, Association, Connected, Peer};
use crate::rtcp::duration_of;
use crate::srtp::{self, SsrcPolicy};
use incoming::Incoming;
use key_mix::KeyMix;
use outgoing::Outgoing;
use reports::Reports;

/// Largest datagram a call takes: an Ethernet frame's worth; larger ones are no media of ours.
pub const MAX_DATAGRAM_LEN: usize = 1_500;

/// First bytes of DTLS records (RFC 7983 §7).
const DTLS: std::ops::RangeInclusive<u8> = 20..=63;

/// First bytes of RTP and RTCP packets (RFC 7983 §7).
const RTP: std::ops::RangeInclusive<u8> = 128..=191;

/// After so long without an authentic packet the other side counts as silent: a person waits no longer
/// before looking at the screen, and a network change has had time to heal.
const PEER_SILENT_AFTER: Duration = Duration::from_secs(5);

/// Outputs kept for an owner that does not poll: seconds of a call with all its events. More are dropped,
/// as the network would, so that no peer can grow the queue.
const MAX_QUEUED_OUTPUTS: usize = 512;

/// One call's media.
pub struct Session<R> {
    rng: R,
    association: Association,
    key_mix: KeyMix,
    connected: Option<Box<Connected>>,
    protected: Option<Protected>,
    outgoing: Outgoing,
    incoming: Incoming,
    ptime: Duration,
    strict: bool,
    gate: SoundGate,
    /// Until the verification has passed nothing of the other side is heard either.
    listens: bool,
    first_sound_told: bool,
    failed: bool,
    outputs: VecDeque<Output>,
    buffer: [u8; MAX_DATAGRAM_LEN],
    sent: Sent,
    received: Received,
    discarded: Discarded,
}

/// What exists once there are keys.
struct Protected {
    srtp: srtp::Context,
    reports: Reports,
    /// When silence takes the place of a frame that was not captured.
    fill_at: Instant,
    last_packet_sent: Instant,
    last_heard: Instant,
    peer_silent: bool,
}

impl<R: RngCore> Session<R> {
    /// Starts the media of a call, its DTLS handshake first.
    ///
    /// # Errors
    /// When the settings are unusable or the codec cannot be made.
    pub fn new(settings: Settings, mut rng: R, now: Instant) -> Result<Self, SettingsError> {
        settings.check()?;
        let outgoing = Outgoing::new(settings.payload, settings.ptime_ms, &mut rng)?;
        let incoming = Incoming::new(settings.payload, settings.ptime_ms)?;
        let association =
            Association::new(settings.peer, settings.dtls_role, &settings.certificate, settings.peer_fingerprint, now);
        let mut session = Self {
            rng,
            association,
            key_mix: KeyMix::new(settings.peer, settings.post_quantum),
            connected: None,
            protected: None,
            outgoing,
            incoming,
            ptime: Duration::from_millis(u64::from(settings.ptime_ms)),
            strict: settings.peer == Peer::Ours,
            gate: settings.sound,
            listens: settings.sound == SoundGate::Open,
            first_sound_told: false,
            failed: false,
            outputs: VecDeque::new(),
            buffer: [0; MAX_DATAGRAM_LEN],
            sent: Sent::default(),
            received: Received::default(),
            discarded: Discarded::default(),
        };
        session.drain_keys(now);
        Ok(session)
    }

    /// Takes a datagram of the other side.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        if self.failed {
            return;
        }
        if datagram.len() > MAX_DATAGRAM_LEN {
            self.discarded.too_long += 1;
            return;
        }
        match datagram.first() {
            Some(first) if DTLS.contains(first) => {
                self.association.handle_timeout(now);
                self.association.handle_datagram(datagram, now);
                self.drain_keys(now);
            }
            Some(first) if RTP.contains(first) => self.handle_protected(datagram, now),
            Some(_) | None => self.discarded.not_media += 1,
        }
    }

    /// Takes one captured frame (`ptime_ms` × 48 samples) and sends it; without keys it is dropped.
    pub fn handle_capture(&mut self, pcm: &[f32], now: Instant) {
        if self.protected.is_none() {
            self.sent.dropped_before_keys += u64::from(!self.failed);
            return;
        }
        if pcm.len() != self.outgoing.frame_samples() {
            self.sent.wrong_length_frames += 1;
            return;
        }
        self.send_frame(Some(pcm), now);
        if let Some(protected) = &mut self.protected {
            // Half a frame more than one is missing: the gap stays below three frames.
            protected.fill_at = now + self.ptime * 5 / 2;
        }
    }

    /// Fills the block the speaker asks for, of any length; silence while there is nothing to hear, and before the
    /// verification has passed where it must: whoever it is could say things in a familiar voice.
    pub fn fill_playout(&mut self, block: &mut [f32], now: Instant) {
        self.incoming.fill(block, now);
        if !self.listens {
            block.fill(0.0);
        } else if !self.first_sound_told && self.incoming.playout().has_played() {
            self.first_sound_told = true;
            self.tell(Event::FirstSound);
        }
    }

    /// Mutes the microphone: encoded silence is sent instead, of the same size and rhythm.
    pub fn set_muted(&mut self, muted: bool) {
        self.outgoing.muted = muted;
    }

    /// Puts the call on hold: silence is sent and, between our phones, each packet says so inside.
    pub fn set_held(&mut self, held: bool) {
        self.outgoing.held = held;
    }

    /// Lets captured sound out and the other side be heard: the verification has passed.
    pub fn open_sound(&mut self) {
        self.gate = SoundGate::Open;
        self.listens = true;
    }

    /// Lets no captured sound out any more, and no keys: people found that somebody sits in between.
    pub fn close_sound(&mut self) {
        self.gate = SoundGate::UntilVerified;
        self.outgoing.forget_digits();
    }

    /// Sends a key (0–9, `*`, `#`, A–D); false if it is no key, the other side takes none, the call is on
    /// hold, too many are waiting, or the verification has not passed: keys can be secrets.
    pub fn send_dtmf(&mut self, digit: char) -> bool {
        !self.failed && self.gate == SoundGate::Open && self.outgoing.push_digit(digit)
    }

    /// Sends a data frame through the encrypted channel, one per DTLS record: for the verification.
    ///
    /// # Errors
    /// Without keys, or where the frame does not fit one record.
    pub fn send_channel_data(&mut self, frame: &[u8], now: Instant) -> Result<(), dtls::SendError> {
        let result = self.association.send(frame, now);
        self.discarded.channel_data += u64::from(result.is_err());
        self.drain_keys(now);
        result
    }

    /// What the handshake gave, its keys mixed where [`Self::is_post_quantum`]: for the verification's channel
    /// binding; none before `Encrypted`.
    pub fn connected(&self) -> Option<&Connected> {
        self.connected.as_deref()
    }

    /// Whether an ML-KEM-768 secret is mixed into the keys in use.
    pub fn is_post_quantum(&self) -> bool {
        self.protected.is_some() && self.key_mix.has_run()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failed {
            return;
        }
        self.association.handle_timeout(now);
        self.key_mix.handle_timeout(now);
        self.drain_keys(now);
        self.fill_missing_capture(now);
        self.send_due_report(now);
        self.watch_peer(now);
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failed {
            return None;
        }
        let own = self.protected.as_ref().map(|protected| {
            let silent_at = (!protected.peer_silent).then_some(protected.last_heard + PEER_SILENT_AFTER);
            let due = protected.fill_at.min(protected.reports.next());
            silent_at.map_or(due, |at| at.min(due))
        });
        [self.association.poll_timeout(), self.key_mix.poll_timeout(), own].into_iter().flatten().min()
    }

    /// The next thing to send or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Figures of the call so far.
    pub fn stats(&self) -> Stats {
        let playout = self.incoming.playout().stats();
        let mut network = match &self.protected {
            Some(protected) => protected.reports.network(),
            None => Network::default(),
        };
        if let Some(reception) = self.incoming.network() {
            network.loss_received = reception.loss();
            network.jitter = reception.jitter();
        }
        Stats {
            sent: self.sent,
            received: self.received,
            discarded: self.discarded,
            playout,
            network,
            mouth_to_ear: MouthToEar {
                packetization: self.ptime,
                codec: duration_of(self.outgoing.lookahead_samples()),
                network: network.round_trip.map(|round_trip| round_trip / 2),
                playout: playout.actual,
            },
        }
    }

    fn tell(&mut self, event: Event) {
        self.put_out(Output::Event(event));
    }

    fn put_out(&mut self, output: Output) {
        if self.outputs.len() < MAX_QUEUED_OUTPUTS {
            self.outputs.push_back(output);
        } else {
            self.discarded.outputs += 1;
        }
    }

    /// Lets handshake and post-quantum exchange talk until neither has anything to say.
    fn drain_keys(&mut self, now: Instant) {
        loop {
            self.drain_association(now);
            match self.key_mix.poll_output() {
                // A record that cannot be sent now is repeated by the exchange's own clock.
                Some(key_mix::Output::Send(frame)) => {
                    self.discarded.channel_data += u64::from(self.association.send(&frame, now).is_err());
                }
                Some(key_mix::Output::Mixed(connected)) => self.protect(connected, now),
                Some(key_mix::Output::Failed(failure)) => self.fail(failure.into(), now),
                None => return,
            }
        }
    }

    fn drain_association(&mut self, now: Instant) {
        while let Some(output) = self.association.poll_output() {
            match output {
                dtls::Output::Transmit(datagram) => self.put_out(Output::Transmit(datagram)),
                dtls::Output::Connected(connected) => {
                    if let Some(connected) = self.key_mix.handle_connected(connected, now) {
                        self.protect(connected, now);
                    }
                }
                dtls::Output::Data(_) if self.failed => {}
                dtls::Output::Data(record) => {
                    if let Some(record) = self.key_mix.handle_data(record, now) {
                        self.tell(Event::ChannelData(record));
                    }
                }
                dtls::Output::Failed(failure) => self.fail(failure.into(), now),
            }
        }
    }

    /// Drops every key and tells the other side, if it can still be told.
    fn fail(&mut self, failure: Failure, now: Instant) {
        if self.failed {
            return;
        }
        self.failed = true;
        self.protected = None;
        self.connected = None;
        self.key_mix.close();
        self.association.close(now);
        self.tell(Event::Failed(failure));
    }

    fn protect(&mut self, connected: Box<Connected>, now: Instant) {
        let policy = if self.strict { SsrcPolicy::Fixed } else { SsrcPolicy::Foreign };
        let total = self.strict.then(|| self.outgoing.layout().rtcp_len());
        self.protected = Some(Protected {
            srtp: srtp::Context::new(&connected.keys, connected.role, policy),
            reports: Reports::new(&mut self.rng, total, now),
            fill_at: now + self.ptime * 5 / 2,
            last_packet_sent: now,
            last_heard: now,
            peer_silent: false,
        });
        self.tell(Event::Encrypted {
            profile: connected.profile,
            dtls_version: connected.version,
            peer_fingerprint: connected.peer_fingerprint,
            post_quantum: self.key_mix.has_run(),
        });
        self.connected = Some(connected);
    }

    fn handle_protected(&mut self, datagram: &[u8], now: Instant) {
        let Some(protected) = &mut self.protected else {
            self.discarded.before_keys += 1;
            return;
        };
        let packet = &mut self.buffer[..datagram.len()];
        packet.copy_from_slice(datagram);
        if srtp::is_rtcp(datagram) {
            let Ok(len) = protected.srtp.unprotect_rtcp(packet) else {
                self.discarded.rtcp_refused += 1;
                return;
            };
            self.received.rtcp_packets += 1;
            let reception = self.incoming.reception();
            if !protected.reports.handle(&packet[..len], self.outgoing.ssrc(), reception, now) {
                self.discarded.rtcp_malformed += 1;
            }
            self.outgoing.set_expected_loss(protected.reports.expected_loss_percent());
        } else {
            let Ok(len) = protected.srtp.unprotect_rtp(packet) else {
                self.discarded.rtp_refused += 1;
                return;
            };
            self.received.packets += 1;
            self.received.bytes += datagram.len() as u64;
            let mut told = [None, None];
            self.incoming.handle_rtp(&packet[..len], now, &mut self.discarded, |event| {
                // One packet tells of one key and of hold at most; further keys in it are not ours.
                if let Some(free) = told.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(event);
                }
            });
            for event in told.into_iter().flatten() {
                if self.listens || !matches!(event, Event::DtmfReceived(_)) {
                    self.tell(event);
                }
            }
        }
        self.key_mix.handle_authentic_packet();
        self.note_heard(now);
    }

    fn send_frame(&mut self, pcm: Option<&[f32]>, now: Instant) {
        let Some(protected) = &mut self.protected else { return };
        let pcm = pcm.filter(|_| self.gate == SoundGate::Open);
        let Some(len) = self.outgoing.write(pcm, &mut self.buffer) else { return };
        let Ok(len) = protected.srtp.protect_rtp(&mut self.buffer, len) else { return };
        protected.last_packet_sent = now;
        self.sent.packets += 1;
        self.sent.bytes += len as u64;
        self.put_out(Output::Transmit(self.buffer[..len].to_vec()));
    }

    fn fill_missing_capture(&mut self, now: Instant) {
        let Some(due) = self.protected.as_ref().map(|protected| protected.fill_at) else { return };
        if now < due {
            return;
        }
        self.send_frame(None, now);
        self.sent.filled_frames += 1;
        if let Some(protected) = &mut self.protected {
            // In step with the frames before, unless the caller slept through several.
            let in_step = due + self.ptime;
            protected.fill_at = if in_step > now { in_step } else { now + self.ptime };
        }
    }

    fn send_due_report(&mut self, now: Instant) {
        let Some(protected) = &mut self.protected else { return };
        if !protected.reports.take_due(&mut self.rng, now) {
            return;
        }
        let since_last = samples_since(protected.last_packet_sent, now);
        let sender = self.outgoing.sender_info(protected.reports.ntp(now), since_last);
        let reception = self.incoming.reception();
        let ssrc = self.outgoing.ssrc();
        let Some(len) = protected.reports.write(ssrc, sender, reception, now, &mut self.buffer) else { return };
        let Ok(len) = protected.srtp.protect_rtcp(&mut self.buffer, len) else { return };
        self.sent.rtcp_packets += 1;
        self.put_out(Output::Transmit(self.buffer[..len].to_vec()));
    }

    fn note_heard(&mut self, now: Instant) {
        let Some(protected) = &mut self.protected else { return };
        protected.last_heard = now;
        if std::mem::take(&mut protected.peer_silent) {
            self.tell(Event::PeerSilent(false));
        }
    }

    fn watch_peer(&mut self, now: Instant) {
        let Some(protected) = &mut self.protected else { return };
        if !protected.peer_silent && now >= protected.last_heard + PEER_SILENT_AFTER {
            protected.peer_silent = true;
            self.tell(Event::PeerSilent(true));
        }
    }
}

fn samples_since(before: Instant, now: Instant) -> u32 {
    let nanos = now.saturating_duration_since(before).as_nanos();
    (nanos * u128::from(crate::SAMPLE_RATE_HZ) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests;
