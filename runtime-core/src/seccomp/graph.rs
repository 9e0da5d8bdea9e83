//! A program before its instructions have places: nodes that name those which follow. Every node is made after the
//! ones that it leads to.

use std::collections::BTreeMap;

/// A node of a graph.
pub(super) type Id = u32;

/// What the accumulator is compared with, as unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    Equal(u32),
    Greater(u32),
    GreaterOrEqual(u32),
}

impl Test {
    pub(super) fn holds(self, accumulator: u32) -> bool {
        match self {
            Self::Equal(value) => accumulator == value,
            Self::Greater(value) => accumulator > value,
            Self::GreaterOrEqual(value) => accumulator >= value,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// Loads the word of `struct seccomp_data` at this offset.
    Load {
        offset: u32,
        next: Id,
    },
    And {
        mask: u32,
        next: Id,
    },
    Branch {
        test: Test,
        yes: Id,
        no: Id,
    },
    Return(u32),
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// Nodes that may come up again.
    shared: BTreeMap<Node, Id>,
}

impl Graph {
    pub(super) fn node(&self, id: Id) -> Node {
        self.nodes[id as usize]
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    /// An equal node where there is one.
    pub(super) fn share(&mut self, node: Node) -> Id {
        if let Some(id) = self.shared.get(&node) {
            return *id;
        }
        let id = self.add(node);
        self.shared.insert(node, id);
        id
    }
}
