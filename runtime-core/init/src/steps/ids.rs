//! User and groups.

use super::{At, Failure};
use crate::{
    sys::{Errno, memory, process},
    wire::{codec::List, message::Detail},
};

const PR_SET_KEEPCAPS: i32 = 8;

/// The step *BecomeRoot*. The ids before were those of the host's user; the capabilities of the new user namespace
/// stay, since root is what is changed to.
pub(super) fn become_root(drop_groups: bool) -> Result<(), Failure> {
    if drop_groups {
        process::set_groups(&[]).at(Detail::GROUPS)?;
    }
    process::set_gid(0).at(Detail::GID)?;
    process::set_uid(0).at(Detail::UID)?;
    close_again()
}

/// The step *SetUser*. Permitted capabilities survive the change by a flag that ends with exec; the effective ones,
/// which the kernel clears, are taken back (capabilities(7)). *Capabilities* says what remains.
pub(super) fn set_user(uid: u32, gid: u32, groups: Option<&List<'static, u32>>) -> Result<(), Failure> {
    process::prctl(PR_SET_KEEPCAPS, 1, 0)?;
    if let Some(groups) = groups {
        process::set_groups(numbers(groups)?).at(Detail::GROUPS)?;
    }
    process::set_gid(gid).at(Detail::GID)?;
    process::set_uid(uid).at(Detail::UID)?;
    let sets = process::capget()?;
    process::capset(process::Capabilities { effective: sets.permitted, ..sets })?;
    close_again()
}

/// A change of ids sets the dumpable bit anew, to what the sysctl `fs.suid_dumpable` says (prctl(2)).
fn close_again() -> Result<(), Failure> {
    super::process::set_dumpable(0)
}

/// The list as the kernel reads it.
pub(super) fn numbers(list: &List<'static, u32>) -> Result<&'static [u32], Errno> {
    if list.is_empty() {
        return Ok(&[]);
    }
    let numbers = memory::zeroed_numbers(list.len())?;
    for (number, item) in numbers.iter_mut().zip(list.iter()) {
        *number = item;
    }
    Ok(numbers)
}
