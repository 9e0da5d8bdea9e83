//! The security label that AppArmor or SELinux gives to the program.

use core::ffi::CStr;

use super::{At, Failure, sysctl};
use crate::{
    sys::{
        Errno, Fd,
        file::{self, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV},
        process,
    },
    wire::{Malformed, codec::List, message::Detail},
};

/// The step *OpenLabel*. By number: `self` is a link.
pub(super) fn open(names: &List<'static, &'static CStr>) -> Result<Fd, Failure> {
    let proc = sysctl::private_proc().at(Detail::FS_TYPE)?;
    let pid = process::getpid()?;
    let mut failure = Failure::from(Malformed);
    for name in names.iter() {
        let mut path = [0; 64];
        let path = own_path(&mut path, pid, name.to_bytes()).ok_or(Malformed)?;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
        let opened = match file::openat2(proc.raw(), path, O_WRONLY, resolve) {
            Err(errno) if errno.is_absent() => sysctl::walk_from(proc.raw(), path),
            answer => answer,
        };
        match opened {
            Ok(label) => return Ok(label),
            Err(errno) => failure = Failure::new(errno, Detail::OPEN),
        }
        if failure.errno != Errno::ENOENT {
            break;
        }
    }
    Err(failure)
}

/// `PID/NAME` with its NUL.
fn own_path<'a>(buffer: &'a mut [u8; 64], pid: usize, name: &[u8]) -> Option<&'a CStr> {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = pid;
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut len = 0;
    for part in [&digits[at..], b"/", name, b"\0"] {
        buffer.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// The step *WriteLabel*.
pub(super) fn write(label: Option<Fd>, value: &CStr) -> Result<(), Failure> {
    let label = label.ok_or(Malformed)?;
    file::write(label.raw(), value.to_bytes()).at(Detail::WRITE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn paths_begin_with_the_pid() {
        for (pid, expected) in
            [(1, Some(c"1/attr/exec")), (4_194_304, Some(c"4194304/attr/exec")), (0, Some(c"0/attr/exec"))]
        {
            assert_eq!(own_path(&mut [0; 64], pid, b"attr/exec"), expected);
        }
        assert_eq!(own_path(&mut [0; 64], 1, &[b'x'; 62]), None);
    }
}
