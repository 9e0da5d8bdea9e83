//! Profiles that proptest makes up.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Calls with and without relatives that go through socketcall(2) and ipc(2), of some architectures only, old and new.
const NAMES: [&str; 20] = [
    "read",
    "writev",
    "close",
    "socket",
    "connect",
    "accept4",
    "recv",
    "semop",
    "semtimedop",
    "shmat",
    "ipc",
    "socketcall",
    "clone",
    "personality",
    "openat",
    "set_tls",
    "io_setup",
    "setup",
    "ppoll_time64",
    "pidfd_open",
];

pub(super) const OPERANDS: [u64; 11] =
    [0, 1, 2, 16, 0xff, 0xffff_ffff, 1 << 32, (1 << 32) + 1, 2 << 32, u64::MAX - 1, u64::MAX];

/// One of `args`.
pub(super) fn condition(operators: Vec<&'static str>, operands: Vec<u64>) -> impl Strategy<Value = Value> {
    let operand = || prop::sample::select(operands.clone());
    (0..6u8, prop::sample::select(operators), operand(), operand()).prop_map(|(index, operator, value, two)| {
        json!({"index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": two})
    })
}

/// An action and its number.
pub(super) fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let names = ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ALLOW", "LOG"];
    prop_oneof![
        prop::sample::select(names.to_vec()).prop_map(|name| (name, None)),
        (prop::sample::select(vec!["ERRNO", "TRACE"]), prop::option::of(0..4095u32)),
    ]
}

/// One of `syscalls`.
pub(super) fn rule(
    action: impl Strategy<Value = (&'static str, Option<u32>)>,
    condition: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Value> {
    let names = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 1..4);
    (names, action, prop::collection::vec(condition, 0..4)).prop_map(|(names, (action, errno), args)| {
        json!({"names": names, "action": format!("SCMP_ACT_{action}"), "errnoRet": errno, "args": args})
    })
}

/// A profile.
pub(super) fn document((action, errno): (&str, Option<u32>), rules: &[Value]) -> Value {
    json!({"defaultAction": format!("SCMP_ACT_{action}"), "defaultErrnoRet": errno, "syscalls": rules})
}
