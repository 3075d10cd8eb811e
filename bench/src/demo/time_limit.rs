//! The demonstration ends by itself: when its time is over or somebody stops it (Ctrl-C), its programs are stopped,
//! whatever they do, and its temporary folder goes.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Time after which programs are stopped; a demonstration takes half of it.
const LIMIT: Duration = Duration::from_secs(45);
/// Time for the demonstration to notice that its programs are gone and to clean up.
const GRACE: Duration = Duration::from_secs(2);

/// Why programs were stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    TimeOver,
    Interrupted,
}

/// Stops the watched programs when the time is over, once started.
#[derive(Default)]
pub(super) struct TimeLimit {
    programs: Arc<Mutex<Vec<u32>>>,
    cause: Arc<OnceLock<Cause>>,
}

impl TimeLimit {
    /// Time counts from here; `state` is removed when the demonstration cannot do so itself.
    ///
    /// # Errors
    /// When the system refuses to tell of signals.
    pub(super) fn start(state: &Path) -> io::Result<Self> {
        let limit = Self::default();
        let (programs, cause) = (Arc::clone(&limit.programs), Arc::clone(&limit.cause));
        let state = state.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        std::thread::spawn(move || {
            let why = runtime.block_on(wait(signals));
            // Nobody else sets it.
            let _ = cause.set(why);
            for program in programs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = Command::new("sh").arg("-c").arg(format!("kill {program}")).status();
            }
            std::thread::sleep(GRACE);
            let _ = std::fs::remove_dir_all(state);
            let _ = writeln!(io::stderr().lock(), "undertone-bench: {}", why.failure());
            std::process::exit(1);
        });
        Ok(limit)
    }

    /// Watches one more program.
    pub(super) fn watch(&self, program: u32) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
    }

    /// Leaves a program alone that has ended: its number may be another's.
    pub(super) fn forget(&self, program: u32) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).retain(|watched| *watched != program);
    }

    /// Why programs were stopped, if they were: whatever fails after that fails because of it.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.cause.get().map(|cause| cause.failure())
    }
}

async fn wait([mut interrupt, mut terminate]: [Signal; 2]) -> Cause {
    tokio::select! {
        () = tokio::time::sleep(LIMIT) => Cause::TimeOver,
        _ = interrupt.recv() => Cause::Interrupted,
        _ = terminate.recv() => Cause::Interrupted,
    }
}

impl Cause {
    fn failure(self) -> Failure {
        Failure::NotShown(match self {
            Self::TimeOver => format!("the call was not over after {} s and was stopped", LIMIT.as_secs()),
            Self::Interrupted => "the demonstration was stopped before its end".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_was_stopped_before_its_time_and_what_has_ended_is_left_alone() {
        let limit = TimeLimit::default();
        limit.watch(4711);
        limit.watch(4712);
        limit.forget(4711);
        assert_eq!(*limit.programs.lock().unwrap(), [4712]);
        assert!(limit.failure().is_none());
    }

    #[test]
    fn a_stop_is_named_by_its_cause() {
        assert!(Cause::TimeOver.failure().to_string().contains("45 s"));
        assert!(Cause::Interrupted.failure().to_string().contains("stopped before its end"));
    }
}
