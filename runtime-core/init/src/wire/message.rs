//! The conversation: fixed records on one `SOCK_SEQPACKET` pair, numbers only.
//!
//! A record is [`Message::SIZE`] bytes; an fd may come with it. Only [`Kind::HookOutput`] is followed by bytes (at most
//! [`HOOK_OUTPUT_MAX`]) in the same packet. What init sends is checked like any foreign input: after it entered an
//! existing pid namespace others may hold its end.

/// At most so much of a failed hook's output is told.
pub const HOOK_OUTPUT_MAX: usize = 4096;

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, )*) => {
        /// What a message says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Kind { $( $(#[$doc])* $name = $number, )* }

        impl Kind {
            /// The kind with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )* _ => None }
            }
        }
    };
}

kinds! {
    /// From the launcher: init was made; `value` is its pid as the host sees it, a pidfd comes along.
    Cloned = 1,
    /// From init: the step `step` is a barrier (`value`) and waits for [`Kind::Proceed`].
    Reached = 2,
    /// From the host: go on after the barrier `value`.
    Proceed = 3,
    /// From init: step `step` needs the detached tree that the plan tells the host to open.
    WantTree = 4,
    /// From the host, and to it from its helper: the tree for step `step` comes along; with `errno` not 0 it could not
    /// be opened.
    Tree = 5,
    /// From init: the console's master comes along.
    ConsoleMaster = 6,
    /// From init: step `step` failed with `errno` and `detail` (see [`Detail`]). Nothing follows.
    Failed = 7,
    /// From init: output of the failed hook of step `step`; `value` bytes follow the record; [`Kind::Failed`] comes next.
    HookOutput = 8,
    /// From init: all steps are done, `execve` is next. End-of-file after this means success.
    Executing = 9,
    /// From the launcher: an rtnetlink socket of the namespace that it joined comes along.
    RouteSocket = 10,
    /// From init: the filter of step `step` is loaded. Its listener comes along, or is the fd `value` of the sender, who
    /// waits for [`Kind::Proceed`] with [`Barrier::Listener`].
    Listener = 11,
}

/// Where init waits for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Barrier {
    /// Just cloned: the host writes id maps, places the process, saves its pid.
    Placed = 1,
    /// Mounts are made: the host moves network devices and runs `prestart` and `createRuntime` hooks.
    Mounted = 2,
    /// All of create is done: the host saves the state `created`.
    Ready = 3,
    /// The start signal where it comes on the channel (`run`).
    Start = 4,
    /// A filter of system calls has a listener: the host takes it and hands it to the agent.
    Listener = 5,
}

/// What of a step failed, beside its errno. Bits 0 to 15 are one of the constants, bits 16 to 31 a number (the index of
/// an option, a signal, an exit status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail(pub u32);

impl Detail {
    /// The step as a whole.
    pub const NONE: Self = Self(0);
    /// Opening the file system type (`fsopen`).
    pub const FS_TYPE: Self = Self(1);
    /// Setting the mount option of the given index.
    pub const OPTION: Self = Self(2);
    /// Making the superblock.
    pub const SUPERBLOCK: Self = Self(3);
    /// Opening the source of a bind mount.
    pub const SOURCE: Self = Self(4);
    /// Resolving or making the target beneath the rootfs.
    pub const TARGET: Self = Self(5);
    /// Attaching the mount (`move_mount`).
    pub const ATTACH: Self = Self(6);
    /// Setting attributes (`mount_setattr`).
    pub const ATTRIBUTES: Self = Self(7);
    /// Setting propagation.
    pub const PROPAGATION: Self = Self(8);
    /// What is there is something else than what was asked for (a link, another device, a file for a directory).
    pub const MISMATCH: Self = Self(9);
    /// Changing owner or mode.
    pub const OWNER: Self = Self(10);
    /// Opening a file.
    pub const OPEN: Self = Self(11);
    /// Writing a file.
    pub const WRITE: Self = Self(12);
    /// Sending to or receiving from the host.
    pub const CHANNEL: Self = Self(13);
    /// Starting a hook's program.
    pub const HOOK_START: Self = Self(14);
    /// A hook's exit status is the number.
    pub const HOOK_STATUS: Self = Self(15);
    /// A hook was ended by the signal of the number.
    pub const HOOK_SIGNAL: Self = Self(16);
    /// A hook ran past its timeout.
    pub const HOOK_TIMEOUT: Self = Self(17);
    /// `args[0]` was found nowhere in the search path.
    pub const NOT_IN_PATH: Self = Self(18);
    /// `args[0]` is a directory.
    pub const IS_DIRECTORY: Self = Self(19);
    /// A signal (the number) ended a container that waited for its start.
    pub const SIGNALLED: Self = Self(20);
    /// The working directory lies outside the container's root.
    pub const OUTSIDE_ROOT: Self = Self(21);
    /// Getting the terminal's other end.
    pub const TERMINAL: Self = Self(22);
    /// Changing the user id.
    pub const UID: Self = Self(23);
    /// Changing the group id.
    pub const GID: Self = Self(24);
    /// Changing supplementary groups.
    pub const GROUPS: Self = Self(25);
    /// The plan is damaged or of another build.
    pub const MALFORMED: Self = Self(26);
    /// Loading the filter of system calls.
    pub const FILTER: Self = Self(27);
    /// Giving a mount its id map.
    pub const IDMAP: Self = Self(28);
    /// Reading or making a symbolic link.
    pub const LINK: Self = Self(29);
    /// Making the mount of a new file system: EPERM where parts of all others of proc or sysfs are covered.
    pub const COVERED: Self = Self(30);

