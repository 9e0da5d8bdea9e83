//! All numbers that a call can have, as ranges with the same outcome: those that rules speak of, the default between
//! them, and ENOSYS after the last one that the profile knows.
//!
//! The latter is runc's: a program that tries a call newer than the profile has to learn that it does not exist, or it
//! would not fall back to an older one.

use super::{
    arch::X32_BIT,
    arguments::Arguments,
    dispatch::Ruled,
    graph::{Graph, Id, Node},
    rules::{Verdict, Verdicts},
    table::Column,
    words::Action,
};

/// Numbers from `start` to the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    /// Roughly how often a call is of it.
    pub(super) weight: u32,
    pub(super) leaf: Id,
}

/// The numbers of one AUDIT_ARCH: of one architecture, or of x86_64 and x32.
pub(super) fn ranges(graph: &mut Graph, ruled: &[&Ruled], default: Action) -> Vec<Range> {
    let mut maker = Maker { graph, default, found: Vec::with_capacity(64) };
    let of = |column| ruled.iter().find(|(arch, _)| arch.column == column).copied();
    match (of(Column::X86_64), of(Column::X32)) {
        (None, None) => ruled.iter().for_each(|ruled| maker.numbers(Some(*ruled), 0, 1 << 32)),
        (plain, x32) => maker.of_x86_64(plain, x32),
    }
    maker.found
}

struct Maker<'g> {
    graph: &'g mut Graph,
    default: Action,
    found: Vec<Range>,
}

impl Maker<'_> {
    /// Bit 30 makes a call one of x32. Where only one of both is asked for, the other's calls are as of a wrong
    /// architecture; but not -1, which a tracer sets to skip a call.
    fn of_x86_64(&mut self, plain: Option<&Ruled>, x32: Option<&Ruled>) {
        let quarter = u64::from(X32_BIT);
        for (start, is_x32) in [(0, false), (quarter, true), (2 * quarter, false), (3 * quarter, true)] {
            match (plain, x32) {
                // Only runc's ENOSYS looks at the bit, libseccomp at whether the number is at least that.
                (Some((_, Verdicts { last, .. })), None)
                    if is_x32 || start > 0 && (last.is_none() || self.default.is_permissive()) =>
                {
                    self.add(start, Action::WRONG_ARCHITECTURE, 1);
                    if start > 2 * quarter {
                        self.add(u32::MAX.into(), self.default, 1);
                    }
                }
                (None, _) if start == 0 => self.add(start, Action::WRONG_ARCHITECTURE, 1),
                _ => self.numbers(if is_x32 { x32 } else { plain }, start, start + quarter),
            }
        }
    }

    /// The numbers from `start` on, below `end`.
    fn numbers(&mut self, ruled: Option<&Ruled>, start: u64, end: u64) {
        let Some((arch, Verdicts { by_number, last })) = ruled else {
            self.add(start, self.default, 1);
            return;
        };
        let last = last.filter(|_| !self.default.is_permissive());
        let end_of_known = last.map_or(end, |last| end.min(u64::from(last) + 1));
        let mut next = start;
        if arch.has_setup_call() && last.is_some() {
            self.add(start, Action::NO_SUCH_CALL, 1);
            next += 1;
        }
        for (number, verdict) in by_number {
            let number = u64::from(*number);
            if !(next..end_of_known).contains(&number) {
                continue;
            }
            self.default_until(next, number);
            match verdict {
                Verdict::Always(action) => self.add(number, *action, 1),
                Verdict::ByArguments(level) => {
                    let otherwise = self.graph.share(Node::Return(self.default.0));
                    let leaf = Arguments::new(self.graph, *arch).level(level, otherwise);
                    self.add_leaf(number, leaf, 1);
                }
            }
            next = number + 1;
        }
        self.default_until(next, end_of_known);
        if end_of_known < end {
            self.add(end_of_known.max(start), Action::NO_SUCH_CALL, 1);
        }
    }

    /// Most numbers without a rule are of calls that are used rarely, or of none at all.
    fn default_until(&mut self, next: u64, end: u64) {
        if next < end {
            self.add(next, self.default, (end - next).min(4) as u32);
        }
    }

    fn add(&mut self, start: u64, action: Action, weight: u32) {
        let node = Node::Return(action.0);
        // Mostly the same as of the number before.
        let leaf = match self.found.last() {
            Some(range) if self.graph.node(range.leaf) == node => range.leaf,
            _ => self.graph.share(node),
        };
        self.add_leaf(start, leaf, weight);
    }

    fn add_leaf(&mut self, start: u64, leaf: Id, weight: u32) {
        match self.found.last_mut() {
            Some(range) if range.leaf == leaf => range.weight += weight,
            _ => self.found.push(Range { start: start as u32, weight, leaf }),
        }
    }
}
