//! Every state in which a program can leave a folder when it is killed.
//!
//! The program runs under `ptrace(2)` and is stopped at the entry and at the exit of each of its system calls; nothing
//! else can change a file. What the folder holds is kept at every stop, so no prefix of its writes is missed, whatever
//! calls it uses. Since a disk may take only the first sectors of a write when power fails, each write is cut after
//! each sector too. What is not played: a disk that writes later things first although it was told to sync.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, unreachable_pub)]

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What disks write whole.
const SECTOR: usize = 512;

/// The files of a folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Runs a command that must succeed; the states of the folder from the one before to the one after.
pub fn states(folder: &Path, command: &Command) -> Vec<Files> {
    // The shell waits until it is traced, then becomes the program.
    let mut shell = Command::new("sh");
    shell.args(["-c", "read go; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // The loop below waits for it, as its tracer.
    #[allow(clippy::zombie_processes)]
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let main = Pid::from_raw(child.id() as i32);
    ptrace::attach(main).unwrap();
    // The shell itself may be starting yet.
    while waitpid(main, None).unwrap() != WaitStatus::Stopped(main, Signal::SIGSTOP) {
        ptrace::cont(main, None).unwrap();
    }
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACECLONE).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut states = vec![read(folder)];
    ptrace::syscall(main, None).unwrap();
    loop {
        // This thread's children only: other tests have their own.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap() {
            WaitStatus::PtraceSyscall(thread) => {
                let state = read(folder);
                if states.last() != Some(&state) {
                    states.push(state);
                }
                ptrace::syscall(thread, None).unwrap();
            }
            WaitStatus::PtraceEvent(thread, ..) | WaitStatus::Stopped(thread, Signal::SIGSTOP | Signal::SIGTRAP) => {
                ptrace::syscall(thread, None).unwrap();
            }
            WaitStatus::Stopped(thread, signal) => ptrace::syscall(thread, signal).unwrap(),
            WaitStatus::Exited(thread, code) if thread == main => {
                assert_eq!(code, 0, "{command:?}");
                return with_cut_writes(&states);
            }
            WaitStatus::Exited(..) => {}
            other => panic!("{command:?}: {other:?}"),
        }
    }
}

/// The files of a folder that is there, or none.
pub fn read(folder: &Path) -> Files {
    let Ok(entries) = std::fs::read_dir(folder) else { return Files::new() };
    let files = entries
        .map(|entry| entry.unwrap())
        .filter_map(|entry| Some((entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).ok()?)));
    files.collect()
}

/// Makes a folder hold just these files.
pub fn write(folder: &Path, files: &Files) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
}

fn with_cut_writes(states: &[Files]) -> Vec<Files> {
    let mut all = vec![states[0].clone()];
    for pair in states.windows(2) {
        for (name, after) in &pair[1] {
            // Another name for a file that is there: that is not written, and happens whole.
            if pair[0].values().any(|content| content == after) {
                continue;
            }
            let before = pair[0].get(name).map_or(&[][..], Vec::as_slice);
            let shared = before.len().min(after.len());
            let Some(first) = (0..after.len()).find(|at| before.get(*at) != after.get(*at)) else { continue };
            let last = if after.len() > before.len() {
                after.len()
            } else {
                (0..shared).rev().find(|at| before[*at] != after[*at]).unwrap() + 1
            };
            for cut in (first / SECTOR + 1..).map(|sector| sector * SECTOR).take_while(|cut| *cut < last) {
                let mut state = pair[0].clone();
                let rest = before.get(cut..).unwrap_or_default();
                state.insert(name.clone(), [&after[..cut], rest].concat());
                all.push(state);
            }
        }
        all.push(pair[1].clone());
    }
    all
}
