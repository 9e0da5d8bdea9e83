//! A small host: starts the program as the library does, and answers it.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use orlop_init::{
    arch::nr,
    sys::{check, syscall3, syscall4, syscall5},
    wire::{
        OwnedOp, encode_plan,
        message::{Barrier, Detail, Kind, Message},
    },
};

/// The program as the build script left it: [`orlop_init::IMAGE`].
const PROGRAM: &str = concat!(env!("OUT_DIR"), "/orlop-init");

pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

pub fn cs(texts: &[&str]) -> Vec<CString> {
    texts.iter().map(|text| c(text)).collect()
}

/// Why a test cannot run here, said aloud.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn is_skipped() -> bool {
    let is_root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
    let reason = match (is_root, Path::new("/bin/busybox").is_file()) {
        (false, _) => "needs root",
        (_, false) => "needs a static /bin/busybox",
        _ => return false,
    };
    eprintln!("skipped: {reason}");
    true
}

/// A directory that is removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orlop-launch-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    /// A root file system with busybox, made at the first call.
    pub fn rootfs(&self) -> CString {
        let rootfs = self.path("rootfs");
        if rootfs.is_dir() {
            return c(rootfs.to_str().unwrap());
        }
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "ls", "id", "stat", "grep", "tty", "hostname", "kill"] {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(name)).unwrap();
        }
        c(rootfs.to_str().unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    const AF_UNIX: usize = 1;
    const SOCK_SEQPACKET_CLOEXEC: usize = 0o2_000_005;
    let mut ends = [0 as RawFd; 2];
    // SAFETY: the kernel writes two fds, which are ours from then on.
    unsafe {
        let to = ends.as_mut_ptr() as usize;
        check(syscall4(nr::SOCKETPAIR, AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, to)).unwrap();
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

// `struct msghdr` with one part and room for one fd.
#[repr(C)]
struct Packet {
    name: [usize; 2],
    part: *const [usize; 2],
    parts: usize,
    control: *mut [usize; 3],
    control_len: usize,
    flags: usize,
}

fn exchange(
    number: usize,
    channel: &OwnedFd,
    bytes: &mut [u8],
    fd: Option<RawFd>,
) -> (usize, Option<OwnedFd>) {
    const RIGHTS: usize = 1 | 1 << 32;
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    const MSG_NOSIGNAL: usize = 0x4000;
    let part = [bytes.as_mut_ptr() as usize, bytes.len()];
    let mut control = [20, RIGHTS, fd.unwrap_or(-1) as usize & 0xffff_ffff];
    let is_receiving = number == nr::RECVMSG;
    let control_len = if is_receiving || fd.is_some() { 24 } else { 0 };
    let mut packet =
        Packet { name: [0; 2], part: &part, parts: 1, control: &raw mut control, control_len, flags: 0 };
    let flags = if is_receiving { MSG_CMSG_CLOEXEC } else { MSG_NOSIGNAL };
    // SAFETY: all parts live during the call and have the lengths told.
    match check(unsafe { syscall3(number, channel.as_raw_fd() as usize, &raw mut packet as usize, flags) }) {
        Ok(len) => {
            let came = is_receiving && packet.control_len >= 20;
            // SAFETY: an fd that came along is ours.
            (len, came.then(|| unsafe { OwnedFd::from_raw_fd(control[2] as RawFd) }))
        }
        Err(_) => (0, None),
    }
}

/// What a start came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: String,
    /// Exit status of init or the program, or 128 and the signal.
    pub status: Option<i32>,
    pub kinds: Vec<Kind>,
    pub failed: Option<Message>,
    pub hook_output: String,
    pub master: Option<OwnedFd>,
}

/// A plan with what the host gives to it.
#[derive(Default)]
pub struct Start<'a> {
    pub steps: Vec<OwnedOp>,
    pub slots: Vec<&'a OwnedFd>,
    /// The tree sent for `WantTree`.
    pub tree: Option<PathBuf>,
    pub preserved: Option<&'a OwnedFd>,
    /// The barrier at which nothing is answered any more.
    pub stop_at: Option<Barrier>,
    /// System calls that an outer seccomp profile hides, and the errno it answers.
    pub hidden: (Vec<usize>, u32),
    /// Lines of uid_map and gid_map, written at the first barrier.
    pub id_map: Option<String>,
}

