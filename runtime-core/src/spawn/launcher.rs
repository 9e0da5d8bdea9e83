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
        image::{Image, sealed_memfd},
        launch::{LaunchFailure, Launched, launch},
    },
};

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
    /// Executes the program, which walks `ops`. `slots` are the fds that the ops name; the first `eager_trees` trees will
    /// be sent unasked.
    pub(crate) fn launch<'a>(
        &self,
        ops: impl ExactSizeIterator<Item = &'a OwnedOp>,
        stdio: &Stdio,
        slots: &[BorrowedFd<'_>],
        eager_trees: u32,
    ) -> Result<(Launched, Channel)> {
        let plan = sealed_memfd(c"orlop-plan", &encode_plan(ops, slots.len(), eager_trees), false)
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
        let launched = self.with_image(|image| launch(image, &argv, &fds))?.map_err(launch_error)?;
        Ok((launched, channel))
    }

    fn with_image<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
        let mut kept = self.image.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(image) = kept.take_if(|image| !image.is_intact()) {
            image.forget();
        }
        let image = match kept.take() {
            Some(image) => image,
            None => Image::new().map_err(image_error)?,
        };
        // A duplicate, so that other threads need not wait for this start.
        let own = image.as_fd().try_clone_to_owned();
        *kept = Some(image);
        drop(kept);
        let own = own.map_err(|source| Error::from_io("cannot duplicate the program's memfd", source))?;
        Ok(use_it(own.as_fd()))
    }
}

fn image_error(errno: Errno) -> Error {
    let error = Error::from_errno("cannot make the sealed program of init", errno.raw_os_error());
    match errno {
        Errno::ACCESS | Errno::PERM => {
            error.with_hint("the sysctl vm.memfd_noexec=2 forbids executable memfds; set it to 1 or 0")
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
