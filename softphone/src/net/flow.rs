//! One SIP connection (TLS or TCP) as a task: bytes in are handed on, bytes out are queued. Messages and keep-alives
//! are cut and made by the core.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use undertone_sip::user_agent::FlowId;

/// Messages waiting to be written; a connection that takes none of so many is dead.
const OUTGOING: usize = 64;
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken from the connection at once.
const READ_LEN: usize = 16 * 1024;

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// What happens on a flow.
#[derive(Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// Bytes arrived.
    Bytes {
        /// The flow.
        flow: FlowId,
        /// As they came.
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
    overflow: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Flow {
    /// Runs `stream` as `flow`; what arrives goes to `events`.
    pub fn spawn<E>(flow: FlowId, stream: impl Stream, events: mpsc::Sender<E>) -> Self
    where
        E: From<FlowEvent> + Send + 'static,
    {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let overflow = Arc::new(Notify::new());
        let overflowed = Arc::clone(&overflow);
        let task = tokio::spawn(async move {
            let (read, write) = tokio::io::split(stream);
            tokio::select! {
                _ = read_all(flow, read, &events) => {}
                _ = write_all(write, queue) => {}
                () = overflowed.notified() => {}
            }
            // Nobody listens any more when the phone stops.
            let _ = events.send(FlowEvent::Closed { flow }.into()).await;
        });
        Self { outgoing, overflow, task }
    }

    /// Queues bytes. A connection that does not keep up is closed.
    pub fn send(&self, bytes: Vec<u8>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(bytes) {
            self.overflow.notify_one();
        }
    }

    /// Sends what is queued and closes; the handle tells when that is done.
    #[must_use]
    pub fn close(self) -> JoinHandle<()> {
        self.task
    }
}

async fn read_all<E: From<FlowEvent>>(
    flow: FlowId,
    mut read: ReadHalf<impl Stream>,
    events: &mpsc::Sender<E>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let count = read.read(&mut buffer).await?;
        let bytes = buffer[..count].to_vec();
        if count == 0 || events.send(FlowEvent::Bytes { flow, bytes }.into()).await.is_err() {
            return Ok(());
        }
    }
}

async fn write_all(mut write: WriteHalf<impl Stream>, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        timeout(WRITE_TIMEOUT, write.write_all(&bytes)).await??;
        timeout(WRITE_TIMEOUT, write.flush()).await??;
    }
    timeout(WRITE_TIMEOUT, write.shutdown()).await?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const FLOW: FlowId = FlowId(3);

    #[tokio::test]
    async fn bytes_go_both_ways_and_what_is_queued_is_sent_before_closing() {
        let (ours, mut theirs) = duplex(4096);
        let (events, mut heard) = mpsc::channel::<FlowEvent>(8);
        let flow = Flow::spawn(FLOW, ours, events);
        theirs.write_all(b"question").await.unwrap();
        assert_eq!(heard.recv().await, Some(FlowEvent::Bytes { flow: FLOW, bytes: b"question".to_vec() }));
        flow.send(b"answer".to_vec());
        flow.close().await.unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"answer");
    }

    #[tokio::test]
    async fn a_closed_connection_is_told_once() {
        let (ours, theirs) = duplex(4096);
        let (events, mut heard) = mpsc::channel::<FlowEvent>(8);
        let _flow = Flow::spawn(FLOW, ours, events);
        drop(theirs);
        assert_eq!(heard.recv().await, Some(FlowEvent::Closed { flow: FLOW }));
        assert_eq!(heard.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(16);
        let (events, mut heard) = mpsc::channel::<FlowEvent>(8);
        let flow = Flow::spawn(FLOW, ours, events);
        flow.send(vec![0; 1000]);
        assert_eq!(heard.recv().await, Some(FlowEvent::Closed { flow: FLOW }));
    }

    #[tokio::test]
    async fn a_connection_that_does_not_keep_up_is_closed_and_told() {
        let (ours, _theirs) = duplex(16);
        let (events, mut heard) = mpsc::channel::<FlowEvent>(8);
        let flow = Flow::spawn(FLOW, ours, events);
        for _ in 0..OUTGOING + 2 {
            flow.send(vec![0; 100]);
        }
        assert_eq!(heard.recv().await, Some(FlowEvent::Closed { flow: FLOW }));
    }
}
