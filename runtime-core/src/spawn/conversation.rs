//! The host's side of the conversation: takes records as they come, in whatever order launcher and init send them, and
//! notices the peer's death and the deadline. Every wait is a poll on those three.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use orlop_init::wire::message::{Barrier, Detail, Kind, Message};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use crate::{
    Deadline, Error, ErrorKind, Result, plan,
    state::never_executed,
    sys::{
        self,
        channel::{Channel, Receive, Received},
        launch::Launched,
        pidfd::{self, Ended},
    },
};

/// How long an exit may take between the closing of its fds and its end.
const EXIT_WAIT: Duration = Duration::from_secs(1);

/// Records that may overtake the word on who sends them. Init has nothing more to say without an answer.
const PENDING_MAX: usize = 8;
/// What is read of the channel of a process that was killed.
const LAST_RECORDS: usize = 64;

/// A process of ours by pidfd.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// What init reported of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: u32,
    pub(crate) errno: i32,
    pub(crate) detail: Detail,
    /// Output of a failed hook.
    pub(crate) output: Vec<u8>,
}

/// A failure of init as plans render it.
impl Failure {
    pub(super) fn as_report(&self) -> plan::FailureReport<'_> {
        plan::FailureReport { step: self.step, errno: self.errno, detail: self.detail, output: &self.output }
    }
}

/// Why a tree could not be opened: errno and the part that failed.
pub(crate) type TreeFailure = (i32, Detail);

/// What ends a wait.
#[derive(Debug)]
pub(crate) enum Event {
    /// Init waits at the barrier of this step.
    Reached { step: u32, barrier: u32 },
    /// Init wants the tree of this step.
    WantTree { step: u32 },
    /// The tree that a helper opened, or why not.
    Tree(Result<OwnedFd, TreeFailure>),
    /// The console's master.
    Console(OwnedFd),
    /// An rtnetlink socket of the container's network namespace.
    RouteSocket(OwnedFd),
    /// The filter has a listener: its fd, or its number in the sender's table. Init waits for an answer.
    Listener { step: u32, fd: Option<OwnedFd>, number: i32 },
    /// `execve` is next.
    Executing,
    /// A step failed; the process ends.
    Failed(Failure),
    /// All ends of the channel are closed, or the process has ended.
    Gone,
}

/// One conversation, from the launcher's start to the program's.
#[derive(Debug)]
pub(crate) struct Conversation {
    channel: Channel,
    /// Until it has handed over.
    launcher: Option<Process>,
    /// Who handed over and is about to end, until the status is taken.
    ending: Vec<Process>,
    /// The last process in the order of the plan's steps, with its step: an exec makes one in the cgroup, which makes the
    /// member of the pid namespace. The word on the second may come before the one on the first.
    init: Option<(u32, Process)>,
    /// How many of those were told of, and how many there will be.
    clones: usize,
    clones_planned: usize,
    /// What came before the word on its sender.
    pending: VecDeque<Event>,
    output: Vec<u8>,
}

impl Conversation {
    /// `clones_planned`: how many processes will be told of.
    pub(crate) fn new(launched: Launched, channel: Channel, clones_planned: usize) -> Self {
        let launcher = Process { pid: launched.pid, pidfd: launched.pidfd };
        Self { launcher: Some(launcher), clones_planned, ..Self::silent(channel) }
    }

    fn silent(channel: Channel) -> Self {
        Self {
            channel,
            launcher: None,
            ending: Vec::new(),
            init: None,
            clones: 0,
            clones_planned: 0,
            pending: VecDeque::new(),
            output: Vec::new(),
        }
    }

    /// Whoever speaks at present: init, or the launcher before it made init.
    pub(crate) fn speaker(&self) -> Option<&Process> {
        self.init.as_ref().map(|(_, init)| init).or(self.launcher.as_ref())
    }

    /// Gives the process and the channel away.
    pub(crate) fn into_parts(mut self) -> (Option<Process>, Channel) {
        self.reap_ending();
        (self.init.map(|(_, init)| init), self.channel)
    }

    /// The process that was launched and executed something without making an init (a hook).
    pub(crate) fn into_launched(self) -> Option<Process> {
        self.launcher
    }

