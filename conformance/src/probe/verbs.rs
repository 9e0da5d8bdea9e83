//! The small things the probe can do, one verb each. Results go to stdout, failures are exit codes.
//!
//! `errno` results are printed as a number, 0 for success, so that a test tells EPERM from ENOENT; the exit code is
//! then 0. Exit code 2: the verb was used wrongly.

use std::{
    ffi::{CString, c_int},
    fs,
    io::{self, Read, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
};

use crate::{
    facts::{facts, namespaces, open_fds, terminal},
    json::Json,
    racer::race,
    sys,
};

const USAGE: &str = "\
probe facts [out=PATH] [sysctl=NAME]... [path=PATH]...   all it sees, as JSON
probe hook FILE [exit=N] [hang] [say=TEXT]               append stdin, arguments, environment to FILE as a JSON line
probe exit N | signal N | true                           end with a status or by a signal
probe sleep | wait-term                                  say \"ready\", end by a signal | with 0 on TERM
probe echo WORD... | env | tty | cat                     print
probe read PATH | write PATH TEXT | append PATH TEXT     files
probe open PATH r|w|rw|dir | mknod PATH c|b|p MAJOR MINOR | connect PATH | access PATH r|w|x      print errno
probe kill PID SIGNAL                                    print errno
probe call NUMBER [ARG]...                               a system call by number, with at most six numbers; print errno
probe spawn N | alloc BYTES                              N sleeping children | touch memory; say \"ready\", sleep
probe notify TEXT                                        send to $NOTIFY_SOCKET
probe racer CANARY SECRET STOP                           attack all processes until the file STOP is there
probe each VERB ARG... -- VERB ARG... --                 several, stops at the first that fails
";

/// Performs what the arguments ask for; the exit code. Without arguments: all facts.
pub(crate) fn run(argv: &[String]) -> c_int {
    let words: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    match perform(argv, &words) {
        Ok(code) => code,
        Err(error) => {
            let told = writeln!(io::stderr(), "probe {}: {error}", words.join(" "));
            error.raw_os_error().filter(|_| told.is_ok()).unwrap_or(1)
        }
    }
}

fn perform(argv: &[String], words: &[&str]) -> io::Result<c_int> {
    match words {
        [] => print(&facts(argv, &[]).to_string()),
        ["facts", asked @ ..] => tell_facts(argv, asked),
        ["hook", file, rest @ ..] => hook(argv, file, rest),
        ["true"] => Ok(0),
        ["exit", code] => number(code),
        ["signal", signal] => end_by(number(signal)?),
        ["sleep"] => sleep(),
        ["wait-term"] => wait_for_term(),
        ["echo", words @ ..] => print(&words.join(" ")),
        ["env"] => std::env::vars_os().try_fold(0, |_, (name, value)| {
            print(&format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        }),
        ["tty"] => print(&terminal().to_string()),
        ["cat"] => io::copy(&mut io::stdin(), &mut io::stdout()).map(|_| 0),
        ["read", path] => read(path),
        ["write", path, text] => {
            write(fs::OpenOptions::new().write(true).create(true).truncate(true), path, text)
        }
        ["append", path, text] => write(fs::OpenOptions::new().append(true).create(true), path, text),
        ["open", path, mode] => open(path, mode),
        ["mknod", path, kind, major, minor] => mknod(path, kind, number(major)?, number(minor)?),
        ["connect", path] => print_errno(UnixStream::connect(path).map(drop)),
        ["access", path, mode] => access(path, mode),
        // SAFETY: takes numbers only.
        ["kill", pid, signal] => print_result(unsafe { sys::kill(number(pid)?, number(signal)?) }),
        ["call", call, args @ ..] => system_call(call, args),
        ["spawn", count] => spawn(number(count)?),
        ["alloc", bytes] => allocate(bytes.parse().map_err(|_| wrong("a number of bytes"))?),
        ["notify", text] => notify(text),
        ["racer", canary, secret, stop] => race(canary, secret, stop),
        ["each", rest @ ..] => each(argv, rest),
        _ => {
            io::stderr().write_all(USAGE.as_bytes())?;
            Ok(2)
        }
    }
}

fn print(text: &str) -> io::Result<c_int> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(0)
}

fn print_errno(result: io::Result<()>) -> io::Result<c_int> {
    print(&result.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)).to_string())
}

fn print_result(result: c_int) -> io::Result<c_int> {
    print(&sys::errno(result.into()).to_string())
}

fn wrong(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{expected} expected"))
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| wrong("a number"))
}

/// Flushed, since nobody does it at the end: the probe is entered and left without Rust's own start and end.
fn read(path: &str) -> io::Result<c_int> {
    let bytes = fs::read(path)?;
    let mut stdout = io::stdout();
    stdout.write_all(&bytes)?;
    stdout.flush()?;
    Ok(0)
}

fn write(options: &fs::OpenOptions, path: &str, text: &str) -> io::Result<c_int> {
    options.open(path)?.write_all(text.as_bytes()).map(|()| 0)
}

fn tell_facts(argv: &[String], asked: &[&str]) -> io::Result<c_int> {
    let asked: Vec<String> = asked.iter().map(|&word| word.to_owned()).collect();
    let mut text = facts(argv, &asked).to_string();
    text.push('\n');
    match asked.iter().find_map(|word| word.strip_prefix("out=")) {
        Some(path) => fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?
            .write_all(text.as_bytes()),
        None => io::stdout().write_all(text.as_bytes()),
    }?;
    Ok(0)
}

