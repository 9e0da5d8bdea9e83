//! A device policy as an eBPF program for cgroup v2. Pure; `devices.rs` loads and attaches it.
//!
//! The kernel runs it for each open and mknod of a device with kind, numbers and the rights asked for, and takes 1 for
//! yes. The rules are tried from the last to the first; a register holds the rights that are still to be granted.
//! The verifier takes some 4 µs for each branch, on the way of every start, so rules with the same answer share one:
//! the default rules load in 0.07 ms instead of 0.24.

use super::{DeviceAccess, DeviceKind, DeviceRule, device_rules::DevicePolicy};
use crate::sys::bpf::Instruction;

/// Registers (bpf(2)): R0 is the result, R1 points to `struct bpf_cgroup_dev_ctx`.
const R0: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const PENDING: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// Both numbers in one, as the kernel's own `dev_t` has them.
const DEVICE: u8 = 6;

/// Opcodes of linux/bpf_common.h and linux/bpf.h, put together.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_VALUE: u8 = 0xb7;
const AND_VALUE: u8 = 0x57;
const OR: u8 = 0x4f;
const SHIFT_LEFT_VALUE: u8 = 0x67;
const SHIFT_RIGHT_VALUE: u8 = 0x77;
const JUMP: u8 = 0x05;
const JUMP_IF: u8 = 0x16;
const JUMP_IF_BIT: u8 = 0x45;
const JUMP_IF_NOT: u8 = 0x55;
const EXIT: u8 = 0x95;

/// `BPF_DEVCG_*` of linux/bpf.h.
const KIND_BLOCK: u32 = 1;
const KIND_CHAR: u32 = 2;
const ACCESS_MKNOD: u32 = 1;
const ACCESS_READ: u32 = 2;
const ACCESS_WRITE: u32 = 4;

/// `MINORBITS` of linux/kdev_t.h: a device has 20 bits of minor and 12 of major number.
const MINOR_BITS: u32 = 20;
const MAX_MAJOR: u32 = 0xfff;
const MAX_MINOR: u32 = 0xf_ffff;

impl DevicePolicy {
    /// The program. A request for no right at all (access(2) with F_OK) gets the answer of the first rule that
    /// speaks of the device.
    pub(super) fn program(&self) -> Vec<Instruction> {
        let mut program = vec![
            // access_type: the kind in the low half, the rights in the high one; then the numbers.
            Instruction::new(LOAD_WORD, (KIND, CONTEXT), 0, 0),
            Instruction::new(MOVE, (PENDING, KIND), 0, 0),
            Instruction::new(AND_VALUE, (KIND, 0), 0, 0xffff),
            Instruction::new(SHIFT_RIGHT_VALUE, (PENDING, 0), 0, 16),
            Instruction::new(LOAD_WORD, (MAJOR, CONTEXT), 4, 0),
            Instruction::new(LOAD_WORD, (MINOR, CONTEXT), 8, 0),
            Instruction::new(MOVE, (DEVICE, MAJOR), 0, 0),
            Instruction::new(SHIFT_LEFT_VALUE, (DEVICE, 0), 0, MINOR_BITS),
            Instruction::new(OR, (DEVICE, MINOR), 0, 0),
        ];
        let rules: Vec<DeviceRule> =
            self.rules.iter().rev().filter(|rule| can_match(rule)).cloned().collect();
        // Among neighbours with the same answer the order has no meaning.
        for run in rules.chunk_by(|a, b| a.allow == b.allow && a.access == b.access) {
            let answer = answer_of(&run[0]);
            for (kind, tests) in tests_by_kind(run) {
                append(&mut program, kind, &tests, &answer);
                if kind.is_none() && tests.is_empty() && run[0].access == DeviceAccess::ALL {
                    // Nothing gets past this, and the verifier refuses what cannot be reached.
                    return program;
                }
            }
        }
        program.extend(result(self.allows_others));
        program
    }
}

/// Whether any device could meet the rule.
fn can_match(rule: &DeviceRule) -> bool {
    rule.access != DeviceAccess::NONE
        && rule.major.is_none_or(|major| major <= MAX_MAJOR)
        && rule.minor.is_none_or(|minor| minor <= MAX_MINOR)
}

fn result(granted: bool) -> [Instruction; 2] {
    [Instruction::new(MOVE_VALUE, (R0, 0), 0, u32::from(granted)), Instruction::new(EXIT, (0, 0), 0, 0)]
}

