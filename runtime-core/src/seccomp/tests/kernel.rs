//! Filters at work: loaded for one thread, or for a program that is about to be executed. A thread's filter ends with
//! the thread, so that the others of the test go on without it.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, Stdio},
    thread,
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::prctl::set_no_new_privs,
};
use serde_json::{Value, json};

use super::{DOCKER, PODMAN, of_engine, profile};
use crate::seccomp::{Instruction, compile};

/// `SECCOMP_SET_MODE_FILTER` of linux/seccomp.h.
const SET_MODE_FILTER: c_long = 1;

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Makes the calling thread one with this filter. Does nothing that a child before exec may not.
fn load(instructions: &[Instruction], flags: u32) -> nix::Result<()> {
    set_no_new_privs()?;
    let program = Program { length: instructions.len() as u16, instructions: instructions.as_ptr() };
    // SAFETY: the kernel reads that many instructions, which live until it returns.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, c_long::from(flags), &raw const program) };
    Errno::result(result).map(drop)
}

/// What calls with these numbers and arguments give in a thread with the filter of a profile: an errno, or 0.
fn outcomes(value: &Value, calls: &[(c_long, [u64; 6])]) -> Vec<i32> {
    let filter = compile(&profile(value)).unwrap();
    let calls = calls.to_vec();
    let in_thread = move || {
        load(&filter.program, filter.flags).unwrap();
        let run = |(number, args): &(c_long, [u64; 6])| {
            let [a, b, c, d, e, f] = *args;
            // SAFETY: the calls of these tests name no memory and no file of the test.
            Errno::result(unsafe { libc::syscall(*number, a, b, c, d, e, f) })
                .map_or_else(|errno| errno as i32, |_| 0)
        };
        calls.iter().map(run).collect()
    };
    thread::spawn(in_thread).join().unwrap()
}

/// `close` of a file that is not open: EBADF where it is allowed. It looks at one argument of six.
fn close(index: u8, value: u64) -> (c_long, [u64; 6]) {
    let mut args = [u64::from(u32::MAX), 0, 0, 0, 0, 0];
    args[usize::from(index)] = value;
    (libc::SYS_close, args)
}

#[test]
fn all_operators_on_all_arguments() {
    let high = 5 << 32;
    for index in 1..6 {
        for (operator, two, hit, missed) in [
            ("NE", 0_u64, [4, high + 6], [high + 5, high + 5]),
            ("LT", 0, [high + 4, 6], [high + 5, 6 << 32]),
            ("LE", 0, [high + 5, 4 << 32], [high + 6, 6 << 32]),
            ("EQ", 0, [high + 5, high + 5], [5, high]),
            ("GE", 0, [high + 5, 6 << 32], [high + 4, 6]),
            ("GT", 0, [high + 6, 6 << 32], [high + 5, 6]),
            ("MASKED_EQ", 1 << 32, [1 << 32, (3 << 32) + 2], [high, 1]),
        ] {
            let arg = json!({"index": index, "value": high + 5, "valueTwo": two, "op": format!("SCMP_CMP_{operator}")});
            let rule = json!({"names": ["close"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": [arg]});
            let value = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
            let calls =
                [hit, missed].concat().into_iter().map(|value| close(index, value)).collect::<Vec<_>>();
            assert_eq!(outcomes(&value, &calls), [77, 77, libc::EBADF, libc::EBADF], "{operator} of {index}");
        }
    }
}

#[test]
fn profiles_of_engines_in_a_thread() {
    let nothing = [0; 6];
    let no_such_call = (999, nothing);
    let calls =
        [(libc::SYS_getpid, nothing), no_such_call, (libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0])];
    assert_eq!(outcomes(&of_engine(PODMAN), &calls), [0, libc::ENOSYS, 0]);
    assert_eq!(outcomes(&of_engine(DOCKER), &calls), [0, libc::ENOSYS, 0]);
    // Neither has add_key nor personalities that are not listed: Podman says ENOSYS to what is in no rule.
    let refused = [(libc::SYS_personality, [0x1_0000_0008, 0, 0, 0, 0, 0]), (libc::SYS_kexec_load, nothing)];
    assert_eq!(outcomes(&of_engine(PODMAN), &refused), [libc::ENOSYS, libc::EPERM]);
    assert_eq!(outcomes(&of_engine(DOCKER), &refused), [libc::EPERM, libc::EPERM]);
}

/// How a program ends that is executed with the filter of a profile: its status, or the signal.
fn execute(value: &Value, program: &str, args: &[&str]) -> (Option<i32>, Option<i32>) {
    let filter = compile(&profile(value)).unwrap();
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: two system calls, no memory taken.
    unsafe { command.pre_exec(move || load(&filter.program, filter.flags).map_err(Into::into)) };
    let status = command.status().unwrap();
    (status.code(), status.signal())
}

#[test]
fn programs_run_or_are_killed() {
    for config in [PODMAN, DOCKER] {
        let script = "test -d / && exec sh -c 'exit 7'";
        assert_eq!(execute(&of_engine(config), "sh", &["-c", script]), (Some(7), None));
    }
    let kill = |action: &str| {
        let rule = json!({"names": ["execve"], "action": action});
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    };
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        assert_eq!(execute(&kill(action), "sh", &["-c", "true"]), (None, Some(libc::SIGSYS)), "{action}");
    }
    assert_eq!(execute(&kill("SCMP_ACT_LOG"), "sh", &["-c", "exit 5"]), (Some(5), None));
}
