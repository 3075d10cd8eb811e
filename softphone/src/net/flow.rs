//! One SIP connection (TLS or TCP) as a task: bytes in become whole messages, bytes out are queued, and pings keep
//! the way through address translators open (RFC 5626 §3.5.1, §4.4.1).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand_core::{OsRng, TryRngCore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use undertone_sip::user_agent::FlowId;
use undertone_sip::wire::{End, Frame, StreamFramer};

/// Messages waiting to be written; a connection that takes none of so many is dead.
const OUTGOING: usize = 64;
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pings come every 80–100 % of this (RFC 5626 §4.4.1 for connections).
const PING_INTERVAL: Duration = Duration::from_secs(120);
/// An unanswered ping means a dead connection.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken from the connection at once.
const READ_LEN: usize = 16 * 1024;

/// What happens on a flow.
#[derive(Debug)]
pub enum FlowEvent {
    /// One whole message arrived.
    Message {
        /// The flow.
        flow: FlowId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The connection is over.
    Closed {
        /// The flow.
        flow: FlowId,
    },
}

/// A running flow. Dropping it sends what is queued and closes the connection.
#[derive(Debug)]
pub struct Flow {
    outgoing: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

impl Flow {
    /// Runs `stream` as `flow`; what arrives goes to `events`.
    pub fn spawn<S>(flow: FlowId, stream: S, end: End, events: mpsc::Sender<FlowEvent>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let pongs = outgoing.downgrade();
        let task = tokio::spawn(async move {
            let (read, write) = tokio::io::split(stream);
            let pinged = AtomicBool::new(false);
            tokio::select! {
                _ = read_all(flow, read, end, &events, &pongs, &pinged) => {}
                _ = write_all(write, queue, end, &pinged) => {}
            }
            // Nobody listens any more when the phone stops.
            let _ = events.send(FlowEvent::Closed { flow }).await;
        });
        Self { outgoing, task: task.abort_handle() }
    }

    /// Queues one message. A connection that does not keep up is closed.
    pub fn send(&self, bytes: Vec<u8>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(bytes) {
            self.task.abort();
        }
    }
}

async fn read_all<S: AsyncRead>(
    flow: FlowId,
    mut read: ReadHalf<S>,
    end: End,
    events: &mpsc::Sender<FlowEvent>,
    pongs: &mpsc::WeakSender<Vec<u8>>,
    pinged: &AtomicBool,
) -> io::Result<()> {
    let mut framer = StreamFramer::new(end);
    let mut buffer = vec![0; READ_LEN];
    loop {
        let count = read.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        framer.push(&buffer[..count]);
        while let Some(frame) = framer.next() {
            match frame {
                Ok(Frame::Message(bytes)) => {
                    if events.send(FlowEvent::Message { flow, bytes }).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Frame::Ping) => {
                    if let Some(outgoing) = pongs.upgrade() {
                        // A full queue means that bytes are on their way anyhow.
                        let _ = outgoing.try_send(b"\r\n".to_vec());
                    }
                }
                Ok(Frame::Pong) => pinged.store(false, Ordering::Relaxed),
                Err(_cut) => return Ok(()),
            }
        }
    }
}

async fn write_all<S: AsyncWrite>(
    mut write: WriteHalf<S>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    end: End,
    pinged: &AtomicBool,
) -> io::Result<()> {
    let mut wait = ping_wait();
    let mut awaiting_pong = false;
    loop {
        let bytes = tokio::select! {
            message = queue.recv() => match message {
                Some(bytes) => bytes,
                None => {
                    let _ = timeout(WRITE_TIMEOUT, write.shutdown()).await;
                    return Ok(());
                }
            },
            () = sleep(wait), if end == End::Client => {
                let answered = !pinged.load(Ordering::Relaxed);
                match (awaiting_pong, answered) {
                    (true, false) => return Err(io::ErrorKind::TimedOut.into()),
                    (true, true) => {
                        awaiting_pong = false;
                        wait = ping_wait();
                        continue;
                    }
                    (false, _) => {
                        pinged.store(true, Ordering::Relaxed);
                        awaiting_pong = true;
                        wait = PONG_TIMEOUT;
                        b"\r\n\r\n".to_vec()
                    }
                }
            }
        };
        timeout(WRITE_TIMEOUT, write.write_all(&bytes)).await??;
        timeout(WRITE_TIMEOUT, write.flush()).await??;
    }
}

/// 80–100 % of the interval, so that nothing regular is seen across phones.
fn ping_wait() -> Duration {
    let random = OsRng.try_next_u32().unwrap_or(0);
    let share = 0.8 + 0.2 * f64::from(random) / f64::from(u32::MAX);
    PING_INTERVAL.mul_f64(share)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    #[tokio::test]
    async fn messages_are_cut_out_and_pings_answered() {
        let (ours, mut theirs) = duplex(4096);
        let (events, mut heard) = mpsc::channel(8);
        let flow = Flow::spawn(FlowId(3), ours, End::Server, events);
        theirs.write_all(b"\r\n\r\n").await.unwrap();
        theirs.write_all(&MESSAGE[..20]).await.unwrap();
        let mut pong = [0; 2];
        theirs.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\r\n");
        theirs.write_all(&MESSAGE[20..]).await.unwrap();
        let event = heard.recv().await.unwrap();
        assert!(matches!(event, FlowEvent::Message { flow: FlowId(3), bytes } if bytes == MESSAGE));
        flow.send(b"answer".to_vec());
        drop(flow);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"answer");
    }

    #[tokio::test]
    async fn a_closed_or_unframed_connection_is_told_once() {
        for bytes in [&b""[..], b"nonsense\r\n\r\n"] {
            let (ours, mut theirs) = duplex(4096);
            let (events, mut heard) = mpsc::channel(8);
            let _flow = Flow::spawn(FlowId(1), ours, End::Client, events);
            theirs.write_all(bytes).await.unwrap();
            let keep = (!bytes.is_empty()).then_some(theirs);
            assert!(matches!(heard.recv().await, Some(FlowEvent::Closed { flow: FlowId(1) })));
            assert!(heard.recv().await.is_none());
            drop(keep);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_pings_and_gives_up_without_a_pong() {
        let (ours, mut theirs) = duplex(4096);
        let (events, mut heard) = mpsc::channel(8);
        let _flow = Flow::spawn(FlowId(1), ours, End::Client, events);
        let mut ping = [0; 4];
        theirs.read_exact(&mut ping).await.unwrap();
        assert_eq!(&ping, b"\r\n\r\n");
        theirs.write_all(b"\r\n").await.unwrap();
        let began = tokio::time::Instant::now();
        theirs.read_exact(&mut ping).await.unwrap();
        assert!(began.elapsed() > PING_INTERVAL.mul_f64(0.7), "the next ping comes in its time");
        assert!(matches!(heard.recv().await, Some(FlowEvent::Closed { .. })));
    }
}