    /// The same with a number.
    #[must_use]
    pub const fn with(self, number: u32) -> Self {
        Self((self.0 & 0xffff) | (number << 16))
    }

    /// Which constant it is.
    #[must_use]
    pub const fn what(self) -> Self {
        Self(self.0 & 0xffff)
    }

    /// The number that came with it.
    pub const fn number(self) -> u32 {
        self.0 >> 16
    }
}

/// One record of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub kind: Kind,
    /// Index of the step it speaks of.
    pub step: u32,
    /// A number that depends on the kind.
    pub value: u32,
    /// `errno` of a failure.
    pub errno: i32,
    /// What of the step failed.
    pub detail: Detail,
}

impl Message {
    /// Bytes of a record.
    pub const SIZE: usize = 20;

    /// A record of this kind with zeros elsewhere.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, step: 0, value: 0, errno: 0, detail: Detail::NONE }
    }

    /// The record's bytes.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let words = [self.kind as u32, self.step, self.value, self.errno as u32, self.detail.0];
        let mut bytes = [0; Self::SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record; none for a wrong length or kind.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut words = [0u32; 5];
        if bytes.len() < Self::SIZE {
            return None;
        }
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Some(Self {
            kind: Kind::from_number(words[0])?,
            step: words[1],
            value: words[2],
            errno: words[3] as i32,
            detail: Detail(words[4]),
        })
    }
}

/// What `start` writes into the FIFO. The first bytes are the same in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRecord {
    /// Version of the record.
    pub version: u32,
    /// Bytes that follow (late values; none in version 1).
    pub length: u32,
}

impl StartRecord {
    /// Bytes of the fixed part.
    pub const SIZE: usize = 12;
    /// The version this build writes and understands.
    pub const VERSION: u32 = 1;
    const MAGIC: u32 = 0x6f72_6c73;

    /// The record of this version, without late values.
    pub const fn plain() -> Self {
        Self { version: Self::VERSION, length: 0 }
    }

    /// The record's bytes.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip([Self::MAGIC, self.version, self.length]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        (word(0) == Self::MAGIC).then(|| Self { version: word(4), length: word(8) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_sent() {
        for number in 0..20 {
            let Some(kind) = Kind::from_number(number) else { continue };
            assert_eq!(kind as u32, number);
            let sent = Message { kind, step: 3, value: u32::MAX, errno: -5, detail: Detail::OPTION.with(7) };
            assert_eq!(Message::from_bytes(&sent.to_bytes()), Some(sent));
            assert_eq!(Message::from_bytes(&sent.to_bytes()[..Message::SIZE - 1]), None);
        }
        assert_eq!(Message::from_bytes(&[0xff; Message::SIZE]), None);
    }

    #[test]
    fn a_detail_holds_a_constant_and_a_number() {
        let detail = Detail::HOOK_STATUS.with(255);
        assert_eq!((detail.what(), detail.number()), (Detail::HOOK_STATUS, 255));
        assert_eq!(detail.with(1).number(), 1);
    }

    #[test]
    fn start_records_are_known_by_their_magic() {
        let plain = StartRecord::plain();
        assert_eq!(StartRecord::from_bytes(&plain.to_bytes()), Some(plain));
        assert_eq!(StartRecord::from_bytes(&[0; StartRecord::SIZE]), None);
    }
}