/// What is done for a device that a rule speaks of; what comes after it is reached when something is left to decide.
fn answer_of(rule: &DeviceRule) -> Vec<Instruction> {
    let bits = access_bits(rule.access);
    let mut answer = Vec::with_capacity(4);
    match rule.allow {
        _ if rule.access == DeviceAccess::ALL => {}
        true => {
            answer.push(Instruction::new(AND_VALUE, (PENDING, 0), 0, !bits & 7));
            answer.push(Instruction::new(JUMP_IF_NOT, (PENDING, 0), 2, 0));
        }
        false => {
            answer.push(Instruction::new(JUMP_IF_BIT, (PENDING, 0), 1, bits));
            answer.push(Instruction::new(JUMP, (0, 0), 2, 0));
        }
    }
    answer.extend(result(rule.allow));
    answer
}

/// A register and the value it has for a device that the rule speaks of.
type Test = (u8, u32);

/// The tests of rules with the same answer, by kind of device (None: any). No tests: every device.
fn tests_by_kind(run: &[DeviceRule]) -> Vec<(Option<u32>, Vec<Test>)> {
    let speaks_of_all = |kind: DeviceKind| {
        run.iter().any(|rule| {
            (rule.kind == kind || rule.kind == DeviceKind::All)
                && rule.major.is_none()
                && rule.minor.is_none()
        })
    };
    let (all_chars, all_blocks) = (speaks_of_all(DeviceKind::Char), speaks_of_all(DeviceKind::Block));
    if all_chars && all_blocks {
        return vec![(None, Vec::new())];
    }
    let kinds = [
        (DeviceKind::All, None, false),
        (DeviceKind::Char, Some(KIND_CHAR), all_chars),
        (DeviceKind::Block, Some(KIND_BLOCK), all_blocks),
    ];
    let mut found = Vec::new();
    for (kind, bits, is_all) in kinds {
        let rules = run.iter().filter(|rule| rule.kind == kind);
        let tests: Vec<Test> = rules.filter_map(|rule| test_of(rule.major, rule.minor)).collect();
        if is_all {
            found.push((bits, Vec::new()));
        } else if !tests.is_empty() {
            found.push((bits, tests));
        }
    }
    found
}

fn test_of(major: Option<u32>, minor: Option<u32>) -> Option<Test> {
    match (major, minor) {
        (Some(major), Some(minor)) => Some((DEVICE, major << MINOR_BITS | minor)),
        (Some(major), None) => Some((MAJOR, major)),
        (None, Some(minor)) => Some((MINOR, minor)),
        (None, None) => None,
    }
}

/// Appends: pass over all when the kind is another; each test leads to the answer; none did: pass over the answer.
fn append(program: &mut Vec<Instruction>, kind: Option<u32>, tests: &[Test], answer: &[Instruction]) {
    // Long lists are cut into parts that a jump's 16 bits can pass over.
    const MOST_TESTS: usize = 1000;
    if tests.len() > MOST_TESTS {
        return tests.chunks(MOST_TESTS).for_each(|part| append(program, kind, part, answer));
    }
    let offset = |count: usize| i16::try_from(count).unwrap_or(i16::MAX);
    let last_jump = usize::from(!tests.is_empty());
    if let Some(kind) = kind {
        let over = offset(tests.len() + last_jump + answer.len());
        program.push(Instruction::new(JUMP_IF_NOT, (KIND, 0), over, kind));
    }
    for (index, (register, value)) in tests.iter().enumerate() {
        program.push(Instruction::new(JUMP_IF, (*register, 0), offset(tests.len() - index), *value));
    }
    if !tests.is_empty() {
        program.push(Instruction::new(JUMP, (0, 0), offset(answer.len()), 0));
    }
    program.extend_from_slice(answer);
}

