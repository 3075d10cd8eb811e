//! Being asked to stop by the system: Ctrl-C, SIGTERM, a closed terminal.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until the program is asked to stop.
pub async fn stop_asked() {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        // Without signal handling the system ends the program by itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
