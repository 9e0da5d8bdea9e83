//! The terminal and the standard fds.

use super::{
    At, Failure, Init,
    path::{self, Last, Missing},
};
use crate::{
    sys::{
        Errno, Fd, RawFd,
        file::{
            self, AT_EMPTY_PATH, O_CREAT, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_PATH, O_RDWR, O_WRONLY, S_IFCHR,
            S_IFLNK,
        },
        mount,
    },
    wire::message::{Detail, Kind, Message},
};

const TIOCSCTTY: u32 = 0x540e;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTPEER: u32 = 0x5441;

/// `struct winsize`: rows, columns, and pixels that nobody uses.
type WindowSize = [u16; 4];

pub(super) struct Console {
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) uid: u32,
    pub(super) bind_console: bool,
    pub(super) controlling: bool,
}

/// The step *Console*.
pub(super) fn open_console(init: &mut Init, console: &Console) -> Result<(), Failure> {
    let root = init.root()?;
    let master = open_master(init, root)?;
    let slave = file::ioctl_number(master.raw(), TIOCGPTPEER, (O_RDWR | O_NOCTTY | CLOEXEC) as usize)
        .map(|fd| Fd::own(fd as RawFd))
        .at(Detail::TERMINAL)?;
    if console.height != 0 && console.width != 0 {
        let cells = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let mut size: WindowSize = [cells(console.height), cells(console.width), 0, 0];
        // SAFETY: TIOCSWINSZ reads a `struct winsize`.
        unsafe { file::ioctl_buffer(master.raw(), TIOCSWINSZ, &mut size) }.at(Detail::TERMINAL)?;
    }
    file::fchownat(slave.raw(), c"", console.uid, u32::MAX, AT_EMPTY_PATH).at(Detail::OWNER)?;
    if console.bind_console {
        bind_console(root, slave.raw())?;
    }
    init.conversation.send(Message::new(Kind::ConsoleMaster), Some(master.raw()))?;
    (0..3).try_for_each(|fd| file::dup_inherited(slave.raw(), fd)).at(Detail::TERMINAL)?;
    if console.controlling { control_terminal() } else { Ok(()) }
}

/// The step *ControllingTerminal*.
pub(super) fn control_terminal() -> Result<(), Failure> {
    file::ioctl_number(0, TIOCSCTTY, 0).map(drop).at(Detail::TERMINAL)
}

/// `O_CLOEXEC`, which TIOCGPTPEER takes as open(2) does.
const CLOEXEC: u32 = 0o2_000_000;

/// A new terminal of the container's devpts: the one mounted by us, never one found by its name alone.
fn open_master(init: &Init, root: RawFd) -> Result<Fd, Failure> {
    let found;
    let devpts = match &init.devpts {
        Some(devpts) => devpts,
        None => {
            found = find_devpts(root).at(Detail::OPEN)?;
            &found
        }
    };
    let master = file::openat(devpts.raw(), c"ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, 0).at(Detail::OPEN)?;
    let mut locked = 0i32;
    // SAFETY: TIOCSPTLCK reads an int.
    unsafe { file::ioctl_buffer(master.raw(), TIOCSPTLCK, &mut locked) }.at(Detail::TERMINAL)?;
    Ok(master)
}

/// The devpts of a container that was joined, or that its configuration brought along by a bind mount.
fn find_devpts(root: RawFd) -> Result<Fd, Errno> {
    const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
    let devpts = path::resolve(root, c"/dev/pts", Last::Followed, Missing::Fails)?;
    if file::fstatfs(devpts.raw())?.0 == DEVPTS_SUPER_MAGIC { Ok(devpts) } else { Err(Errno::ENODEV) }
}

/// Binds the terminal over /dev/console, which is made if missing. A link there is refused: the image would choose
/// what is hidden.
fn bind_console(root: RawFd, slave: RawFd) -> Result<(), Failure> {
    let (dev, name) = path::resolve_parent(root, c"/dev/console", Missing::Directory).at(Detail::TARGET)?;
    let name = name.as_c_str();
    match file::openat(dev.raw(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Failure::new(errno, Detail::TARGET)),
    }
    let target = file::openat(dev.raw(), name, O_PATH | O_NOFOLLOW, 0).at(Detail::TARGET)?;
    if file::fstat(target.raw()).at(Detail::TARGET)?.kind() == S_IFLNK {
        return Err(Failure::new(Errno::ELOOP, Detail::MISMATCH));
    }
    let tree = mount::clone_tree(slave, c"", false).at(Detail::SOURCE)?;
    mount::attach(tree.raw(), target.raw()).at(Detail::ATTACH)
}

/// The step *OwnStdio*: only so can the user open /dev/stdout again.
pub(super) fn own_stdio(uid: u32) -> Result<(), Failure> {
    for fd in 0..3 {
        let status = file::fstat(fd)?;
        let is_null = status.kind() == S_IFCHR && status.rdev == (1, 3);
        if is_null || status.uid == uid || is_terminal(fd) {
            continue;
        }
        match file::fchownat(fd, c"", uid, u32::MAX, AT_EMPTY_PATH) {
            // Not ours, not mapped, a read-only or a file system without owners: opening may work all the same.
            Ok(()) | Err(Errno::EPERM | Errno::EROFS | Errno::EINVAL | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(Failure::new(errno, Detail::OWNER)),
        }
    }
    Ok(())
}

/// The caller's terminal stays the caller's; the container's own belongs to the user already.
fn is_terminal(fd: RawFd) -> bool {
    let mut size: WindowSize = [0; 4];
    // SAFETY: TIOCGWINSZ writes a `struct winsize`.
    unsafe { file::ioctl_buffer(fd, TIOCGWINSZ, &mut size) }.is_ok()
}