/// Plays a hook: tells what a hook is given, then ends as asked.
fn hook(argv: &[String], file: &str, rest: &[&str]) -> io::Result<c_int> {
    let fds = open_fds();
    let mut stdin = Vec::new();
    io::stdin().read_to_end(&mut stdin)?;
    let env = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
    let cwd = std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned());
    let mut line = Json::object([
        ("pid", std::process::id().into()),
        ("argv", Json::list(argv.iter().map(String::as_str))),
        ("env", Json::list(env)),
        ("cwd", cwd.into()),
        ("namespaces", namespaces()),
        ("fds", fds),
        ("stdin", String::from_utf8_lossy(&stdin).into_owned().into()),
    ])
    .to_string();
    line.push('\n');
    write(fs::OpenOptions::new().append(true).create(true), file, &line)?;
    if let Some(text) = rest.iter().find_map(|word| word.strip_prefix("say=")) {
        print(text)?;
    }
    if rest.contains(&"hang") {
        return sleep();
    }
    rest.iter().find_map(|word| word.strip_prefix("exit=")).map_or(Ok(0), number)
}

fn end_by(signal: c_int) -> io::Result<c_int> {
    // SAFETY: takes numbers only. As pid 1 a signal without handler does nothing, which the caller then sees.
    let result = unsafe { sys::kill(i32::try_from(std::process::id()).unwrap_or(0), signal) };
    if result < 0 { Err(io::Error::last_os_error()) } else { sleep() }
}

fn sleep() -> io::Result<c_int> {
    print("ready")?;
    loop {
        // SAFETY: only waits for a signal.
        unsafe { sys::pause() };
    }
}

/// TERM is taken by `sigwait`, so that it ends even a pid 1.
fn wait_for_term() -> io::Result<c_int> {
    let mut set: sys::SigSet = [0; 16];
    let mut signal = 0;
    // SAFETY: both calls write within the 128 bytes of a `sigset_t`, which `set` has.
    unsafe {
        sys::sigemptyset(&raw mut set);
        sys::sigaddset(&raw mut set, sys::SIGTERM);
        sys::sigprocmask(sys::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    print("ready")?;
    // SAFETY: reads `set` and writes one number, both living beyond the call.
    unsafe { sys::sigwait(&raw const set, &raw mut signal) };
    print("term")
}

fn open(path: &str, mode: &str) -> io::Result<c_int> {
    let mut options = fs::OpenOptions::new();
    match mode {
        "r" => options.read(true),
        "w" => options.write(true),
        "rw" => options.read(true).write(true),
        "dir" => options.read(true).custom_flags(0o200_000),
        _ => return Err(wrong("r, w, rw or dir")),
    };
    print_errno(options.open(path).map(drop))
}

fn system_call(call: &str, args: &[&str]) -> io::Result<c_int> {
    let mut numbers = [0 as std::ffi::c_long; 6];
    for (number, arg) in numbers.iter_mut().zip(args) {
        *number = self::number(arg)?;
    }
    let [a, b, c, d, e, f] = numbers;
    // SAFETY: whoever asks for a call by number knows what it does with these numbers; the test's probe has no secrets.
    let result = unsafe { sys::syscall(number(call)?, a, b, c, d, e, f) };
    print(&sys::errno(result).to_string())
}

fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| wrong("text without NUL"))
}

fn mknod(path: &str, kind: &str, major: u64, minor: u64) -> io::Result<c_int> {
    let kind = match kind {
        "c" => 0o020_000,
        "b" => 0o060_000,
        "p" => 0o010_000,
        _ => return Err(wrong("c, b or p")),
    };
    let device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32);
    let path = c_string(path)?;
    // SAFETY: `path` is a string that ends with NUL and lives beyond the call.
    print_result(unsafe { sys::mknod(path.as_ptr(), kind | 0o600, device) })
}

fn access(path: &str, mode: &str) -> io::Result<c_int> {
    let mode = match mode {
        "r" => 4,
        "w" => 2,
        "x" => 1,
        _ => return Err(wrong("r, w or x")),
    };
    let path = c_string(path)?;
    // SAFETY: `path` is a string that ends with NUL and lives beyond the call.
    print_result(unsafe { sys::access(path.as_ptr(), mode) })
}

/// The children end with the probe only as a pid namespace's first process ends: they are what a runtime must find.
fn spawn(count: u32) -> io::Result<c_int> {
    let mut children = Vec::new();
    for _ in 0..count {
        // SAFETY: the probe has one thread, so the child may go on with everything.
        match unsafe { sys::fork() } {
            0 => loop {
                // SAFETY: only waits for a signal.
                unsafe { sys::pause() };
            },
            child if child < 0 => return Err(io::Error::last_os_error()),
            child => children.push(child),
        }
    }
    print(&Json::object([("children", Json::list(children))]).to_string())?;
    sleep()
}

fn allocate(bytes: usize) -> io::Result<c_int> {
    // SAFETY: a new private anonymous mapping (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS).
    let memory = unsafe { sys::mmap(std::ptr::null_mut(), bytes, 3, 0x22, -1, 0) };
    if memory.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    for at in (0..bytes).step_by(4096) {
        // SAFETY: `at` is within the mapping just made.
        unsafe { memory.cast::<u8>().add(at).write_volatile(1) };
    }
    sleep()
}

fn notify(text: &str) -> io::Result<c_int> {
    let path = std::env::var_os("NOTIFY_SOCKET").ok_or_else(|| wrong("NOTIFY_SOCKET in the environment"))?;
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.send_to(text.as_bytes(), path).map(|_| 0)
}

fn each(argv: &[String], words: &[&str]) -> io::Result<c_int> {
    for part in words.split(|&word| word == "--").filter(|part| !part.is_empty()) {
        match perform(argv, part)? {
            0 => {}
            code => return Ok(code),
        }
    }
    Ok(0)
}
