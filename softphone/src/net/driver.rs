//! The loop that joins the phone's core with sockets, media threads, sound and the face in front of it.
//!
//! ```text
//!   input (keys, lines) ─▶┐              ┌─▶ flows (TLS, TCP, UDP)
//!   flows ───────────────▶│  core::Phone ├─▶ media threads
//!   media threads ───────▶│              └─▶ observer (what a person sees)
//!   time, signals ───────▶┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rand_core::{OsRng, TryRngCore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use undertone_config::HostPort;
use undertone_media::verify::IdentityKey;
use undertone_sip::user_agent::{FlowId, Transport};

use super::direct::{DirectEvent, DirectSockets, Peers};
use super::flow::{Flow, FlowEvent, Stream};
use super::media_socket::MediaSocket;
use super::media_thread::{MediaThread, SystemRng};
use super::signals::stop_asked;
use super::tls::{self, ConnectError};
use super::trust::Trust;
use crate::audio::{Sound, SoundNotice};
use crate::core::call::CallId;
use crate::core::checking::NotKept;
use crate::core::command::Command;
use crate::core::contacts::{ContactChange, Contacts};
use crate::core::event::{Event, Trouble};
use crate::core::media_command::{MediaCommand, Settings as MediaSettings};
use crate::core::media_event::{MediaEvent, MediaFailure};
use crate::core::phone::Phone;
use crate::core::phone_output::{DirectAddresses, FIRST_ACCEPTED_FLOW, FlowOpened, Output, Target};
use crate::core::phone_settings::Settings;
use crate::keeping::contacts_file::{ChangeError, ContactsFile};

/// Things that happened and were not looked at yet; senders wait beyond that.
const WAITING: usize = 256;
/// How long another phone may take to accept a connection (direct mode).
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the contacts are looked at that another process of this profile may have changed.
const LOOK_AT_CONTACTS: Duration = Duration::from_secs(2);
/// How long the last bytes may take when the phone stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// How other phones are reached.
#[derive(Debug)]
pub enum Reach {
    /// Through this gateway.
    Gateway {
        /// Where it listens.
        gateway: HostPort,
        /// How it proves who it is.
        trust: Trust,
    },
    /// Directly.
    Direct(DirectSockets),
}

/// What this phone keeps of itself and of others.
#[derive(Debug, Default)]
pub struct Kept {
    /// The key by which others know this phone; a new one without it.
    pub identity: Option<IdentityKey>,
    /// Contacts and links, and where they are kept; they need the identity.
    pub contacts: Option<(ContactsFile, Contacts)>,
    /// No gateway learns who calls.
    pub hide_from: bool,
}

/// What a person or program does.
#[derive(Debug)]
pub enum Input {
    /// A command.
    Command(Command),
    /// A key, whose meaning depends on what goes on.
    Key(char),
    /// A line that is no command, and why.
    Mistake(String),
}

/// The face in front of the phone.
pub trait Observer {
    /// Something changed; the answer is what to do now.
    fn see(&mut self, event: Event) -> Vec<Command>;
    /// A device came or went.
    fn see_sound(&mut self, notice: SoundNotice);
    /// The gateway could not be reached, in detail; [`Event::NotConnected`] follows.
    fn see_connect_error(&mut self, error: ConnectError);
    /// A line was not understood.
    fn see_mistake(&mut self, why: String);
    /// What a key means now.
    fn key(&mut self, key: char) -> Option<Command>;
}

/// Tells [`run`] about sound devices from other threads.
pub type SoundNotices = mpsc::Receiver<SoundNotice>;

