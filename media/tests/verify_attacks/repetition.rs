//! A call's messages come twice, late, or not at all: what is sent again, for how long, and what no longer counts.

use std::time::{Duration, Instant};
use undertone_media::verify::{Exchange, Failure, Output};

use super::line::{Line, Phone};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_repeated_message_gets_the_same_answer_and_another_in_its_place_none() {
    let now = Instant::now();
    let (mut alice, mut bob) = (alice(now), bob(now));
    let m1 = sent(&mut alice).unwrap();
    let other_m1 = sent(&mut Phone::alice(3).start(&line(), now).exchange).unwrap();
    bob.handle_message(&m1, now);
    let m2 = sent(&mut bob).unwrap();
    bob.handle_message(&m1, now);
    assert_eq!(sent(&mut bob).as_ref(), Some(&m2));
    bob.handle_message(&other_m1, now);
    assert_eq!(sent(&mut bob), None, "a run belongs to its first M1");
    alice.handle_message(&m2, now);
    let m3 = sent(&mut alice).unwrap();
    alice.handle_message(&m2, now);
    assert_eq!(sent(&mut alice), None, "M3 is repeated by the caller's own clock");
    bob.handle_message(&m3, now);
    let m4 = sent(&mut bob).unwrap();
    assert!(matches!(bob.poll_output(), Some(Output::Proven(_))));
    bob.handle_message(&m3, now);
    assert_eq!(sent(&mut bob).as_ref(), Some(&m4));
    let mut other_m3 = m3.clone();
    other_m3[8] ^= 1;
    bob.handle_message(&other_m3, now);
    assert_eq!(sent(&mut bob), None);
    alice.handle_message(&m4, now);
    assert!(matches!(alice.poll_output(), Some(Output::Proven(_))));
    alice.handle_message(&m4, now);
    assert!(alice.poll_output().is_none(), "told once");
}

#[test]
fn the_callee_answers_again_for_fifteen_seconds_and_no_longer() {
    for (wait, answers) in [(14_999, true), (15_000, false)] {
        let start = Instant::now();
        let (mut bob, m3) = bob_after_m3(start + 300 * MS);
        let at = start + 300 * MS + wait * MS;
        assert_eq!(bob.poll_timeout(), Some(start + 15_300 * MS));
        bob.handle_timeout(at);
        bob.handle_message(&m3, at);
        assert_eq!(sent(&mut bob).is_some(), answers, "after {wait} ms");
        assert_eq!(bob.poll_timeout().is_some(), answers);
    }
}

#[test]
fn a_callee_repeats_its_answer_and_gives_up_ten_seconds_after_the_keys() {
    let start = Instant::now();
    let mut bob = bob(start);
    assert_eq!(bob.poll_timeout(), Some(start + 10_000 * MS));
    bob.handle_timeout(start + 9_000 * MS);
    assert!(bob.poll_output().is_none(), "nothing to repeat before M1");
    bob.handle_message(&sent(&mut alice(start)).unwrap(), start + 9_000 * MS);
    let m2 = sent(&mut bob).unwrap();
    bob.handle_timeout(start + 9_099 * MS);
    assert_eq!(sent(&mut bob), None);
    bob.handle_timeout(start + 9_100 * MS);
    assert_eq!(sent(&mut bob).as_ref(), Some(&m2));
    assert_eq!(bob.poll_timeout(), Some(start + 9_300 * MS));
    for at in [9_300, 9_700] {
        bob.handle_timeout(start + at * MS);
        assert_eq!(sent(&mut bob).as_ref(), Some(&m2));
    }
    assert_eq!(bob.poll_timeout(), Some(start + 10_000 * MS), "sooner than the next repetition");
    bob.handle_timeout(start + 10_000 * MS);
    assert!(matches!(bob.poll_output(), Some(Output::Failed(Failure::Timeout))));
    assert_eq!((bob.poll_timeout(), bob.poll_output().is_none()), (None, true));
}

#[test]
fn a_finished_run_is_undone_by_nothing_that_follows() {
    let now = Instant::now();
    let (mut bob, _) = bob_after_m3(now);
    while bob.poll_output().is_some() {}
    for late in [&b"VFY1"[..], &[0; 40], &foreign_m2(now)] {
        bob.handle_message(late, now);
        assert!(bob.poll_output().is_none());
    }
    let mut failed = alice(now);
    drop(failed.poll_output());
    failed.handle_message(b"nonsense", now);
    assert!(matches!(failed.poll_output(), Some(Output::Failed(Failure::Malformed))));
    failed.handle_message(b"nonsense", now);
    failed.handle_message(&foreign_m2(now), now);
    failed.handle_timeout(now + 20_000 * MS);
    assert!(failed.poll_output().is_none(), "a failure is the last output");
}

fn alice(now: Instant) -> Exchange {
    Phone::alice(1).start(&line(), now).exchange
}

fn bob(now: Instant) -> Exchange {
    Phone::bob(2).start(&line(), now).exchange
}

fn line() -> Line {
    Line::draw(&mut ChaCha20Rng::seed_from_u64(1))
}

/// The next message it wants to send, if that is what it wants next.
fn sent(exchange: &mut Exchange) -> Option<Vec<u8>> {
    match exchange.poll_output() {
        Some(Output::Send(message)) => Some(message),
        Some(Output::Proven(_) | Output::Failed(_) | Output::LinkUsedBefore) | None => None,
    }
}

/// Bob, who has just been proven Alice's key and has sent M4; and her M3.
fn bob_after_m3(now: Instant) -> (Exchange, Vec<u8>) {
    let (mut alice, mut bob) = (alice(now), bob(now));
    bob.handle_message(&sent(&mut alice).unwrap(), now);
    alice.handle_message(&sent(&mut bob).unwrap(), now);
    let m3 = sent(&mut alice).unwrap();
    bob.handle_message(&m3, now);
    assert!(sent(&mut bob).is_some());
    assert!(matches!(bob.poll_output(), Some(Output::Proven(_))));
    (bob, m3)
}

/// An honest M2 of another run.
fn foreign_m2(now: Instant) -> Vec<u8> {
    let mut bob = Phone::bob(20).start(&line(), now).exchange;
    bob.handle_message(&sent(&mut Phone::alice(21).start(&line(), now).exchange).unwrap(), now);
    sent(&mut bob).unwrap()
}
