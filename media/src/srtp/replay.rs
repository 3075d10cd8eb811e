//! Replay protection and index estimation (RFC 3711 §3.3.1, §3.3.2, appendix A).
//!
//! Looking is apart from remembering: `check` before the tag is verified, `accept` after it.

/// Packets a late one may be behind the newest (at 20 ms each: 2.5 s).
pub(super) const WINDOW: u64 = 128;
/// ROC and sequence number together have 48 bits (RFC 3711 §3.3.1).
pub(super) const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// Why an index is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    Replayed,
    TooOld,
}

/// The indices seen of one source: the newest, and a bit for each of the 128 up to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplayWindow {
    newest: Option<u64>,
    /// Bit n: `newest - n` has been seen.
    seen: u128,
}

impl ReplayWindow {
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether the index may still be taken.
    pub(super) fn check(&self, index: u64) -> Result<(), Stale> {
        let Some(newest) = self.newest else {
            return Ok(());
        };
        if index > newest {
            return Ok(());
        }
        let behind = newest - index;
        if behind >= WINDOW {
            Err(Stale::TooOld)
        } else if self.seen & (1 << behind) != 0 {
            Err(Stale::Replayed)
        } else {
            Ok(())
        }
    }

    /// Remembers an index whose packet is authentic.
    pub(super) fn accept(&mut self, index: u64) {
        match self.newest {
            Some(newest) if index <= newest => {
                if newest - index < WINDOW {
                    self.seen |= 1 << (newest - index);
                }
            }
            Some(newest) => {
                let ahead = index - newest;
                self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 } | 1;
                self.newest = Some(index);
            }
            None => {
                self.newest = Some(index);
                self.seen = 1;
            }
        }
    }
}

/// The 48-bit index a sequence number stands for, nearest to the newest one (appendix A);
/// `None` if that would lie before the first or after the last index of the key.
pub(super) fn estimate_index(newest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(newest) = newest else {
        return Some(u64::from(sequence));
    };
    let (rollover, last) = (newest >> 16, newest & 0xffff);
    let sequence = u64::from(sequence);
    let rollover = if last < 0x8000 {
        if sequence > last + 0x8000 { rollover.checked_sub(1)? } else { rollover }
    } else if last - 0x8000 > sequence {
        rollover + 1
    } else {
        rollover
    };
    let index = rollover << 16 | sequence;
    (index <= MAX_RTP_INDEX).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_taken_once() {
        let mut window = ReplayWindow::default();
        for index in [5, 7, 6, 300, 200] {
            assert_eq!(window.check(index), Ok(()));
            window.accept(index);
            assert_eq!(window.check(index), Err(Stale::Replayed));
        }
    }

    #[test]
    fn the_oldest_index_of_the_window_is_taken_and_the_one_before_is_not() {
        let mut window = ReplayWindow::default();
        window.accept(1000);
        assert_eq!(window.check(1000 - 127), Ok(()));
        assert_eq!(window.check(1000 - 128), Err(Stale::TooOld));
        window.accept(1001);
        assert_eq!(window.check(1000), Err(Stale::Replayed));
        assert_eq!(window.check(1001 - 128), Err(Stale::TooOld));
    }

    #[test]
    fn a_jump_past_the_window_forgets_everything_before() {
        let mut window = ReplayWindow::default();
        window.accept(10);
        window.accept(10 + 128);
        assert_eq!(window.check(11), Ok(()));
        assert_eq!(window.check(10), Err(Stale::TooOld));
    }

    #[test]
    fn a_sequence_number_is_read_as_the_nearest_index() {
        assert_eq!(estimate_index(None, 40_000), Some(40_000));
        assert_eq!(estimate_index(Some(65_535), 0), Some(0x1_0000));
        assert_eq!(estimate_index(Some(0x1_0000), 65_535), Some(65_535));
        assert_eq!(estimate_index(Some(0), 65_535), None);
        assert_eq!(estimate_index(Some(0), 0x8000), Some(0x8000));
        assert_eq!(estimate_index(Some(0x8000), 0), Some(0));
        assert_eq!(estimate_index(Some(0x8001), 0), Some(0x1_0000));
        assert_eq!(estimate_index(Some(MAX_RTP_INDEX), 0), None);
    }
}
