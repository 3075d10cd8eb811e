//! What tests do with a world again and again: calls that have come as far as sound, and looks at their sound.

use std::time::Duration;
use undertone::core::command::Command;

use super::gateway_site::DOMAIN;
use super::simulation::World;
use super::station::{FRAME_SAMPLES, StationId};
use crate::correlation::{Likeness, compare};

const RATE_HZ: usize = 48_000;

impl World {
    /// Two accounts, alice and bob, whose phones are ready and ask before they take a call.
    pub fn alice_and_bob(seed: u64) -> (Self, StationId, StationId) {
        let mut world = Self::new(seed);
        let (alice, bob) = (world.add("alice"), world.add("bob"));
        world.wait_ready(&[alice, bob]);
        (world, alice, bob)
    }

    /// Alice and bob with a call that alice made and in which both hear sound.
    pub fn talking(seed: u64) -> (Self, StationId, StationId) {
        let (mut world, alice, bob) = Self::alice_and_bob(seed);
        world.dial(alice, "bob");
        world.wait_ringing(bob);
        world.command(bob, Command::Answer);
        world.wait_sound(&[alice, bob]);
        (world, alice, bob)
    }

    /// Lets time pass until these phones can be called.
    pub fn wait_ready(&mut self, ids: &[StationId]) {
        self.run_until("the phones are ready", |world| ids.iter().all(|id| world.station(*id).count("ready") > 0));
    }

    /// Lets time pass until it rings here.
    pub fn wait_ringing(&mut self, id: StationId) {
        self.run_until("it rings", |world| world.station(id).sees_in_this_call("ringing"));
    }

    /// Lets time pass until these phones play the other's sound and show the safety words.
    pub fn wait_sound(&mut self, ids: &[StationId]) {
        self.run_until("sound has started", |world| {
            let is_there = |id: &StationId| {
                let station = world.station(*id);
                station.sees_in_this_call("sound_started") && station.sees_in_this_call("safety_words")
            };
            ids.iter().all(is_there)
        });
    }

    /// Lets time pass until a call has ended at each of these phones.
    pub fn wait_ended(&mut self, ids: &[StationId]) {
        self.run_until("the call has ended", |world| ids.iter().all(|id| world.station(*id).count("ended") > 0));
    }

    /// A person dials an account.
    pub fn dial(&mut self, id: StationId, account: &str) {
        self.command(id, Command::Dial { uri: format!("{account}@{DOMAIN}") });
    }

    /// Loudness (RMS) of what this phone's speaker plays over the next second.
    pub fn listen(&mut self, id: StationId) -> f32 {
        let from = self.station(id).heard.len();
        self.run_for(Duration::from_secs(1));
        let heard = &self.station(id).heard[from..];
        assert!(heard.len() >= FRAME_SAMPLES * 49, "the speaker runs");
        (heard.iter().map(|sample| sample * sample).sum::<f32>() / heard.len() as f32).sqrt()
    }

    /// How alike what `speaker` says over the next seconds is to what `listener` hears of it.
    pub fn likeness(&mut self, speaker: StationId, listener: StationId, seconds: u64) -> Likeness {
        let (said, heard) = (self.station(speaker).spoken.len(), self.station(listener).heard.len());
        self.run_for(Duration::from_secs(seconds));
        let until = self.station(speaker).spoken.len();
        // What is said last is heard a little later.
        self.run_for(Duration::from_millis(500));
        let spoken = &self.station(speaker).spoken[said..until];
        let heard = &self.station(listener).heard[heard..];
        compare(spoken, heard, RATE_HZ).expect("both recordings are long enough")
    }
}
