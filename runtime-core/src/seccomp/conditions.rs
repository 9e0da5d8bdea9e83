//! Rules of one system call in the order in which they are tried.
//!
//! libseccomp keeps them in a tree: on one level stand conditions on the same place of their rules, the more telling
//! ones first, and below each what the rest of its rules asks for. A call takes the first way through that ends in an
//! action. So the rule with the narrower condition wins whatever the order of the profile; this is the same order.

use super::{
    profile::Condition as Written,
    words::{Action, Operator},
};

/// A condition as far as the architecture can see it: without bits that are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u8,
    pub(super) operator: Operator,
    pub(super) mask: u64,
    /// What is compared with, within the mask.
    pub(super) value: u64,
    /// Whether there are two words to compare.
    is_64: bool,
}

impl Condition {
    /// None where every argument meets it.
    pub(super) fn new(written: &Written, is_64: bool) -> Option<Self> {
        let word = if is_64 { u64::MAX } else { u32::MAX.into() };
        let (mask, value) = match written.operator {
            Operator::MaskedEqual => (written.value & word, written.value_two),
            _ => (word, written.value),
        };
        (mask != 0).then_some(Self {
            index: written.index,
            operator: written.operator,
            mask,
            value: value & mask,
            is_64,
        })
    }

    pub(super) fn equal(index: u8, value: u64, is_64: bool) -> Self {
        let mask = if is_64 { u64::MAX } else { u32::MAX.into() };
        Self { index, operator: Operator::Equal, mask, value, is_64 }
    }

    /// The greater the earlier: equality, then upper bounds, then lower ones.
    fn rank(&self) -> u8 {
        match self.operator {
            Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => 2,
            Operator::Less | Operator::LessOrEqual => 1,
            Operator::Greater | Operator::GreaterOrEqual => 0,
        }
    }

    fn is_masked(&self) -> bool {
        self.operator == Operator::MaskedEqual
    }

    /// Whether this is to be tried before another: later arguments first, of upper bounds the lowest, of all else the
    /// highest value.
    fn precedes(&self, other: &Self) -> bool {
        let key = |condition: &Self| (condition.index, condition.rank());
        if key(self) != key(other) {
            return key(self) > key(other);
        }
        // The low words come into it only below the same comparison of the high ones.
        let is_whole =
            !self.is_64 || (self.mask ^ other.mask) >> 32 == 0 && self.is_masked() == other.is_masked();
        let (a, b) = if is_whole { (self.value, other.value) } else { (self.value >> 32, other.value >> 32) };
        if self.rank() == 1 { a < b } else { a > b }
    }
}

/// Conditions of the same place, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Level(pub(super) Vec<Branch>);

/// What follows where a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) condition: Condition,
    pub(super) then: Then,
}

/// An action, or further conditions; where none of them holds, the next branch is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Act(Action),
    Also(Level),
}

/// Two rules ask for different actions where the same holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Level {
    /// Adds a rule of at least one condition. An existing rule that asks for less hides it.
    pub(super) fn add(&mut self, conditions: &[Condition], action: Action) -> Result<(), Contradiction> {
        let Some((first, rest)) = conditions.split_first() else { return Ok(()) };
        if let Some(branch) = self.0.iter_mut().find(|branch| branch.condition == *first) {
            return match &mut branch.then {
                Then::Also(level) if rest.is_empty() && level.only_gives(action) => {
                    branch.then = Then::Act(action);
                    Ok(())
                }
                Then::Also(level) if !rest.is_empty() => level.add(rest, action),
                Then::Act(other) if !rest.is_empty() || *other == action => Ok(()),
                Then::Also(_) | Then::Act(_) => Err(Contradiction),
            };
        }
        let mut then = Then::Act(action);
        for condition in rest.iter().rev() {
            // From the last condition to the second.
            then = Then::Also(Self(vec![Branch { condition: *condition, then }]));
        }
        let place = self.0.iter().position(|branch| first.precedes(&branch.condition));
        self.0.insert(place.unwrap_or(self.0.len()), Branch { condition: *first, then });
        Ok(())
    }

    fn only_gives(&self, action: Action) -> bool {
        self.0.iter().all(|branch| match &branch.then {
            Then::Act(other) => *other == action,
            Then::Also(level) => level.only_gives(action),
        })
    }
}
