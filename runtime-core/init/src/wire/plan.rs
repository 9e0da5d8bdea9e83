//! The plan as it lies in the sealed memfd: a header, then the steps one after the other.

use super::codec::{Decode, Malformed, Reader};
use super::op::Op;

/// Says that the bytes are a plan of this build.
const MAGIC: u32 = 0x6f72_6c31;

/// What comes before the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of steps.
    pub steps: u32,
    /// Number of fds after the channel, which are the slots.
    pub slots: u32,
}

impl Decode<'_> for Header {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if u32::decode(reader)? != MAGIC {
            return Err(Malformed);
        }
        Ok(Self { steps: u32::decode(reader)?, slots: u32::decode(reader)? })
    }
}

/// Reads a plan step by step.
#[derive(Clone, Copy, Debug)]
pub struct PlanReader<'a> {
    header: Header,
    next: u32,
    reader: Reader<'a>,
}

impl<'a> PlanReader<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no plan of this build.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let header = Header::decode(&mut reader)?;
        Ok(Self { header, next: 0, reader })
    }

    /// The header.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The next step with its index, or none after the last.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are damaged.
    pub fn next_step(&mut self) -> Result<Option<(u32, Op<'a>)>, Malformed> {
        if self.next == self.header.steps {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        Ok(Some((index, Op::decode(&mut self.reader)?)))
    }
}

/// Encodes steps for `slots` fds.
#[cfg(not(orlop_freestanding))]
pub fn encode_plan<'a>(
    steps: impl ExactSizeIterator<Item = &'a super::OwnedOp>,
    slots: usize,
) -> alloc::vec::Vec<u8> {
    use super::codec::Encode;
    let mut out = alloc::vec::Vec::with_capacity(4096);
    MAGIC.encode(&mut out);
    u32::try_from(steps.len()).unwrap_or(u32::MAX).encode(&mut out);
    u32::try_from(slots).unwrap_or(u32::MAX).encode(&mut out);
    steps.for_each(|step| step.encode(&mut out));
    out
}
