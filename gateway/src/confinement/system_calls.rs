//! seccomp: the system calls the process can still make (`seccomp(2)`).
//!
//! Three filters, all always asked; the strictest answer counts.
//! - [`ALLOWED`] and [`limited`]: what tokio, rustls, SQLite and the C library need. Anything else fails with `EPERM`,
//!   as if the kernel had the right to refuse: libraries probe for calls they can do without, and a gateway that dies of
//!   a probe would be easier to stop than one that is told no. It also means no process, file or socket is harmed by a
//!   call that a later version of a library tries.
//! - [`FATAL`]: no library of the gateway makes these; only an intruder's code does. The process is killed at once
//!   (`SIGSYS`), so that it does not go on trying; phones sign in again when the gateway is restarted.
//! - `clone3` is said not to exist: its flags lie in memory where no filter sees them, and the C library then takes
//!   `clone`, which is allowed for threads only.
//!
//! New sockets cannot be made at all, so neither can connections; the listeners are open by now.

use super::error::{ConfinementError, Part};
use nix::libc;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed with any argument.
const ALLOWED: &[i64] = &[
    // Descriptors that are open, and the store's files (Landlock says which).
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_openat,
    libc::SYS_unlinkat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fcntl,
    libc::SYS_dup,
    // Sockets that are open.
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads and the process itself.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
];

/// The older forms that the C library still uses on this architecture.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLDER: &[i64] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_open,
    libc::SYS_unlink,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLDER: &[i64] = &[];

/// Only an intruder's code makes these.
const FATAL: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
];

/// Flags of `clone` that matter: a thread, and in no namespace of its own.
const CLONE_WATCHED: i32 = libc::CLONE_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

pub(super) fn restrict() -> Result<(), ConfinementError> {
    let refused = ConfinementError::refused(Part::SystemCalls);
    // The allow-list comes last: it forbids to install another.
    for filter in filters().map_err(|error| refused(error.to_string()))? {
        apply_filter_all_threads(&filter).map_err(|error| refused(why(error)))?;
    }
    Ok(())
}

/// The library's own words leave the kernel's out.
fn why(error: seccompiler::Error) -> String {
    use seccompiler::Error::{Backend, EmptyFilter, Prctl, Seccomp, ThreadSync};
    match error {
        Prctl(reason) | Seccomp(reason) => reason.to_string(),
        Backend(_) | EmptyFilter | ThreadSync(_) => error.to_string(),
    }
}

fn filters() -> Result<[BpfProgram; 3], seccompiler::BackendError> {
    let eperm = SeccompAction::Errno(libc::EPERM as u32);
    let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
    Ok([
        filter(any_argument(FATAL), SeccompAction::Allow, SeccompAction::KillProcess)?,
        filter(any_argument(&[libc::SYS_clone3]), SeccompAction::Allow, enosys)?,
        filter(allowed()?, eperm, SeccompAction::Allow)?,
    ])
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, matching, machine)?.try_into()
}

fn any_argument(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, vec![])).collect()
}

fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let mut rules = any_argument(ALLOWED);
    rules.extend(any_argument(ALLOWED_OLDER));
    rules.extend(limited()?);
    Ok(rules)
}

/// Allowed with some arguments only.
fn limited() -> Result<Rules, seccompiler::BackendError> {
    let only = |place, len, what, value| SeccompRule::new(vec![SeccompCondition::new(place, len, what, value)?]);
    let number = |value: i32| u64::from(value.cast_unsigned());
    let no_code = || only(2, Dword, MaskedEq(number(libc::PROT_EXEC)), 0);
    let threads_only = only(0, Qword, MaskedEq(number(CLONE_WATCHED)), number(libc::CLONE_THREAD))?;
    Ok(Rules::from([
        // Memory that can be written never becomes code.
        (libc::SYS_mmap, vec![no_code()?]),
        (libc::SYS_mprotect, vec![no_code()?]),
        (libc::SYS_clone, vec![threads_only]),
        // tokio's signal handler wakes the runtime by a pair of its own.
        (libc::SYS_socketpair, vec![only(0, Dword, Eq, number(libc::AF_UNIX))?]),
        (libc::SYS_ioctl, vec![only(1, Dword, Eq, libc::FIONBIO)?]),
        // Names of threads; and what `doctor` asks for.
        (
            libc::SYS_prctl,
            vec![only(0, Dword, Eq, number(libc::PR_SET_NAME))?, only(0, Dword, Eq, number(libc::PR_GET_DUMPABLE))?],
        ),
        // Limits are read (the size of a stack), never set.
        (libc::SYS_prlimit64, vec![only(2, Qword, Eq, 0)?]),
        // `abort` and tokio signal threads of this process; there is nobody else to signal.
        (libc::SYS_tgkill, vec![only(0, Dword, Eq, u64::from(std::process::id()))?]),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_fatal_is_allowed_and_every_filter_can_be_made() {
        let allowed = allowed().expect("rules");
        assert!(FATAL.iter().all(|call| !allowed.contains_key(call)));
        for call in [libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_kill, libc::SYS_seccomp] {
            assert!(!allowed.contains_key(&call), "{call}");
        }
        assert!(filters().expect("three programs").iter().all(|program| !program.is_empty()));
    }
}
