//! What a process that joins a container is: the container's own process with changes, or a whole `process` object.

use std::path::PathBuf;

/// Options of an exec.
///
/// ```
/// use orlop::ExecOptions;
/// let probe = ExecOptions::command(["pg_isready", "-q"]).user(70, Some(70)).env("PGPORT=5433");
/// # let _ = probe;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOptions {
    pub(crate) program: Program,
    /// Number of fds from 3 on that the program inherits.
    pub(crate) preserved_fds: u32,
    /// Cgroups below the container's own, `PATH` or `CONTROLLER[,CONTROLLER]:PATH`.
    pub(crate) cgroups: Vec<String>,
    pub(crate) ignore_paused: bool,
}

/// Where the `process` object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A `process` object as JSON.
    Process(Vec<u8>),
    /// The container's own, with changes.
    Command(Changes),
}

/// What is changed in the container's own `process` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: Option<PathBuf>,
    /// uid, and the gid where another than the container's is asked for.
    pub(crate) user: Option<(u32, Option<u32>)>,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) selinux_label: Option<String>,
    pub(crate) terminal: bool,
}

impl ExecOptions {
    fn new(program: Program) -> Self {
        Self { program, preserved_fds: 0, cgroups: Vec::new(), ignore_paused: false }
    }

    /// A command with the environment, user, working directory, capabilities and limits of the container's own process,
    /// without a terminal.
    pub fn command(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self::new(Program::Command(Changes { args, ..Changes::default() }))
    }

    /// A whole `process` object as JSON; it is read by the exec. Methods that change the command change nothing of it.
    ///
    /// What it leaves out of capabilities, limits and labels is as for the container's own process.
    ///
    /// # Source
    /// runtime-spec 1.3, config.md, Process.
    pub fn from_process(json: impl Into<Vec<u8>>) -> Self {
        Self::new(Program::Process(json.into()))
    }

    fn change(mut self, change: impl FnOnce(&mut Changes)) -> Self {
        if let Program::Command(changes) = &mut self.program {
            change(changes);
        }
        self
    }

    /// Adds an environment entry `NAME=value`; the last of a name counts.
    #[must_use]
    pub fn env(self, entry: impl Into<String>) -> Self {
        self.change(|changes| changes.env.push(entry.into()))
    }

    /// Another working directory.
    #[must_use]
    pub fn cwd(self, cwd: impl Into<PathBuf>) -> Self {
        self.change(|changes| changes.cwd = Some(cwd.into()))
    }

    /// Another user; without a gid the container's group stays.
    #[must_use]
    pub fn user(self, uid: u32, gid: Option<u32>) -> Self {
        self.change(|changes| changes.user = Some((uid, gid)))
    }

    /// One more supplementary group.
    #[must_use]
    pub fn additional_gid(self, gid: u32) -> Self {
        self.change(|changes| changes.additional_gids.push(gid))
    }

    /// One more capability (`CAP_NET_ADMIN`): bounding, effective and permitted, and ambient where the container's
    /// process has inheritable ones.
    #[must_use]
    pub fn capability(self, name: impl Into<String>) -> Self {
        self.change(|changes| changes.capabilities.push(name.into()))
    }

    /// Whether set-user-id programs and file capabilities give nothing (`PR_SET_NO_NEW_PRIVS`).
    #[must_use]
    pub fn no_new_privileges(self, on: bool) -> Self {
        self.change(|changes| changes.no_new_privileges = Some(on))
    }

    /// Another AppArmor profile.
    #[must_use]
    pub fn apparmor_profile(self, profile: impl Into<String>) -> Self {
        self.change(|changes| changes.apparmor_profile = Some(profile.into()))
    }

    /// Another SELinux label.
    #[must_use]
    pub fn selinux_label(self, label: impl Into<String>) -> Self {
        self.change(|changes| changes.selinux_label = Some(label.into()))
    }

    /// A terminal of its own.
    #[must_use]
    pub fn terminal(self, on: bool) -> Self {
        self.change(|changes| changes.terminal = on)
    }

    /// Number of fds from 3 on that the program inherits.
    #[must_use]
    pub fn preserved_fds(mut self, count: u32) -> Self {
        self.preserved_fds = count;
        self
    }

    /// A cgroup below the container's own that exists: `PATH`, or on cgroup v1 `CONTROLLER[,CONTROLLER]:PATH`, repeated.
    #[must_use]
    pub fn cgroup(mut self, cgroup: impl Into<String>) -> Self {
        self.cgroups.push(cgroup.into());
        self
    }

    /// Allows an exec in a paused container: the program runs once the container is resumed, which the exec waits for.
    #[must_use]
    pub fn ignore_paused(mut self, on: bool) -> Self {
        self.ignore_paused = on;
        self
    }
}
