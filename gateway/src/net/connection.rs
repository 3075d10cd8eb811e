//! One phone's connection: bytes in become messages for the core, messages of the core become bytes out.
//!
//! ```text
//!   accepted ──TLS within 10 s──▶ open ──first request within 30 s──▶ in use ──4 min without a byte──▶ closed
//! ```
//! CRLF keep-alives (RFC 5626 §4.4.1) are answered here and never reach the core.

use super::core_task::{CoreInput, FlowLink};
use crate::core::limits::Origin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use undertone_sip::user_agent::{FlowId, Transport};
use undertone_sip::wire::{End, Frame, FramingError, StreamFramer, parse};

/// How long the TLS handshake may take: two round trips over a very bad network.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long until the first message: a phone registers at once.
pub const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How long without a byte: two of the longest pauses between keep-alives (RFC 5626 §4.4.1: 120 s).
pub const IDLE_LIMIT: Duration = Duration::from_secs(240);

/// Messages that may wait for a slow phone. A phone that takes none for so long is gone: its flow is closed.
pub const MAX_QUEUED_MESSAGES: usize = 64;

/// How long one message may take to be handed to the system.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How long a last answer may take after the stream could not be read any further.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Octets read at once.
const READ_LEN: usize = 8 * 1024;

/// What a connection is to the core.
pub(super) struct Opened {
    pub(super) flow: FlowId,
    pub(super) transport: Transport,
    pub(super) origin: Origin,
    pub(super) core: Sender<CoreInput>,
}

/// Carries one connection until it ends. Returns early when the core is gone.
pub(super) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(stream: S, opened: Opened) {
    let Opened { flow, transport, origin, core } = opened;
    let (queue, outgoing) = mpsc::channel(MAX_QUEUED_MESSAGES);
    let (cut, was_cut) = oneshot::channel();
    let link = FlowLink { queue, cut };
    if core.send(CoreInput::FlowOpened { flow, transport, origin, link }).await.is_err() {
        return;
    }
    let mut conversation = Conversation { stream, flow, core, framer: StreamFramer::new(End::Server), outgoing };
    tokio::select! {
        () = conversation.run() => {}
        () = cut_off(was_cut) => {}
    }
    // The core may be gone already; then nobody needs to know.
    let _ = conversation.core.send(CoreInput::FlowClosed { flow }).await;
}

/// Ends when the core cuts the connection off; never when it merely lets go of it.
async fn cut_off(was_cut: oneshot::Receiver<()>) {
    if was_cut.await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Conversation<S> {
    stream: S,
    flow: FlowId,
    core: Sender<CoreInput>,
    framer: StreamFramer,
    outgoing: Receiver<Vec<u8>>,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Continue,
    /// Nothing more can be read; an answer may still be due.
    LastAnswer,
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    async fn run(&mut self) {
        let mut buffer = vec![0; READ_LEN];
        let mut in_use = false;
        let mut deadline = Instant::now() + FIRST_REQUEST_WITHIN;
        loop {
            let next = tokio::select! {
                read = self.stream.read(&mut buffer) => match read {
                    Ok(len) if len > 0 => {
                        self.framer.push(&buffer[..len]);
                        let next = self.take_frames(&mut in_use).await;
                        if in_use {
                            deadline = Instant::now() + IDLE_LIMIT;
                        }
                        next
                    }
                    Ok(_) | Err(_) => Next::Close,
                },
                message = self.outgoing.recv() => match message {
                    Some(bytes) => self.write(&bytes).await,
                    None => Next::Close,
                },
                () = sleep_until(deadline) => Next::Close,
            };
            match next {
                Next::Continue => {}
                Next::LastAnswer => {
                    if let Ok(Some(bytes)) = timeout(LAST_ANSWER_WITHIN, self.outgoing.recv()).await {
                        self.write(&bytes).await;
                    }
                    return self.close().await;
                }
                Next::Close => return self.close().await,
            }
        }
    }

    async fn take_frames(&mut self, in_use: &mut bool) -> Next {
        while let Some(frame) = self.framer.next() {
            let next = match frame {
                Ok(Frame::Message(bytes)) => {
                    *in_use = true;
                    self.hand_on(&bytes).await
                }
                Ok(Frame::Ping) => self.write(b"\r\n").await,
                Ok(Frame::Pong) => Next::Continue,
                Err(FramingError::HeaderTooLong) => Next::Close,
                Err(FramingError::BodyTooLong { head } | FramingError::BadContentLength { head }) => {
                    self.refuse(&head).await
                }
            };
            if next != Next::Continue {
                return next;
            }
        }
        Next::Continue
    }

    /// Waits while the core is busy: this connection's sender then waits too, and nobody else.
    async fn hand_on(&mut self, bytes: &[u8]) -> Next {
        let message = Box::new(parse(bytes));
        match self.core.send(CoreInput::Message { flow: self.flow, message }).await {
            Ok(()) => Next::Continue,
            Err(_) => Next::Close,
        }
    }

    /// The end of this message is unknown, but its beginning may tell whom to answer.
    async fn refuse(&mut self, head: &[u8]) -> Next {
        match parse(head) {
            Err(error) => {
                let message = Box::new(Err(error));
                match self.core.send(CoreInput::Message { flow: self.flow, message }).await {
                    Ok(()) => Next::LastAnswer,
                    Err(_) => Next::Close,
                }
            }
            Ok(_) => Next::Close,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Next {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WITHIN, write).await {
            Ok(Ok(())) => Next::Continue,
            Ok(Err(_)) | Err(_) => Next::Close,
        }
    }

    async fn close(&mut self) {
        // The other side may be gone already.
        let _ = timeout(LAST_ANSWER_WITHIN, self.stream.shutdown()).await;
    }
}
