/// `e_machine` of x86_64 (elf.h).
pub(crate) const X86_64: u16 = 62;
/// `e_machine` of aarch64.
pub(crate) const AARCH64: u16 = 183;

/// The program lies in the library, in a memfd and in the memory of every container that waits for its start.
const SIZE_MAX: usize = 80 * 1024;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

/// Checks that a program is static, for this processor, small, and has no memory that is writable and executable.
pub(crate) fn check_program(program: &[u8], machine: u16) -> Result<(), String> {
    let malformed = || "not a 64-bit little-endian ELF program".to_owned();
    if program.len() > SIZE_MAX {
        return Err(format!("{} bytes, more than the limit of {SIZE_MAX}", program.len()));
    }
    let number = |at: usize, len: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    // e_ident: magic, ELFCLASS64, ELFDATA2LSB; then e_type (ET_EXEC) and e_machine.
    if program.get(..6) != Some(b"\x7fELF\x02\x01") || number(16, 2) != Some(2) {
        return Err(malformed());
    }
    if number(18, 2) != Some(u64::from(machine)) {
        return Err("of another processor".to_owned());
    }
    let headers = number(32, 8).ok_or_else(malformed)?;
    let (size, count) = (number(54, 2).ok_or_else(malformed)?, number(56, 2).ok_or_else(malformed)?);
    let mut has_stack = false;
    for index in 0..count {
        let at = headers
            .checked_add(index * size)
            .and_then(|at| usize::try_from(at).ok())
            .ok_or_else(malformed)?;
        let kind = number(at, 4).ok_or_else(malformed)? as u32;
        let flags = number(at + 4, 4).ok_or_else(malformed)? as u32;
        match kind {
            PT_INTERP | PT_DYNAMIC => return Err("not static".to_owned()),
            PT_LOAD if flags & (PF_W | PF_X) == PF_W | PF_X => {
                return Err("a segment is writable and executable".to_owned());
            }
            PT_GNU_STACK if flags & PF_X != 0 => return Err("the stack is executable".to_owned()),
            PT_GNU_STACK => has_stack = true,
            _ => {}
        }
    }
    if has_stack { Ok(()) } else { Err("nothing says that the stack is not executable".to_owned()) }
}
