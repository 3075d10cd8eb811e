//! What a step of a user agent leaves behind: messages, events and armed alarms.

use std::collections::VecDeque;
use std::time::Instant;

use super::alarms::{Alarm, Alarms};
use super::event::{Event, Output};
use super::flow::FlowId;

/// Outputs in order, and the timer queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    outputs: VecDeque<Output>,
    pub(crate) alarms: Alarms,
}

impl Outbox {
    pub(crate) fn transmit(&mut self, flow: FlowId, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Transmit { flow, bytes });
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn arm(&mut self, alarm: Alarm, at: Instant) {
        self.alarms.arm(alarm, at);
    }

    pub(crate) fn disarm(&mut self, alarm: Alarm) {
        self.alarms.disarm(alarm);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Drops what was to be sent on a flow that is gone.
    pub(crate) fn forget_flow(&mut self, gone: FlowId) {
        self.outputs.retain(|output| match output {
            Output::Transmit { flow, .. } => *flow != gone,
            Output::Event(_) => true,
        });
    }
}
