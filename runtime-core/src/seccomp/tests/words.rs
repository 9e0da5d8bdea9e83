//! Documents: what is read of them, and what is wrong in them.

use serde_json::{Value, json};

use super::{
    machine::{Call, run},
    profile,
};
use crate::seccomp::{Filter, NATIVE, Profile, compile, table};

/// Problems as they are told.
fn problems(value: &Value) -> Vec<String> {
    let told = |problems: Vec<crate::Problem>| problems.iter().map(ToString::to_string).collect();
    match Profile::from_json(value) {
        Ok(profile) => {
            profile.map_or_else(Vec::new, |profile| compile(&profile).map_or_else(told, |_| Vec::new()))
        }
        Err(problems) => told(problems),
    }
}

fn filter(value: &Value) -> Filter {
    compile(&profile(value)).unwrap()
}

/// What the filter says to a call of this machine.
fn outcome(filter: &Filter, name: &str, args: [u64; 6]) -> u32 {
    let number = table::row(name).and_then(|row| row.number(NATIVE.column)).unwrap();
    run(&filter.program, &Call::new(NATIVE.audit, number, args, false)).0
}

// spec: linux.seccomp.defaultaction.required linux.seccomp.syscalls.names.required
// spec: linux.seccomp.syscalls.action.required linux.seccomp.syscalls.args.index.required
// spec: linux.seccomp.syscalls.args.value.required linux.seccomp.syscalls.args.op.required
// spec: linux.seccomp.syscalls.names.nonempty linux.seccomp.syscalls.errnoret.unsupported-error
#[test]
fn every_mistake_is_told_with_its_place() {
    let value = json!({
        "defaultAction": "SCMP_ACT_FOO",
        "defaultErrnoRet": "EPERM",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_Z80", 1],
        "flags": ["SECCOMP_FILTER_FLAG_FOO", "SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": 1,
        "syscalls": [
            {"action": "SCMP_ACT_ALLOW"},
            {"names": [], "action": "SCMP_ACT_KILL", "errnoRet": 1},
            {"names": ["read", "", 1], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096},
            "read",
            {"names": ["read"], "args": [
                {"index": 6, "value": -1, "op": "SCMP_CMP_XX"},
                {"index": 0, "value": 1},
                {"op": "SCMP_CMP_EQ"},
                {"index": 0, "value": 1, "valueTwo": 1.5, "op": "SCMP_CMP_EQ"},
                null,
            ]},
        ],
    });
    let expected = [
        "linux.seccomp.defaultErrnoRet: expected an integer from 0 to 4294967295, found \"EPERM\"",
        "linux.seccomp.defaultAction: expected a known action, found \"SCMP_ACT_FOO\"",
        "linux.seccomp.architectures[1]: expected a known architecture, found \"SCMP_ARCH_Z80\"",
        "linux.seccomp.architectures[2]: expected a known architecture, found 1",
        "linux.seccomp.syscalls[0].names: is required",
        "linux.seccomp.syscalls[1].errnoRet: is set, but SCMP_ACT_KILL returns no number",
        "linux.seccomp.syscalls[1].names: expected at least one name, found none",
        "linux.seccomp.syscalls[2].errnoRet: expected at most 4095, found 4096",
        "linux.seccomp.syscalls[2].names[1]: empty string is not a valid syscall",
        "linux.seccomp.syscalls[2].names[2]: expected a string, found 1",
        "linux.seccomp.syscalls[3]: expected an object, found \"read\"",
        "linux.seccomp.syscalls[4].action: is required",
        "linux.seccomp.syscalls[4].args[0].index: expected an integer from 0 to 5, found 6",
        "linux.seccomp.syscalls[4].args[0].value: expected an integer from 0 to 18446744073709551615, found -1",
        "linux.seccomp.syscalls[4].args[0].op: expected a known operator, found \"SCMP_CMP_XX\"",
        "linux.seccomp.syscalls[4].args[1].op: is required",
        "linux.seccomp.syscalls[4].args[2].index: is required",
        "linux.seccomp.syscalls[4].args[2].value: is required",
        "linux.seccomp.syscalls[4].args[3].valueTwo: expected an integer from 0 to 18446744073709551615, found 1.5",
        "linux.seccomp.syscalls[4].args[4]: expected an object, found null",
        "linux.seccomp.flags[0]: expected a known flag, found \"SECCOMP_FILTER_FLAG_FOO\"",
        "linux.seccomp.listenerPath: expected a string, found 1",
    ];
    assert_eq!(problems(&value), expected);
    assert_eq!(problems(&json!([])), ["linux.seccomp: expected an object, found a list"]);
    assert_eq!(problems(&json!({})), ["linux.seccomp.defaultAction: is required"]);
}

// spec: linux.seccomp.defaulterrnoret.unsupported-error linux.seccomp.listenermetadata.without-path
#[test]
fn what_contradicts_itself_is_refused() {
    let rule = |action: &str, args: Value| json!({"names": ["socket"], "action": action, "args": args});
    let notify = json!({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"});
    for (value, expected) in [
        (
            json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/a"}),
            &["linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"][..],
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "a", "syscalls": [notify]}),
            &[
                "linux.seccomp.syscalls[0].names[1]: SCMP_ACT_NOTIFY cannot be used for the write syscall",
                "linux.seccomp.listenerPath: seccomp listenerPath is not set, a rule has the action SCMP_ACT_NOTIFY",
                "linux.seccomp.listenerMetadata: must not be set without listenerPath",
            ],
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1,
                   "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}),
            &[
                "linux.seccomp.defaultErrnoRet: is set, but SCMP_ACT_ALLOW returns no number",
                "linux.seccomp.flags[0]: needs a rule with the action SCMP_ACT_NOTIFY (the kernel refuses it alone)",
            ],
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X"]}),
            &["linux.seccomp.architectures[1]: SCMP_ARCH_S390X has another byte order than this machine"],
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                rule("SCMP_ACT_LOG", json!([{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}])),
                rule("SCMP_ACT_TRAP", json!([{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}])),
            ]}),
            &[
                "linux.seccomp.syscalls[1]: contradicts an earlier rule, which has another action for the same arguments \
               of system call 41 of SCMP_ARCH_X86_64",
            ],
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
                rule("SCMP_ACT_LOG", json!([{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}])),
                rule("SCMP_ACT_ALLOW", json!([{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}])),
            ]}),
            &[
                "linux.seccomp.syscalls[1]: contradicts an earlier rule, which has another action for the same arguments \
               of system call 102 of SCMP_ARCH_X86, which carries out others by its first argument",
            ],
        ),
    ] {
        let is_native = cfg!(target_arch = "x86_64") || !expected[0].contains("X86_64");
        assert!(!is_native || problems(&value) == expected, "{:#?}", problems(&value));
    }
}

