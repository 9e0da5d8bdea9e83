//! Filters of this compiler and of libseccomp decide the same for every number of every architecture and for arguments
//! around the operands of the rules.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    DOCKER, PODMAN,
    generate::{OPERANDS, action, condition, document, rule},
    libseccomp::Libseccomp,
    machine::{self, Call},
    of_engine, profile,
};
use crate::seccomp::{
    NATIVE,
    arch::{ARCHES, Arch, X32_BIT},
    arches, compile_for,
    profile::Profile,
    table::Row,
};

fn library() -> Option<Libseccomp> {
    let found = Libseccomp::find();
    if found.is_none() {
        oci_conformance::host::skipped("libseccomp.so.2 (Debian: libseccomp2)");
    }
    found
}

/// Numbers of an AUDIT_ARCH that are worth a try.
fn numbers() -> impl Iterator<Item = u32> {
    let near = |base: u32| (0..620).map(move |number| base.wrapping_add(number));
    let edges = [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xc000_0000, 0xffff_fffe, u32::MAX];
    near(0)
        .chain(near(X32_BIT))
        .chain(near(4000))
        .chain(near(5000))
        .chain(near(6000))
        .chain(0xf_0000..0xf_0010)
        .chain(edges)
}

/// Values around an operand: its neighbours, and the same with another word above or below.
pub(super) fn values(profile: &Profile) -> Vec<u64> {
    let conditions = profile.rules.iter().flat_map(|rule| rule.alternatives.iter().flatten());
    let mut values = BTreeSet::from([0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX]);
    for operand in conditions.flat_map(|condition| [condition.value, condition.value_two]) {
        values.extend([operand, operand.wrapping_sub(1), operand.wrapping_add(1), operand ^ 1 << 32]);
        values.extend([operand << 32, operand & 0xffff_ffff, !operand]);
    }
    values.into_iter().collect()
}

/// Walks through combinations of arguments.
pub(super) struct Choice(u64);

impl Default for Choice {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Choice {
    pub(super) fn args(&mut self, values: &[u64]) -> [u64; 6] {
        [(); 6].map(|()| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            values[(self.0 >> 11) as usize % values.len()]
        })
    }
}

/// Runs both filters. `tries` is how many times arguments are chosen for each number.
fn compare(library: &Libseccomp, profile: &Profile, native: Arch, tries: usize) -> Result<(), TestCaseError> {
    let arches = arches(profile, native).unwrap();
    let ours = compile_for(profile, native);
    let reference = library.compile(profile, &arches);
    let (Ok(ours), Some(reference)) = (&ours, &reference) else {
        // What libseccomp takes is not refused; what it refuses may be decided, as one rule may hide both.
        prop_assert!(reference.is_none(), "refused: {ours:?}");
        return Ok(());
    };
    prop_assert_eq!(machine::check(&ours.program), Ok(()));
    prop_assert_eq!(machine::check(&reference.program), Ok(()));
    let values = values(profile);
    let mut choice = Choice::default();
    let audits: BTreeSet<u32> = ARCHES.iter().map(|arch| arch.audit).collect();
    for audit in audits {
        for number in numbers() {
            for _ in 0..tries {
                let args = choice.args(&values);
                let call = Call::new(audit, number, args, native.is_big_endian);
                let (ours, _) = machine::run(&ours.program, &call);
                let (theirs, _) = reference.run(audit, &call, number);
                prop_assert_eq!(ours, theirs, "{:#x} {} ({:#x}) {:x?}", audit, number, number, args);
            }
        }
    }
    Ok(())
}

#[test]
fn engines_profiles() {
    let Some(library) = library() else { return };
    for config in [PODMAN, DOCKER] {
        let mut value = of_engine(config);
        compare(&library, &profile(&value), NATIVE, 30).unwrap_or_else(|error| panic!("{error}"));
        // The same rules for all others of this byte order, few enough for libseccomp, and with another default.
        let others: Vec<_> =
            ARCHES[1..].iter().filter(|arch| !arch.is_big_endian && library.knows(**arch)).collect();
        for some in others.chunks(3) {
            value["architectures"] = json!(some.iter().map(|arch| arch.name).collect::<Vec<_>>());
            compare(&library, &profile(&value), NATIVE, 4).unwrap_or_else(|error| panic!("{error}"));
        }
        value["architectures"] = json!([]);
        value["defaultAction"] = json!("SCMP_ACT_LOG");
        value["defaultErrnoRet"] = Value::Null;
        compare(&library, &profile(&value), NATIVE, 10).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn numbers_of_all_architectures() {
    let Some(library) = library() else { return };
    let mut compared = 0;
    for arch in &ARCHES {
        for row in Row::all() {
            let ours = row.number(arch.column).map(|number| number + arch.base);
            // Names newer than the library, and names that it has for another number only.
            let Some(theirs) =
                library.resolve(*arch, row.name()).and_then(|number| u32::try_from(number).ok())
            else {
                continue;
            };
            assert_eq!(ours, Some(theirs), "{} of {}", row.name(), arch.name);
            compared += 1;
        }
    }
    assert!(compared > 6000, "{compared}");
}

/// libseccomp 2.5 and 2.6 forget to load a word again on some ways between rules whose high words are compared
/// differently. So rules of one call either compare in one manner with operands of one word, or there is only one.
fn alike() -> impl Strategy<Value = Vec<Value>> {
    let families = vec![vec!["EQ", "NE"], vec!["LT", "LE"], vec!["GT", "GE"], vec!["EQ"]];
    let values = vec![0, 1, 2, 3, 16, 0xff, 0xffff_fffe, u64::from(u32::MAX)];
    prop::sample::select(families).prop_flat_map(move |family| {
        prop::collection::vec(rule(action(), condition(family, values.clone())), 0..10)
    })
}

fn one_for_each_call() -> impl Strategy<Value = Vec<Value>> {
    let operators = vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let rules = prop::collection::vec(rule(action(), condition(operators, OPERANDS.to_vec())), 0..10);
    rules.prop_map(|mut rules| {
        let mut seen = BTreeSet::new();
        for rule in &mut rules {
            let indices = rule["args"].as_array().unwrap().iter().map(|arg| arg["index"].as_u64());
            let is_conjunction = indices.clone().collect::<BTreeSet<_>>().len() == indices.count();
            rule["names"]
                .as_array_mut()
                .unwrap()
                .retain(|name| is_conjunction && seen.insert(name.to_string()));
        }
        rules.retain(|rule| rule["names"] != json!([]));
        rules
    })
}

proptest! {
    // Fixed, since other seeds meet what libseccomp decides in one way by high and in another by low words: which of two
    // rules of a call wins is written down nowhere.
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn generated_profiles(
        default in action(),
        rules in prop_oneof![alike(), one_for_each_call()],
        native in prop::sample::select(vec![NATIVE, ARCHES[5], ARCHES[15], ARCHES[16]]),
        chosen in prop::collection::vec(prop::bool::ANY, 11),
    ) {
        let Some(library) = library() else { return Ok(()) };
        let mut value = document(default, &rules);
        let same = ARCHES.iter().filter(|arch| arch.is_big_endian == native.is_big_endian);
        let known = same.filter(|arch| library.knows(**arch));
        let names = known.zip(chosen).filter(|(_, chosen)| *chosen).map(|(arch, _)| arch.name);
        value["architectures"] = json!(names.collect::<Vec<_>>());
        compare(&library, &profile(&value), native, 3)?;
    }
}
