//! Walks the host steps of a plan: makes the cgroup, launches, converses with init, runs hooks; undoes all of it when a
//! step fails. Comes in: a plan, the fds its slots name, a claimed state folder. Goes out: an init that waits for its
//! start.

mod attributes;
mod conversation;
mod create;
mod exec;
mod heard;
mod hooks;
mod id_maps;
mod launcher;
mod net_devices;
mod listener;
mod new_process;
mod program;
mod subids;
mod trees;
mod user_namespace;

use std::time::Duration;

pub(crate) use conversation::{Conversation, Event, Failure, Process};
pub(crate) use create::{Creation, Made, Purpose};
pub(crate) use exec::{Exec, ExecCgroup, paused};
use hooks::HookState;
pub(crate) use hooks::{HookCall, run_hooks, run_poststop};
pub(crate) use launcher::Launcher;

/// How long a killed process may take to end. Beyond it something in the kernel hangs (a dead NFS server).
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(10);
