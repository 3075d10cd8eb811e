//! The one task that owns the signalling core: everything that happens reaches it through one bounded channel.

use super::connection::MAX_QUEUED_MESSAGES;
use super::error::ServeError;
use super::relay_thread::RelayHandle;
use super::store_thread::StoreHandle;
use crate::core::output::Output;
use crate::core::relay::RelayEvent;
use crate::core::{Accounts, ErrandDone, FlowOpened, Gateway, Succession};
use rand_core::RngCore;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{oneshot, watch};
use undertone_sip::user_agent::FlowId;
use undertone_sip::wire::{Message, ParseError};

/// Inputs that may wait for the core; beyond, connections are read more slowly.
pub(super) const MAX_WAITING_INPUTS: usize = 1_024;

/// Longest sleep without a deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3_600);

/// What happens to the core.
pub(super) enum CoreInput {
    /// A phone has connected.
    FlowOpened { flow: FlowId, opened: FlowOpened, link: FlowLink },
    /// A connection has ended.
    FlowClosed { flow: FlowId },
    /// A message arrived, or something that is none.
    Message { flow: FlowId, message: Box<Result<Message, ParseError>> },
    /// The account store has changed.
    Accounts(Accounts, Succession),
    /// The account store has done what it was asked.
    ErrandDone(ErrandDone),
    /// The relay reports.
    Relay(RelayEvent),
}

/// The way back to a connection. Dropping it closes the connection once everything queued is sent.
pub(super) struct FlowLink {
    pub(super) queue: Sender<Vec<u8>>,
    /// Closes at once, whatever is queued.
    pub(super) cut: oneshot::Sender<()>,
}

/// The core and everything it speaks to.
pub(super) struct CoreTask<R: RngCore> {
    pub(super) core: Gateway<R>,
    pub(super) inputs: Receiver<CoreInput>,
    pub(super) relay: RelayHandle,
    pub(super) store: StoreHandle,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) links: HashMap<FlowId, FlowLink>,
}

impl<R: RngCore> CoreTask<R> {
    /// Runs until the gateway stops; calls are ended properly before this returns.
    pub(super) async fn run(mut self) -> Result<(), ServeError> {
        let mut stop = self.stop.clone();
        loop {
            let deadline = self.core.poll_timeout().unwrap_or_else(|| Instant::now() + NO_DEADLINE);
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.core.handle_timeout(Instant::now()),
                () = stopped(&mut stop) => {
                    self.core.handle_stop(Instant::now());
                    return self.follow();
                }
            }
            self.follow()?;
        }
    }

    fn handle(&mut self, input: CoreInput) {
        let now = Instant::now();
        match input {
            CoreInput::FlowOpened { flow, opened, link } => {
                self.links.insert(flow, link);
                self.core.handle_flow_opened(flow, opened, now);
            }
            CoreInput::FlowClosed { flow } => {
                if self.links.remove(&flow).is_some() {
                    self.core.handle_flow_closed(flow, now);
                }
            }
            CoreInput::Message { flow, message } => self.core.handle_stream_message(flow, *message, now),
            CoreInput::Accounts(accounts, succession) => {
                self.core.handle_succession(succession);
                self.core.handle_accounts(accounts, now);
            }
            CoreInput::ErrandDone(done) => self.core.handle_errand_done(done, now),
            CoreInput::Relay(event) => self.core.handle_relay_event(event, now),
        }
        if self.core.poll_timeout().is_some_and(|deadline| deadline <= now) {
            // A flood of messages must not keep timers from firing.
            self.core.handle_timeout(now);
        }
    }

    /// Does what the core asks.
    fn follow(&mut self) -> Result<(), ServeError> {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => self.transmit(flow, bytes),
                Output::CloseFlow { flow } => drop(self.links.remove(&flow)),
                Output::Relay(command) => self.relay.order(command).map_err(|_| ServeError::RelayStopped)?,
                Output::Errand { id, errand } => self.store.order(id, errand).map_err(|_| ServeError::StoreStopped)?,
            }
        }
        Ok(())
    }

    /// A phone that has not taken [`MAX_QUEUED_MESSAGES`] messages is cut off: nothing is kept for it.
    fn transmit(&mut self, flow: FlowId, bytes: Vec<u8>) {
        let Some(link) = self.links.get(&flow) else { return };
        if link.queue.try_send(bytes).is_err() {
            tracing::debug!("a phone left {MAX_QUEUED_MESSAGES} messages unread: its connection is closed");
            if let Some(link) = self.links.remove(&flow) {
                // It may have ended by itself meanwhile.
                let _ = link.cut.send(());
            }
            self.core.handle_flow_closed(flow, Instant::now());
        }
    }
}

/// Ends when the gateway stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
