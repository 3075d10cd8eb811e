//! Bindings: which account can be reached down which connections, in memory only (RFC 3261 §10, RFC 5626 §6).
//!
//! ```text
//! account ──▶ device (instance, reg-id) ──▶ flow + expiry
//! ```
//! A binding ends when its time is over, when its flow closes, or when the phone takes it back. What a phone
//! calls itself (Contact URI, instance) is not kept: calls go down the flow and nowhere else, and the device
//! is known by a pseudonym.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use undertone_sip::user_agent::FlowId;

use super::accounts::AccountName;
use super::pseudonym::Pseudonym;

/// Devices one account may have signed in at a time. A call forks to all of them, so this also bounds what
/// one INVITE can make the gateway send.
pub const MAX_DEVICES_PER_ACCOUNT: usize = 10;

/// One device of an account, as far as the registrar can tell devices apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Device {
    /// The phone gave a `+sip.instance`, and a `reg-id` if it speaks RFC 5626 (0 otherwise).
    Instance { instance: Pseudonym, reg_id: u32 },
    /// The phone gave none: its connection is all that identifies it.
    Flow(FlowId),
}

impl Device {
    /// Two flows of one instance are one device to ring (RFC 5626 §5.3).
    fn same_phone(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Instance { instance: mine, .. }, Device::Instance { instance: theirs, .. }) => mine == theirs,
            (Device::Flow(mine), Device::Flow(theirs)) => mine == theirs,
            (Device::Instance { .. }, Device::Flow(_)) | (Device::Flow(_), Device::Instance { .. }) => false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    flow: FlowId,
    expires: Instant,
    /// Counts up with every REGISTER: the greater, the more recently refreshed.
    refreshed: u64,
}

/// The account already has [`MAX_DEVICES_PER_ACCOUNT`] devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyDevices;

/// All bindings of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    accounts: BTreeMap<AccountName, BTreeMap<Device, Binding>>,
    by_flow: BTreeMap<FlowId, BTreeSet<(AccountName, Device)>>,
    by_expiry: BTreeSet<(Instant, AccountName, Device)>,
    refreshes: u64,
    /// Flows that lost their last binding, until somebody asks.
    orphans: BTreeSet<FlowId>,
}

impl Bindings {
    /// Adds or refreshes a binding. The same device on a new flow replaces the old binding.
    pub(crate) fn bind(
        &mut self,
        account: &AccountName,
        device: Device,
        flow: FlowId,
        expires: Instant,
    ) -> Result<(), TooManyDevices> {
        let devices = self.accounts.get(account);
        let known = devices.is_some_and(|devices| devices.contains_key(&device));
        if !known && devices.is_some_and(|devices| devices.len() >= MAX_DEVICES_PER_ACCOUNT) {
            return Err(TooManyDevices);
        }
        self.unbind(account, &device);
        self.refreshes += 1;
        let binding = Binding { flow, expires, refreshed: self.refreshes };
        self.accounts.entry(account.clone()).or_default().insert(device, binding);
        self.by_flow.entry(flow).or_default().insert((account.clone(), device));
        self.by_expiry.insert((expires, account.clone(), device));
        Ok(())
    }

    /// Takes one binding back; nothing happens if there is none.
    pub(crate) fn unbind(&mut self, account: &AccountName, device: &Device) {
        let Some(devices) = self.accounts.get_mut(account) else { return };
        let Some(binding) = devices.remove(device) else { return };
        if devices.is_empty() {
            self.accounts.remove(account);
        }
        if let Some(on_flow) = self.by_flow.get_mut(&binding.flow) {
            on_flow.remove(&(account.clone(), *device));
            if on_flow.is_empty() {
                self.by_flow.remove(&binding.flow);
                self.orphans.insert(binding.flow);
            }
        }
        self.by_expiry.remove(&(binding.expires, account.clone(), *device));
    }

    /// `Contact: *`: every device of the account.
    pub(crate) fn unbind_all(&mut self, account: &AccountName) {
        let devices: Vec<Device> =
            self.accounts.get(account).into_iter().flatten().map(|(device, _)| *device).collect();
        for device in devices {
            self.unbind(account, &device);
        }
    }

    /// The flow is gone and with it every binding that led down it.
    pub(crate) fn handle_flow_closed(&mut self, flow: FlowId) {
        for (account, device) in self.by_flow.get(&flow).cloned().unwrap_or_default() {
            self.unbind(&account, &device);
        }
    }

