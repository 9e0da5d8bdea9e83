//! The way of the program: make the table of fds one's own, map the plan, perform its steps in order.
//!
//! Called as `orlop-init BASE`: fd BASE is the plan, BASE+1 the channel, then the slots; 0 to 2 are the container's
//! stdio and what lies between is preserved for the program. All signals are blocked. The first steps are the
//! launcher's; with the step *Clone* it makes init, hands its pidfd to the host and ends, and the child goes on.

use crate::{
    conversation::Conversation,
    steps::{self, Failure, Init},
    sys::{
        Errno, RawFd, file, memory,
        process::{self, Cloned},
        signal,
    },
    wire::{
        Malformed, PlanReader,
        message::{Kind, Message},
    },
};

/// Exit status of a launcher or init that failed and said so.
const FAILED: i32 = 1;

/// Runs as launcher, then as init. Ends with the program's exec.
pub fn run(base: RawFd) -> ! {
    signal::set_dispositions(0);
    let umask = file::umask(0);
    let mut init = Init::new(base, 0, umask);
    if let Err(failure) = follow_plan(&mut init) {
        init.conversation.send_failure(failure);
    }
    process::exit(FAILED)
}

fn follow_plan(init: &mut Init) -> Result<(), Failure> {
    let len = file::fstat(init.base)?.size;
    let plan = memory::map_file(init.base, usize::try_from(len).map_err(|_| Malformed)?)?;
    let mut plan = PlanReader::new(plan)?;
    init.slots = plan.header().slots;
    own_fds(init.base, init.slots)?;
    while let Some((index, op)) = plan.next_step()? {
        init.conversation.step = index;
        steps::perform(init, op, &plan)?;
    }
    // The last step is the exec, which does not come back.
    Err(Malformed.into())
}

/// Closes what was not listed (leaked by the caller's program) and keeps the table from the user's program.
fn own_fds(base: RawFd, slots: u32) -> Result<(), Failure> {
    let end = i32::try_from(slots)
        .ok()
        .and_then(|slots| base.checked_add(2)?.checked_add(slots))
        .ok_or(Malformed)?;
    match file::close_from(end) {
        Err(errno) if errno.is_absent() => close_listed(end)?,
        answer => answer?,
    }
    for fd in base..end {
        // EBADF: the host had nothing for this slot.
        if file::set_cloexec(fd).is_err_and(|errno| errno != Errno::EBADF) {
            return Err(Malformed.into());
        }
    }
    crate::sys::close(base);
    Ok(())
}

/// Before 5.9 there was no `close_range(2)`: /proc says what is open.
fn close_listed(first: RawFd) -> Result<(), Errno> {
    let listing = file::openat(file::AT_FDCWD, c"/proc/self/fd", file::O_DIRECTORY, 0)?;
    let mut buffer = [0; 2048];
    loop {
        let len = file::getdents(listing.raw(), &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        for name in crate::sys::file::entries(&buffer[..len]) {
            match decimal(name.to_bytes()) {
                Some(fd) if fd >= first && fd != listing.raw() => crate::sys::close(fd),
                _ => {}
            }
        }
    }
}

/// Reads a decimal number.
pub(crate) fn decimal(digits: &[u8]) -> Option<RawFd> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0 as RawFd, |number, &digit| {
        number.checked_mul(10)?.checked_add(RawFd::from(digit.is_ascii_digit().then(|| digit - b'0')?))
    })
}

/// The step *Clone*: the child returns, the launcher hands over its pidfd and ends.
pub(crate) fn clone_init(
    conversation: &Conversation,
    namespaces: u32,
    cgroup: Option<RawFd>,
) -> Result<(), Failure> {
    match process::clone(u64::from(namespaces) | process::CLONE_PARENT, cgroup)? {
        Cloned::Parent(pid, pidfd) => {
            let cloned = Message { value: pid as u32, ..Message::new(Kind::Cloned) };
            let told = conversation.send(cloned, Some(pidfd.raw()));
            process::exit(if told.is_ok() { 0 } else { FAILED })
        }
        Cloned::Child => {
            if let Some(cgroup) = cgroup {
                crate::sys::close(cgroup);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_numbers_and_nothing_else() {
        for (digits, expected) in
            [("0", Some(0)), ("42", Some(42)), ("", None), ("-1", None), ("4x", None), ("99999999999", None)]
        {
            assert_eq!(decimal(digits.as_bytes()), expected, "{digits}");
        }
    }
}
