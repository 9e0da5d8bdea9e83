//! Network devices on their way between this host's namespace and the container's.
//!
//! Both ends are rtnetlink sockets of this process. The one of the container's namespace comes from a launcher that
//! joined it: what shares the caller's memory enters nothing of the container, and a network namespace neither.

use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_route::address::AddressMessage;
use orlop_init::wire::{OwnedOp, Slot, message::Barrier};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{Conversation, Event, Launcher};
use crate::{Deadline, Error, ErrorKind, Result, Stdio, inspect::BundleFacts, sys::rtnetlink::Rtnetlink};

/// `CLONE_NEWNET` (sched.h).
const CLONE_NEWNET: u32 = 0x4000_0000;

/// The two namespaces, and what was moved.
#[derive(Debug)]
pub(super) struct NetDevices {
    host: Rtnetlink,
    container: Rtnetlink,
    namespace: OwnedFd,
    moved: Vec<Moved>,
}

/// What a device was on the host.
#[derive(Debug)]
struct Moved {
    name: String,
    /// Its number in the container.
    index: u32,
    addresses: Vec<AddressMessage>,
    was_up: bool,
}

impl NetDevices {
    /// Opens both ends. The container's is the namespace that it joins, or that of init, whose `/proc/PID` is given.
    pub(super) fn open(
        launcher: &Launcher,
        facts: &BundleFacts,
        init: &OwnedFd,
        deadline: Deadline<'_>,
    ) -> Result<Self> {
        let failed = |source| Error::from_io("cannot open the container's network namespace", source);
        let joined = facts.namespaces.iter().find(|joined| joined.kind == CLONE_NEWNET && !joined.is_own);
        let namespace = match joined.and_then(|joined| joined.fd.as_ref()) {
            Some(namespace) => namespace.try_clone(),
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                rustix::fs::openat(init, "ns/net", flags, Mode::empty()).map_err(Into::into)
            }
        };
        let namespace = namespace.map_err(failed)?;
        let host = Rtnetlink::open()
            .map_err(|errno| Error::from_errno("cannot open an rtnetlink socket", errno.raw_os_error()))?;
        let container = Rtnetlink::from(socket_of(launcher, &namespace, deadline)?);
        Ok(Self { host, container, namespace, moved: Vec::new() })
    }

    /// Moves a device, gives it its addresses back, which the kernel drops on the way, and brings it up.
    pub(super) fn move_in(&mut self, name: &str, name_inside: &str) -> Result<()> {
        let failed = |what: &str, errno: Errno| {
            let words = format!("cannot {what} network device {name} (as {name_inside:?} in the container)");
            Error::from_errno(words, errno.raw_os_error())
        };
        let link = self.host.link(name).map_err(|errno| failed("look up", errno))?;
        let link = link.ok_or_else(|| failed("move", Errno::NODEV).with_hint("it was there a moment ago"))?;
        let addresses = self
            .host
            .lasting_addresses(link.index)
            .map_err(|errno| failed("read the addresses of", errno))?;
        let before = self.container.link_indices().map_err(|errno| failed("look for", errno))?;
        let is_template = name_inside.contains('%');
        let find = |container: &Rtnetlink| container.link(name_inside);
        if !is_template && find(&self.container).map_err(|errno| failed("look for", errno))?.is_some() {
            let error = failed("move", Errno::EXIST).with_kind(ErrorKind::InvalidConfig);
            return Err(error.with_hint("the container's network namespace has a device of this name"));
        }
        // Also what the kernel moved but could not rename is to be taken back: from here on it may be there.
        let was_up = link.is_up;
        let moved = Moved { name: name.to_owned(), index: link.index, addresses: addresses.clone(), was_up };
        self.moved.push(moved);
        self.host.move_link(link.index, name_inside, self.namespace.as_fd()).map_err(
            |errno| match errno {
                Errno::INVAL => failed("move", errno).with_hint("some devices are bound to their namespace"),
                Errno::PERM => failed("move", errno).with_hint("this needs CAP_NET_ADMIN in both namespaces"),
                _ => failed("move", errno),
            },
        )?;
        let after = self.container.link_indices().map_err(|errno| failed("look for", errno))?;
        let index = new_index(link.index, &before, &after).ok_or_else(|| failed("find", Errno::NODEV))?;
        if let Some(moved) = self.moved.last_mut() {
            moved.index = index;
        }
        restore(&self.container, index, &addresses, true).map_err(|errno| failed("set up", errno))
    }

    /// Moves everything back, the last one first; failures are attached.
    pub(super) fn give_back(self, error: &mut Error) {
        let Ok(own) =
            rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        else {
            let failure = Error::new(ErrorKind::Kernel, "cannot open this thread's network namespace");
            return error.attach_cleanup(failure);
        };
        for moved in self.moved.iter().rev() {
            let back = self.host.link(&moved.name).and_then(|there| match there {
                // It never went.
                Some(_) => Ok(()),
                None => {
                    self.container.move_link(moved.index, &moved.name, own.as_fd())?;
                    let link = self.host.link(&moved.name)?.ok_or(Errno::NODEV)?;
                    restore(&self.host, link.index, &moved.addresses, moved.was_up)
                }
            });
            if let Err(errno) = back {
                let words = format!("cannot move network device {} back to this host", moved.name);
                error.attach_cleanup(Error::from_errno(words, errno.raw_os_error()));
            }
        }
    }
}

/// Addresses before the state: an IPv6 address on a device that is up begins to be announced.
fn restore(netlink: &Rtnetlink, index: u32, addresses: &[AddressMessage], is_up: bool) -> Result<(), Errno> {
    for address in addresses {
        match netlink.add_address(index, address) {
            // EEXIST: one that the kernel has made itself meanwhile.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    if is_up { netlink.set_up(index) } else { Ok(()) }
}

/// The number of a device after its move: the same one, unless a device there has it.
fn new_index(old: u32, before: &[u32], after: &[u32]) -> Option<u32> {
    let mut new = after.iter().copied().filter(|index| !before.contains(index));
    match new.clone().find(|index| *index == old) {
        Some(same) => Some(same),
        None => new.next(),
    }
}

/// A socket that a process in the namespace has opened. The process ends with that.
fn socket_of(launcher: &Launcher, namespace: &OwnedFd, deadline: Deadline<'_>) -> Result<OwnedFd> {
    let ops = [
        OwnedOp::JoinNamespace { namespace: Slot(0), kind: CLONE_NEWNET },
        OwnedOp::RouteSocket {},
        OwnedOp::Barrier { barrier: Barrier::Placed as u32 },
    ];
    let (launched, channel) = launcher.launch(ops.iter(), &Stdio::inherit(), &[namespace.as_fd()])?;
    let mut conversation = Conversation::new(launched, channel, 0);
    let event = conversation.next(deadline);
    conversation.kill();
    match event? {
        Event::RouteSocket(socket) => Ok(socket),
        Event::Failed(failure) => {
            Err(Error::from_errno("cannot enter the container's network namespace", failure.errno))
        }
        _ => Err(Error::new(ErrorKind::Kernel, "nothing came from the container's network namespace")),
    }
}

#[cfg(test)]
mod tests {
    use super::new_index;

    #[test]
    fn a_device_keeps_its_number_unless_it_is_taken() {
        for (old, before, after, expected) in [
            (5, &[1][..], &[1, 5][..], Some(5)),
            (5, &[1, 5], &[1, 5, 6], Some(6)),
            (5, &[1], &[1, 2, 5], Some(5)),
            (5, &[1], &[1], None),
        ] {
            assert_eq!(new_index(old, before, after), expected, "{before:?} {after:?}");
        }
    }
}
