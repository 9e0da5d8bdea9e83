//! Barriers, the start signal, and ends before the start.

use std::{
    fs,
    io::{Read, Write},
    os::fd::OwnedFd,
};

use orlop_init::wire::{
    OwnedOp, Slot,
    message::{Barrier, Detail, Kind, Message, StartRecord},
};

use crate::{
    host::{Scratch, Start, is_skipped},
    plans::*,
};

fn fifo(scratch: &Scratch, name: &str) -> OwnedFd {
    let path = scratch.path(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    fs::File::options().read(true).write(true).open(path).unwrap().into()
}

fn waiting(scratch: &Scratch, fifo: Slot, answer: Slot) -> Vec<OwnedOp> {
    let mut rest = end("echo started");
    rest.insert(4, OwnedOp::AwaitStart { fifo, answer });
    [begin(scratch.rootfs()), rest].concat()
}

#[test]
fn a_created_container_starts_by_the_fifo_and_answers_there() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("fifo");
    let (start, answer) = (fifo(&scratch, "start"), fifo(&scratch, "answer"));
    let steps = waiting(&scratch, Slot(0), Slot(1));
    let executing = Message { step: steps.len() as u32 - 1, ..Message::new(Kind::Executing) };
    // The channel stays open until the start, so another thread writes the signal.
    let mut writer = fs::File::options().write(true).open(scratch.path("start")).unwrap();
    let starter = std::thread::spawn(move || writer.write_all(&StartRecord::plain().to_bytes()).unwrap());
    let mut running = Start { steps, slots: vec![&start, &answer], ..Start::default() }.begin();
    starter.join().unwrap();
    running.converse();
    let outcome = running.finish();
    assert_ran(&outcome, "started\n");
    assert!(!outcome.kinds.contains(&Kind::Executing));
    let mut record = [0; Message::SIZE];
    fs::File::from(answer).read_exact(&mut record).unwrap();
    assert_eq!(Message::from_bytes(&record), Some(executing));
}

#[test]
fn a_waiting_container_ends_by_signals() {
    if is_skipped() {
        return;
    }
    for signal in [1, 2, 3, 15] {
        let scratch = Scratch::new(&format!("signal{signal}"));
        let mut steps = waiting(&scratch, Slot::NONE, Slot::NONE);
        // The signal is pending when init begins to wait: sent by a hook, from inside.
        let kill = hook("/bin/sh", &["sh", "-c", &format!("kill -{signal} $PPID")], b"", 0, 0);
        let pivot = steps.iter().position(|op| matches!(op, OwnedOp::PivotRoot {})).unwrap();
        steps.insert(pivot, kill);
        let outcome = Start { steps, ..Start::default() }.run();
        assert_eq!(outcome.failed.unwrap().detail, Detail::SIGNALLED.with(signal), "{outcome:?}");
        assert_eq!(outcome.status, Some(128 + signal as i32), "{outcome:?}");
    }
}

#[test]
fn a_created_container_ends_by_a_signal_from_outside() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("outside");
    let (start, answer) = (fifo(&scratch, "start"), fifo(&scratch, "answer"));
    let steps = waiting(&scratch, Slot(0), Slot(1));
    let slots = vec![&start, &answer];
    let mut running = Start { steps, slots, stop_at: Some(Barrier::Ready), ..Start::default() }.begin();
    running.proceed(Barrier::Ready as u32);
    running.hang_up();
    running.signal(15);
    assert_eq!(running.finish().status, Some(128 + 15));
}

#[test]
fn init_ends_with_a_host_that_dies_before_it_is_ready() {
    if is_skipped() {
        return;
    }
    for barrier in [Barrier::Placed, Barrier::Ready] {
        let scratch = Scratch::new(&format!("dies{}", barrier as u32));
        let steps = waiting(&scratch, Slot::NONE, Slot::NONE);
        let mut running = Start { steps, stop_at: Some(barrier), ..Start::default() }.begin();
        running.hang_up();
        assert_eq!(running.finish().status, Some(1));
    }
}

#[test]
fn limits_that_allow_no_more_fds_do_not_hinder_the_start() {
    if is_skipped() {
        return;
    }
    let scratch = Scratch::new("limits");
    let (start, answer) = (fifo(&scratch, "start"), fifo(&scratch, "answer"));
    let steps = waiting(&scratch, Slot(0), Slot(1));
    let slots = vec![&start, &answer];
    let mut running = Start { steps, slots, stop_at: Some(Barrier::Ready), ..Start::default() }.begin();
    let pid = running.pid.to_string();
    let limited =
        std::process::Command::new("prlimit").args(["--pid", &pid, "--nofile=3:3"]).status().unwrap();
    assert!(limited.success());
    running.proceed(Barrier::Ready as u32);
    running.hang_up();
    let mut writer = fs::File::options().write(true).open(scratch.path("start")).unwrap();
    writer.write_all(&StartRecord::plain().to_bytes()).unwrap();
    assert_ran(&running.finish(), "started\n");
}
