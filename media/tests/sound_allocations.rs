//! Playing a call allocates nothing once it runs: neither the packets that come nor the speaker that pulls,
//! whatever is lost, late or stretched.

#![allow(clippy::unwrap_used, unsafe_code, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use undertone_media::codec::Encoder;
use undertone_media::playout::{Incoming, Playout};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system allocator, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_frame_allocates() {
    let voice: Vec<f32> = (0..960).map(|n| 0.3 * (n as f32 * 0.021).sin()).collect();
    let mut encoder = Encoder::new(20, 77).unwrap();
    let mut playout = Playout::new(20).unwrap();
    let mut packet = [0; 77];
    let mut block = [0.0; 480];
    let start = Instant::now();
    let before = ALLOCATIONS.with(Cell::get);
    for n in 0..3_000u32 {
        let now = start + Duration::from_millis(10) * n;
        if n.is_multiple_of(2) {
            encoder.encode(&voice, &mut packet).unwrap();
            let frame = n / 2;
            // A stall, then a burst; every ninth frame lost; copies of every fifth.
            let late = Duration::from_millis(if frame % 200 < 20 { u64::from(200 - frame % 20 * 10) } else { 0 });
            if frame % 9 != 4 {
                let incoming = Incoming { timestamp: frame * 960, opus: &packet, redundant: frame % 5 == 0 };
                playout.insert(incoming, now + late);
            }
        }
        playout.fill(&mut block, now);
    }
    let stats = playout.stats();
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
    assert!(stats.concealed_frames + stats.fec_frames > 100, "{stats:?}");
    assert!(!stats.expanded.is_zero() && !stats.accelerated.is_zero(), "{stats:?}");
}
