//! Filters of system calls (seccomp(2)). What comes after one is under it, so it comes late: see *filters* in
//! `docs/src/design/decisions.md`.

use super::{At, Failure};
use crate::{
    conversation::Conversation,
    sys::{self, Errno, filter, process},
    wire::message::{Barrier, Detail, Kind, Message},
};

const CAP_SYS_ADMIN: u64 = 1 << 21;

/// A filter that is still to be loaded.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) program: &'static [u8],
    pub(super) flags: u32,
    pub(super) raise: bool,
}

impl Kept {
    /// Loads it. What was raised for that is not lowered: the exec, which computes all sets anew, is next
    /// (capabilities(7)).
    pub(super) fn load(self) -> Result<(), Failure> {
        if self.raise {
            let sets = process::capget()?;
            let effective = sets.effective | CAP_SYS_ADMIN;
            process::capset(process::Capabilities { effective, ..sets }).at(Detail::FILTER)?;
        }
        filter::load(self.program, self.flags).map(drop).at(Detail::FILTER)
    }
}

/// The step *Filter*. Until the host has the listener nobody answers for a call that is notified, so nothing but
/// `write` (or `sendmsg`) comes before that.
pub(super) fn load(
    conversation: &Conversation,
    program: &[u8],
    flags: u32,
    send: bool,
) -> Result<(), Failure> {
    let listener = filter::load(program, flags).at(Detail::FILTER)?;
    if flags & filter::NEW_LISTENER == 0 {
        return Ok(());
    }
    let listener = i32::try_from(listener).map_err(|_| Errno::EBADF)?;
    let told = Message { value: listener as u32, ..Message::new(Kind::Listener) };
    match send {
        true => conversation.send(told, Some(listener))?,
        false => conversation.write(told)?,
    }
    let (proceed, _) = conversation.receive(Kind::Proceed)?;
    if proceed.value != Barrier::Listener as u32 {
        return Err(Failure::new(Errno::EPROTO, Detail::CHANNEL));
    }
    sys::close(listener);
    Ok(())
}
