//! From the number of a call to what its rules say: architectures one after the other, the own one first, then a binary
//! search over ranges of numbers with the same outcome.

use super::{
    arch::Arch,
    graph::{Graph, Id, Node, Test},
    ranges::{Range, ranges},
    rules::Verdicts,
    words::Action,
};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// An architecture and what the profile says of its calls.
pub(super) type Ruled = (Arch, Verdicts);

/// Makes the nodes of all architectures, the own one being the first, and gives the first node.
pub(super) fn dispatch(graph: &mut Graph, ruled: &[Ruled], default: Action) -> Id {
    let mut entries = Vec::new();
    // What is made last comes first in the program.
    for (index, (arch, _)) in ruled.iter().enumerate().rev() {
        if ruled[..index].iter().any(|(other, _)| other.audit == arch.audit) {
            continue;
        }
        let of_one: Vec<_> = ruled.iter().filter(|(other, _)| other.audit == arch.audit).collect();
        let ranges = ranges(graph, &of_one, default);
        let next = search(graph, &ranges);
        let entry = match graph.node(next) {
            Node::Branch { .. } => graph.add(Node::Load { offset: NUMBER, next }),
            _ => next,
        };
        entries.push((arch.audit, entry));
    }
    let wrong = graph.share(Node::Return(Action::WRONG_ARCHITECTURE.0));
    let first = entries
        .into_iter()
        .fold(wrong, |no, (audit, yes)| graph.add(Node::Branch { test: Test::Equal(audit), yes, no }));
    graph.add(Node::Load { offset: ARCH, next: first })
}

/// Nodes that find the range of the number in the accumulator.
fn search(graph: &mut Graph, ranges: &[Range]) -> Id {
    match ranges {
        [] => graph.share(Node::Return(Action::WRONG_ARCHITECTURE.0)),
        [only] => only.leaf,
        // One number that differs from its neighbours needs one comparison, not two.
        [before, one, after] if before.leaf == after.leaf && after.start - one.start == 1 => {
            graph.add(Node::Branch { test: Test::Equal(one.start), yes: one.leaf, no: before.leaf })
        }
        _ => {
            let (left, right) = ranges.split_at(middle(ranges));
            let yes = search(graph, right);
            let no = search(graph, left);
            graph.add(Node::Branch { test: Test::GreaterOrEqual(right[0].start), yes, no })
        }
    }
}

/// Where the numbers that calls have are about halved.
fn middle(ranges: &[Range]) -> usize {
    let total: u32 = ranges.iter().map(|range| range.weight).sum();
    let mut before = 0;
    let mut best = (u32::MAX, 1);
    for index in 1..ranges.len() {
        before += ranges[index - 1].weight;
        best = best.min((before.abs_diff(total - before), index));
    }
    best.1
}
