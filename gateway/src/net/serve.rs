//! Puts the gateway together, says when it is ready, and stops it in order.
//!
//! Stop: no new connections; calls are ended with a BYE to each phone; what is queued is sent; connections close.

use super::core_task::{CoreTask, MAX_WAITING_INPUTS};
use super::error::ServeError;
use super::listener::Reception;
use super::relay_thread::{RelayHandle, RelaySockets};
use super::sockets;
use super::store_thread::StoreHandle;
use crate::confinement::Confinement;
use crate::core::Gateway;
use crate::core::relay::Relay;
use crate::core::settings::{RelayAddresses, Settings};
use crate::store::{AccountWatch, Store};
use crate::tls::TlsIdentity;
use rand_core::{OsRng, TryRngCore};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::num::NonZero;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use undertone_config::{GatewayConfig, RelayConfig};

/// How long connections may take to send what is queued when the gateway stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Everything a gateway needs to run.
#[derive(Debug)]
pub struct Served {
    /// The configuration.
    pub config: GatewayConfig,
    /// Certificate and key.
    pub identity: TlsIdentity,
    /// The account store.
    pub store: Store,
    /// Also listen here without encryption; must be a loopback address.
    pub insecure: Option<SocketAddr>,
    /// What the process keeps of the system once everything is open.
    pub confinement: Confinement,
}

/// Where a running gateway listens, with the ports it really has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// SIP over TLS.
    pub signalling: Vec<SocketAddr>,
    /// Media.
    pub relay: Vec<SocketAddr>,
    /// SIP over TCP, for development.
    pub insecure: Option<SocketAddr>,
}

/// Runs the gateway until SIGTERM or SIGINT; `on_ready` is called once when phones can connect.
pub fn serve(served: Served, on_ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    if let Some(address) = served.insecure.filter(|address| !address.ip().is_loopback()) {
        return Err(ServeError::InsecureAddress { address });
    }
    sockets::allow_many();
    let sockets = Sockets::open(&served.config, served.insecure)?;
    // Read now: a container's share of the machine is in a file that is out of reach afterwards.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    served.confinement.enter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    runtime.block_on(run(served, sockets, on_ready))
}

/// All sockets, opened before anything else so that a fault is known at once.
struct Sockets {
    signalling: Vec<TcpListener>,
    insecure: Option<TcpListener>,
    relay: RelaySockets,
}

impl Sockets {
    fn open(config: &GatewayConfig, insecure: Option<SocketAddr>) -> Result<Self, ServeError> {
        let listen = |address: &SocketAddr| sockets::listen("the signalling address", *address);
        Ok(Self {
            signalling: config.signalling_listen.iter().map(listen).collect::<Result<_, _>>()?,
            insecure: insecure.map(|address| sockets::listen("the unencrypted address", address)).transpose()?,
            relay: RelaySockets {
                v4: config.relay.listen_v4.map(sockets::relay).transpose()?,
                v6: config.relay.listen_v6.map(sockets::relay).transpose()?,
            },
        })
    }

    fn ready(&self) -> std::io::Result<Ready> {
        let relay = [&self.relay.v4, &self.relay.v6].into_iter().flatten();
        Ok(Ready {
            signalling: self.signalling.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?,
            relay: relay.map(UdpSocket::local_addr).collect::<Result<_, _>>()?,
            insecure: self.insecure.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

async fn run(served: Served, sockets: Sockets, on_ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    let Served { config, identity, store, insecure: _, confinement: _ } = served;
    let ready = sockets.ready()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (core_inputs, inputs) = mpsc::channel(MAX_WAITING_INPUTS);
    let (stop, stopped) = watch::channel(false);
    let relay_addresses = public_addresses(&config.relay, &sockets.relay)?;
    let settings =
        Settings { domain: config.domain.clone(), relay: relay_addresses, max_calls: config.relay.max_calls };
    let mut core = Gateway::new(settings, OsRng.unwrap_err(), OsRng.unwrap_err());
    let mut watch = AccountWatch::new(store);
    if let Some((accounts, succession)) = watch.look()? {
        core.handle_succession(succession);
        core.handle_accounts(accounts, std::time::Instant::now());
    }
    let own = [relay_addresses.v4, relay_addresses.v6].into_iter().flatten().chain(ready.relay.iter().copied());
    let relay = Relay::new(config.relay.max_calls, own.collect(), &mut OsRng.unwrap_err());
    let relay = RelayHandle::start(relay, sockets.relay, core_inputs.clone())?;
    let store = StoreHandle::start(watch, core_inputs.clone())?;
    let task = CoreTask { core, inputs, relay, store, stop: stopped.clone(), links: HashMap::new() };
    let mut core_task: JoinHandle<_> = tokio::spawn(task.run());

    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let reception = Reception::new(core_inputs, stopped, alive);
    let tls = TlsAcceptor::from(identity.config);
    let listeners = sockets.signalling.into_iter().map(|listener| (listener, Some(tls.clone())));
    for (listener, tls) in listeners.chain(sockets.insecure.map(|listener| (listener, None))) {
        tokio::spawn(reception.clone().listen(tokio::net::TcpListener::from_std(listener)?, tls));
    }
    drop(reception);
    on_ready(&ready);
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = &mut core_task => Some(ended),
    };
    // Nobody listening any more is what this is for.
    let _ = stop.send(true);
    let ended = match ended {
        Some(ended) => ended,
        None => core_task.await,
    };
    // A phone that does not read is not waited for.
    let _ = tokio::time::timeout(STOP_WITHIN, all_gone.recv()).await;
    ended.map_err(std::io::Error::other)?
}

/// What phones are told: the public address of each family, with the port the relay really has.
fn public_addresses(config: &RelayConfig, sockets: &RelaySockets) -> std::io::Result<RelayAddresses> {
    let told = |public: Option<IpAddr>, socket: &Option<UdpSocket>| -> std::io::Result<Option<SocketAddr>> {
        match (public, socket) {
            (Some(address), Some(socket)) => Ok(Some(SocketAddr::new(address, socket.local_addr()?.port()))),
            (None, _) | (_, None) => Ok(None),
        }
    };
    Ok(RelayAddresses { v4: told(config.public_v4, &sockets.v4)?, v6: told(config.public_v6, &sockets.v6)? })
}
