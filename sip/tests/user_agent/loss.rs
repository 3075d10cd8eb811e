//! Loss, duplication and reordering at every step of a call.

use std::time::Duration;

use undertone_sip::user_agent::{EndCause, Event, Transport};

use crate::pair::{A, B, Habit, Pair, Side, offer};

/// A whole call: ringing, answer, an offer from each side, hang-up. Returns the finished pair.
fn whole_call(configure: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = Pair::new(21, Transport::Udp);
    configure(&mut pair);
    let a = pair.call();
    pair.run(Duration::from_secs(12));
    let now = pair.now;
    pair.agent(A).reoffer(a, offer("hold"), now);
    pair.run(Duration::from_secs(12));
    if pair.saw(B, |e| matches!(e, Event::IncomingInvite { .. })) {
        let (b, now) = (pair.incoming(B), pair.now);
        pair.agent(B).reoffer(b, offer("resume"), now);
    }
    pair.run(Duration::from_secs(12));
    let now = pair.now;
    pair.agent(A).hang_up(a, now);
    pair.finish();
    pair
}

fn assert_complete(pair: &Pair, what: &str) {
    let answered = |e: &Event| matches!(e, Event::Answered { .. });
    let confirmed = |e: &Event| matches!(e, Event::Confirmed { .. });
    let reoffered = |e: &Event| matches!(e, Event::ReofferAnswered { .. });
    assert_eq!(pair.count(A, answered), 1, "{what}");
    assert_eq!(pair.count(B, confirmed), 1, "{what}");
    assert_eq!(pair.count(A, reoffered), 1, "{what}");
    assert_eq!(pair.count(B, reoffered), 1, "{what}");
    assert_eq!(pair.ends(A), [EndCause::LocalHangUp], "{what}");
    assert_eq!(pair.ends(B), [EndCause::RemoteBye], "{what}");
    assert_eq!(pair.count(B, |e| matches!(e, Event::IncomingInvite { .. })), 1, "{what}");
}

fn messages_of(pair: &Pair, side: Side) -> usize {
    pair.spoken(side).len()
}

#[test]
fn a_call_completes_whatever_single_message_is_lost_or_doubled() {
    let plain = whole_call(|_| {});
    assert_complete(&plain, "nothing lost");
    for side in [A, B] {
        for n in 0..messages_of(&plain, side) {
            let lost = whole_call(|pair| {
                pair.link.drop.insert((side, n));
            });
            assert_complete(&lost, &format!("{side:?} message {n} lost"));
            let doubled = whole_call(|pair| {
                pair.link.double.insert((side, n));
            });
            assert_complete(&doubled, &format!("{side:?} message {n} doubled"));
        }
    }
}

#[test]
fn a_call_completes_whatever_two_messages_in_a_row_are_lost() {
    let plain = whole_call(|_| {});
    for side in [A, B] {
        for n in 0..messages_of(&plain, side) {
            let lost = whole_call(|pair| {
                pair.link.drop.extend([(side, n), (side, n + 1)]);
            });
            assert_complete(&lost, &format!("{side:?} messages {n} and {} lost", n + 1));
        }
    }
}

#[test]
fn calls_end_cleanly_when_one_side_falls_silent_at_any_moment() {
    let plain = whole_call(|_| {});
    for side in [A, B] {
        for n in 0..messages_of(&plain, side) {
            let pair = whole_call(|pair| pair.link.drop.extend((n..500).map(|n| (side, n))));
            let ends = pair.ends(A).len() + pair.count(A, |e| matches!(e, Event::Rejected { .. }));
            assert_eq!(ends, 1, "{side:?} silent from {n}");
            let calls = pair.count(B, |e| matches!(e, Event::IncomingInvite { .. }));
            assert_eq!(pair.ends(B).len(), calls, "{side:?} silent from {n}");
        }
    }
}

#[test]
fn a_cancelled_call_ends_on_both_sides_whatever_message_is_lost() {
    let run = |configure: &dyn Fn(&mut Pair)| {
        let mut pair = Pair::new(22, Transport::Udp);
        pair.habits.insert(B, Habit::Ring);
        configure(&mut pair);
        let a = pair.call();
        pair.run(Duration::from_secs(5));
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.finish();
        assert_eq!(pair.ends(A), [EndCause::LocalHangUp]);
        assert_eq!(pair.ends(B), [EndCause::RemoteCancel]);
        pair
    };
    let plain = run(&|_| {});
    for side in [A, B] {
        for n in 0..messages_of(&plain, side) {
            run(&|pair| pair.link.drop.extend([(side, n)]));
            run(&|pair| pair.link.double.extend([(side, n)]));
        }
    }
}

#[test]
fn a_rejected_call_is_told_whatever_message_is_lost() {
    let run = |configure: &dyn Fn(&mut Pair)| {
        let mut pair = Pair::new(23, Transport::Udp);
        pair.habits.insert(B, Habit::Ring);
        configure(&mut pair);
        pair.call();
        pair.run(Duration::from_secs(5));
        let (b, now) = (pair.incoming(B), pair.now);
        pair.agent(B).reject(b, 486, "", now);
        pair.finish();
        assert_eq!(pair.count(A, |e| matches!(e, Event::Rejected { status: 486, .. })), 1);
        pair
    };
    let plain = run(&|_| {});
    for side in [A, B] {
        for n in 0..messages_of(&plain, side) {
            run(&|pair| pair.link.drop.extend([(side, n)]));
            run(&|pair| pair.link.double.extend([(side, n)]));
        }
    }
}

#[test]
fn bad_links_never_leave_anything_behind() {
    for seed in 0..60 {
        let pair = whole_call(|pair| {
            *pair = Pair::new(1000 + seed, Transport::Udp);
            pair.link.loss = 20;
            pair.link.duplication = 15;
            pair.link.reordering = 30;
        });
        assert_eq!(pair.ends(A).len() + pair.count(A, |e| matches!(e, Event::Rejected { .. })), 1);
        let calls = pair.count(B, |e| matches!(e, Event::IncomingInvite { .. }));
        assert!(calls <= 1);
        assert_eq!(pair.ends(B).len(), calls);
    }
}
