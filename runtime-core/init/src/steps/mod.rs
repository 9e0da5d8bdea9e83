//! What launcher and init do: one function per step of the plan, one file per family.
//!
//! [`perform`] is the table from step to function. A function gets what it uses; the few things that one step leaves
//! for a later one are fields of [`Init`].

mod attributes;
mod bind;
mod capabilities;
mod console;
mod copy;
mod exec;
mod filter;
mod hooks;
mod ids;
mod label;
mod legacy;
mod mask;
mod mount;
mod node;
mod path;
mod proc;
mod process;
mod root;
mod sysctl;
mod tree;
mod wait;

use crate::{
    conversation::Conversation,
    sys::{
        Errno, Fd, RawFd,
        file::{self, O_DIRECTORY, O_PATH},
    },
    wire::{
        Malformed, Op, PlanReader, Slot,
        message::{Barrier, Detail},
    },
};

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) detail: Detail,
}

impl Failure {
    pub(crate) const fn new(errno: Errno, detail: Detail) -> Self {
        Self { errno, detail }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::new(errno, Detail::NONE)
    }
}

impl From<Malformed> for Failure {
    fn from(Malformed: Malformed) -> Self {
        Self::new(Errno::EPROTO, Detail::MALFORMED)
    }
}

/// Says which part of a step a call belongs to.
pub(crate) trait At<T> {
    fn at(self, detail: Detail) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, detail: Detail) -> Result<T, Failure> {
        self.map_err(|errno| Failure::new(errno, detail))
    }
}

/// What steps leave for later ones.
pub(crate) struct Init {
    /// First fd of the table: the plan; the channel follows, then the slots.
    pub(crate) base: RawFd,
    pub(crate) slots: u32,
    pub(crate) conversation: Conversation,
    /// umask that the launcher was started with; hooks get it, of the host and of the container.
    umask: u32,
    /// Whether a step has given the program a umask of its own.
    has_own_umask: bool,
    rootfs: Option<Fd>,
    /// Whether the rootfs is the present root.
    is_inside: bool,
    /// Whether the runtime's mounts may be peers of the host's: a rootfs attached beneath would show up there.
    may_be_shared: bool,
    devpts: Option<Fd>,
    mask: mask::Masks,
    /// A procfs that nothing is mounted over.
    proc: Option<Fd>,
    executable: exec::Executable,
    /// Where the security label of the next exec is written.
    label: Option<Fd>,
    /// The filter that `Exec` loads.
    filter: Option<filter::Kept>,
    /// Signals that end a waiting container: opened before limits are set, which may allow no more fds.
    ending: Option<Fd>,
}

impl Init {
    pub(crate) fn new(base: RawFd, slots: u32, umask: u32) -> Self {
        Self {
            base,
            slots,
            conversation: Conversation::new(base + 1),
            umask,
            has_own_umask: false,
            rootfs: None,
            is_inside: false,
            may_be_shared: true,
            devpts: None,
            mask: mask::Masks::default(),
            proc: None,
            executable: exec::Executable::none(),
            label: None,
            filter: None,
            ending: None,
        }
    }

    /// The fd of a slot; none for no slot.
    pub(crate) fn slot(&self, slot: Slot) -> Result<Option<RawFd>, Failure> {
        match slot {
            Slot::NONE => Ok(None),
            // Slots are few (an fd each), so the sum stays an fd.
            Slot(number) if number < self.slots => Ok(Some(self.base + 2 + number as RawFd)),
            Slot(_) => Err(Malformed.into()),
        }
    }

    /// The fd of a slot that must be given.
    fn required_slot(&self, slot: Slot) -> Result<RawFd, Failure> {
        self.slot(slot)?.ok_or_else(|| Malformed.into())
    }

    /// Closes what steps kept, before init becomes visible to others. A rootfs that is not entered yet is needed.
    fn close_kept(&mut self) {
        self.rootfs = self.rootfs.take().filter(|_| !self.is_inside);
        self.devpts = None;
        self.mask = mask::Masks::default();
        self.proc = None;
    }

    /// Where paths of the container begin: the attached rootfs, or the present root where a container was joined.
    fn root(&mut self) -> Result<RawFd, Errno> {
        let root = match self.rootfs.take() {
            Some(root) => root,
            None => {
                // That of the container which was joined.
                self.is_inside = true;
                file::openat(file::AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0)?
            }
        };
        Ok(self.rootfs.insert(root).raw())
    }
}