#[test]
fn nothing_chosen_is_no_profile() {
    for value in [
        json!({"defaultAction": ""}),
        json!({"defaultAction": "", "architectures": [], "syscalls": []}),
        json!({"defaultAction": "", "syscalls": null}),
    ] {
        assert_eq!(Profile::from_json(&value), Ok(None), "{value}");
    }
    let rules = json!({"defaultAction": "", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]});
    assert_eq!(problems(&rules), ["linux.seccomp.defaultAction: expected a known action, found \"\""]);
}

#[test]
fn actions_carry_their_number() {
    for (action, number, expected) in [
        ("SCMP_ACT_KILL", Value::Null, 0),
        ("SCMP_ACT_KILL_THREAD", json!(0), 0),
        ("SCMP_ACT_KILL_PROCESS", Value::Null, 0x8000_0000),
        ("SCMP_ACT_TRAP", Value::Null, 0x0003_0000),
        ("SCMP_ACT_ERRNO", Value::Null, 0x0005_0001),
        ("SCMP_ACT_ERRNO", json!(0), 0x0005_0000),
        ("SCMP_ACT_ERRNO", json!(4095), 0x0005_0fff),
        ("SCMP_ACT_TRACE", Value::Null, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", json!(65535), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", Value::Null, 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", Value::Null, 0x7fc0_0000),
    ] {
        let rule = json!({"names": ["getpid"], "action": action, "errnoRet": number});
        let rules =
            filter(&json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a", "syscalls": [rule]}));
        assert_eq!(outcome(&rules, "getpid", [0; 6]), expected, "{action} {number}");
        assert_eq!(outcome(&rules, "getppid", [0; 6]), 0x7fff_0000);
        assert_eq!(rules.uses_notify, action == "SCMP_ACT_NOTIFY");
        if action != "SCMP_ACT_NOTIFY" {
            let default = filter(&json!({"defaultAction": action, "defaultErrnoRet": number}));
            assert_eq!(outcome(&default, "getpid", [0; 6]), expected, "{action} {number}");
        }
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let allow = json!([{"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}]);
    for (default, newer) in [
        ("SCMP_ACT_ERRNO", 0x0005_0026),
        ("SCMP_ACT_KILL_PROCESS", 0x0005_0026),
        ("SCMP_ACT_TRAP", 0x0005_0026),
        ("SCMP_ACT_LOG", 0x7ffc_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
    ] {
        let filter = filter(&json!({"defaultAction": default, "syscalls": allow}));
        assert_eq!(outcome(&filter, "openat2", [0; 6]), 0x7fff_0000, "{default}");
        assert_eq!(outcome(&filter, "faccessat2", [0; 6]), newer, "{default}");
        assert_ne!(outcome(&filter, "clone3", [0; 6]), 0x0005_0026, "{default}");
    }
}

#[test]
fn flags_and_unknown_names() {
    let flags = |flags: Value| filter(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags})).flags;
    assert_eq!(flags(Value::Null), 4);
    assert_eq!(flags(json!([])), 0);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"])), 2);
    let notify = json!({"names": ["nosuchcall", "read"], "action": "SCMP_ACT_NOTIFY"});
    let filter = filter(&json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [notify], "listenerPath": "/a",
        "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    }));
    assert_eq!(filter.flags, 0x24);
    let told: Vec<_> = filter.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["linux.seccomp.syscalls[0].names[0]: unknown system call \"nosuchcall\" is skipped"]);
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let arg = |index: u8, value: u64, op: &str| json!({"index": index, "value": value, "op": format!("SCMP_CMP_{op}")});
    let rules = |args: Value| {
        let rule = json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args});
        filter(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}))
    };
    let is_allowed = |filter: &Filter, args: [u64; 2]| {
        outcome(filter, "personality", [args[0], args[1], 0, 0, 0, 0]) == 0x7fff_0000
    };
    let both = rules(json!([arg(0, 1, "EQ"), arg(1, 2, "EQ")]));
    assert_eq!([[1, 2], [1, 3], [0, 2]].map(|args| is_allowed(&both, args)), [true, false, false]);
    let either = rules(json!([arg(0, 1, "EQ"), arg(0, 2, "EQ"), arg(1, 7, "EQ")]));
    assert_eq!(
        [[1, 0], [2, 0], [3, 0], [3, 7]].map(|args| is_allowed(&either, args)),
        [true, true, false, true]
    );
}
