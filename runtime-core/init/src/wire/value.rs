//! Values of steps that are more than numbers.

#[cfg(not(orlop_freestanding))]
use alloc::vec::Vec;

#[cfg(not(orlop_freestanding))]
use super::codec::Encode;
use super::codec::{Decode, Malformed, Reader};

/// A place in the table of fds that the host hands to the launcher. Slot *n* is fd `base + 2 + n` there
/// (see [`super::Header`]); plans name slots, never fds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub u32);

impl Slot {
    /// No fd.
    pub const NONE: Self = Self(u32::MAX);
}

impl Decode<'_> for Slot {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self(u32::decode(reader)?))
    }
}

#[cfg(not(orlop_freestanding))]
impl Encode for Slot {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// What a bind mount does about a symbolic link in the last place of a path; bits of a step's `links`.
pub mod links {
    /// A source that is a link is made anew at the target instead of mounted (`copy-symlink`).
    pub const COPY: u32 = 1;
    /// A source that is a link is mounted itself (`src-nofollow`).
    pub const SOURCE: u32 = 2;
    /// A target that is a link is mounted over, and must exist (`dest-nofollow`).
    pub const TARGET: u32 = 4;
}
