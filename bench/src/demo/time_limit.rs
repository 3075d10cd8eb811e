//! The demonstration ends by itself: when its time is over its programs are stopped, whatever they do.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::Failure;

/// Time after which programs are stopped; a demonstration takes half of it.
const LIMIT: Duration = Duration::from_secs(37);
/// Time for the demonstration to notice that its programs are gone and to clean up.
const GRACE: Duration = Duration::from_secs(2);

/// Stops the watched programs when the time is over.
pub(super) struct TimeLimit {
    programs: Arc<Mutex<Vec<u32>>>,
    over: Arc<AtomicBool>,
}

impl TimeLimit {
    /// Time counts from here.
    pub(super) fn start() -> Self {
        let limit = Self { programs: Arc::default(), over: Arc::default() };
        let (programs, over) = (Arc::clone(&limit.programs), Arc::clone(&limit.over));
        std::thread::spawn(move || {
            std::thread::sleep(LIMIT);
            over.store(true, Ordering::SeqCst);
            for program in programs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // A program that ended meanwhile needs no stop; ours are not waited for yet, so no number is reused.
                let _ = Command::new("sh").arg("-c").arg(format!("kill {program}")).status();
            }
            std::thread::sleep(GRACE);
            let _ = writeln!(std::io::stderr().lock(), "undertone-bench: {}", Self::failure());
            std::process::exit(1);
        });
        limit
    }

    /// Watches one more program.
    pub(super) fn watch(&self, program: u32) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
    }

    /// Whether programs were stopped.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// What to say then.
    pub(super) fn failure() -> Failure {
        Failure::NotShown(format!("the call was not over after {} s and was stopped", LIMIT.as_secs()))
    }
}
