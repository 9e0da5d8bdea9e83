//! Init's end of the conversation with the host: records on the channel, later in the answer FIFO.

use crate::{
    steps::{At, Failure},
    sys::{Errno, Fd, RawFd, channel, file, process},
    wire::message::{Detail, HOOK_OUTPUT_MAX, Kind, Message},
};

/// Where records go and what they say of the present step.
pub(crate) struct Conversation {
    channel: RawFd,
    /// From the start signal on, where given, records go here.
    answer: Option<RawFd>,
    pub(crate) step: u32,
}

impl Conversation {
    pub(crate) const fn new(channel: RawFd) -> Self {
        Self { channel, answer: None, step: 0 }
    }

    pub(crate) const fn channel(&self) -> RawFd {
        self.channel
    }

    /// Turns to the FIFO. The channel ends here: whoever created the container is gone.
    pub(crate) fn turn_to(&mut self, answer: RawFd) {
        crate::sys::close(self.channel);
        self.channel = -1;
        self.answer = Some(answer);
    }

    /// Sends a record of the present step.
    pub(crate) fn send(&self, message: Message, fd: Option<RawFd>) -> Result<(), Failure> {
        self.send_bytes(&Message { step: self.step, ..message }.to_bytes(), fd)
    }

    /// The same by `write(2)` on the channel: the one call that no profile may have notified.
    pub(crate) fn write(&self, message: Message) -> Result<(), Failure> {
        let bytes = Message { step: self.step, ..message }.to_bytes();
        file::write(self.channel, &bytes).map(drop).at(Detail::CHANNEL)
    }

    fn send_bytes(&self, bytes: &[u8], fd: Option<RawFd>) -> Result<(), Failure> {
        let sent = match self.answer {
            Some(answer) => file::write(answer, bytes).map(drop),
            None => channel::send(self.channel, bytes, fd),
        };
        sent.at(Detail::CHANNEL)
    }

    /// Tells a failure; that it cannot be told is no second one: the host sees the end of the channel.
    pub(crate) fn send_failure(&self, failure: Failure) {
        if self.send_failed(failure).is_err() {
            process::exit(1);
        }
    }

    /// Tells a failure, or that it cannot.
    pub(crate) fn send_failed(&self, failure: Failure) -> Result<(), Failure> {
        let message =
            Message { errno: failure.errno.0, detail: failure.detail, ..Message::new(Kind::Failed) };
        self.send(message, None)
    }

    /// Tells what a failed hook printed: the record with the number of bytes, then the bytes.
    pub(crate) fn send_hook_output(&self, output: &[u8]) -> Result<(), Failure> {
        let output = &output[..output.len().min(HOOK_OUTPUT_MAX)];
        let mut packet = [0; Message::SIZE + HOOK_OUTPUT_MAX];
        let record =
            Message { step: self.step, value: output.len() as u32, ..Message::new(Kind::HookOutput) }
                .to_bytes();
        let len = record.len() + output.len();
        packet[..record.len()].copy_from_slice(&record);
        packet[record.len()..len].copy_from_slice(output);
        self.send_bytes(&packet[..len], None)
    }

    /// Waits for a record of this kind. The host's death is init's.
    pub(crate) fn receive(&self, kind: Kind) -> Result<(Message, Option<Fd>), Failure> {
        let mut bytes = [0; Message::SIZE];
        match channel::receive(self.channel, &mut bytes) {
            Ok((0, _)) | Err(_) => process::exit(1),
            Ok((len, fd)) => match Message::from_bytes(&bytes[..len]) {
                Some(message) if message.kind == kind => Ok((message, fd)),
                _ => Err(Failure::new(Errno::EPROTO, Detail::CHANNEL)),
            },
        }
    }

    /// Tells that a barrier is reached and waits until the host lets init go on.
    pub(crate) fn wait_at(&self, barrier: u32) -> Result<(), Failure> {
        self.send(Message { value: barrier, ..Message::new(Kind::Reached) }, None)?;
        let (proceed, _) = self.receive(Kind::Proceed)?;
        if proceed.value == barrier { Ok(()) } else { Err(Failure::new(Errno::EPROTO, Detail::CHANNEL)) }
    }

    /// Asks for the tree of the present step.
    pub(crate) fn want_tree(&self) -> Result<Fd, Failure> {
        self.send(Message::new(Kind::WantTree), None)?;
        match self.receive(Kind::Tree)? {
            (Message { errno: 0, .. }, Some(tree)) => Ok(tree),
            (Message { errno: 0, .. }, None) => Err(Failure::new(Errno::EPROTO, Detail::CHANNEL)),
            (message, _) => Err(Failure::new(Errno(message.errno), message.detail)),
        }
    }
}
