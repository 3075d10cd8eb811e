//! One phone's connection: bytes in become messages for the core, messages of the core become bytes out.
//!
//! ```text
//!   accepted ──TLS within 10 s──▶ open ──first request within 30 s──▶ in use ──4 min without a byte──▶ closed
//! ```
//! CRLF keep-alives (RFC 5626 §4.4.1) are answered here and never reach the core.

use super::core_task::{CoreInput, FlowLink};
use crate::core::FlowOpened;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use undertone_sip::user_agent::FlowId;
use undertone_sip::wire::{End, Frame, FramingError, StreamFramer, parse};
use zeroize::Zeroize;

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
pub(super) struct Accepted {
    pub(super) flow: FlowId,
    pub(super) opened: FlowOpened,
    pub(super) core: Sender<CoreInput>,
}

/// Carries one connection until it ends. Returns early when the core is gone.
pub(super) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(stream: S, accepted: Accepted) {
    let Accepted { flow, opened, core } = accepted;
    let (queue, outgoing) = mpsc::channel(MAX_QUEUED_MESSAGES);
    let (cut, was_cut) = oneshot::channel();
    let link = FlowLink { queue, cut };
    if core.send(CoreInput::FlowOpened { flow, opened, link }).await.is_err() {
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
                        // What was said stays no longer than it is needed: the next octets may be few, and come late.
                        buffer[..len].zeroize();
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
                    self.write_last_answers().await;
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

    /// Answers to messages before the unreadable one may still wait in front of the one that is due.
    async fn write_last_answers(&mut self) {
        let until = Instant::now() + LAST_ANSWER_WITHIN;
        while let Ok(Some(bytes)) = timeout_at(until, self.outgoing.recv()).await {
            if self.write(&bytes).await == Next::Close {
                return;
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::limits::OriginSalt;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use tokio::io::DuplexStream;
    use undertone_sip::user_agent::Transport;

    const OPTIONS: &str = "OPTIONS sip:gw.example SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bK1\r\n\
        From: <sip:a@gw.example>;tag=1\r\nTo: <sip:gw.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_sent_away_after_30_s_however_many_pings_he_sends() {
        let mut world = World::new().await;
        let start = Instant::now();
        for _ in 0..5 {
            world.phone.write_all(b"\r\n\r\n").await.unwrap();
            assert_eq!(world.read(2).await, "\r\n");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(world.rest().await, "");
        assert_eq!(start.elapsed(), FIRST_REQUEST_WITHIN);
        assert!(matches!(world.core.recv().await, Some(CoreInput::FlowClosed { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_in_use_stays_while_it_pings_and_goes_when_it_is_silent() {
        let mut world = World::new().await;
        world.phone.write_all(OPTIONS.as_bytes()).await.unwrap();
        assert!(matches!(world.core.recv().await, Some(CoreInput::Message { message, .. }) if message.is_ok()));
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(120)).await;
            world.phone.write_all(b"\r\n\r\n").await.unwrap();
            assert_eq!(world.read(2).await, "\r\n");
        }
        let last = Instant::now();
        assert_eq!(world.rest().await, "");
        assert_eq!(last.elapsed(), IDLE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_queued_is_sent_before_the_core_lets_go() {
        let mut world = World::new().await;
        let FlowLink { queue, cut } = world.link;
        queue.try_send(b"one".to_vec()).unwrap();
        queue.try_send(b"two".to_vec()).unwrap();
        drop((queue, cut));
        let mut text = String::new();
        world.phone.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "onetwo");
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_that_does_not_read_fills_its_queue_and_is_cut_off_at_once() {
        let mut world = World::new().await;
        let queued = (0..1_000).take_while(|_| world.link.queue.try_send(vec![b'x'; 100]).is_ok()).count();
        assert_eq!(queued, MAX_QUEUED_MESSAGES);
        let start = Instant::now();
        world.link.cut.send(()).unwrap();
        assert!(matches!(world.core.recv().await, Some(CoreInput::FlowClosed { .. })));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_without_an_end_is_answered_once_and_closes_the_connection() {
        let mut world = World::new().await;
        let broken = OPTIONS.replace("Content-Length: 0", "Content-Length: x");
        world.phone.write_all(broken.as_bytes()).await.unwrap();
        let Some(CoreInput::Message { message, .. }) = world.core.recv().await else { panic!("handed on") };
        assert_eq!(message.unwrap_err().status, 400);
        world.link.queue.try_send(b"answer".to_vec()).unwrap();
        assert_eq!(world.rest().await, "answer");
    }

    /// Only the oldest waiting answer used to be sent, so that who sent a good and a broken message never heard of
    /// the broken one.
    #[tokio::test(start_paused = true)]
    async fn answers_to_earlier_messages_do_not_displace_the_last_one() {
        let mut world = World::new().await;
        let broken = OPTIONS.replace("Content-Length: 0", "Content-Length: x");
        world.phone.write_all(broken.as_bytes()).await.unwrap();
        assert!(matches!(world.core.recv().await, Some(CoreInput::Message { .. })));
        for answer in ["earlier ", "last"] {
            world.link.queue.try_send(answer.into()).unwrap();
        }
        assert_eq!(world.rest().await, "earlier last");
    }

    struct World {
        phone: DuplexStream,
        core: Receiver<CoreInput>,
        link: FlowLink,
    }

    impl World {
        async fn new() -> Self {
            let (phone, gateway) = tokio::io::duplex(64);
            let (sender, mut core) = mpsc::channel(4);
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let origin = OriginSalt::draw(&mut rng).origin([192, 0, 2, 1].into());
            let opened = FlowOpened { transport: Transport::Tls, origin, device: None };
            tokio::spawn(carry(gateway, Accepted { flow: FlowId(1), opened, core: sender }));
            let Some(CoreInput::FlowOpened { link, .. }) = core.recv().await else { panic!("the flow opens first") };
            Self { phone, core, link }
        }

        async fn read(&mut self, len: usize) -> String {
            let mut bytes = vec![0; len];
            self.phone.read_exact(&mut bytes).await.unwrap();
            String::from_utf8(bytes).unwrap()
        }

        async fn rest(&mut self) -> String {
            let mut text = String::new();
            self.phone.read_to_string(&mut text).await.unwrap();
            text
        }
    }
}
