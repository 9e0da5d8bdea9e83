//! The filter does what the verdicts of the rules say, whatever the profile: compared with a plain reading of them, call
//! by call, and checked as the kernel checks it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    agree::{Choice, values},
    generate::{OPERANDS, action, condition, document, rule},
    machine::{self, Call},
    profile,
};
use crate::seccomp::{
    NATIVE, Profile,
    arch::{ARCHES, Arch},
    arches, compile, compile_for,
    conditions::{Condition, Level, Then},
    rules::{self, Verdict, Verdicts},
    words::{Action, Operator},
};

fn holds(condition: &Condition, args: &[u64; 6]) -> bool {
    let (arg, value) = (args[usize::from(condition.index)] & condition.mask, condition.value);
    match condition.operator {
        Operator::NotEqual => arg != value,
        Operator::Less => arg < value,
        Operator::LessOrEqual => arg <= value,
        Operator::Equal | Operator::MaskedEqual => arg == value,
        Operator::GreaterOrEqual => arg >= value,
        Operator::Greater => arg > value,
    }
}

fn by_arguments(level: &Level, args: &[u64; 6]) -> Option<Action> {
    level.0.iter().filter(|branch| holds(&branch.condition, args)).find_map(|branch| match &branch.then {
        Then::Act(action) => Some(*action),
        Then::Also(level) => by_arguments(level, args),
    })
}

/// For numbers that the profile knows.
fn expected(verdicts: &Verdicts, default: Action, number: u32, args: &[u64; 6]) -> Action {
    let verdict = verdicts.by_number.iter().find(|(other, _)| *other == number);
    match verdict.map(|(_, verdict)| verdict) {
        _ if !default.is_permissive() && verdicts.last.is_some_and(|last| number > last) => {
            Action::NO_SUCH_CALL
        }
        None => default,
        Some(Verdict::Always(action)) => *action,
        Some(Verdict::ByArguments(level)) => by_arguments(level, args).unwrap_or(default),
    }
}

fn check(profile: &Profile, native: Arch) -> Result<(), TestCaseError> {
    let Ok(filter) = compile_for(profile, native) else { return Ok(()) };
    prop_assert_eq!(machine::check(&filter.program), Ok(()));
    let (values, mut choice) = (values(profile), Choice::default());
    for arch in arches(profile, native).unwrap() {
        let verdicts = rules::verdicts(profile, arch).unwrap();
        let own = (arch.base..arch.base + 600).filter(|number| *number > 0);
        for number in own.flat_map(|number| [number; 12]) {
            let args = choice.args(&values);
            let call = Call::new(arch.audit, number, args, native.is_big_endian);
            let (found, _) = machine::run(&filter.program, &call);
            let expected = expected(&verdicts, profile.default, number, &args);
            prop_assert_eq!(Action(found), expected, "{} {} {:x?}", arch.name, number, args);
        }
    }
    Ok(())
}

fn any_rule() -> impl Strategy<Value = Value> {
    let operators = vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    rule(action(), condition(operators, OPERANDS.to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_of_any_form(
        default in action(),
        rules in prop::collection::vec(any_rule(), 0..16),
        native in prop::sample::select(vec![NATIVE, ARCHES[5], ARCHES[15], ARCHES[16]]),
        chosen in prop::collection::vec(prop::bool::ANY, ARCHES.len()),
    ) {
        let mut value = document(default, &rules);
        let same = ARCHES.iter().zip(chosen).filter(|(arch, _)| arch.is_big_endian == native.is_big_endian);
        let names = same.filter(|(_, chosen)| *chosen).map(|(arch, _)| arch.name);
        value["architectures"] = json!(names.collect::<Vec<_>>());
        check(&profile(&value), native)?;
    }

    /// Whatever is in the document: problems with their paths, or a program that the kernel takes.
    #[test]
    fn documents_of_any_form(value in any_document()) {
        match Profile::from_json(&value) {
            Ok(None) => {}
            Ok(Some(profile)) => {
                if let Ok(filter) = compile(&profile) {
                    prop_assert_eq!(machine::check(&filter.program), Ok(()));
                }
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.config_path.starts_with("linux.seccomp")));
            }
        }
    }
}

/// Right documents with something wrong in them, more or less.
fn any_document() -> impl Strategy<Value = Value> {
    let odd = prop_oneof![
        Just(Value::Null),
        Just(json!(-1)),
        Just(json!(1.5)),
        any::<u64>().prop_map(Value::from),
        Just(json!("SCMP_ACT_NOTIFY")),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, {}, "SCMP_ARCH_X32", "SCMP_ARCH_S390X", "SECCOMP_FILTER_FLAG_LOG"])),
    ];
    let places = [
        "",
        "/defaultAction",
        "/defaultErrnoRet",
        "/syscalls",
        "/syscalls/0",
        "/syscalls/0/names",
        "/syscalls/0/names/0",
        "/syscalls/0/action",
        "/syscalls/0/errnoRet",
        "/syscalls/0/args",
        "/syscalls/0/args/0",
        "/syscalls/0/args/0/index",
        "/syscalls/0/args/0/op",
        "/syscalls/0/args/0/value",
        "/architectures",
        "/flags",
        "/listenerPath",
        "/listenerMetadata",
    ];
    let changes = prop::collection::vec((prop::sample::select(places.to_vec()), odd), 0..4);
    (action(), prop::collection::vec(any_rule(), 0..4), changes).prop_map(|(default, rules, changes)| {
        let mut value = document(default, &rules);
        for name in ["architectures", "flags", "listenerPath", "listenerMetadata"] {
            value[name] = Value::Null;
        }
        for (place, odd) in changes {
            if let Some(place) = value.pointer_mut(place) {
                *place = odd;
            }
        }
        value
    })
}

#[test]
fn many_rules_need_stations_for_their_jumps() {
    // Hundreds of different outcomes, and hundreds of values of one argument.
    let rule = |(index, name): (usize, &&str)| {
        json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": index + 1,
               "args": [{"index": index % 6, "value": index, "op": "SCMP_CMP_GE"}]})
    };
    let all: Vec<_> = crate::seccomp::table::Row::all().map(|row| row.name()).collect();
    let mut rules: Vec<_> = all.iter().enumerate().map(rule).collect();
    let value = |value: u64| json!({"index": 1, "value": value << 20, "op": "SCMP_CMP_EQ"});
    rules.push(json!({"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": (0..700).map(value).collect::<Vec<_>>()}));
    let document = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    check(&profile(&document), NATIVE).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn too_many_rules_are_refused() {
    let value = |value: u64| json!({"index": 1, "value": value, "op": "SCMP_CMP_EQ"});
    let args: Vec<_> = (0..5000).map(value).collect();
    let rule = json!({"names": ["read"], "action": "SCMP_ACT_LOG", "args": args});
    let document = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let problems = compile(&profile(&document)).unwrap_err();
    let message = "has more rules than fit into one filter of the kernel (4096 instructions)";
    assert_eq!(problems, [crate::Problem::new("linux.seccomp.syscalls", message)]);
}
