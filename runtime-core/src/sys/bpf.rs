//! bpf(2), as far as device filters of cgroups need it. No library does it without C.

use std::{
    ffi::c_void,
    mem::size_of_val,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::libc;
use rustix::io::Errno;

/// Commands, types and flags of linux/bpf.h.
const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_ATTACH: i64 = 8;
const BPF_PROG_DETACH: i64 = 9;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_PROG_QUERY: i64 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// Longest name of a program, with its null byte.
const NAME_LEN: usize = 16;

/// More programs than the kernel lets one cgroup have (`BPF_CGROUP_MAX_PROGS`).
const MAX_PROGRAMS: usize = 64;

/// The kernel answers EAGAIN when a signal is pending while it verifies.
const LOAD_ATTEMPTS: usize = 5;

/// One instruction: `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) value: i32,
}

impl Instruction {
    /// An instruction with (target, source) registers.
    pub(crate) const fn new(code: u8, registers: (u8, u8), offset: i16, value: u32) -> Self {
        // Two bit fields of four bits, so their order is the machine's.
        let registers = match cfg!(target_endian = "little") {
            true => registers.0 | registers.1 << 4,
            false => registers.0 << 4 | registers.1,
        };
        Self { code, registers, offset, value: i32::from_ne_bytes(value.to_ne_bytes()) }
    }

    /// (target, source) registers.
    #[cfg(test)]
    pub(crate) const fn registers(self) -> (u8, u8) {
        let (low, high) = (self.registers & 15, self.registers >> 4);
        if cfg!(target_endian = "little") { (low, high) } else { (high, low) }
    }
}

/// Calls bpf(2) with a part of `union bpf_attr`; the kernel takes what is not given as zero.
fn bpf<T>(command: i64, attributes: &mut T) -> Result<i64, Errno> {
    let attributes: *mut T = attributes;
    // SAFETY: each caller gives the attributes of the command as linux/bpf.h lays them out, `repr(C)` and without
    // implicit padding, and keeps the memory alive and large enough that their addresses and lengths name.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result >= 0 {
        return Ok(result);
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn own(fd: i64) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made this fd for us, close-on-exec as all of bpf(2), and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address<T: ?Sized>(value: *const T) -> u64 {
    value.cast::<c_void>() as u64
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    u32::from_ne_bytes(fd.as_raw_fd().to_ne_bytes())
}

/// Loads a device program under a name of at most 15 letters, digits, `_` and `.`.
pub(crate) fn load_device_program(program: &[Instruction], name: &str) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; NAME_LEN],
    }
    let license = c"Apache-2.0";
    let mut padded = [0; NAME_LEN];
    for (place, byte) in padded[..NAME_LEN - 1].iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    let mut attributes = Attributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: address(program),
        license: address(license.as_ptr()),
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: padded,
    };
    let mut attempts = 1;
    loop {
        match bpf(BPF_PROG_LOAD, &mut attributes) {
            Err(Errno::AGAIN) if attempts < LOAD_ATTEMPTS => attempts += 1,
            result => return own(result?),
        }
    }
}

/// Attaches a device program to a cgroup, in place of another in one step or beside what is there: then all of them
/// have to grant a request.
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    #[repr(C)]
    struct Attributes {
        cgroup: u32,
        program: u32,
        kind: u32,
        flags: u32,
        replaced: u32,
    }
    let flags = if replaced.is_some() { BPF_F_ALLOW_MULTI | BPF_F_REPLACE } else { BPF_F_ALLOW_MULTI };
    let mut attributes = Attributes {
        cgroup: raw(cgroup),
        program: raw(program),
        kind: BPF_CGROUP_DEVICE,
        flags,
        replaced: replaced.map_or(0, raw),
    };
    bpf(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Detaches a device program from a cgroup.
pub(crate) fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attributes = [raw(cgroup), raw(program), BPF_CGROUP_DEVICE, 0];
    bpf(BPF_PROG_DETACH, &mut attributes).map(drop)
}

/// Ids of the device programs that are attached to a cgroup itself.
pub(crate) fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    #[repr(C)]
    struct Attributes {
        cgroup: u32,
        kind: u32,
        query_flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        padding: u32,
    }
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attributes = Attributes {
        cgroup: raw(cgroup),
        kind: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: address(ids.as_mut_ptr()),
        count: u32::try_from(ids.len()).unwrap_or(0),
        padding: 0,
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    let count = usize::try_from(attributes.count).unwrap_or(0);
    Ok(ids.iter().take(count).copied().collect())
}

/// A program by its id. None: it is gone.
pub(crate) fn open_program(id: u32) -> Result<Option<OwnedFd>, Errno> {
    match bpf(BPF_PROG_GET_FD_BY_ID, &mut [id, 0, 0]) {
        Ok(fd) => own(fd).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The name under which a program was loaded.
pub(crate) fn program_name(program: BorrowedFd<'_>) -> Result<String, Errno> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        info_len: u32,
        info: u64,
    }
    /// Where `struct bpf_prog_info` has the name.
    const NAME_AT: usize = 64;
    // In words of 64 bits, as the structure is aligned.
    let mut info = [0_u64; (NAME_AT + NAME_LEN) / 8];
    let mut attributes = Attributes {
        program: raw(program),
        info_len: u32::try_from(size_of_val(&info)).unwrap_or(0),
        info: address(info.as_mut_ptr()),
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    let bytes = info[NAME_AT / 8..].iter().flat_map(|word| word.to_ne_bytes());
    Ok(bytes.take_while(|byte| *byte != 0).map(char::from).collect())
}
