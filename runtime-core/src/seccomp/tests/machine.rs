//! What the kernel does with a filter: checks it (`bpf_check_classic` of net/core/filter.c and `seccomp_check_filter` of
//! kernel/seccomp.c, Linux 6.12) and runs it over a call.

use crate::seccomp::Instruction;

/// `struct seccomp_data` as words: number, architecture, instruction pointer, then six arguments of two words each, in
/// the order of the machine that the filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    words: [u32; 16],
}

impl Call {
    pub(super) fn new(audit: u32, number: u32, args: [u64; 6], is_big_endian: bool) -> Self {
        let mut words = [0; 16];
        words[0] = number;
        words[1] = audit;
        for (index, arg) in args.into_iter().enumerate() {
            let (high, low) = ((arg >> 32) as u32, arg as u32);
            let pair = if is_big_endian { [high, low] } else { [low, high] };
            words[4 + 2 * index..6 + 2 * index].copy_from_slice(&pair);
        }
        Self { words }
    }
}

const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Why the kernel would refuse a program.
pub(super) fn check(program: &[Instruction]) -> Result<(), String> {
    if program.is_empty() || program.len() > 4096 {
        return Err(format!("{} instructions", program.len()));
    }
    for (at, instruction) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let is_inside = |skip: u32| (skip as usize) < left;
        let is_right = match instruction.code {
            LOAD_WORD => instruction.k < 64 && instruction.k % 4 == 0,
            AND | RETURN => true,
            JUMP => is_inside(instruction.k),
            JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_OR_EQUAL | JUMP_SET => {
                is_inside(instruction.jt.into()) && is_inside(instruction.jf.into())
            }
            _ => false,
        };
        if !is_right {
            return Err(format!("instruction {at} of {}: {instruction:?}", program.len()));
        }
    }
    match program.last() {
        Some(Instruction { code: RETURN, .. }) => Ok(()),
        other => Err(format!("the last is {other:?}")),
    }
}

/// What a checked program returns for a call, and how many instructions that takes.
pub(super) fn run(program: &[Instruction], call: &Call) -> (u32, u32) {
    let (mut accumulator, mut at, mut steps) = (0, 0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let mut jump_if = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            LOAD_WORD => accumulator = call.words[k as usize / 4],
            AND => accumulator &= k,
            JUMP => at += k as usize,
            JUMP_EQUAL => jump_if(accumulator == k),
            JUMP_GREATER => jump_if(accumulator > k),
            JUMP_GREATER_OR_EQUAL => jump_if(accumulator >= k),
            JUMP_SET => jump_if(accumulator & k != 0),
            RETURN => return (k, steps),
            _ => panic!("{code:#x} was checked"),
        }
    }
}
