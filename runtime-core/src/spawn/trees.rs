//! Trees that init may not open: a helper with the host's rights opens them in the container's mount namespace.
//!
//! There, because the kernel locks the flags of mounts that a user namespace got from outside (mount_namespaces(7)): a
//! tree that was opened on the host would let the container's root take `ro`, `nosuid` and `nodev` away.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use orlop_init::wire::{
    OwnedOp, Slot,
    message::{Barrier, Detail},
};
use rustix::{
    fs::{Mode, OFlags, StatVfsMountFlags},
    io::Errno,
};

use super::{Conversation, Event, Launcher, conversation::TreeFailure, launcher::open_null};
use crate::{Deadline, Error, ErrorKind, Result, Stdio, plan::Plan};

/// `CLONE_NEWNS` (setns(2)).
const CLONE_NEWNS: u32 = 0x2_0000;
/// The first two slots of the helper; those of the plan follow.
const NAMESPACE: Slot = Slot(0);
const ROOT: Slot = Slot(1);
const OWN_SLOTS: u32 = 2;

/// The helpers, from the first tree that is asked for to the last mount.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// In the container's mount namespace.
    inside: Option<Helper>,
    /// In the caller's.
    at_home: Option<Helper>,
}

/// What a helper needs of a create.
pub(super) struct Setting<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) plan: &'a Plan,
    pub(super) slots: &'a [Option<OwnedFd>],
    pub(super) deadline: Deadline<'a>,
}

impl Trees {
    /// The tree of a step, or why there is none; `process` is the folder of init in /proc.
    pub(super) fn open(
        &mut self,
        step: u32,
        setting: &Setting<'_>,
        process: OwnedFd,
    ) -> Result<Result<OwnedFd, TreeFailure>> {
        let inside = match &mut self.inside {
            Some(helper) => helper,
            none => none.insert(Helper::start(setting, Some(process))?),
        };
        match inside.open(step, setting.deadline)? {
            Err((errno, Detail::SOURCE)) if errno == Errno::INVAL.raw_os_error() => {
                self.open_at_home(step, setting)
            }
            answer => Ok(answer),
        }
    }

    /// A folder whose mounts below are locked to it cannot be bound alone in the container's mount namespace. On the host
    /// it can; that is no loss where the mount has no flags that would have to stay locked.
    fn open_at_home(&mut self, step: u32, setting: &Setting<'_>) -> Result<Result<OwnedFd, TreeFailure>> {
        let at_home = match &mut self.at_home {
            Some(helper) => helper,
            none => none.insert(Helper::start(setting, None)?),
        };
        let locked = StatVfsMountFlags::RDONLY
            | StatVfsMountFlags::NOSUID
            | StatVfsMountFlags::NODEV
            | StatVfsMountFlags::NOEXEC;
        Ok(at_home.open(step, setting.deadline)?.and_then(|tree| match rustix::fs::fstatvfs(&tree) {
            Ok(status) if !status.f_flag.intersects(locked) => Ok(tree),
            _ => Err((Errno::INVAL.raw_os_error(), Detail::SOURCE)),
        }))
    }
}

/// One helper.
#[derive(Debug)]
struct Helper {
    conversation: Conversation,
    /// What is still to be offered to it: steps of init.
    rest: std::vec::IntoIter<u32>,
}

/// A helper has nothing to say.
pub(super) fn no_stdio() -> Result<Stdio> {
    Ok(Stdio::fds(open_null()?, open_null()?, open_null()?))
}

impl Helper {
    /// Starts a helper in the mount namespace of init, whose folder in /proc is `process`, or in the caller's.
    fn start(setting: &Setting<'_>, process: Option<OwnedFd>) -> Result<Self> {
        let Setting { launcher, plan, slots, .. } = *setting;
        let null = open_null()?;
        let mut ops = vec![OwnedOp::SetDumpable { value: 0 }];
        let place = match &process {
            Some(process) => {
                ops.push(OwnedOp::JoinNamespace { namespace: NAMESPACE, kind: CLONE_NEWNS });
                ops.push(OwnedOp::EnterRoot { root: ROOT });
                // Where the caller's root is not that of the mount namespace, paths begin at the caller's.
                Some((
                    open_of(process, "ns/mnt", OFlags::RDONLY)?,
                    open_of(process, "root", OFlags::PATH | OFlags::DIRECTORY)?,
                ))
            }
            None => None,
        };
        let steps = 0..u32::try_from(plan.init.len()).unwrap_or(u32::MAX);
        let trees: Vec<(u32, OwnedOp)> =
            steps.filter_map(|step| Some((step, for_helper(plan.tree_op(step)?)))).collect();
        ops.extend(trees.iter().map(|(_, op)| op.clone()));
        // The helper waits here until it is killed.
        ops.push(OwnedOp::Barrier { barrier: Barrier::Ready as u32 });
        let mut fds: Vec<BorrowedFd<'_>> = match &place {
            Some((namespace, root)) => vec![namespace.as_fd(), root.as_fd()],
            None => vec![null.as_fd(), null.as_fd()],
        };
        let mapped = |slot: usize| trees.iter().any(|(_, op)| idmap(op) == Some(own_slot(slot)));
        fds.extend(slots.iter().enumerate().map(|(number, slot)| match slot {
            Some(fd) if mapped(number) => fd.as_fd(),
            _ => null.as_fd(),
        }));
        let (launched, channel) = launcher.launch(ops.iter(), &no_stdio()?, &fds)?;
        let rest = trees.into_iter().map(|(step, _)| step).collect::<Vec<_>>().into_iter();
        Ok(Self { conversation: Conversation::new(launched, channel, 0), rest })
    }

    /// The tree of a step; steps come in order.
    fn open(&mut self, step: u32, deadline: Deadline<'_>) -> Result<Result<OwnedFd, TreeFailure>> {
        for offered in self.rest.by_ref() {
            let is_wanted = offered == step;
            self.conversation.choose(is_wanted)?;
            if !is_wanted {
                continue;
            }
            return match self.conversation.next(deadline)? {
                Event::Tree(tree) => Ok(tree),
                Event::Failed(failure) => Err(Error::from_errno(
                    "the helper cannot enter the container's mount namespace",
                    failure.errno,
                )),
                _ => Err(Error::new(ErrorKind::Kernel, "the helper that opens trees ended early")),
            };
        }
        Err(Error::new(ErrorKind::Kernel, "init wants a tree that the plan does not have"))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.conversation.kill();
    }
}

fn open_of(process: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::openat(process, name, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::from_errno(format!("cannot open {name} of init"), errno.raw_os_error()))
}

fn own_slot(slot: usize) -> Slot {
    Slot(u32::try_from(slot).unwrap_or(u32::MAX).saturating_add(OWN_SLOTS))
}

fn idmap(op: &OwnedOp) -> Option<Slot> {
    match op {
        OwnedOp::SendTree { idmap, .. } => Some(*idmap),
        _ => None,
    }
}

/// The same step with the helper's slots.
fn for_helper(mut op: OwnedOp) -> OwnedOp {
    if let OwnedOp::SendTree { idmap, .. } = &mut op {
        if *idmap != Slot::NONE {
            *idmap = Slot(idmap.0.saturating_add(OWN_SLOTS));
        }
    }
    op
}