    /// Goes on with a channel to a known init (`start` by the handle that created it).
    pub(crate) fn resume(process: Process, channel: Channel) -> Self {
        Self { init: Some((0, process)), ..Self::silent(channel) }
    }

    /// Lets init go on after a barrier.
    pub(crate) fn proceed(&self, barrier: Barrier) -> Result<()> {
        self.send(Message { value: barrier as u32, ..Message::new(Kind::Proceed) }, None)
    }

    /// Tells a helper whether its next step is to be done.
    pub(crate) fn choose(&self, is_wanted: bool) -> Result<()> {
        self.send(Message { value: is_wanted.into(), ..Message::new(Kind::Proceed) }, None)
    }

    /// Sends the tree of a step, or why there is none.
    pub(crate) fn send_tree(&self, step: u32, tree: Result<OwnedFd, TreeFailure>) -> Result<()> {
        let (errno, detail) = tree.as_ref().err().map_or((0, Detail::NONE), |&failure| failure);
        let message = Message { step, errno, detail, ..Message::new(Kind::Tree) };
        self.send(message, tree.ok().as_ref().map(AsFd::as_fd))
    }

    fn send(&self, message: Message, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        match self.channel.send(message, fd) {
            // The peer's death is told by the next receive, which knows more.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(Error::from_errno("cannot send to init", errno.raw_os_error())),
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] at the deadline; [`ErrorKind::Cancelled`].
    pub(crate) fn next(&mut self, deadline: Deadline<'_>) -> Result<Event> {
        if let Some(event) = self.pending.pop_front() {
            return Ok(event);
        }
        loop {
            let receive = self.channel.receive();
            let receive = receive
                .map_err(|errno| Error::from_errno("cannot receive from init", errno.raw_os_error()))?;
            match receive {
                Receive::Record(received) => {
                    if let Some(event) = self.take(received)? {
                        return Ok(event);
                    }
                }
                Receive::Closed => return Ok(Event::Gone),
                Receive::Empty => {
                    if !self.wait(deadline)? {
                        return self.last_words(deadline);
                    }
                }
                Receive::Garbage => {
                    return Err(Error::new(ErrorKind::Kernel, "init sent something that is no message"));
                }
            }
        }
    }

    /// Waits for the word on so many processes, which may come after the first records of the last of them. False:
    /// everybody is gone.
    pub(crate) fn await_clones(&mut self, count: usize, deadline: Deadline<'_>) -> Result<bool> {
        while self.clones < count {
            let mut receive = self.channel.receive();
            if matches!(receive, Ok(Receive::Empty)) {
                if self.wait(deadline)? {
                    continue;
                }
                // Who had to tell has ended, perhaps after telling.
                receive = self.channel.receive();
            }
            let Ok(Receive::Record(received)) = receive else { return Ok(false) };
            if let Some(event) = self.take(received)? {
                if self.pending.len() == PENDING_MAX {
                    return Err(Error::new(ErrorKind::Kernel, "init sends more than it may"));
                }
                self.pending.push_back(event);
            }
        }
        Ok(true)
    }

    /// Who had the word has ended; what was sent before is still there: init's pidfd from the launcher, or what a
    /// failed hook printed, and only then the rest.
    fn last_words(&mut self, deadline: Deadline<'_>) -> Result<Event> {
        match self.channel.receive() {
            Ok(Receive::Record(received)) => match self.take(received)? {
                Some(event) => Ok(event),
                None => self.next(deadline),
            },
            _ => Ok(Event::Gone),
        }
    }

    fn take(&mut self, received: Received) -> Result<Option<Event>> {
        let Received { message, fd, bytes } = received;
        Ok(match message.kind {
            Kind::Cloned => {
                self.take_init(message, fd)?;
                None
            }
            Kind::Listener => {
                let number = i32::try_from(message.value).unwrap_or(-1);
                Some(Event::Listener { step: message.step, fd, number })
            }
            Kind::Reached => Some(Event::Reached { step: message.step, barrier: message.value }),
            Kind::WantTree => Some(Event::WantTree { step: message.step }),
            Kind::ConsoleMaster => fd.map(Event::Console),
            Kind::RouteSocket => fd.map(Event::RouteSocket),
            Kind::HookOutput => {
                self.output = bytes;
                None
            }
            Kind::Failed => Some(Event::Failed(Failure {
                step: message.step,
                errno: message.errno,
                detail: message.detail,
                output: std::mem::take(&mut self.output),
            })),
            Kind::Executing => Some(Event::Executing),
            Kind::Tree => Some(Event::Tree(fd.ok_or((message.errno, message.detail)))),
            Kind::Proceed => {
                return Err(Error::new(ErrorKind::Kernel, "init sent a message that only the host sends"));
            }
        })
    }

    /// Their statuses say nothing that we need. Taken late, so that init has not to wait for their ends.
    fn reap_ending(&mut self) {
        for process in self.ending.drain(..) {
            pidfd::reap(&process.pidfd);
        }
    }

    /// The launcher made init and ends. A member of an existing pid namespace may be made to say this too, so it must
    /// speak of a child of ours.
    fn take_init(&mut self, message: Message, fd: Option<OwnedFd>) -> Result<()> {
        let refused = |words| Err(Error::new(ErrorKind::Kernel, words));
        let (Some(pidfd), Ok(pid), true) =
            (fd, i32::try_from(message.value), self.clones < self.clones_planned)
        else {
            return refused("the launcher sent no pidfd of init");
        };
        match pidfd::pid_of_child(&pidfd) {
            // None: it has ended, and somebody else took its status.
            Ok(found) if found.is_none_or(|found| found == pid) => {}
            _ => return refused("the launcher sent a pidfd that is not of init"),
        }
        self.clones += 1;
        self.ending.extend(self.launcher.take());
        let process = Process { pid, pidfd };
        match &mut self.init {
            // One step makes one process.
            Some((step, _)) if *step == message.step => {
                return refused("two processes of one step were told of");
            }
            Some((step, _)) if *step > message.step => self.ending.push(process),
            init => {
                let before = init.replace((message.step, process));
                self.ending.extend(before.map(|(_, before)| before));
            }
        }
        Ok(())
    }

    /// Waits for a record, the end of the process that must send it, or the deadline. False: the process has ended.
    fn wait(&self, deadline: Deadline<'_>) -> Result<bool> {
        let Some(process) = self.speaker() else { return Ok(false) };
        let channel = PollFd::new(&self.channel, PollFlags::IN);
        let mut fds = vec![channel, PollFd::new(&process.pidfd, PollFlags::IN)];
        let woken = sys::poll_until(&mut fds, deadline)
            .map_err(|errno| Error::from_errno("cannot wait for init", errno.raw_os_error()))?;
        woken.or_fail("init did not answer in time")?;
        // The launcher's end is no event while its message may still lie in the channel.
        Ok(!fds[0].revents().is_empty())
    }

    /// Waits until the program was executed: all ends of the channel are closed by the exec. Or hears why not.
    pub(crate) fn await_exec(&mut self, deadline: Deadline<'_>) -> Result<Event> {
        match self.next(deadline)? {
            Event::Executing => self.next(deadline).map(|event| match event {
                Event::Gone => Event::Executing,
                other => other,
            }),
            other => Ok(other),
        }
    }

    /// Whether the speaker, whose channel is closed, has ended of itself: an exit closes the channel a little earlier.
    pub(crate) fn has_ended(&self) -> bool {
        let ended = |process: &Process| {
            pidfd::wait_readable(process.pidfd.as_fd(), Some(Instant::now() + EXIT_WAIT)).unwrap_or(false)
        };
        self.speaker().is_none_or(ended)
    }

    /// Whether the speaker is known to have executed nothing. Its zombie tells too; once that is gone nothing is known.
    pub(super) fn never_executed(&self) -> bool {
        self.speaker().is_some_and(|process| {
            let never = never_executed(process.pid, None);
            // Looked at afterwards: what still has the pid had it before.
            never && pidfd::pid_of_child(&process.pidfd) == Ok(Some(process.pid))
        })
    }

    /// How many processes were told of.
    pub(crate) fn clones(&self) -> usize {
        self.clones
    }

    /// Kills what was started and takes its status. Gives init's end if there was one.
    pub(crate) fn kill(&mut self) -> Option<Ended> {
        // A frozen v1 cgroup is thawed by the removal that follows.
        self.kill_and(&|_| {})
    }

    /// The same; `release` lets a killed process that is frozen act on its signal.
    pub(crate) fn kill_and(&mut self, release: &dyn Fn(i32)) -> Option<Ended> {
        let mut ended = None;
        // The launcher first: each may have been about to make the next one.
        while let Some(process) = self.launcher.take().or_else(|| self.init.take().map(|(_, init)| init)) {
            ended = end(&process, release);
            for _ in 0..LAST_RECORDS {
                let Ok(Receive::Record(Received { message, fd, .. })) = self.channel.receive() else { break };
                if message.kind == Kind::Cloned && self.take_init(message, fd).is_err() {
                    break;
                }
            }
        }
        for process in std::mem::take(&mut self.ending) {
            end(&process, release);
        }
        ended
    }
}

/// Kills a process and takes its status.
fn end(process: &Process, release: &dyn Fn(i32)) -> Option<Ended> {
    // ESRCH: it has ended.
    let _gone = pidfd::send_signal(process.pidfd.as_fd(), 9);
    release(process.pid);
    let ended = pidfd::wait_readable(process.pidfd.as_fd(), Some(Instant::now() + super::KILL_WAIT));
    ended.unwrap_or(false).then(|| pidfd::status(process.pidfd.as_fd()))
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::AsFd,
        process::{Child, Command},
        time::Duration,
    };

