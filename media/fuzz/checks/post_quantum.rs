//! Records of a peer during the post-quantum exchange, in either role. The input is a list of records, each behind its
//! length in two bytes.

use std::time::{Duration, Instant};

use undertone_media::post_quantum::{Exchange, MAGIC, Output};
use undertone_media::verify::Role;

/// More steps than that are slow and teach nothing new.
const MAX_RECORDS: usize = 24;
/// Longest frame: header and half an encapsulation key.
const MAX_FRAME_LEN: usize = 8 + 592;

/// Panics where something does not hold.
pub fn check(bytes: &[u8]) {
    for role in [Role::Initiator, Role::Responder] {
        let mut now = Instant::now();
        let mut exchange = Exchange::new(role, now);
        let mut agreed = 0;
        assert_eq!(drain(&mut exchange, &mut agreed), if role == Role::Initiator { 2 } else { 0 });
        for record in records(bytes).take(MAX_RECORDS) {
            now += Duration::from_millis(50);
            exchange.handle_message(record, now);
            let sent = drain(&mut exchange, &mut agreed);
            assert!(sent <= 3, "an acknowledgement and a ciphertext at most, not {sent} frames");
            assert!(sent == 0 || record.starts_with(MAGIC), "only the exchange's own frames are answered");
            exchange.handle_timeout(now);
            assert!(drain(&mut exchange, &mut agreed) <= 2, "two fragments are repeated at most");
        }
        exchange.handle_timeout(now + Duration::from_secs(10));
        drain(&mut exchange, &mut agreed);
        assert!(agreed <= 1, "agreed {agreed} times");
        assert_eq!(exchange.poll_timeout(), None, "an unfinished exchange ended");
    }
}

/// How many frames are sent.
fn drain(exchange: &mut Exchange, agreed: &mut u32) -> usize {
    let mut sent = 0;
    while let Some(output) = exchange.poll_output() {
        match output {
            Output::Send(frame) => {
                assert!(frame.starts_with(MAGIC) && frame.len() <= MAX_FRAME_LEN);
                sent += 1;
            }
            Output::Agreed(_) => *agreed += 1,
            Output::Failed(_) => {
                assert!(exchange.poll_output().is_none(), "nothing follows a failure");
                assert_eq!(exchange.poll_timeout(), None, "nothing is awaited after a failure");
            }
        }
    }
    sent
}

fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (record, next) = behind.split_at(len);
        rest = next;
        Some(record)
    })
}
