//! What must hold for any bytes arriving on a stream.

use undertone_sip::wire::{End, Frame, FramingError, MAX_BODY_LEN, MAX_HEADER_LEN, StreamFramer};

/// The first byte says how the rest is cut into pieces: that must not change the frames. Frames are
/// bounded, and together they are never more than what arrived.
pub fn check(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let piece = usize::from(piece).max(1);
    let whole = frames(End::Server, stream, stream.len().max(1));
    assert_eq!(frames(End::Server, stream, piece), whole);
    let _ = frames(End::Client, stream, piece);
    let mut total = 0;
    for frame in whole.into_iter().flatten() {
        total += match frame {
            Frame::Message(message) => {
                assert!(message.len() <= MAX_HEADER_LEN + MAX_BODY_LEN);
                message.len()
            }
            Frame::Ping => 4,
            Frame::Pong => 2,
        };
    }
    assert!(total <= stream.len());
}

fn frames(end: End, stream: &[u8], piece: usize) -> Vec<Result<Frame, FramingError>> {
    let mut framer = StreamFramer::new(end);
    let mut frames = Vec::new();
    for part in stream.chunks(piece) {
        framer.push(part);
        while let Some(frame) = framer.next() {
            frames.push(frame);
        }
    }
    frames
}
