//! The two system calls that `doctor --confinement` tries and no safe library offers.

#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use std::ptr;

/// `io_uring_setup(1, NULL)`: without confinement the kernel finds the missing parameters (`EFAULT`) and does nothing.
pub(super) fn io_uring_setup() -> nix::Result<()> {
    // SAFETY: the kernel checks the pointer it would read and write; null is refused. No memory of ours is touched.
    Errno::result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, ptr::null_mut::<libc::c_void>()) }).map(|_| ())
}

/// `bpf(BPF_MAP_CREATE, NULL, 0)`: without confinement the kernel refuses the empty description and does nothing.
pub(super) fn bpf_map_create() -> nix::Result<()> {
    // SAFETY: a description of length 0 is never read. No memory of ours is touched.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, 0, ptr::null::<libc::c_void>(), 0) }).map(|_| ())
}
