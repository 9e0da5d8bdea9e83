//! Pipes for programs that use the library, and waits that another thread ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    io::{Read, Write},
    thread,
    time::Duration,
};

use oci_conformance::{Bundle as TestBundle, Facts, host, host::unique, leftovers::leftovers, skip_unless};
use orlop::{
    Bundle, CancelToken, CreateOptions, Created, Deadline, Delete, ErrorKind, ExitStatus, Pipes, Result,
    Runtime, Status, Stdio,
};
use serde_json::json;

struct Library {
    root: host::TempDir,
    runtime: Runtime,
    id: String,
}

impl Library {
    fn new() -> Self {
        let root = host::TempDir::new("cancel");
        let runtime = Runtime::builder().root(root.path()).build().unwrap();
        Self { root, runtime, id: unique("cancel") }
    }

    fn create(&self, bundle: &TestBundle, stdio: Stdio, deadline: Deadline<'_>) -> Result<Created> {
        let prepared = self.runtime.prepare(&self.id, Bundle::open(bundle.path())?, CreateOptions::new())?;
        self.runtime.create(prepared, stdio, deadline)
    }

    fn assert_clean(&self, bundle: &TestBundle) {
        assert_eq!(leftovers(&self.id, bundle.path(), self.root.path()), Vec::<String>::new());
    }
}

/// What hangs for so long will hang for ever.
fn patience<'a>() -> Deadline<'a> {
    Deadline::after(Duration::from_secs(60))
}

#[test]
fn pipes_lead_to_the_program_and_back() {
    skip_unless!(host::is_root(), "root");
    let library = Library::new();
    let bundle = TestBundle::builder().name("pipes").args(["/bin/probe", "facts"]).build();
    let (stdio, Pipes { stdin, stdout, stderr, .. }) = Stdio::pipes().unwrap();
    let container = library.create(&bundle, stdio, patience()).unwrap().container;
    container.start(patience()).unwrap();
    drop(stdin);
    let read = |from| {
        let mut text = String::new();
        File::from(from).read_to_string(&mut text).unwrap();
        text
    };
    let facts = Facts::parse(&read(stdout));
    assert_eq!(facts.at("/pid"), 1);
    assert_eq!(read(stderr), "");
    assert_eq!(container.wait(patience()).unwrap(), ExitStatus::Exited(0));
    container.delete(Delete::WhenStopped, patience()).unwrap();
    library.assert_clean(&bundle);
}

#[test]
fn a_wait_ends_when_another_thread_says_so() {
    skip_unless!(host::is_root(), "root");
    let library = Library::new();
    let bundle = TestBundle::builder().name("cancel").args(["/bin/probe", "sleep"]).build();
    let container = library.create(&bundle, Stdio::inherit(), patience()).unwrap().container;
    container.start(patience()).unwrap();
    let token = CancelToken::new().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| container.wait(patience().with_cancel(&token)));
        token.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
    assert_eq!(container.state().unwrap().status, Status::Running, "the container goes on");
    container.delete(Delete::Force, patience()).unwrap();
    library.assert_clean(&bundle);
}

#[test]
fn a_cancelled_create_undoes_all_even_in_the_middle_of_a_hook() {
    skip_unless!(host::is_root(), "root");
    let token = CancelToken::new().unwrap();
    let library = Library::new();
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo > @BUNDLE@/began; exec sleep 1000"] });
    let bundle = TestBundle::builder().name("cancel").push("/hooks/createRuntime", hook).build();
    let fifo = bundle.path().join("began");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    thread::scope(|scope| {
        let deadline = patience().with_cancel(&token);
        let creating = scope.spawn(move || library_error(&library, &bundle, deadline));
        let mut began = String::new();
        File::open(&fifo).unwrap().read_to_string(&mut began).unwrap();
        token.cancel();
        assert_eq!(creating.join().unwrap(), ErrorKind::Cancelled);
    });
    // Before anything has begun too.
    let (library, bundle) = (Library::new(), TestBundle::builder().name("cancel").build());
    assert_eq!(library_error(&library, &bundle, patience().with_cancel(&token)), ErrorKind::Cancelled);
}

fn library_error(library: &Library, bundle: &TestBundle, deadline: Deadline<'_>) -> ErrorKind {
    let error = library.create(bundle, Stdio::inherit(), deadline).unwrap_err();
    library.assert_clean(bundle);
    error.kind()
}

#[test]
fn a_cancelled_start_ends_the_container() {
    skip_unless!(host::is_root(), "root");
    let library = Library::new();
    // The hook in the container waits for its standard input, which nobody ends.
    let hook = json!({ "path": "/bin/probe", "args": ["probe", "sleep"] });
    let bundle = TestBundle::builder().name("cancel").push("/hooks/startContainer", hook).build();
    let (stdio, pipes) = Stdio::pipes().unwrap();
    let container = library.create(&bundle, stdio, patience()).unwrap().container;
    let token = CancelToken::new().unwrap();
    token.cancel();
    let error = container.start(patience().with_cancel(&token)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(container.wait(patience()).unwrap(), ExitStatus::Signaled(9));
    container.delete(Delete::WhenStopped, patience()).unwrap();
    library.assert_clean(&bundle);
    assert!(File::from(pipes.stdin).write(b"x").is_err(), "nobody reads it any more");
}
