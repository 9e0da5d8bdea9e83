//! Every kind of step survives the way through the wire form, and damaged bytes are refused without a panic.

use super::*;
use crate::wire::{PlanReader, encode_plan};

/// From what init reads to what the host planned.
pub(super) trait Owned<T> {
    fn owned(self) -> T;
}

macro_rules! same {
    ($($kind:ty),*) => { $( impl Owned<$kind> for $kind {
        fn owned(self) -> $kind {
            self
        }
    } )* };
}

same!(u32, i32, u64, bool, Slot);

impl Owned<CString> for &CStr {
    fn owned(self) -> CString {
        self.into()
    }
}

impl Owned<Vec<u8>> for &[u8] {
    fn owned(self) -> Vec<u8> {
        self.into()
    }
}

impl<'a> Owned<Vec<CString>> for List<'a, &'a CStr> {
    fn owned(self) -> Vec<CString> {
        let items: Vec<CString> = self.iter().map(CString::from).collect();
        assert_eq!((self.len(), self.is_empty()), (items.len(), items.is_empty()));
        items
    }
}

impl Owned<Vec<u32>> for List<'_, u32> {
    fn owned(self) -> Vec<u32> {
        self.iter().collect()
    }
}

/// Values that look random and are the same in each run.
pub(super) trait Sample {
    fn sample(seed: &mut u64) -> Self;
}

impl Sample for u64 {
    fn sample(seed: &mut u64) -> Self {
        // splitmix64.
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Sample for u32 {
    fn sample(seed: &mut u64) -> Self {
        u64::sample(seed) as Self
    }
}

impl Sample for i32 {
    fn sample(seed: &mut u64) -> Self {
        u64::sample(seed) as Self
    }
}

impl Sample for bool {
    fn sample(seed: &mut u64) -> Self {
        u64::sample(seed) & 1 == 0
    }
}

impl Sample for Slot {
    fn sample(seed: &mut u64) -> Self {
        if bool::sample(seed) { Self::NONE } else { Self(u32::sample(seed)) }
    }
}

impl Sample for u8 {
    fn sample(seed: &mut u64) -> Self {
        u64::sample(seed) as Self
    }
}

impl Sample for CString {
    fn sample(seed: &mut u64) -> Self {
        let bytes: Vec<u8> = Sample::sample(seed);
        Self::new(bytes.into_iter().map(|byte| byte.max(1)).collect::<Vec<_>>()).unwrap()
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(seed: &mut u64) -> Self {
        let len = u64::sample(seed) % 5;
        (0..len).map(|_| T::sample(seed)).collect()
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<OwnedOp>, Malformed> {
    let mut plan = PlanReader::new(bytes)?;
    let mut steps = Vec::new();
    while let Some((index, op)) = plan.next_step()? {
        assert_eq!(index as usize, steps.len());
        steps.push(op.to_owned_op());
    }
    Ok(steps)
}

#[test]
fn every_step_is_read_as_it_was_planned() {
    let mut seed = 1;
    for _ in 0..200 {
        let steps = samples(&mut seed);
        let bytes = encode_plan(steps.iter(), 7);
        assert_eq!(
            PlanReader::new(&bytes).map(|plan| (plan.header().steps as usize, plan.header().slots)),
            Ok((steps.len(), 7))
        );
        assert_eq!(decode(&bytes), Ok(steps));
    }
}

#[test]
fn a_plan_that_ends_early_is_malformed() {
    let bytes = encode_plan(samples(&mut 2).iter(), 0);
    for len in 0..bytes.len() {
        assert_eq!(decode(&bytes[..len]), Err(Malformed), "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn damaged_plans_never_panic() {
    let whole = encode_plan(samples(&mut 3).iter(), 0);
    let mut seed = 4;
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + u64::sample(&mut seed) % 4 {
            let at = u64::sample(&mut seed) as usize % bytes.len();
            bytes[at] = u8::sample(&mut seed);
        }
        // Whether it is still a plan does not matter: what is a number may change freely.
        drop(decode(&bytes));
    }
}

#[test]
fn names_of_steps_are_those_of_the_variants() {
    assert_eq!(OwnedOp::PivotRoot {}.name(), "PivotRoot");
}
