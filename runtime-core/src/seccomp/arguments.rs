//! From the conditions of a system call to nodes that load and compare its arguments word by word, as classic BPF knows
//! only words. A comparison whose outcome is known on the way that leads to it is left out, and so is a load of what is
//! in the accumulator.

use super::{
    arch::Arch,
    conditions::{Branch, Condition, Level, Then},
    graph::{Graph, Id, Node, Test},
    words::Operator,
};

/// What is in the accumulator: the word at an offset behind a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    offset: u32,
    mask: u32,
}

/// An outcome that the way to a node implies.
#[derive(Clone, Copy, Debug)]
struct Known {
    word: Word,
    test: Test,
    holds: bool,
}

/// How many nodes are looked at to leave something out. More come only of profiles made for that.
const PATIENCE: u32 = 64;

/// Makes the nodes of one architecture.
pub(super) struct Arguments<'g> {
    graph: &'g mut Graph,
    arch: Arch,
    known: Vec<Known>,
}

impl<'g> Arguments<'g> {
    pub(super) fn new(graph: &'g mut Graph, arch: Arch) -> Self {
        Self { graph, arch, known: Vec::new() }
    }

    /// Nodes that try branch after branch, then `otherwise`.
    pub(super) fn level(&mut self, level: &Level, otherwise: Id) -> Id {
        level.0.iter().rev().fold(otherwise, |fail, branch| self.branch(branch, fail))
    }

    fn branch(&mut self, branch: &Branch, fail: Id) -> Id {
        let condition = &branch.condition;
        let before = self.known.len();
        if matches!(condition.operator, Operator::Equal | Operator::MaskedEqual) {
            let tests = self.words(condition).map(|(word, value)| (word, Test::Equal(value)));
            self.known.extend(tests.iter().map(|(word, test)| Known {
                word: *word,
                test: *test,
                holds: true,
            }));
        }
        let success = match &branch.then {
            Then::Act(action) => self.graph.share(Node::Return(action.0)),
            Then::Also(level) => self.level(level, fail),
        };
        self.known.truncate(before);
        match condition.operator {
            Operator::Equal | Operator::MaskedEqual => self.equal(condition, success, fail),
            Operator::NotEqual => self.equal(condition, fail, success),
            Operator::Greater => self.greater(condition, Test::Greater, success, fail),
            Operator::LessOrEqual => self.greater(condition, Test::Greater, fail, success),
            Operator::GreaterOrEqual => self.greater(condition, Test::GreaterOrEqual, success, fail),
            Operator::Less => self.greater(condition, Test::GreaterOrEqual, fail, success),
        }
    }

    fn equal(&mut self, condition: &Condition, yes: Id, no: Id) -> Id {
        let [(high, high_value), (low, low_value)] = self.words(condition);
        let inner = self
            .knowing(high, Test::Equal(high_value), |this| this.test(low, Test::Equal(low_value), yes, no));
        self.test(high, Test::Equal(high_value), inner, no)
    }

    /// `low_test` is what the low words decide by where the high ones are equal.
    fn greater(&mut self, condition: &Condition, low_test: fn(u32) -> Test, yes: Id, no: Id) -> Id {
        let [(high, high_value), (low, low_value)] = self.words(condition);
        let inner =
            self.knowing(high, Test::Equal(high_value), |this| this.test(low, low_test(low_value), yes, no));
        let not_greater = self.knowing_not(high, Test::Greater(high_value), |this| {
            this.test(high, Test::Equal(high_value), inner, no)
        });
        self.test(high, Test::Greater(high_value), yes, not_greater)
    }

    /// The two words of a condition and what they are compared with; of 32 bits the mask of the high one is 0.
    fn words(&self, condition: &Condition) -> [(Word, u32); 2] {
        let offset = 16 + 8 * u32::from(condition.index);
        let (high, low) = if self.arch.is_big_endian { (offset, offset + 4) } else { (offset + 4, offset) };
        let word = |offset, shift: u32| {
            (Word { offset, mask: (condition.mask >> shift) as u32 }, (condition.value >> shift) as u32)
        };
        [word(high, 32), word(low, 0)]
    }

    fn knowing<T>(&mut self, word: Word, test: Test, make: impl FnOnce(&mut Self) -> T) -> T {
        self.with(Known { word, test, holds: true }, make)
    }

    fn knowing_not<T>(&mut self, word: Word, test: Test, make: impl FnOnce(&mut Self) -> T) -> T {
        self.with(Known { word, test, holds: false }, make)
    }

    fn with<T>(&mut self, known: Known, make: impl FnOnce(&mut Self) -> T) -> T {
        self.known.push(known);
        let made = make(self);
        self.known.pop();
        made
    }

    /// Nodes that load a word and compare it. All of these need nothing in the accumulator.
    fn test(&mut self, word: Word, test: Test, yes: Id, no: Id) -> Id {
        match self.outcome(word, test) {
            Some(true) => return yes,
            Some(false) => return no,
            None if yes == no => return yes,
            None => {}
        }
        let yes = self.knowing(word, test, |this| this.shorten(yes, word));
        let no = self.knowing_not(word, test, |this| this.shorten(no, word));
        let mut next = self.graph.share(Node::Branch { test, yes, no });
        if word.mask != u32::MAX {
            next = self.graph.share(Node::And { mask: word.mask, next });
        }
        self.graph.share(Node::Load { offset: word.offset, next })
    }

    /// The furthest node that does what `from` does, where a word is in the accumulator and all in `known` holds.
    fn shorten(&self, from: Id, loaded: Word) -> Id {
        // Coming from `entry`, the program is at `at` with `accumulator`.
        let (mut entry, mut at, mut accumulator) = (from, from, loaded);
        for _ in 0..PATIENCE {
            match self.graph.node(at) {
                Node::Return(_) => break,
                Node::Load { offset, next } => {
                    accumulator = Word { offset, mask: u32::MAX };
                    entry = if accumulator == loaded { next } else { at };
                    at = next;
                }
                Node::And { mask, next } => {
                    accumulator.mask &= mask;
                    if accumulator == loaded {
                        entry = next;
                    }
                    at = next;
                }
                Node::Branch { test, yes, no } => {
                    let Some(holds) = self.outcome(accumulator, test) else { break };
                    let next = if holds { yes } else { no };
                    let needs_nothing = matches!(self.graph.node(next), Node::Load { .. } | Node::Return(_));
                    if !needs_nothing && accumulator != loaded {
                        break;
                    }
                    (entry, at, accumulator) = (next, next, loaded);
                }
            }
        }
        entry
    }

    /// What is known of a comparison.
    fn outcome(&self, word: Word, test: Test) -> Option<bool> {
        match test {
            Test::Greater(u32::MAX) => return Some(false),
            Test::GreaterOrEqual(0) => return Some(true),
            Test::Equal(value) if word.mask == 0 => return Some(value == 0),
            Test::Greater(_) | Test::GreaterOrEqual(_) if word.mask == 0 => return Some(false),
            _ => {}
        }
        let of_word = self.known.iter().filter(|known| known.word.offset == word.offset);
        of_word.rev().find_map(|known| {
            if known.word == word && known.test == test {
                return Some(known.holds);
            }
            let value = match (known.test, known.holds) {
                (Test::Equal(value), true) => value,
                (Test::Greater(0), false) => 0,
                _ => return None,
            };
            (known.word.mask & word.mask == word.mask).then(|| test.holds(value & word.mask))
        })
    }
}