    /// Removes the bindings whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((expires, account, device)) = self.by_expiry.first().cloned()
            && expires <= now
        {
            self.unbind(&account, &device);
        }
    }

    /// The flows whose last binding has gone since this was last asked.
    pub(crate) fn take_orphans(&mut self) -> Vec<FlowId> {
        let flows = std::mem::take(&mut self.orphans);
        flows.into_iter().filter(|flow| !self.by_flow.contains_key(flow)).collect()
    }

    /// When the next binding's time is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(expires, _, _)| *expires)
    }

    /// The binding of one device: its expiry, if it leads down `flow`.
    pub(crate) fn on_flow(&self, account: &AccountName, flow: FlowId) -> Option<Instant> {
        let devices = self.accounts.get(account)?;
        devices.values().filter(|binding| binding.flow == flow).map(|binding| binding.expires).max()
    }

    /// The flows a call to this account goes down: one per phone, its most recently refreshed.
    pub(crate) fn targets(&self, account: &AccountName) -> Vec<FlowId> {
        let mut newest: Vec<(Device, Binding)> = Vec::new();
        for (device, binding) in self.accounts.get(account).into_iter().flatten() {
            match newest.iter_mut().find(|(other, _)| other.same_phone(device)) {
                Some(slot) if slot.1.refreshed < binding.refreshed => *slot = (*device, *binding),
                Some(_) => {}
                None => newest.push((*device, *binding)),
            }
        }
        let flows: BTreeSet<FlowId> = newest.into_iter().map(|(_, binding)| binding.flow).collect();
        flows.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::super::pseudonym::PseudonymKey;
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_call_goes_down_every_phone_of_the_account_once() {
        let (mut bindings, phone, now) = setup();
        for (instance, reg_id, flow) in [("a", 1, 1), ("a", 2, 2), ("b", 1, 3)] {
            bindings.bind(&alice(), phone(instance, reg_id), FlowId(flow), now + HOUR).unwrap();
        }
        bindings.bind(&alice(), Device::Flow(FlowId(4)), FlowId(4), now + HOUR).unwrap();
        assert_eq!(bindings.targets(&alice()), [FlowId(2), FlowId(3), FlowId(4)]);
        bindings.bind(&alice(), phone("a", 1), FlowId(1), now + HOUR).unwrap();
        assert_eq!(bindings.targets(&alice()), [FlowId(1), FlowId(3), FlowId(4)]);
    }

    #[test]
    fn a_device_that_comes_back_on_a_new_flow_replaces_its_old_binding() {
        let (mut bindings, phone, now) = setup();
        bindings.bind(&alice(), phone("a", 1), FlowId(1), now + HOUR).unwrap();
        bindings.bind(&alice(), phone("a", 1), FlowId(2), now + HOUR).unwrap();
        assert_eq!(bindings.targets(&alice()), [FlowId(2)]);
        assert_eq!(bindings.take_orphans(), [FlowId(1)]);
        bindings.handle_flow_closed(FlowId(1));
        assert_eq!(bindings.targets(&alice()), [FlowId(2)]);
    }

    #[test]
    fn the_eleventh_device_is_refused_and_the_tenth_may_refresh() {
        let (mut bindings, phone, now) = setup();
        for n in 0..MAX_DEVICES_PER_ACCOUNT as u64 {
            bindings.bind(&alice(), phone(&n.to_string(), 1), FlowId(n), now + HOUR).unwrap();
        }
        assert_eq!(bindings.bind(&alice(), phone("x", 1), FlowId(99), now + HOUR), Err(TooManyDevices));
        assert_eq!(bindings.bind(&alice(), phone("9", 1), FlowId(99), now + HOUR), Ok(()));
        assert_eq!(bindings.targets(&alice()).len(), MAX_DEVICES_PER_ACCOUNT);
    }

    #[test]
    fn nothing_is_left_after_expiry_or_closing_or_clearing() {
        for end in 0..3 {
            let (mut bindings, phone, now) = setup();
            bindings.bind(&alice(), phone("a", 1), FlowId(1), now + HOUR).unwrap();
            bindings.bind(&alice(), phone("a", 1), FlowId(1), now + 2 * HOUR).unwrap();
            assert_eq!(bindings.poll_timeout(), Some(now + 2 * HOUR));
            bindings.handle_timeout(now + HOUR);
            assert!(bindings.take_orphans().is_empty());
            assert_eq!(bindings.on_flow(&alice(), FlowId(1)), Some(now + 2 * HOUR));
            match end {
                0 => bindings.handle_timeout(now + 2 * HOUR),
                1 => bindings.handle_flow_closed(FlowId(1)),
                _ => bindings.unbind_all(&alice()),
            }
            assert!(bindings.accounts.is_empty() && bindings.by_flow.is_empty() && bindings.by_expiry.is_empty());
            assert_eq!(bindings.poll_timeout(), None);
            assert_eq!(bindings.take_orphans(), [FlowId(1)]);
            assert!(bindings.orphans.is_empty());
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    fn alice() -> AccountName {
        AccountName::parse("alice").unwrap()
    }

    fn setup() -> (Bindings, impl Fn(&str, u32) -> Device, Instant) {
        let key = PseudonymKey::draw(&mut ChaCha20Rng::seed_from_u64(1));
        let phone = move |instance: &str, reg_id| Device::Instance { instance: key.of(&[instance.as_bytes()]), reg_id };
        (Bindings::default(), phone, Instant::now())
    }
}
