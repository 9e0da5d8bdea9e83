//! Capability sets (capabilities(7)).

use super::Failure;
use crate::sys::{Errno, process};

const PR_CAPBSET_READ: i32 = 23;
const PR_CAPBSET_DROP: i32 = 24;
const PR_CAP_AMBIENT: i32 = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

/// The step *BoundingSet*: drops what is not to remain. Those the set lacks already need no right to be dropped.
pub(super) fn drop_bounding(remain: u64) -> Result<(), Failure> {
    for capability in numbers(!remain) {
        match process::prctl(PR_CAPBSET_READ, capability, 0) {
            Ok(0) => {}
            // Beyond the last capability of this kernel.
            Err(Errno::EINVAL) => return Ok(()),
            _ => {
                process::prctl(PR_CAPBSET_DROP, capability, 0)?;
            }
        }
    }
    Ok(())
}

/// The step *Capabilities*.
pub(super) fn set_capabilities(
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
) -> Result<(), Failure> {
    process::capset(process::Capabilities { effective, permitted, inheritable })?;
    match process::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0) {
        Ok(_) => {}
        // Before 4.3 there was no ambient set to clear.
        Err(Errno::EINVAL) if ambient == 0 => {}
        Err(errno) => return Err(errno.into()),
    }
    for capability in numbers(ambient) {
        process::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)?;
    }
    Ok(())
}

/// The numbers of the bits that are set.
fn numbers(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |number| set >> number & 1 != 0)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    #[test]
    fn bits_are_numbered_from_zero() {
        assert_eq!(super::numbers(0b1010_0001).collect::<Vec<_>>(), [0, 5, 7]);
        assert_eq!(super::numbers(1 << 63).collect::<Vec<_>>(), [63]);
        assert_eq!(super::numbers(0).count(), 0);
    }
}
