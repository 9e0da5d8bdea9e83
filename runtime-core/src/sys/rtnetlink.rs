//! rtnetlink(7), as far as moving a network device takes it: one request at a time on a socket of one network namespace.
//! Messages are those of `netlink-packet-route`; of links only the fixed header is read, since every kernel adds
//! attributes.

use std::{
    cell::Cell,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, Parseable,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{LinkAttribute, LinkFlags, LinkHeader, LinkMessage},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType},
};

/// The kernel fills at most 32 KiB at once (`NLMSG_GOODSIZE` and the dump's own bound).
const BUFFER: usize = 64 << 10;

/// A dump that a change elsewhere has interrupted is asked for again, so often.
const DUMP_TRIES: usize = 16;

/// What is kept of an address: the rest is the kernel's own business.
const KEPT_FLAGS: AddressFlags = AddressFlags::Nodad
    .union(AddressFlags::Homeaddress)
    .union(AddressFlags::Managetempaddr)
    .union(AddressFlags::Noprefixroute)
    .union(AddressFlags::Mcautojoin)
    .union(AddressFlags::StablePrivacy);

/// A socket of one network namespace.
#[derive(Debug)]
pub(crate) struct Rtnetlink {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

/// A network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) is_up: bool,
}

impl From<OwnedFd> for Rtnetlink {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, sequence: Cell::new(0) }
    }
}

impl Rtnetlink {
    /// A socket of the calling thread's namespace.
    pub(crate) fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        // No protocol is number 0: NETLINK_ROUTE.
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).map(Self::from)
    }

    /// A device by its name; none where there is no such device.
    pub(crate) fn link(&self, name: &str) -> Result<Option<Link>, Errno> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut found = None;
        let answer = self.ask(RouteNetlinkMessage::GetLink(link), 0, |payload| {
            found = LinkHeader::parse(payload).ok();
        });
        match answer {
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(errno),
            Ok(()) => {
                Ok(found
                    .map(|header| Link { index: header.index, is_up: header.flags.contains(LinkFlags::Up) }))
            }
        }
    }

    /// The numbers of all devices.
    pub(crate) fn link_indices(&self) -> Result<Vec<u32>, Errno> {
        self.dump(
            || RouteNetlinkMessage::GetLink(LinkMessage::default()),
            |payload| LinkHeader::parse(payload).ok().map(|header| header.index),
        )
    }

    /// The permanent addresses of global scope of a device, in the order in which they were given.
    pub(crate) fn lasting_addresses(&self, index: u32) -> Result<Vec<AddressMessage>, Errno> {
        let addresses = self.dump(
            || RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            |payload| AddressMessage::parse(payload).ok(),
        )?;
        Ok(addresses
            .into_iter()
            .filter(|address| address.header.index == index && is_lasting(address))
            .collect())
    }

    /// Moves a device into another namespace and renames it there, in one request.
    pub(crate) fn move_link(&self, index: u32, name: &str, namespace: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.ask(RouteNetlinkMessage::NewLink(link), NLM_F_ACK, |_| {})
    }

    /// Brings a device up.
    pub(crate) fn set_up(&self, index: u32) -> Result<(), Errno> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::NewLink(link), NLM_F_ACK, |_| {})
    }

    /// Gives a device an address that another one had.
    pub(crate) fn add_address(&self, index: u32, address: &AddressMessage) -> Result<(), Errno> {
        let message = RouteNetlinkMessage::NewAddress(transplanted(address, index));
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, |_| {})
    }

    fn dump<T>(
        &self,
        request: impl Fn() -> RouteNetlinkMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            match self.ask(request(), NLM_F_DUMP, |payload| found.extend(read(payload))) {
                Ok(()) => return Ok(found),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::BUSY)
    }

    /// Sends a request and reads its answer: one object, an acknowledgement, or a dump to its end. `EINTR`: a dump that
    /// shows a mixture.
    fn ask(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        let sequence = self.send(request, flags)?;
        let mut buffer = vec![0; BUFFER];
        let mut is_mixture = false;
        loop {
            let length = loop {
                match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                    Err(Errno::INTR) => {}
                    received => break received?.1,
                }
            };
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let message: NetlinkBuffer<&[u8]> = message;
                let end = (message.length() as usize).next_multiple_of(4);
                rest = rest.get(end..).unwrap_or_default();
                if message.sequence_number() != sequence {
                    continue;
                }
                is_mixture |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_ERROR => return acknowledgement(message.payload()),
                    NLMSG_DONE if is_mixture => return Err(Errno::INTR),
                    NLMSG_DONE => return Ok(()),
                    _ => each(message.payload()),
                }
                if flags & (NLM_F_DUMP | NLM_F_ACK) == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn send(&self, request: RouteNetlinkMessage, flags: u16) -> Result<u32, Errno> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        rustix::net::send(self.socket.as_fd(), &bytes, SendFlags::empty())?;
        Ok(sequence)
    }
}

/// `struct nlmsgerr`: it begins with the negative errno, 0 for success.
fn acknowledgement(payload: &[u8]) -> Result<(), Errno> {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(-code)),
        None => Err(Errno::PROTO),
    }
}

fn flags(address: &AddressMessage) -> AddressFlags {
    let whole = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    whole.unwrap_or_else(|| AddressFlags::from_bits_retain(address.header.flags.bits().into()))
}

fn is_lasting(address: &AddressMessage) -> bool {
    address.header.scope == AddressScope::Universe && flags(address).contains(AddressFlags::Permanent)
}

/// The same address for a device of another number and name. A label begins with the device's name, so it stays behind.
fn transplanted(address: &AddressMessage, index: u32) -> AddressMessage {
    let mut moved = address.clone();
    moved.header.index = index;
    moved.header.flags = netlink_packet_route::address::AddressHeaderFlags::empty();
    moved.attributes.retain(|attribute| {
        matches!(
            attribute,
            AddressAttribute::Address(_)
                | AddressAttribute::Local(_)
                | AddressAttribute::Broadcast(_)
                | AddressAttribute::CacheInfo(_)
                | AddressAttribute::RoutePriority(_)
                | AddressAttribute::Protocol(_)
        )
    });
    moved.attributes.push(AddressAttribute::Flags(flags(address) & KEPT_FLAGS));
    moved
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::{Rtnetlink, acknowledgement};

    #[test]
    fn devices_of_this_namespace_are_found() {
        let netlink = Rtnetlink::open().unwrap();
        let lo = netlink.link("lo").unwrap().unwrap();
        assert_eq!(lo.index, 1);
        assert!(netlink.link_indices().unwrap().contains(&1));
        assert_eq!(netlink.link("no-such-device").unwrap(), None);
        assert_eq!(netlink.lasting_addresses(1).unwrap(), [], "those of lo are of scope host");
    }

    #[test]
    fn an_answer_is_an_errno() {
        assert_eq!(acknowledgement(&[0; 20]), Ok(()));
        assert_eq!(acknowledgement(&(-19i32).to_ne_bytes()), Err(Errno::NODEV));
        assert_eq!(acknowledgement(&[1]), Err(Errno::PROTO));
    }
}
