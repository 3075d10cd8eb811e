//! Accepts phones' connections, within limits that a single network cannot use up for everybody.

use super::connection::{self, Accepted, HANDSHAKE_WITHIN};
use super::core_task::CoreInput;
use crate::core::limits::{Origin, OriginSalt};
use crate::core::{DeviceHash, FlowOpened};
use crate::tls::device_of;
use rand_core::{OsRng, TryRngCore};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use undertone_sip::user_agent::{FlowId, Transport};

/// Connections at the same time. One takes about 60 KB with its TLS state, all of them 250 MB.
pub const MAX_CONNECTIONS: usize = 4_096;

/// Connections from one network (/24 or /56): an office's worth of phones; a stranger's machine cannot take all.
pub const MAX_CONNECTIONS_PER_NETWORK: usize = 256;

/// How long one salt hides the networks' addresses.
const SALT_LIFE: Duration = Duration::from_secs(3_600);

/// Pause after the system could not accept (no file descriptors left): connections that end give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Reception {
    core: Sender<CoreInput>,
    stop: watch::Receiver<bool>,
    /// Held by every connection: when all are dropped, all connections have ended.
    _alive: Sender<()>,
    flows: Arc<AtomicU64>,
    places: Arc<Mutex<Places>>,
}

struct Places {
    salt: OriginSalt,
    salted: Instant,
    per_network: BTreeMap<Origin, usize>,
    taken: usize,
}

/// One connection's place; given back when dropped.
struct Place {
    origin: Origin,
    places: Arc<Mutex<Places>>,
}

impl Reception {
    pub(super) fn new(core: Sender<CoreInput>, stop: watch::Receiver<bool>, alive: Sender<()>) -> Self {
        let salt = OriginSalt::draw(&mut OsRng.unwrap_err());
        let places = Places { salt, salted: Instant::now(), per_network: BTreeMap::new(), taken: 0 };
        Self { core, stop, _alive: alive, flows: Arc::default(), places: Arc::new(Mutex::new(places)) }
    }

    /// Accepts until the gateway stops. Without `tls` the listener is the clear-text one for development.
    pub(super) async fn listen(mut self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    if let Some(place) = self.place(from.ip()) {
                        tokio::spawn(self.clone().welcome(stream, place, tls.clone()));
                    }
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn welcome(self, stream: TcpStream, place: Place, tls: Option<TlsAcceptor>) {
        // Without it every other message of a call set-up waits 40 ms for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let flow = FlowId(self.flows.fetch_add(1, Ordering::Relaxed));
        let accepted = |transport, device| Accepted {
            flow,
            opened: FlowOpened { transport, origin: place.origin, device },
            core: self.core.clone(),
        };
        match tls {
            None => connection::carry(stream, accepted(Transport::Tcp, None)).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                    let device = device(&stream);
                    connection::carry(stream, accepted(Transport::Tls, device)).await;
                }
            }
        }
    }

    fn place(&self, from: IpAddr) -> Option<Place> {
        let mut places = lock(&self.places);
        if places.salted.elapsed() >= SALT_LIFE {
            places.salt = OriginSalt::draw(&mut OsRng.unwrap_err());
            places.salted = Instant::now();
        }
        let origin = places.salt.origin(from);
        let here = places.per_network.get(&origin).copied().unwrap_or(0);
        if places.taken >= MAX_CONNECTIONS || here >= MAX_CONNECTIONS_PER_NETWORK {
            return None;
        }
        places.taken += 1;
        places.per_network.insert(origin, here + 1);
        Some(Place { origin, places: Arc::clone(&self.places) })
    }
}

/// The device whose key the handshake has proved.
fn device(stream: &TlsStream<TcpStream>) -> Option<DeviceHash> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().and_then(|shown| shown.first()).and_then(device_of)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        places.taken = places.taken.saturating_sub(1);
        if let Some(here) = places.per_network.get_mut(&self.origin) {
            *here -= 1;
            if *here == 0 {
                places.per_network.remove(&self.origin);
            }
        }
    }
}

/// Counters stay right even if a task panicked while it held them: each change is one step.
fn lock(places: &Mutex<Places>) -> std::sync::MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn one_network_cannot_take_every_place_and_gets_its_own_back() {
        let (core, _) = mpsc::channel(1);
        let (_stop, stopped) = watch::channel(false);
        let (alive, _) = mpsc::channel(1);
        let reception = Reception::new(core, stopped, alive);
        let near: IpAddr = "192.0.2.1".parse().unwrap();
        let mut places: Vec<Place> = (0..MAX_CONNECTIONS_PER_NETWORK).map(|_| reception.place(near).unwrap()).collect();
        assert!(reception.place("192.0.2.200".parse().unwrap()).is_none());
        for network in 0..=255u8 {
            places.extend((0..16).filter_map(|host| reception.place(IpAddr::from([10, network, 0, host]))));
        }
        assert_eq!(places.len(), MAX_CONNECTIONS);
        assert!(reception.place("198.51.100.1".parse().unwrap()).is_none(), "full");
        places.clear();
        assert!(reception.place(near).is_some());
        assert!(lock(&reception.places).per_network.is_empty(), "nothing is remembered of a network that left");
    }
}