/// Runs a phone until it has stopped.
pub async fn run<O: Observer>(
    settings: Settings,
    kept: Kept,
    reach: Reach,
    sound: Sound,
    mut inputs: mpsc::Receiver<Input>,
    mut notices: SoundNotices,
    observer: O,
) -> (O, Sound) {
    let (happenings, mut happened) = mpsc::channel(WAITING);
    let (media_events, mut media_happened) = mpsc::channel(WAITING);
    let mut phone = Phone::new(settings, [OsRng.unwrap_err(), OsRng.unwrap_err(), OsRng.unwrap_err()], Instant::now());
    if let Some(identity) = kept.identity {
        phone.set_identity(identity);
    }
    phone.set_hide_from(kept.hide_from);
    let contacts = kept.contacts.map(|(file, contacts)| {
        phone.set_contacts(contacts);
        file
    });
    let mut driver = Driver { contacts, ..Driver::new(phone, reach, sound, happenings, media_events, observer) };
    let mut look_at_contacts = interval(LOOK_AT_CONTACTS);
    look_at_contacts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = Box::pin(stop_asked());
    let mut stop_seen = false;
    driver.drain();
    while !driver.stopped {
        let due = driver.phone.poll_timeout();
        tokio::select! {
            Some(happening) = happened.recv() => driver.handle(happening),
            Some((call, event)) = media_happened.recv() => driver.handle_media(call, event),
            Some(input) = inputs.recv() => driver.handle_input(input),
            Some(notice) = notices.recv() => driver.observer.see_sound(notice),
            () = &mut stop, if !stop_seen => {
                stop_seen = true;
                driver.phone.handle_command(Command::Quit, Instant::now());
            }
            _ = look_at_contacts.tick() => driver.reload_contacts(),
            () = wait_until(due) => driver.phone.handle_timeout(Instant::now()),
        }
        driver.drain();
    }
    driver.say_goodbye().await
}

/// One thing that happened on a socket.
enum Happening {
    Flow(FlowEvent),
    Direct(DirectEvent),
    Opened { flow: FlowId, transport: Transport, stream: Box<dyn Stream>, remote: Option<SocketAddr> },
    GatewayFailed { flow: FlowId, error: ConnectError },
    PeerFailed { flow: FlowId },
}

impl From<FlowEvent> for Happening {
    fn from(event: FlowEvent) -> Self {
        Self::Flow(event)
    }
}

impl From<DirectEvent> for Happening {
    fn from(event: DirectEvent) -> Self {
        Self::Direct(event)
    }
}

struct Driver<O> {
    phone: Phone<SystemRng>,
    reach: Reach,
    sound: Sound,
    happenings: mpsc::Sender<Happening>,
    media_events: mpsc::Sender<(CallId, MediaEvent)>,
    observer: O,
    flows: BTreeMap<FlowId, Flow>,
    opening: BTreeSet<FlowId>,
    closing: Vec<tokio::task::JoinHandle<()>>,
    peers: Peers,
    accepted: u64,
    media: Option<(CallId, MediaThread)>,
    ending: Vec<JoinHandle<()>>,
    contacts: Option<ContactsFile>,
    /// Said already: that the contacts cannot be read, and why.
    unreadable: Option<String>,
    stopped: bool,
}

impl<O: Observer> Driver<O> {
    fn new(
        phone: Phone<SystemRng>,
        mut reach: Reach,
        sound: Sound,
        happenings: mpsc::Sender<Happening>,
        media_events: mpsc::Sender<(CallId, MediaEvent)>,
        observer: O,
    ) -> Self {
        if let Reach::Direct(sockets) = &mut reach {
            sockets.listen(&happenings);
        }
        Self {
            phone,
            reach,
            sound,
            happenings,
            media_events,
            observer,
            flows: BTreeMap::new(),
            opening: BTreeSet::new(),
            closing: Vec::new(),
            peers: Peers::default(),
            accepted: FIRST_ACCEPTED_FLOW,
            media: None,
            ending: Vec::new(),
            contacts: None,
            unreadable: None,
            stopped: false,
        }
    }

