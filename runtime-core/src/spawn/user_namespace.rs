//! A user namespace for the id map of mounts: made by a helper that ends at once; the fd keeps it.

use std::os::fd::OwnedFd;

use orlop_init::wire::{OwnedOp, message::Barrier};
use rustix::fs::{Mode, OFlags};

use super::{
    Conversation, Event, Launcher,
    id_maps::{lines, write_at},
    trees::no_stdio,
};
use crate::{Deadline, Error, ErrorKind, Result, plan::step::IdMap};

/// `CLONE_NEWUSER` (unshare(2)).
const CLONE_NEWUSER: u32 = 0x1000_0000;

/// Makes a user namespace with these maps.
pub(super) fn make_user_namespace(
    launcher: &Launcher,
    uids: &[IdMap],
    gids: &[IdMap],
    deadline: Deadline<'_>,
) -> Result<OwnedFd> {
    let ops = [
        OwnedOp::Unshare { flags: CLONE_NEWUSER },
        // The helper waits here until it is killed.
        OwnedOp::Barrier { barrier: Barrier::Placed as u32 },
    ];
    let (launched, channel) = launcher.launch(ops.iter(), &no_stdio()?, &[])?;
    let mut helper = Conversation::new(launched, channel, 0);
    let made = match helper.next(deadline) {
        Ok(Event::Reached { .. }) => open_namespace(&helper, uids, gids),
        Ok(Event::Failed(failure)) => {
            Err(Error::from_errno("cannot make a user namespace for the id map of mounts", failure.errno))
        }
        Ok(_) => Err(Error::new(ErrorKind::Kernel, "the helper that makes a user namespace ended early")),
        Err(error) => Err(error),
    };
    helper.kill();
    made
}

fn open_namespace(helper: &Conversation, uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd> {
    let Some(process) = helper.speaker() else {
        return Err(Error::new(ErrorKind::Kernel, "the helper that makes a user namespace is gone"));
    };
    let open = |path: &str, flags: OFlags| {
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::from_errno(format!("cannot open {path}"), errno.raw_os_error()))
    };
    let dir = open(&format!("/proc/{}", process.pid), OFlags::PATH | OFlags::DIRECTORY)?;
    write_at(&dir, "uid_map", &lines(uids))?;
    write_at(&dir, "gid_map", &lines(gids))?;
    rustix::fs::openat(&dir, "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::from_errno("cannot open the user namespace for mounts", errno.raw_os_error()))
}
