//! The bytes of a value: little-endian numbers, and strings with their length in front and a NUL behind, so that
//! init can hand them to the kernel as they lie in the mapped plan.
//!
//! Used by both ends. Decoding never trusts a length; encoding exists on the host only.

use core::ffi::CStr;

/// What is wrong with an encoded plan. Never seen unless the two ends are of different builds or memory is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads values one after the other from encoded bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all bytes were read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }
}

/// A value that init can read from a plan.
pub trait Decode<'a>: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

impl Decode<'_> for u8 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.take(1)?[0])
    }
}

impl Decode<'_> for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
}

impl Decode<'_> for u32 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes = reader.take(4)?;
        Ok(Self::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

impl Decode<'_> for i32 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(u32::decode(reader)? as Self)
    }
}

impl Decode<'_> for u64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let low = u32::decode(reader)?;
        let high = u32::decode(reader)?;
        Ok(Self::from(low) | (Self::from(high) << 32))
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let len = u32::decode(reader)? as usize;
        reader.take(len)
    }
}

impl<'a> Decode<'a> for &'a CStr {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let len = u32::decode(reader)? as usize;
        let bytes = reader.take(len.checked_add(1).ok_or(Malformed)?)?;
        CStr::from_bytes_with_nul(bytes).map_err(|_| Malformed)
    }
}

/// A list of values, read anew at each iteration: init has no heap to keep it in.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T> {
    len: u32,
    reader: Reader<'a>,
    items: core::marker::PhantomData<T>,
}

impl<'a, T: Decode<'a>> List<'a, T> {
    /// How many items there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no item.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut reader = self.reader;
        // Decoding was checked when the list itself was decoded.
        (0..self.len).map_while(move |_| T::decode(&mut reader).ok())
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for List<'a, T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let len = u32::decode(reader)?;
        let first = *reader;
        for _ in 0..len {
            T::decode(reader)?;
        }
        Ok(Self { len, reader: first, items: core::marker::PhantomData })
    }
}

/// A value that the host can write into a plan.
#[cfg(not(orlop_freestanding))]
pub trait Encode {
    /// Appends the value to `out`.
    fn encode(&self, out: &mut alloc::vec::Vec<u8>);
}

#[cfg(not(orlop_freestanding))]
mod encode {
    use alloc::{ffi::CString, vec::Vec};

    use super::Encode;

    impl Encode for u8 {
        fn encode(&self, out: &mut Vec<u8>) {
            out.push(*self);
        }
    }

    impl Encode for bool {
        fn encode(&self, out: &mut Vec<u8>) {
            out.push(u8::from(*self));
        }
    }

    impl Encode for u32 {
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    }

    impl Encode for i32 {
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    }

    impl Encode for u64 {
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    }

    fn encode_len(len: usize, out: &mut Vec<u8>) {
        // A plan is far below 4 GiB: config.json is read up to a limit of 16 MiB. A longer value would be refused by
        // the decoder, never cut in silence.
        u32::try_from(len).unwrap_or(u32::MAX).encode(out);
    }

    impl Encode for CString {
        fn encode(&self, out: &mut Vec<u8>) {
            encode_len(self.as_bytes().len(), out);
            out.extend_from_slice(self.as_bytes_with_nul());
        }
    }

    impl Encode for Vec<u8> {
        fn encode(&self, out: &mut Vec<u8>) {
            encode_len(self.len(), out);
            out.extend_from_slice(self);
        }
    }

    impl Encode for Vec<CString> {
        fn encode(&self, out: &mut Vec<u8>) {
            encode_len(self.len(), out);
            self.iter().for_each(|item| item.encode(out));
        }
    }

    impl Encode for Vec<u32> {
        fn encode(&self, out: &mut Vec<u8>) {
            encode_len(self.len(), out);
            self.iter().for_each(|item| item.encode(out));
        }
    }
}