/// A program that runs or waits.
pub struct Running {
    pub channel: OwnedFd,
    pub pid: u32,
    pidfd: Option<OwnedFd>,
    tree: Option<PathBuf>,
    stop_at: Option<Barrier>,
    id_map: Option<String>,
    stdout: File,
    pub outcome: Outcome,
}

impl Start<'_> {
    pub fn begin(self) -> Running {
        assert_eq!(fs::read(PROGRAM).unwrap(), orlop_init::IMAGE);
        let plan = encode_plan(self.steps.iter(), self.slots.len());
        let plan_path =
            std::env::temp_dir().join(format!("orlop-plan-{}-{:p}", std::process::id(), &raw const plan));
        File::create_new(&plan_path).unwrap().write_all(&plan).unwrap();
        let plan = File::open(&plan_path).unwrap();
        fs::remove_file(plan_path).unwrap();
        let (channel, end) = pair();
        let mut fds: Vec<RawFd> = self.preserved.iter().map(|fd| fd.as_raw_fd()).collect();
        let base = 3 + fds.len();
        fds.extend([plan.as_raw_fd(), end.as_raw_fd()]);
        fds.extend(self.slots.iter().map(|fd| fd.as_raw_fd()));
        let mut command = Command::new(PROGRAM);
        command
            .arg0("orlop-init")
            .arg(base.to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let filter = hiding(&self.hidden.0, self.hidden.1);
        // SAFETY: raw calls only; numbers and memory of this copy of the process.
        unsafe {
            command.pre_exec(move || {
                place(&fds);
                install(&filter);
                let all = u64::MAX;
                check(syscall4(nr::RT_SIGPROCMASK, 2, &raw const all as usize, 0, 8))
                    .map(drop)
                    .map_err(|errno| std::io::Error::from_raw_os_error(errno.0))
            });
        }
        let mut launcher = command.spawn().unwrap();
        drop(end);
        let stdout = OwnedFd::from(launcher.stdout.take().unwrap()).into();
        let mut running = Running {
            channel,
            pid: 0,
            pidfd: None,
            tree: self.tree,
            stop_at: self.stop_at,
            id_map: self.id_map,
            stdout,
            outcome: Outcome::default(),
        };
        running.converse();
        launcher.wait().unwrap();
        running
    }

    pub fn run(self) -> Outcome {
        self.begin().finish()
    }
}

/// Puts fds on 3 and up, by way of numbers that none of them has.
unsafe fn place(fds: &[RawFd]) {
    const F_DUPFD: usize = 0;
    // SAFETY: numbers only, in a process that is about to exec.
    unsafe {
        let aside: Vec<usize> =
            fds.iter().map(|fd| check(syscall3(nr::FCNTL, *fd as usize, F_DUPFD, 200)).unwrap()).collect();
        for (at, fd) in aside.into_iter().enumerate() {
            check(syscall3(nr::DUP3, fd, 3 + at, 0)).unwrap();
        }
    }
}

/// A seccomp filter that hides calls (`struct sock_filter`: code, jumps, constant).
fn hiding(calls: &[usize], errno: u32) -> Vec<[u32; 2]> {
    const LOAD_NUMBER: [u32; 2] = [0x20, 0];
    const ALLOW: [u32; 2] = [0x06, 0x7fff_0000];
    let mut filter = vec![LOAD_NUMBER];
    for call in calls {
        // Jump over the answer unless it is this call.
        filter.push([0x15 | 1 << 24, *call as u32]);
        filter.push([0x06, 0x0005_0000 | errno]);
    }
    filter.push(ALLOW);
    filter
}

/// Installs the filter, if it hides anything.
unsafe fn install(filter: &[[u32; 2]]) {
    const PR_SET_SECCOMP: usize = 22;
    const SECCOMP_MODE_FILTER: usize = 2;
    if filter.len() > 2 {
        let program = [filter.len(), filter.as_ptr() as usize];
        // SAFETY: `struct sock_fprog` and the filter live during the call.
        check(unsafe { syscall3(nr::PRCTL, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program.as_ptr() as usize) })
            .unwrap();
    }
}

