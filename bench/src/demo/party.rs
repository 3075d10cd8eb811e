//! One person of the demonstration in the call: a phone process, what it speaks and hears with, and what it has seen.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use undertone_tests::live::{Gateway, Phone, PhoneOptions, binary};

use super::newcomer::Newcomer;
use super::view::View;
use crate::failure::Failure;

/// With which sound to start a phone; no path means the machine's default device.
pub(super) struct PartyPlan {
    /// Account and phone are named so.
    pub(super) name: &'static str,
    /// What is said.
    pub(super) microphone: Option<PathBuf>,
    /// Where what is heard goes.
    pub(super) speaker: Option<PathBuf>,
}

/// A running phone and what it has seen.
pub(super) struct Party {
    pub(super) name: &'static str,
    pub(super) phone: Phone,
    pub(super) view: View,
    noted: usize,
}

/// Finds a default microphone and speaker, as the phone itself would.
///
/// # Errors
/// When one of them is missing.
pub(super) fn check_devices() -> Result<(), Failure> {
    let output = Command::new(binary("undertone")?).args(["--json", "devices"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let devices: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for kind in ["microphone", "speaker"] {
        if !devices.iter().any(|device| device["kind"] == kind && device["default"] == true) {
            return Err(Failure::Unusable(format!(
                "this machine has no default {kind}: connect one, or run the demo without --microphone (`make demo`)"
            )));
        }
    }
    Ok(())
}

impl Party {
    /// Switches both phones on; the second one takes every call.
    pub(super) fn start_both(
        gateway: &Gateway,
        people: &[Newcomer<'_>; 2],
        plans: &[PartyPlan; 2],
    ) -> Result<[Self; 2], Failure> {
        let [caller, callee] = people;
        let [by_caller, by_callee] = plans;
        Ok([Self::start(gateway, caller, by_caller, false)?, Self::start(gateway, callee, by_callee, true)?])
    }

    fn start(gateway: &Gateway, person: &Newcomer<'_>, plan: &PartyPlan, answers: bool) -> Result<Self, Failure> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let phone = person.start(&PhoneOptions {
            microphone: text(&plan.microphone),
            speaker: text(&plan.speaker),
            auto_answer: answers,
            ..PhoneOptions::default()
        })?;
        let view = View::new(plan.name, &gateway.signalling, &gateway.relay);
        Ok(Self { name: plan.name, phone, view, noted: 0 })
    }

    /// The process's number.
    pub(super) fn id(&self) -> u32 {
        self.phone.process.id()
    }

    /// Takes note of what the phone has printed since; returns the events.
    pub(super) fn catch_up(&mut self) -> Vec<Value> {
        let lines = self.phone.process.said();
        let new: Vec<Value> = lines[self.noted..].iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.noted = lines.len();
        for event in &new {
            self.view.note(event);
        }
        new
    }
}
