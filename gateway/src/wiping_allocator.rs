//! Overwrites memory when it is given back, whoever used it.
//!
//! Who calls whom passes through parsers, maps and TLS buffers of many crates. After a call nothing of it may be left in
//! the process, so the gateway's program wipes every block once, here, instead of trusting each of them.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::asm;

/// Passes everything on to `A`, and wipes what comes back.
#[derive(Debug)]
pub struct WipingAllocator<A>(pub A);

// SAFETY: blocks come from `A` and go back to `A` with the layout they came with; between, only memory inside a block
// that its owner has given up is written.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block of this layout; nobody reads or writes it any more.
        unsafe {
            wipe(block, layout.size());
            self.0.dealloc(block, layout);
        }
    }

    // Growing in place could leave the old block behind: the content always moves, and the old place is wiped.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: `new_size` is not zero (contract of `realloc`); both blocks hold the octets copied and are distinct.
        unsafe {
            let moved = self.0.alloc(new_layout);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// # Safety
/// `block` must be valid for writes of `len` octets.
unsafe fn wipe(block: *mut u8, len: usize) {
    // SAFETY: the caller's promise. The empty instruction makes the compiler believe that somebody reads the block
    // afterwards, so it cannot leave the wiping out.
    unsafe {
        std::ptr::write_bytes(block, 0, len);
        asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Looks at every block that comes back.
    struct Witness {
        returned: AtomicUsize,
        dirty: AtomicUsize,
    }

    // SAFETY: everything is passed on to the system's allocator; blocks are only read before they go back.
    unsafe impl GlobalAlloc for Witness {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's contract, passed on. Zeroed so that every octet may be read.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block was made zeroed and is still whole.
            let left = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.returned.fetch_add(1, Ordering::Relaxed);
            self.dirty.fetch_add(usize::from(left.iter().any(|byte| *byte != 0)), Ordering::Relaxed);
            // SAFETY: the caller's contract, passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn nothing_of_a_block_is_left_when_it_is_given_back_or_moved() {
        let allocator = WipingAllocator(Witness { returned: AtomicUsize::new(0), dirty: AtomicUsize::new(0) });
        for size in [1, 7, 64, 4_096, 100_000] {
            let layout = Layout::from_size_align(size, 8).expect("a valid layout");
            // SAFETY: sizes are not zero and every block goes back with the layout it has.
            unsafe {
                let block = allocator.alloc(layout);
                block.write_bytes(0xa5, size);
                let moved = allocator.realloc(block, layout, size * 2);
                let content = std::slice::from_raw_parts(moved, size);
                assert!(content.iter().all(|byte| *byte == 0xa5), "the content moves along");
                allocator.dealloc(moved, Layout::from_size_align(size * 2, 8).expect("a valid layout"));
            }
        }
        assert_eq!((allocator.0.returned.into_inner(), allocator.0.dirty.into_inner()), (10, 0));
    }
}