    fn handle_input(&mut self, input: Input) {
        let command = match input {
            Input::Command(command) => Some(command),
            Input::Key(key) => self.observer.key(key),
            Input::Mistake(why) => {
                self.observer.see_mistake(why);
                None
            }
        };
        if let Some(command) = command {
            self.command(command);
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.tell_date();
        self.phone.handle_command(command, now);
    }

    fn tell_date(&mut self) -> Instant {
        let now = Instant::now();
        self.phone.handle_date(SystemTime::now(), now);
        now
    }

    fn handle_media(&mut self, call: CallId, event: MediaEvent) {
        let now = self.tell_date();
        self.phone.handle_media_event(call, event, now);
    }

    fn reload_contacts(&mut self) {
        match self.contacts.as_mut().map(ContactsFile::reload) {
            Some(Ok(Some(contacts))) => {
                self.unreadable = None;
                self.phone.handle_contacts(contacts, Instant::now());
            }
            Some(Err(why)) => {
                // The phone goes on with what it knows; said once, not every two seconds.
                let why = why.to_string();
                if self.unreadable.as_ref() != Some(&why) {
                    self.unreadable = Some(why.clone());
                    self.phone.handle_not_kept(NotKept::Unwritten(why), Instant::now());
                }
            }
            Some(Ok(None)) | None => {}
        }
    }

    fn keep(&mut self, change: ContactChange) {
        let Some(file) = &mut self.contacts else { return };
        let now = Instant::now();
        match file.change(change) {
            Ok(contacts) => self.phone.handle_contacts(contacts, now),
            Err(ChangeError::Refused(why)) => self.phone.handle_not_kept(NotKept::Refused(why), now),
            Err(ChangeError::Kept(why)) => self.phone.handle_not_kept(NotKept::Unwritten(why.to_string()), now),
        }
    }

    fn handle(&mut self, happening: Happening) {
        let now = self.tell_date();
        match happening {
            Happening::Flow(FlowEvent::Bytes { flow, bytes }) => self.phone.handle_bytes(flow, &bytes, now),
            Happening::Flow(FlowEvent::Closed { flow }) => {
                if self.flows.remove(&flow).is_some() {
                    self.phone.handle_flow_closed(flow, Trouble::ConnectionLost, now);
                }
            }
            Happening::Direct(event) => self.handle_direct(event, now),
            Happening::Opened { flow, transport, stream, remote } => {
                if self.opening.remove(&flow) {
                    self.start_flow(flow, transport, stream, remote, now);
                }
            }
            Happening::GatewayFailed { flow, error } => {
                if self.opening.remove(&flow) {
                    let trouble = error.trouble();
                    self.observer.see_connect_error(error);
                    self.phone.handle_flow_closed(flow, trouble, now);
                }
            }
            Happening::PeerFailed { flow } => {
                if self.opening.remove(&flow) {
                    self.phone.handle_flow_closed(flow, Trouble::ConnectionLost, now);
                }
            }
        }
    }

    fn handle_direct(&mut self, event: DirectEvent, now: Instant) {
        match event {
            DirectEvent::Datagram { from, bytes } => {
                let flow = match self.peers.flow_of(from) {
                    Some(flow) => flow,
                    None => {
                        let flow = self.next_accepted();
                        self.add_peer(from, flow, now);
                        flow
                    }
                };
                self.phone.handle_bytes(flow, &bytes, now);
            }
            DirectEvent::Accepted { from, stream } => {
                let flow = self.next_accepted();
                self.start_flow(flow, Transport::Tcp, Box::new(stream), Some(from), now);
            }
        }
    }

    fn next_accepted(&mut self) -> FlowId {
        self.accepted += 1;
        FlowId(self.accepted)
    }

    fn add_peer(&mut self, address: SocketAddr, flow: FlowId, now: Instant) {
        if let Some(forgotten) = self.peers.add(address, flow) {
            self.phone.handle_flow_closed(forgotten, Trouble::ConnectionLost, now);
        }
        self.report_opened(flow, Transport::Udp, Some(address), now);
    }

    fn start_flow(
        &mut self,
        flow: FlowId,
        transport: Transport,
        stream: Box<dyn Stream>,
        remote: Option<SocketAddr>,
        now: Instant,
    ) {
        self.flows.insert(flow, Flow::spawn(flow, stream, self.happenings.clone()));
        self.report_opened(flow, transport, remote, now);
    }

    fn report_opened(&mut self, flow: FlowId, transport: Transport, remote: Option<SocketAddr>, now: Instant) {
        let direct = match (&self.reach, remote) {
            (Reach::Direct(sockets), Some(remote)) => Some(DirectAddresses { local: sockets.local(), remote }),
            (Reach::Direct(_) | Reach::Gateway { .. }, _) => None,
        };
        self.phone.handle_flow_opened(flow, FlowOpened { transport, direct }, now);
    }

    /// Carries out everything the core asks for.
    fn drain(&mut self) {
        while let Some(output) = self.phone.poll_output() {
            match output {
                Output::OpenFlow { flow, target } => self.open_flow(flow, target),
                Output::CloseFlow { flow } => self.close_flow(flow),
                Output::Transmit { flow, bytes } => self.transmit(flow, bytes),
                Output::Media(command) => self.media_command(command),
                Output::Keep(change) => self.keep(change),
                Output::Ui(event) => {
                    self.stopped |= matches!(event, Event::Stopped);
                    for command in self.observer.see(event) {
                        self.command(command);
                    }
                }
            }
        }
    }

    fn open_flow(&mut self, flow: FlowId, target: Target) {
        let happenings = self.happenings.clone();
        match (target, &self.reach) {
            (Target::Peer { transport: Transport::Udp, address }, _) => self.add_peer(address, flow, Instant::now()),
            (Target::Peer { address, .. }, _) => {
                self.opening.insert(flow);
                tokio::spawn(async move {
                    let opened = timeout(PEER_TIMEOUT, TcpStream::connect(address)).await;
                    let happening = match opened {
                        Ok(Ok(stream)) => {
                            let _ = stream.set_nodelay(true);
                            let (transport, remote) = (Transport::Tcp, Some(address));
                            Happening::Opened { flow, transport, stream: Box::new(stream), remote }
                        }
                        Ok(Err(_)) | Err(_) => Happening::PeerFailed { flow },
                    };
                    let _ = happenings.send(happening).await;
                });
            }
            (Target::Gateway, Reach::Gateway { gateway, trust }) => {
                let (gateway, trust) = (gateway.clone(), trust.clone());
                self.opening.insert(flow);
                tokio::spawn(async move {
                    let happening = match tls::connect(&gateway, &trust).await {
                        Ok(stream) => {
                            let transport = Transport::Tls;
                            Happening::Opened { flow, transport, stream: Box::new(stream), remote: None }
                        }
                        Err(error) => Happening::GatewayFailed { flow, error },
                    };
                    let _ = happenings.send(happening).await;
                });
            }
            // A phone without gateway does not ask for one.
            (Target::Gateway, Reach::Direct(_)) => {}
        }
    }

    fn close_flow(&mut self, flow: FlowId) {
        self.opening.remove(&flow);
        self.peers.remove(flow);
        self.closing.retain(|task| !task.is_finished());
        self.closing.extend(self.flows.remove(&flow).map(Flow::close));
    }

    fn transmit(&mut self, flow: FlowId, bytes: Vec<u8>) {
        if let Some(open) = self.flows.get(&flow) {
            open.send(bytes);
        } else if let Reach::Direct(sockets) = &self.reach
            && let Some(to) = self.peers.address_of(flow)
        {
            sockets.send(to, &bytes);
        }
    }

    fn media_command(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Open { call, settings } => self.open_media(call, *settings),
            MediaCommand::Close { call } => {
                if self.media.as_ref().is_some_and(|(open, _)| *open == call) {
                    self.end_media();
                }
            }
            MediaCommand::RestartIce { call, .. }
            | MediaCommand::Redirect { call, .. }
            | MediaCommand::Mute { call, .. }
            | MediaCommand::Hold { call, .. }
            | MediaCommand::Dtmf { call, .. }
            | MediaCommand::CloseSound { call }
            | MediaCommand::TellLinkUsed { call } => {
                let open = self.media.as_ref().filter(|(open, _)| *open == call);
                if open.is_some_and(|(_, thread)| !thread.send(command)) {
                    self.end_media();
                    self.phone.handle_media_event(call, MediaEvent::Failed(MediaFailure::PathLost), Instant::now());
                }
            }
        }
    }