impl Running {
    /// Answers until the channel ends. `Proceed` for `Start` is left to the caller.
    pub fn converse(&mut self) {
        // The launcher's record may come after init's first ones.
        let mut early = false;
        let mut mapped_late = false;
        loop {
            let mut bytes = [0; 8192];
            let (len, fd) = exchange(nr::RECVMSG, &self.channel, &mut bytes, None);
            let Some(message) = Message::from_bytes(&bytes[..len]) else { return };
            self.outcome.kinds.push(message.kind);
            match message.kind {
                Kind::Cloned => {
                    self.pid = message.value;
                    self.pidfd = fd;
                    if early {
                        return;
                    }
                    if let Some(map) = self.id_map.take() {
                        fs::write(format!("/proc/{}/uid_map", self.pid), &map).unwrap();
                        fs::write(format!("/proc/{}/gid_map", self.pid), &map).unwrap();
                        if mapped_late {
                            self.proceed(Barrier::Placed as u32);
                        }
                    }
                }
                Kind::Reached if self.stop_at.is_some_and(|stop| stop as u32 == message.value) => {
                    if self.pid != 0 {
                        return;
                    }
                    early = true;
                }
                Kind::Reached if self.id_map.is_some() => mapped_late = true,
                Kind::Reached => self.proceed(message.value),
                Kind::WantTree => self.send_tree(message.step),
                Kind::ConsoleMaster => self.outcome.master = fd,
                Kind::Failed => self.outcome.failed = Some(message),
                Kind::HookOutput => {
                    assert_eq!(len, Message::SIZE + message.value as usize);
                    self.outcome.hook_output = String::from_utf8(bytes[Message::SIZE..len].to_vec()).unwrap();
                }
                Kind::Listener => self.proceed(Barrier::Listener as u32),
                Kind::RouteSocket | Kind::Executing => {}
                Kind::Proceed | Kind::Tree => panic!("init sent {:?}", message.kind),
            }
        }
    }

    /// Closes the host's end of the channel.
    pub fn hang_up(&mut self) {
        self.channel = File::open("/dev/null").unwrap().into();
    }

    pub fn proceed(&self, barrier: u32) {
        self.send(Message { value: barrier, ..Message::new(Kind::Proceed) }, None);
    }

    fn send(&self, message: Message, fd: Option<RawFd>) {
        exchange(nr::SENDMSG, &self.channel, &mut message.to_bytes(), fd);
    }

    fn send_tree(&self, step: u32) {
        const OPEN_TREE_CLONE_RECURSIVE_CLOEXEC: usize = 1 | 0x8000 | 0o2_000_000;
        let answer = Message { step, ..Message::new(Kind::Tree) };
        let Some(path) = &self.tree else {
            return self.send(Message { errno: 2, detail: Detail::SOURCE, ..answer }, None);
        };
        let path = c(path.to_str().unwrap());
        // SAFETY: the path lives during the call; the fd is ours.
        let tree = unsafe {
            let fd = syscall3(
                nr::OPEN_TREE,
                -100isize as usize,
                path.as_ptr() as usize,
                OPEN_TREE_CLONE_RECURSIVE_CLOEXEC,
            );
            OwnedFd::from_raw_fd(check(fd).unwrap() as RawFd)
        };
        self.send(answer, Some(tree.as_raw_fd()));
    }

    pub fn signal(&self, signal: usize) {
        // SAFETY: numbers; the pid is a child that was not reaped.
        unsafe { check(syscall3(nr::KILL, self.pid as usize, signal, 0)).unwrap() };
    }

    /// Waits for the end of init.
    pub fn finish(mut self) -> Outcome {
        const P_PIDFD: usize = 3;
        const WEXITED_WALL: usize = 4 | 0x4000_0000;
        self.stdout.read_to_string(&mut self.outcome.stdout).unwrap();
        if let Some(pidfd) = &self.pidfd {
            let mut info = [0i32; 32];
            // SAFETY: the kernel writes a `siginfo_t` of 128 bytes.
            let waited = unsafe {
                let info = info.as_mut_ptr() as usize;
                syscall5(nr::WAITID, P_PIDFD, pidfd.as_raw_fd() as usize, info, WEXITED_WALL, 0)
            };
            check(waited).unwrap();
            self.outcome.status = Some(if info[2] == 1 { info[6] } else { 128 + info[6] });
        }
        self.outcome
    }
}
