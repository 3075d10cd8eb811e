//! The thread that owns the account store: looks for changes by the operator, and does the core's errands. SQLite
//! blocks, so neither happens on the core's task.

use super::core_task::CoreInput;
use crate::core::errand::MAX_WAITING_ERRANDS;
use crate::core::{Day, Errand, ErrandDone, ErrandId, Outcome};
use crate::store::{AccountWatch, WATCH_INTERVAL};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::Sender;

/// The way to the thread. Dropping it ends the thread once its errands are done.
pub(super) struct StoreHandle {
    errands: SyncSender<(ErrandId, Errand)>,
}

/// The thread is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreGone;

impl StoreHandle {
    /// Starts the thread.
    pub(super) fn start(watch: AccountWatch, core: Sender<CoreInput>) -> io::Result<Self> {
        let (errands, incoming) = mpsc::sync_channel(MAX_WAITING_ERRANDS);
        let keeper = Keeper { watch, core, is_failing: false, tidied: None };
        std::thread::Builder::new().name("store".to_owned()).spawn(move || keeper.run(&incoming))?;
        Ok(Self { errands })
    }

    /// Sends the thread on an errand. There is always room: the core lets no more wait than the channel holds.
    pub(super) fn order(&self, id: ErrandId, errand: Errand) -> Result<(), StoreGone> {
        self.errands.try_send((id, errand)).map_err(|_| StoreGone)
    }
}

struct Keeper {
    watch: AccountWatch,
    core: Sender<CoreInput>,
    /// The operator has been told that the store cannot be read.
    is_failing: bool,
    /// When old invites were last forgotten.
    tidied: Option<Day>,
}

/// The core is gone.
struct CoreGone;

impl Keeper {
    fn run(mut self, errands: &Receiver<(ErrandId, Errand)>) {
        let mut next_look = Instant::now() + WATCH_INTERVAL;
        loop {
            let done = match errands.recv_timeout(next_look.saturating_duration_since(Instant::now())) {
                Ok((id, errand)) => self.carry_out(id, errand),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Also between errands: however many there are, a revoked device is out in time.
            let looked = if next_look <= Instant::now() {
                next_look = Instant::now() + WATCH_INTERVAL;
                self.look()
            } else {
                Ok(())
            };
            if done.and(looked).is_err() {
                return;
            }
        }
    }

    fn carry_out(&mut self, id: ErrandId, errand: Errand) -> Result<(), CoreGone> {
        let (outcome, accounts) = self.watch.carry_out(errand, today()).unwrap_or_else(|error| {
            // A store that cannot be read has been told of: strangers' guesses must not fill the log.
            if !self.is_failing {
                tracing::warn!("a phone could not be let in or managed: {error}");
            }
            (Outcome::Failed, None)
        });
        self.tell(CoreInput::ErrandDone(ErrandDone { id, outcome, accounts }))
    }

    fn look(&mut self) -> Result<(), CoreGone> {
        match self.watch.look() {
            Ok(seen) => {
                self.is_failing = false;
                self.tidy_up();
                seen.map_or(Ok(()), |(accounts, succession)| self.tell(CoreInput::Accounts(accounts, succession)))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!("accounts stay as they were: {error}");
                }
                Ok(())
            }
        }
    }

    /// Once a day.
    fn tidy_up(&mut self) {
        let today = today();
        if self.tidied.replace(today) != Some(today)
            && let Err(error) = self.watch.tidy_up(today)
        {
            tracing::warn!("old invites stay until tomorrow: {error}");
        }
    }

    fn tell(&self, input: CoreInput) -> Result<(), CoreGone> {
        self.core.blocking_send(input).map_err(|_| CoreGone)
    }
}

fn today() -> Day {
    Day::of_unix_s(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
