//! The architectures that a filter can be for: how calls of each look in `struct seccomp_data`.

use super::table::Column;

/// An architecture of a profile: a calling convention of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arch {
    /// As the specification names it.
    pub(super) name: &'static str,
    /// `AUDIT_ARCH_*` of linux/audit.h. x32 has that of x86_64; its numbers tell it apart.
    pub(super) audit: u32,
    /// Where its numbers are in the table, and what is added to them.
    pub(super) column: Column,
    pub(super) base: u32,
    /// What of an argument is looked at: 64 or 32 bits.
    pub(super) is_64: bool,
    pub(super) is_big_endian: bool,
}

/// `__X32_SYSCALL_BIT` of asm/unistd.h.
pub(super) const X32_BIT: u32 = 0x4000_0000;

const fn arch(name: &'static str, audit: u32, column: Column, base: u32) -> Arch {
    Arch { name, audit, column, base, is_64: audit & IS_64 != 0, is_big_endian: audit & IS_LITTLE == 0 }
}

impl Arch {
    /// With arguments of 32 bits, though the kernel has it among those of 64.
    const fn of_32_bits(mut self) -> Self {
        self.is_64 = false;
        self
    }

    /// Whether some calls of sockets and System V IPC also go through socketcall(2) and ipc(2).
    pub(super) fn is_multiplexed(self) -> bool {
        matches!(
            self.column,
            Column::X86 | Column::Mips | Column::Ppc | Column::Ppc64 | Column::S390 | Column::S390x
        )
    }

    /// Number 0 is setup(2), which has long been gone: a number that the kernel
    /// does not know is seen as this one.
    pub(super) fn has_setup_call(self) -> bool {
        matches!(self.column, Column::S390 | Column::S390x)
    }
}

/// `__AUDIT_ARCH_64BIT` and `__AUDIT_ARCH_LE`; the rest is the machine of elf(5).
const IS_64: u32 = 0x8000_0000;
const IS_LITTLE: u32 = 0x4000_0000;
/// `__AUDIT_ARCH_CONVENTION_MIPS64_N32`.
const N32: u32 = 0x2000_0000;

const X86_64: Arch = arch("SCMP_ARCH_X86_64", 62 | IS_64 | IS_LITTLE, Column::X86_64, 0);
const AARCH64: Arch = arch("SCMP_ARCH_AARCH64", 183 | IS_64 | IS_LITTLE, Column::Aarch64, 0);

/// All architectures that a profile may name.
pub(super) static ARCHES: [Arch; 18] = [
    X86_64,
    arch("SCMP_ARCH_X86", 3 | IS_LITTLE, Column::X86, 0),
    arch("SCMP_ARCH_X32", 62 | IS_64 | IS_LITTLE, Column::X32, X32_BIT).of_32_bits(),
    arch("SCMP_ARCH_ARM", 40 | IS_LITTLE, Column::Arm, 0),
    AARCH64,
    arch("SCMP_ARCH_MIPS", 8, Column::Mips, 4000),
    arch("SCMP_ARCH_MIPS64", 8 | IS_64, Column::Mips64, 5000),
    arch("SCMP_ARCH_MIPS64N32", 8 | IS_64 | N32, Column::Mips64N32, 6000).of_32_bits(),
    arch("SCMP_ARCH_MIPSEL", 8 | IS_LITTLE, Column::Mips, 4000),
    arch("SCMP_ARCH_MIPSEL64", 8 | IS_64 | IS_LITTLE, Column::Mips64, 5000),
    arch("SCMP_ARCH_MIPSEL64N32", 8 | IS_64 | IS_LITTLE | N32, Column::Mips64N32, 6000).of_32_bits(),
    arch("SCMP_ARCH_PPC", 20, Column::Ppc, 0),
    arch("SCMP_ARCH_PPC64", 21 | IS_64, Column::Ppc64, 0),
    arch("SCMP_ARCH_PPC64LE", 21 | IS_64 | IS_LITTLE, Column::Ppc64, 0),
    arch("SCMP_ARCH_RISCV64", 243 | IS_64 | IS_LITTLE, Column::Riscv64, 0),
    arch("SCMP_ARCH_S390", 22, Column::S390, 0),
    arch("SCMP_ARCH_S390X", 22 | IS_64, Column::S390x, 0),
    arch("SCMP_ARCH_LOONGARCH64", 258 | IS_64 | IS_LITTLE, Column::Loongarch64, 0),
];

/// The architecture that this program is built for.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: Arch = X86_64;
/// The architecture that this program is built for.
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: Arch = AARCH64;

pub(super) fn by_name(name: &str) -> Option<Arch> {
    ARCHES.iter().find(|arch| arch.name == name).copied()
}

/// Names of all architectures that a profile may use, for `features`.
pub(crate) fn arch_names() -> impl Iterator<Item = &'static str> {
    ARCHES.iter().map(|arch| arch.name)
}
