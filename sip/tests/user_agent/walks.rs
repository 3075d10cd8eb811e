//! Random walks: two owners who do anything at any time over a bad link, and a peer who twists messages.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use undertone_sip::user_agent::{Event, SessionId, Settings, Transport};
use undertone_sip::wire::{Message, write};

use crate::pair::{A, B, FLOW, Habit, Pair, Side, invitation, offer, uri};

/// What the events of one session have shown.
#[derive(Debug, Default)]
struct Life {
    answered: usize,
    confirmed: usize,
    ends: usize,
    after_end: usize,
}

fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::IncomingInvite { session, .. }
        | Event::Progress { session, .. }
        | Event::Answered { session, .. }
        | Event::Rejected { session, .. }
        | Event::Confirmed { session }
        | Event::Reoffer { session, .. }
        | Event::ReofferAnswered { session, .. }
        | Event::ReofferRefused { session, .. }
        | Event::Ended { session, .. } => Some(*session),
        Event::IncomingRequest { .. } | Event::Response { .. } | Event::RequestTimedOut { .. } => None,
    }
}

fn assert_every_life_is_whole(pair: &Pair, what: &str) {
    let mut lives: BTreeMap<(Side, SessionId), Life> = BTreeMap::new();
    for (_, side, event) in &pair.events {
        let Some(session) = session_of(event) else { continue };
        let life = lives.entry((*side, session)).or_default();
        life.after_end += usize::from(life.ends > 0);
        life.answered += usize::from(matches!(event, Event::Answered { .. }));
        life.confirmed += usize::from(matches!(event, Event::Confirmed { .. }));
        life.ends += usize::from(matches!(event, Event::Ended { .. } | Event::Rejected { .. }));
    }
    for (session, life) in lives {
        assert!(life.answered <= 1 && life.confirmed <= 1, "{what} {session:?} {life:?}");
        assert_eq!((life.ends, life.after_end), (1, 0), "{what} {session:?}");
    }
}

fn below(rng: &mut ChaCha20Rng, bound: u32) -> u32 {
    rng.next_u32() % bound
}

/// One random command of one owner to one of its sessions, dead ones included.
fn meddle(pair: &mut Pair, rng: &mut ChaCha20Rng) {
    let side = if below(rng, 2) == 0 { A } else { B };
    let (now, text) = (pair.now, offer(&rng.next_u32().to_string()));
    let sessions: Vec<SessionId> =
        pair.events.iter().filter(|(_, s, _)| *s == side).filter_map(|(_, _, e)| session_of(e)).collect();
    let agent = pair.agent(side);
    let Some(session) = sessions.get(below(rng, sessions.len().max(1) as u32) as usize).copied() else {
        agent.invite(FLOW, invitation(None), now);
        return;
    };
    match below(rng, 12) {
        0 => {
            agent.invite(FLOW, invitation(None), now);
        }
        1 => agent.ring(session, 180, None, now),
        2 => agent.ring(session, 183, Some(text), now),
        3 | 4 => agent.accept(session, uri("sip:x@x.invalid"), text, now),
        5 => agent.reject(session, 486, "", now),
        6 => agent.hang_up(session, now),
        7 | 8 => agent.reoffer(session, text, now),
        9 | 10 => agent.accept_reoffer(session, text, now),
        _ => agent.refuse_reoffer(session, 488, "", now),
    }
}

fn walk(seed: u64, transport: Transport) -> Pair {
    let settings = Settings { session_expires_s: 90, ..Settings::default() };
    let mut pair = Pair::with_settings(seed, transport, settings);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    if transport == Transport::Udp {
        pair.link.loss = below(&mut rng, 30);
        pair.link.duplication = below(&mut rng, 30);
        pair.link.reordering = below(&mut rng, 50);
    }
    for side in [A, B] {
        let habit = [Habit::Nothing, Habit::Ring, Habit::Answer][below(&mut rng, 3) as usize];
        pair.habits.insert(side, habit);
    }
    for _ in 0..40 {
        meddle(&mut pair, &mut rng);
        let pause = [5, 30, 400, 9000][below(&mut rng, 4) as usize];
        pair.run(Duration::from_millis(u64::from(below(&mut rng, pause))));
    }
    // Calls that nobody hangs up live as long as both sides refresh them.
    for side in [A, B] {
        for session in (1..200).map(SessionId) {
            let now = pair.now;
            pair.agent(side).hang_up(session, now);
        }
    }
    pair.finish();
    pair
}

#[test]
fn whatever_two_owners_do_over_a_bad_link_every_call_ends_once_and_leaves_nothing() {
    for seed in 0..150 {
        let pair = walk(seed, Transport::Udp);
        assert_every_life_is_whole(&pair, &format!("seed {seed}"));
    }
}

#[test]
fn whatever_two_owners_do_over_a_good_link_every_call_ends_once_and_leaves_nothing() {
    for seed in 0..150 {
        let pair = walk(seed, Transport::Tls);
        assert_every_life_is_whole(&pair, &format!("seed {seed}"));
    }
}

#[test]
fn a_walk_repeats_byte_for_byte() {
    for seed in [3, 14, 15] {
        assert_eq!(walk(seed, Transport::Udp).transcript, walk(seed, Transport::Udp).transcript);
    }
}

#[test]
fn twisted_copies_of_real_messages_neither_panic_nor_stay() {
    let spoken = walk(92, Transport::Udp).sent;
    for seed in 0..30 {
        let mut pair = walk_with_a_call(seed);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for _ in 0..150 {
            let at = below(&mut rng, spoken.len() as u32) as usize;
            let own = pair.sent.len() as u32;
            let message = if below(&mut rng, 2) == 0 {
                spoken[at].2.clone()
            } else {
                pair.sent[below(&mut rng, own) as usize].2.clone()
            };
            let bytes = twist(message, &mut rng);
            let side = if below(&mut rng, 2) == 0 { A } else { B };
            pair.deliver(side, &bytes);
            pair.run(Duration::from_millis(u64::from(below(&mut rng, 700))));
        }
        for side in [A, B] {
            for session in (1..400).map(SessionId) {
                let now = pair.now;
                pair.agent(side).hang_up(session, now);
            }
        }
        pair.finish();
        assert_every_life_is_whole(&pair, &format!("seed {seed}"));
    }
}

fn walk_with_a_call(seed: u64) -> Pair {
    let mut pair = Pair::new(500 + seed, Transport::Udp);
    pair.established();
    pair
}

/// The message with one of its lines dropped, doubled, moved or with a byte changed.
fn twist(message: Message, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&message, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    let at = below(rng, lines.len() as u32) as usize;
    match below(rng, 5) {
        0 => {
            lines.remove(at);
        }
        1 => lines.insert(at, lines[at].clone()),
        2 => lines.swap(at, 1),
        3 => {
            let mut line = lines[at].clone().into_bytes();
            if !line.is_empty() {
                let index = below(rng, line.len() as u32) as usize;
                line[index] = (rng.next_u32() % 128) as u8;
            }
            lines[at] = String::from_utf8_lossy(&line).into_owned();
        }
        _ => {}
    }
    lines.join("\r\n").into_bytes()
}
