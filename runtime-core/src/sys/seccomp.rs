//! What seccomp(2) of this kernel takes.

use nix::libc;

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
pub(crate) const FLAG_TSYNC: u32 = 1;
pub(crate) const FLAG_LOG: u32 = 2;
pub(crate) const FLAG_SPEC_ALLOW: u32 = 4;
pub(crate) const FLAG_NEW_LISTENER: u32 = 8;
const FLAG_TSYNC_ESRCH: u32 = 16;
pub(crate) const FLAG_WAIT_KILLABLE_RECV: u32 = 32;

/// The flags that the kernel knows; none: it has no filters, or a profile around the caller hides them. A filter at
/// address 0 is refused with EFAULT after the flags were looked at, so nothing is loaded.
pub(crate) fn known_flags() -> Option<u32> {
    // The kernel refuses a listener for all threads, and a way of waiting for none, if these are alone.
    let listener = FLAG_NEW_LISTENER | FLAG_TSYNC_ESRCH;
    let all = FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | listener | FLAG_WAIT_KILLABLE_RECV;
    if takes(all) {
        return Some(all & !FLAG_TSYNC_ESRCH);
    }
    takes(0).then(|| {
        let known = [FLAG_TSYNC, FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_NEW_LISTENER]
            .into_iter()
            .filter(|&flag| takes(flag))
            .fold(0, |known, flag| known | flag);
        if takes(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV) {
            known | FLAG_WAIT_KILLABLE_RECV
        } else {
            known
        }
    })
}

fn takes(flags: u32) -> bool {
    const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
    let no_filter = std::ptr::null::<u8>();
    // SAFETY: the kernel reads from the null pointer, which fails.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, no_filter) };
    answer == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

#[cfg(test)]
mod tests {
    #[test]
    fn asking_loads_nothing() {
        let filters = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find(|line| line.starts_with("Seccomp:")).map(str::to_owned)
        };
        let before = filters();
        if let Some(known) = super::known_flags() {
            assert!(known & super::FLAG_LOG != 0, "{known:#x}");
        }
        assert_eq!(filters(), before);
    }
}
