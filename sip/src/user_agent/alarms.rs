//! The one timer queue of a user agent: every deadline of every transaction and session, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::event::{SessionId, TransactionId};
use crate::invite::SessionAlarm;
use crate::transaction::Timer;

/// Whose deadline it is. Deadlines at the same instant are due in the order of this type, so that a
/// run with the same input is the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// A timer of a transaction.
    Transaction(TransactionId, Timer),
    /// A timer of a session.
    Session(SessionId, SessionAlarm),
}

/// Armed alarms, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    queue: BTreeSet<(Instant, Alarm)>,
    armed: BTreeMap<Alarm, Instant>,
}

impl Alarms {
    /// Arms an alarm, replacing its earlier deadline.
    pub(crate) fn arm(&mut self, alarm: Alarm, at: Instant) {
        self.disarm(alarm);
        self.queue.insert((at, alarm));
        self.armed.insert(alarm, at);
    }

    pub(crate) fn disarm(&mut self, alarm: Alarm) {
        if let Some(at) = self.armed.remove(&alarm) {
            self.queue.remove(&(at, alarm));
        }
    }

    /// Disarms everything of a transaction.
    pub(crate) fn disarm_transaction(&mut self, id: TransactionId) {
        let first = Alarm::Transaction(id, Timer::FIRST);
        self.disarm_while(first, |alarm| matches!(alarm, Alarm::Transaction(of, _) if *of == id));
    }

    /// Disarms everything of a session.
    pub(crate) fn disarm_session(&mut self, id: SessionId) {
        let first = Alarm::Session(id, SessionAlarm::FIRST);
        self.disarm_while(first, |alarm| matches!(alarm, Alarm::Session(of, _) if *of == id));
    }

    /// When the next alarm is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the earliest alarm that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Alarm> {
        let &(at, alarm) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.disarm(alarm);
        Some(alarm)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    fn disarm_while(&mut self, first: Alarm, belongs: impl Fn(&Alarm) -> bool) {
        while let Some(alarm) = self.armed.range(first..).next().map(|(alarm, _)| *alarm)
            && belongs(&alarm)
        {
            self.disarm(alarm);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn alarm(id: u64, timer: Timer) -> Alarm {
        Alarm::Transaction(TransactionId(id), timer)
    }

    #[test]
    fn alarms_come_in_order_and_rearming_replaces() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut alarms = Alarms::default();
        alarms.arm(alarm(1, Timer::A), after(3));
        alarms.arm(alarm(2, Timer::A), after(2));
        alarms.arm(alarm(1, Timer::A), after(1));
        assert_eq!(alarms.next(), Some(after(1)));
        assert_eq!(alarms.take_due(start), None);
        assert_eq!(alarms.take_due(after(9)), Some(alarm(1, Timer::A)));
        assert_eq!(alarms.take_due(after(9)), Some(alarm(2, Timer::A)));
        assert_eq!(alarms.take_due(after(9)), None);
    }

    #[test]
    fn disarming_an_owner_leaves_the_others_alone() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        for id in 1..=3 {
            for timer in [Timer::A, Timer::B, Timer::Abandoned] {
                alarms.arm(alarm(id, timer), start);
            }
        }
        alarms.disarm_transaction(TransactionId(2));
        assert_eq!(alarms.len(), 6);
        assert!(!alarms.armed.contains_key(&alarm(2, Timer::Abandoned)));
    }
}
