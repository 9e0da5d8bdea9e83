//! From nodes to instructions: places, and jumps between them.
//!
//! A comparison reaches 255 instructions far and only forward. What lies further away gets a station behind the
//! comparison: a copy where it is a return, else a long jump, which others use as well while it is near enough.

use super::{
    graph::{Graph, Id, Node, Test},
    instruction::Instruction,
};

/// `BPF_*` of linux/bpf_common.h, put together.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// More instructions than the kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The program that begins with a node. Nodes that it does not reach have no place in it.
pub(super) fn program(graph: &Graph, first: Id) -> Result<Vec<Instruction>, TooLong> {
    let reached = reached(graph, first);
    let mut layout = Layout { graph, backwards: Vec::new(), places: vec![None; graph.nodes().len()] };
    // What follows a node was made before it: so from the end to the start.
    for (id, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
        layout.place(id as Id);
        if layout.backwards.len() > MAX_INSTRUCTIONS {
            return Err(TooLong);
        }
    }
    layout.backwards.reverse();
    Ok(layout.backwards)
}

fn reached(graph: &Graph, first: Id) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    reached[first as usize] = true;
    for id in (0..reached.len()).rev().filter(|id| *id <= first as usize) {
        if reached[id] {
            match graph.node(id as Id) {
                Node::Load { next, .. } | Node::And { next, .. } => reached[next as usize] = true,
                Node::Branch { yes, no, .. } => {
                    reached[yes as usize] = true;
                    reached[no as usize] = true;
                }
                Node::Return(_) => {}
            }
        }
    }
    reached
}

struct Layout<'g> {
    graph: &'g Graph,
    /// The last instruction first.
    backwards: Vec<Instruction>,
    /// By node: the place of it or of the station for it that was made last, counted from the end; and its own.
    places: Vec<Option<(usize, usize)>>,
}

impl Layout<'_> {
    fn place(&mut self, id: Id) {
        match self.graph.node(id) {
            Node::Return(value) => self.push(RETURN, value),
            Node::Load { offset, next } => {
                self.fall_to(next);
                self.push(LOAD_WORD, offset);
            }
            Node::And { mask, next } => {
                self.fall_to(next);
                self.push(AND, mask);
            }
            Node::Branch { test, yes, no } => self.branch(test, yes, no),
        }
        let place = self.backwards.len() - 1;
        self.places[id as usize] = Some((place, place));
    }

    fn push(&mut self, code: u16, k: u32) {
        self.backwards.push(Instruction { code, jt: 0, jf: 0, k });
    }

    /// Makes the next instruction one after which a node comes.
    fn fall_to(&mut self, next: Id) {
        let skip = self.skip(self.own_place(next));
        if skip > 0 {
            self.push(JUMP, skip as u32);
        }
    }

    fn branch(&mut self, test: Test, yes: Id, no: Id) {
        let (code, value) = match test {
            Test::Equal(value) => (JUMP_EQUAL, value),
            Test::Greater(value) => (JUMP_GREATER, value),
            Test::GreaterOrEqual(value) => (JUMP_GREATER_OR_EQUAL, value),
        };
        let (mut jt, mut jf) = (self.near(yes), self.near(no));
        // A station for one moves the other away.
        while jt.is_none() || jf.is_none() {
            self.add_station(if jt.is_none() { yes } else { no });
            (jt, jf) = (self.near(yes), self.near(no));
        }
        let (jt, jf) = (jt.unwrap_or_default(), jf.unwrap_or_default());
        self.backwards.push(Instruction { code, jt, jf, k: value });
    }

    fn add_station(&mut self, target: Id) {
        let own = self.own_place(target);
        match self.graph.node(target) {
            Node::Return(value) => self.push(RETURN, value),
            _ => self.push(JUMP, self.skip(own) as u32),
        }
        self.places[target as usize] = Some((self.backwards.len() - 1, own));
    }

    /// How many instructions the next one has to skip to be at a node or a station for it, where one is near.
    fn near(&self, target: Id) -> Option<u8> {
        let (station, own) = self.places[target as usize].unwrap_or_default();
        let skip = |place| u8::try_from(self.skip(place)).ok();
        skip(own).or_else(|| skip(station))
    }

    fn own_place(&self, target: Id) -> usize {
        self.places[target as usize].map_or(0, |(_, own)| own)
    }

    /// From the instruction that will be added next to one that is there.
    fn skip(&self, place: usize) -> usize {
        self.backwards.len() - place - 1
    }
}
