//! Executes the freestanding program with an encoded plan and a table of fds.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Mutex,
};

use orlop_init::wire::{OwnedOp, encode_plan};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    Error, ErrorKind, Result, Stdio,
    sys::{
        channel::Channel,
        fresh_program::fresh_program,
        image::{Image, sealed_memfd},
        launch::{LaunchFailure, Launched, launch},
    },
};

const ETXTBSY: i32 = 26;
/// A fork's child holds an fd only until its exec, so two in a row are rare.
const BUSY_ATTEMPTS: u32 = 8;

/// Keeps the sealed program between starts.
#[derive(Debug, Default)]
pub(crate) struct Launcher {
    image: Mutex<Option<Image>>,
}

/// The first three fds of a new process.
struct StandardFds {
    /// Stands in for what the caller has closed.
    null: Option<OwnedFd>,
}

impl StandardFds {
    fn new(stdio: &Stdio) -> Result<Self> {
        let inherited = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let closed = stdio.fds.iter().zip(inherited).any(|(given, own)| given.is_none() && !is_open(own));
        let null = if closed { Some(open_null()?) } else { None };
        Ok(Self { null })
    }

    fn get<'a>(&'a self, given: Option<&'a OwnedFd>, own: BorrowedFd<'a>) -> BorrowedFd<'a> {
        match (given, &self.null) {
            (Some(given), _) => given.as_fd(),
            (None, Some(null)) if !is_open(own) => null.as_fd(),
            (None, _) => own,
        }
    }
}

fn is_open(fd: BorrowedFd<'_>) -> bool {
    rustix::io::fcntl_getfd(fd).is_ok()
}

pub(super) fn open_null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::from_errno("cannot open /dev/null", errno.raw_os_error()))
}

impl Launcher {
    /// Executes the program, which walks `ops`. `slots` are the fds that the ops name.
    pub(crate) fn launch<'a>(
        &self,
        ops: impl ExactSizeIterator<Item = &'a OwnedOp>,
        stdio: &Stdio,
        slots: &[BorrowedFd<'_>],
    ) -> Result<(Launched, Channel)> {
        let plan = sealed_memfd(c"orlop-plan", &encode_plan(ops, slots.len()), false)
            .map_err(|errno| Error::from_errno("cannot make the plan's memfd", errno.raw_os_error()))?;
        let (channel, other) = Channel::pair()
            .map_err(|errno| Error::from_errno("cannot make the channel to init", errno.raw_os_error()))?;

        let standard = StandardFds::new(stdio)?;
        let [stdin, stdout, stderr] = &stdio.fds;
        let mut fds = vec![
            standard.get(stdin.as_ref(), rustix::stdio::stdin()),
            standard.get(stdout.as_ref(), rustix::stdio::stdout()),
            standard.get(stderr.as_ref(), rustix::stdio::stderr()),
        ];
        fds.extend(stdio.preserved.iter().map(AsFd::as_fd));
        let base = fds.len();
        fds.extend([plan.as_fd(), other.as_fd()]);
        fds.extend_from_slice(slots);

        let base_text = CString::new(base.to_string()).unwrap_or_default();
        let argv = [c"orlop-init", &base_text];
        let mut busy = 0;
        loop {
            let image = self.image()?;
            match launch(image.as_fd(), &argv, &fds) {
                Ok(launched) => return Ok((launched, channel)),
                // A child that some thread of the caller's forked held the file open for writing: the next is another.
                Err(LaunchFailure::Exec(ETXTBSY)) if busy < BUSY_ATTEMPTS => busy += 1,
                Err(failure) => return Err(launch_error(failure)),
            }
        }
    }

    /// The program, for one start.
    fn image(&self) -> Result<OwnedFd> {
        let mut kept = self.image.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(image) = kept.take_if(|image| !image.is_intact()) {
            image.forget();
        }
        let image = match kept.take() {
            Some(image) => image,
            None => match Image::new() {
                Ok(image) => image,
                Err(Errno::ACCESS) => return fresh_program().map_err(image_error),
                Err(errno) => return Err(image_error(errno)),
            },
        };
        // A duplicate, so that other threads need not wait for this start.
        let own = image.as_fd().try_clone_to_owned();
        *kept = Some(image);
        drop(kept);
        own.map_err(|source| Error::from_io("cannot duplicate the program's memfd", source))
    }
}

fn image_error(errno: Errno) -> Error {
    let error = Error::from_errno("cannot make the sealed program of init", errno.raw_os_error());
    match errno {
        Errno::ACCESS | Errno::PERM => {
            let hint = "the sysctl vm.memfd_noexec=2 forbids executable memfds, and no file can be executed from \
                        /dev/shm, /run, /tmp or /var/tmp: set it to 1 or 0, or mount one of them without noexec";
            error.with_hint(hint)
        }
        _ => error,
    }
}

fn launch_error(failure: LaunchFailure) -> Error {
    match failure {
        LaunchFailure::Clone(errno) => Error::from_errno("cannot clone the launcher", errno),
        LaunchFailure::Fd(index, errno) => {
            Error::from_errno(format!("cannot pass fd {index} to the launcher"), errno)
        }
        LaunchFailure::Exec(errno) => Error::from_errno("cannot execute the launcher from its memfd", errno)
            .with_kind(ErrorKind::Kernel)
            .with_hint("an outer sandbox may forbid execveat(2) of a memfd"),
    }
}
