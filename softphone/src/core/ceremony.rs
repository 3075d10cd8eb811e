//! The picks at a first call: each person reads a half of the safety words aloud and picks what they hear.
//!
//! ```text
//!            round 1                              round 2
//! caller     reads half 1, picks half 2     ──▶   reads half 2, picks half 1
//! callee     reads half 2, picks half 1     ──▶   reads half 1, picks half 2
//!                 │ another one, or none of these      │
//!                 └──────────────▶ failed ◀────────────┘     both right ──▶ passed
//! ```
//! Agreeing without having listened is not possible: of the half that is to be heard the phone shows four, three of
//! them made up. Who guesses passes once in four on their own phone: the half of round 2 was read aloud in round 1, so it
//! is the first pick that counts. And still not on the other's.

use rand_core::RngCore;
use serde::Serialize;
use undertone_media::verify::{DECOYS, Half, Role, SafetyWords};

/// What is shown to be picked from.
pub const CHOICES: usize = 1 + DECOYS;
/// Halves to be picked.
pub const ROUNDS: usize = 2;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// 1 or 2.
    pub round: u8,
    /// To be read aloud.
    pub read: [&'static str; 2],
    /// One of these is heard.
    pub choices: [[&'static str; 2]; CHOICES],
    /// The same for people who share no language.
    pub read_digits: String,
    /// The same for people who share no language; the same numbers mean the same choice.
    pub choices_digits: [String; CHOICES],
    /// Whether this person wants to see digits.
    pub digits: bool,
}

/// What a pick leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picked {
    /// Right; there is another question.
    Next,
    /// Both right.
    Passed,
    /// Another one than that of this phone, or none.
    Wrong,
}

/// The picks on this phone.
#[derive(Debug)]
pub(super) struct Ceremony {
    rounds: [Round; ROUNDS],
    at: usize,
    digits: bool,
}

#[derive(Debug)]
struct Round {
    read: Half,
    choices: [Half; CHOICES],
    right: usize,
}

impl Question {
    /// What is to be read, as this person wants to see it.
    pub fn shown(&self) -> String {
        if self.digits { self.read_digits.clone() } else { self.read.join(" ") }
    }

    /// What is to be picked from, as this person wants to see it.
    pub fn shown_choices(&self) -> [String; CHOICES] {
        if self.digits { self.choices_digits.clone() } else { self.choices.map(|words| words.join(" ")) }
    }

    /// One or two sentences for people.
    pub fn sentence(&self) -> String {
        let numbered = self.shown_choices().into_iter().zip(1..).map(|(choice, number)| format!("{number}: {choice}"));
        let choices = numbered.collect::<Vec<_>>().join(", ");
        let (round, read) = (self.round, self.shown());
        format!(
            "Check {round} of {ROUNDS}. Read this aloud: {read}. Then pick what you hear: {choices}, 0: none of these."
        )
    }
}

impl Ceremony {
    /// Draws what is shown beside the right halves, and where.
    pub(super) fn draw(words: &SafetyWords, role: Role, rng: &mut impl RngCore) -> Self {
        let [first, second] = words.halves();
        let (own, others) = match role {
            Role::Initiator => (first, second),
            Role::Responder => (second, first),
        };
        let rounds = [Round::draw(own, others, rng), Round::draw(others, own, rng)];
        Self { rounds, at: 0, digits: false }
    }

    /// The same from the beginning.
    pub(super) fn anew(self) -> Self {
        Self { at: 0, ..self }
    }

    /// What is asked now.
    pub(super) fn question(&self) -> Question {
        let Round { read, choices, .. } = &self.rounds[self.at];
        Question {
            round: self.at as u8 + 1,
            read: read.words(),
            choices: choices.map(|half| half.words()),
            read_digits: read.digits(),
            choices_digits: choices.map(|half| half.digits()),
            digits: self.digits,
        }
    }

    /// Shows words instead of digits, or the other way round.
    pub(super) fn switch_digits(&mut self) {
        self.digits = !self.digits;
    }

    /// The person picked this choice (from 0), or none of them.
    pub(super) fn pick(&mut self, choice: Option<usize>) -> Picked {
        if choice != Some(self.rounds[self.at].right) {
            return Picked::Wrong;
        }
        if self.at + 1 == ROUNDS {
            return Picked::Passed;
        }
        self.at += 1;
        Picked::Next
    }
}

impl Round {
    fn draw(read: Half, heard: Half, rng: &mut impl RngCore) -> Self {
        // Four divides what is drawn, so every place is equally likely.
        let right = (rng.next_u32() % CHOICES as u32) as usize;
        let mut decoys = heard.decoys(rng).into_iter();
        let choices = std::array::from_fn(|at| if at == right { heard } else { decoys.next().unwrap_or(heard) });
        Self { read, choices, right }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_half_that_one_reads_is_among_the_others_choices_and_is_the_right_one() {
        for seed in 0..200 {
            let words = words(seed);
            let mut caller = Ceremony::draw(&words, Role::Initiator, &mut rng(seed + 1_000));
            let mut callee = Ceremony::draw(&words, Role::Responder, &mut rng(seed + 2_000));
            assert_eq!(caller.question().read, words.halves()[0].words());
            for expected in [Picked::Next, Picked::Passed] {
                let (asked, answered) = (caller.question(), callee.question());
                assert_eq!(asked.round, answered.round);
                let by_words = |of: &Question, read: [&str; 2]| of.choices.iter().position(|words| *words == read);
                let by_digits = |of: &Question, read: &str| of.choices_digits.iter().position(|text| text == read);
                let (caller_hears, callee_hears) = (by_words(&asked, answered.read), by_words(&answered, asked.read));
                assert_eq!(by_digits(&asked, &answered.read_digits), caller_hears);
                assert_eq!(by_digits(&answered, &asked.read_digits), callee_hears);
                assert!(!asked.choices.contains(&asked.read), "nothing to copy from");
                assert_eq!((caller.pick(caller_hears), callee.pick(callee_hears)), (expected, expected));
            }
        }
    }

    #[test]
    fn every_other_pick_and_none_of_these_is_wrong_in_either_round() {
        let right = |ceremony: &Ceremony| ceremony.rounds[ceremony.at].right;
        let draw = || Ceremony::draw(&words(7), Role::Initiator, &mut rng(7));
        for round in 0..ROUNDS {
            for choice in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
                let mut ceremony = draw();
                (0..round).for_each(|_| assert_eq!(ceremony.pick(Some(right(&ceremony))), Picked::Next));
                let wrong = choice != Some(right(&ceremony));
                assert_eq!(ceremony.pick(choice) == Picked::Wrong, wrong, "{round} {choice:?}");
            }
        }
    }

    #[test]
    fn the_right_one_stands_anywhere_and_decoys_share_no_word_with_it() {
        let mut places = [0; CHOICES];
        for seed in 0..400 {
            let ceremony = Ceremony::draw(&words(seed), Role::Responder, &mut rng(seed + 5_000));
            for round in &ceremony.rounds {
                places[round.right] += 1;
                let right = round.choices[round.right].words();
                for (at, choice) in round.choices.iter().enumerate().filter(|(at, _)| *at != round.right) {
                    assert!(choice.words().iter().zip(right).all(|(a, b)| *a != b), "{at}");
                }
            }
        }
        assert!(places.iter().all(|count| (140..260).contains(count)), "{places:?}");
    }

    #[test]
    fn digits_are_shown_on_wish_and_change_no_choice() {
        let mut ceremony = Ceremony::draw(&words(3), Role::Initiator, &mut rng(3));
        let before = ceremony.question();
        ceremony.switch_digits();
        assert_eq!(ceremony.question(), Question { digits: true, ..before });
        assert!(before_digits_are_four(&ceremony.question()));
    }

    fn before_digits_are_four(question: &Question) -> bool {
        let four = |text: &String| text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_digit());
        four(&question.read_digits) && question.choices_digits.iter().all(four)
    }

    fn words(seed: u64) -> SafetyWords {
        let mut bits = [0; 4];
        rng(seed).fill_bytes(&mut bits);
        SafetyWords::from_bits(bits)
    }

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }
}