    fn open_media(&mut self, call: CallId, settings: MediaSettings) {
        self.end_media();
        // Calls without gateway share one port: the last one must have let go of it.
        self.ending.drain(..).for_each(|thread| drop(thread.join()));
        let socket = match &self.reach {
            Reach::Gateway { .. } => MediaSocket::for_relay(),
            Reach::Direct(sockets) => sockets.media().share(),
        };
        let sound = self.sound.begin_call();
        let started =
            socket.and_then(|socket| MediaThread::start(call, settings, socket, sound, self.media_events.clone()));
        match started {
            Ok(thread) => self.media = Some((call, thread)),
            Err(_no_socket_or_thread) => {
                self.sound.end_call();
                self.phone.handle_media_event(call, MediaEvent::Failed(MediaFailure::Settings), Instant::now());
            }
        }
    }

    fn end_media(&mut self) {
        if let Some((call, thread)) = self.media.take() {
            self.ending.push(thread.close(call));
            self.sound.end_call();
        }
    }

    /// Lets the last bytes out and the last sound in.
    async fn say_goodbye(mut self) -> (O, Sound) {
        self.end_media();
        let flows = std::mem::take(&mut self.flows);
        self.closing.extend(flows.into_values().map(Flow::close));
        let _ = timeout(GOODBYE, async {
            for task in self.closing.drain(..) {
                let _ = task.await;
            }
        })
        .await;
        self.ending.drain(..).for_each(|thread| drop(thread.join()));
        (self.observer, self.sound)
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
