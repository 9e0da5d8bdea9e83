//! One instruction of classic BPF as seccomp(2) takes it.

/// `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct Instruction {
    /// `BPF_*` of linux/bpf_common.h, put together.
    pub(crate) code: u16,
    /// How many instructions are skipped when the comparison holds.
    pub(crate) jt: u8,
    /// How many instructions are skipped when it does not.
    pub(crate) jf: u8,
    /// The operand.
    pub(crate) k: u32,
}

impl Instruction {
    /// In this machine's byte order, as it lies in memory.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[2] = self.jt;
        bytes[3] = self.jf;
        bytes[4..].copy_from_slice(&self.k.to_ne_bytes());
        bytes
    }
}