    use orlop_init::wire::message::{Kind, Message};
    use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};

    use super::{Conversation, Process};
    use crate::{
        Deadline,
        sys::{channel::Channel, launch::Launched},
    };

    /// A child that ends when it is killed, or at once.
    fn child(ends: bool) -> (Child, Process) {
        let child = Command::new("sleep").arg(if ends { "0" } else { "60" }).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        (child, Process { pid, pidfd })
    }

    fn conversation(planned: usize) -> (Conversation, Channel) {
        let (host, other) = Channel::pair().unwrap();
        let (_, Process { pid, pidfd }) = child(true);
        (Conversation::new(Launched { pid, pidfd }, host, planned), Channel::from(other))
    }

    fn tell(channel: &Channel, step: u32, process: &Process) {
        let value = u32::try_from(process.pid).unwrap();
        let message = Message { step, value, ..Message::new(Kind::Cloned) };
        channel.send(message, Some(process.pidfd.as_fd())).unwrap();
    }

    fn soon() -> Deadline<'static> {
        Deadline::after(Duration::from_secs(20))
    }

    #[test]
    fn the_last_process_is_the_one_whatever_is_told_first() {
        for order in [[3, 7], [7, 3]] {
            let (mut conversation, channel) = conversation(2);
            let ((_, first), (_, last)) = (child(true), child(false));
            for step in order {
                tell(&channel, step, if step == 3 { &first } else { &last });
            }
            assert!(conversation.await_clones(2, soon()).unwrap());
            assert_eq!(conversation.speaker().map(|process| process.pid), Some(last.pid), "{order:?}");
            conversation.kill();
            assert!(crate::sys::pidfd::has_ended(&last.pidfd));
        }
    }

    #[test]
    fn a_word_on_a_process_is_believed_only_of_children_and_once_for_each_step() {
        let (_, ours) = child(false);
        let parent =
            Process { pid: ours.pid, pidfd: pidfd_open(getppid().unwrap(), PidfdFlags::empty()).unwrap() };
        let other_pid = Process { pid: ours.pid + 1, pidfd: ours.pidfd.try_clone().unwrap() };
        for foreign in [&parent, &other_pid] {
            let (mut conversation, channel) = conversation(1);
            tell(&channel, 3, foreign);
            assert!(conversation.await_clones(1, soon()).is_err());
            conversation.kill();
        }
        for (planned, steps) in [(2, [3, 3]), (1, [3, 7])] {
            let (mut conversation, channel) = conversation(planned);
            let (_, first) = child(true);
            tell(&channel, steps[0], &first);
            tell(&channel, steps[1], &ours);
            assert!(conversation.await_clones(2, soon()).is_err(), "{planned} planned, {steps:?}");
            conversation.kill();
        }
        // Waited for by its pidfd, which the conversation had no reason to.
        rustix::process::pidfd_send_signal(&ours.pidfd, rustix::process::Signal::KILL).unwrap();
        crate::sys::pidfd::reap(&ours.pidfd);
    }
}