fn access_bits(access: DeviceAccess) -> u32 {
    let bit = |has: bool, bit: u32| if has { bit } else { 0 };
    bit(access.mknod, ACCESS_MKNOD) | bit(access.read, ACCESS_READ) | bit(access.write, ACCESS_WRITE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::device_rules::tests::rule, *};

    /// What the kernel would answer.
    fn run(program: &[Instruction], context: [u32; 3]) -> u64 {
        let mut registers = [0_u64; 10];
        let mut at = 0_usize;
        for _ in 0..=program.len() {
            let Instruction { code, registers: _, offset, value } = program[at];
            let (target, source) = program[at].registers();
            let (target, source) = (usize::from(target), usize::from(source));
            let extended = i64::from(value).cast_unsigned_stable();
            let mut jumps = false;
            match code {
                LOAD_WORD => {
                    assert_eq!(source, usize::from(CONTEXT));
                    registers[target] = context[usize::try_from(offset).unwrap() / 4].into();
                }
                MOVE => registers[target] = registers[source],
                MOVE_VALUE => registers[target] = extended,
                AND_VALUE => registers[target] &= extended,
                OR => registers[target] |= registers[source],
                SHIFT_LEFT_VALUE => registers[target] <<= extended,
                SHIFT_RIGHT_VALUE => registers[target] >>= extended,
                JUMP => jumps = true,
                // Of 32 bits.
                JUMP_IF => jumps = registers[target] as u32 == extended as u32,
                JUMP_IF_BIT => jumps = registers[target] & extended != 0,
                JUMP_IF_NOT => jumps = registers[target] != extended,
                EXIT => return registers[0],
                other => panic!("opcode {other:#x}"),
            }
            at += 1;
            if jumps {
                assert!(offset >= 0, "loops are not for the verifier");
                at += usize::try_from(offset).unwrap();
            }
        }
        panic!("runs off its end")
    }

    trait CastUnsigned {
        fn cast_unsigned_stable(self) -> u64;
    }

    impl CastUnsigned for i64 {
        fn cast_unsigned_stable(self) -> u64 {
            u64::from_ne_bytes(self.to_ne_bytes())
        }
    }

    /// Every instruction can be reached: the verifier refuses others.
    fn assert_reachable(program: &[Instruction]) {
        let mut reached = vec![false; program.len()];
        let mut pending = vec![0];
        while let Some(at) = pending.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            let target = at + 1 + usize::try_from(program[at].offset).unwrap_or(0);
            match program[at].code {
                EXIT => {}
                JUMP => pending.push(target),
                JUMP_IF | JUMP_IF_BIT | JUMP_IF_NOT => pending.extend([at + 1, target]),
                _ => pending.push(at + 1),
            }
        }
        assert!(reached.iter().all(|reached| *reached), "{program:?}");
    }

    fn some_access() -> impl Strategy<Value = DeviceAccess> {
        any::<(bool, bool, bool)>().prop_map(|(read, write, mknod)| DeviceAccess { read, write, mknod })
    }

    fn some_rule() -> impl Strategy<Value = DeviceRule> {
        let kind = prop_oneof![Just(DeviceKind::All), Just(DeviceKind::Char), Just(DeviceKind::Block)];
        let number = || proptest::option::of(0_u32..3);
        (any::<bool>(), kind, number(), number(), some_access())
            .prop_map(|(allow, kind, major, minor, access)| DeviceRule { allow, kind, major, minor, access })
    }

    proptest! {
        #[test]
        fn program_and_policy_agree(rules in proptest::collection::vec(some_rule(), 0..12)) {
            let policy = DevicePolicy::new(&rules);
            let program = policy.program();
            assert_reachable(&program);
            for (kind, kind_bits) in [(DeviceKind::Block, KIND_BLOCK), (DeviceKind::Char, KIND_CHAR)] {
                for numbers in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 3), (2, 2), (5, 2), (136, 4)] {
                    for bits in 1..8_u32 {
                        let access = access_of(bits);
                        let answer = run(&program, [bits << 16 | kind_bits, numbers.0, numbers.1]);
                        let expected = u64::from(policy.allows(kind, numbers, access));
                        prop_assert_eq!(answer, expected, "{:?} {:?} {}", kind, numbers, access);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_any_device_match_none() {
        for text in ["+c 4096:3 rwm", "+c 4294967295:0 rwm", "+c 0:1048576 rwm", "+c *:4294967295 rwm"] {
            let program = DevicePolicy::new(&[rule(text)]).program();
            assert_eq!(program, DevicePolicy::new(&[]).program(), "{text}");
        }
    }

    #[test]
    fn default_rules_take_few_branches() {
        let program = DevicePolicy::new(&[rule("-a *:* rwm")]).program();
        let branches = program.iter().filter(|step| matches!(step.code, JUMP_IF | JUMP_IF_BIT | JUMP_IF_NOT));
        assert_eq!(branches.count(), 10);
    }

    #[test]
    fn rules_on_every_device_end_the_program() {
        for rules in [["+c *:* rwm", "+b *:* rwm"], ["-c *:* r", "-b *:* r"], ["+a *:* rw", "+c *:* m"]] {
            let policy = DevicePolicy { allows_others: false, rules: rules.map(rule).to_vec() };
            assert_reachable(&policy.program());
            let answer = run(&policy.program(), [ACCESS_WRITE << 16 | KIND_CHAR, 7, 7]);
            assert_eq!(answer, u64::from(policy.allows(DeviceKind::Char, (7, 7), access_of(ACCESS_WRITE))));
        }
    }

    fn access_of(bits: u32) -> DeviceAccess {
        DeviceAccess {
            read: bits & ACCESS_READ != 0,
            write: bits & ACCESS_WRITE != 0,
            mknod: bits & ACCESS_MKNOD != 0,
        }
    }
}
