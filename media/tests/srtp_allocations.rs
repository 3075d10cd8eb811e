//! Protecting and opening packets allocates nothing: one late packet in a call costs more than a slow one.

#![allow(clippy::unwrap_used, unsafe_code, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use undertone_media::dtls::Role;
use undertone_media::srtp::{Context, ExporterBlock, Profile, SsrcPolicy};

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
fn no_packet_allocates() {
    for profile in [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80] {
        let exported = vec![7; profile.exporter_len()];
        let keys = ExporterBlock::new(profile, &exported).unwrap();
        let mut client = Context::new(&keys, Role::Client, SsrcPolicy::Fixed);
        let mut server = Context::new(&keys, Role::Server, SsrcPolicy::Fixed);
        let mut buffer = [0; 200];
        let before = ALLOCATIONS.with(Cell::get);
        for sequence in 0..5_000_u16 {
            buffer[..2].copy_from_slice(&[0x80, 111]);
            buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
            let len = client.protect_rtp(&mut buffer, 172).unwrap();
            assert_eq!(server.unprotect_rtp(&mut buffer[..len]), Ok(172));
            assert!(server.unprotect_rtp(&mut buffer[..len]).is_err());
            buffer[..2].copy_from_slice(&[0x80, 200]);
            let len = client.protect_rtcp(&mut buffer, 60).unwrap();
            assert_eq!(server.unprotect_rtcp(&mut buffer[..len]), Ok(60));
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before);
    }
}