/// Performs one step. `rest` reads what comes after it.
#[expect(clippy::too_many_lines, reason = "a table from step to function")]
pub(crate) fn perform(init: &mut Init, op: Op<'static>, rest: &PlanReader<'static>) -> Result<(), Failure> {
    match op {
        Op::JoinNamespace { namespace, kind } => {
            process::join_namespace(init.required_slot(namespace)?, kind)
        }
        Op::Unshare { flags } => process::unshare(flags),
        Op::Clone { namespaces, cgroup } => {
            init.close_kept();
            crate::launcher::clone_init(&init.conversation, namespaces, init.slot(cgroup)?)
        }
        Op::Barrier { barrier } => {
            if barrier == Barrier::Ready as u32 && init.ending.is_none() {
                init.ending = Some(wait::open_ending()?);
            }
            init.conversation.wait_at(barrier)
        }
        Op::SetDumpable { value } => process::set_dumpable(value),
        Op::BecomeRoot { drop_groups } => ids::become_root(drop_groups),
        Op::TimeOffsets { offsets } => process::write_time_offsets(offsets),
        Op::NewSession {} => process::new_session(),
        Op::SessionKeyring { name } => process::join_session_keyring(name),
        Op::LoopbackUp {} => process::bring_loopback_up(),
        Op::Hostname { name } => Ok(crate::sys::process::sethostname(name)?),
        Op::Domainname { name } => Ok(crate::sys::process::setdomainname(name)?),
        Op::RootPropagation { flags } => root::set_old_propagation(init, flags),
        Op::AttachRootfs { path, from_host } => root::attach(init, path, from_host),
        Op::NewMount { .. } => mount::mount_new(init, &op),
        Op::BindMount { .. } => bind::mount_bind(init, &op),
        Op::BindProc { mount_namespace, pid_namespace, target, attributes, propagation } => {
            let namespaces = (init.required_slot(mount_namespace)?, init.required_slot(pid_namespace)?);
            proc::bind(init, namespaces, target, attributes, propagation)
        }
        Op::Remount { target, options, set, clear, keep, propagation } => {
            let flags = mount::Change { set, clear, keep };
            mount::remount(init.root()?, target, &options, flags, propagation)
        }
        Op::CloseSlot { slot } => {
            crate::sys::close(init.required_slot(slot)?);
            Ok(())
        }
        Op::EnterRoot { root } => tree::enter_root(init.required_slot(root)?),
        Op::SendTree { source: path, recursive, links, idmap, idmap_recursive } => {
            tree::send_tree(init, &tree::Source { path, recursive, links, idmap, idmap_recursive })
        }
        Op::Symlink { points_to, path } => node::make_symlink(init.root()?, points_to, path),
        Op::Remove { path } => node::remove(init.root()?, path),
        Op::DeviceNode { path, mode, major, minor, uid, gid } => {
            node::make_device(init.root()?, path, &node::Device { mode, major, minor, uid, gid })
        }
        Op::PivotRoot {} => root::pivot(init),
        Op::MoveRoot {} => root::move_over(init),
        Op::RootfsPropagation { flags } => root::set_propagation(init.root()?, flags),
        Op::ReadonlyRootfs {} => root::make_readonly(init.root()?),
        Op::OpenMask {} => init.mask.open_null(),
        Op::MaskPath { path } => {
            let root = init.root()?;
            init.mask.mask(root, path)
        }
        Op::ReadonlyPath { path } => mask::make_readonly(init.root()?, path),
        Op::Sysctl { key, value } => sysctl::write_sysctl(&mut init.proc, key, value),
        Op::Console { height, width, uid, bind_console, controlling } => {
            console::open_console(init, &console::Console { height, width, uid, bind_console, controlling })
        }
        Op::ControllingTerminal {} => console::control_terminal(),
        Op::OwnStdio { uid } => console::own_stdio(uid),
        Op::RouteSocket {} => process::send_route_socket(&init.conversation),
        Op::Hook { .. } => hooks::run(init, &op),
        Op::BoundingSet { capabilities } => capabilities::drop_bounding(capabilities),
        Op::SetUser { uid, gid, groups, set_groups, umask } => {
            ids::set_user(uid, gid, set_groups.then_some(&groups))?;
            file::umask(umask);
            init.has_own_umask = true;
            Ok(())
        }
        Op::Capabilities { effective, permitted, inheritable, ambient } => {
            capabilities::set_capabilities(effective, permitted, inheritable, ambient)
        }
        Op::Chdir { path } => process::change_directory(path),
        Op::MakeCwd { path } => node::make_directory(init.root()?, path),
        Op::FindExecutable { name, search } => exec::find(&mut init.executable, name, search, rest),
        Op::AwaitStart { fifo, answer } => {
            let (fifo, answer) = (init.slot(fifo)?, init.slot(answer)?);
            let ending = match init.ending.take() {
                Some(ending) => ending,
                None => wait::open_ending()?,
            };
            wait::await_start(&mut init.conversation, &ending, fifo, answer)
        }
        Op::NoNewPrivileges {} => process::set_no_new_privileges(),
        Op::Rlimit { resource, soft, hard } => {
            if init.ending.is_none() {
                // Afterwards no fd may be allowed.
                init.ending = Some(wait::open_ending()?);
            }
            Ok(crate::sys::process::set_rlimit(resource, soft, hard)?)
        }
        Op::ResetCpus {} => attributes::reset_cpus(),
        Op::Cpus { mask } => Ok(crate::sys::attributes::set_cpus(mask)?),
        Op::Scheduler { .. } => attributes::set_scheduler(&op),
        Op::IoPriority { value } => Ok(crate::sys::attributes::set_io_priority(value)?),
        Op::MemoryPolicy { mode, nodes } => Ok(crate::sys::attributes::set_memory_policy(mode, nodes)?),
        Op::Personality { persona } => Ok(crate::sys::attributes::set_personality(persona)?),
        Op::OpenLabel { names } => {
            init.label = Some(label::open(&names)?);
            Ok(())
        }
        Op::WriteLabel { value } => label::write(init.label.take(), value),
        Op::Filter { program, flags, send } => filter::load(&init.conversation, program, flags, send),
        Op::FilterAtExec { program, flags, raise } => {
            init.filter = Some(filter::Kept { program, flags, raise });
            Ok(())
        }
        Op::Exec { .. } => exec::exec(init, &op),
    }
}
