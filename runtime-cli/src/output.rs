//! The two streams of the command. Nobody reading any more is no error.

use std::io::{self, Write};

use crate::failure::{Failure, Result};

/// Writes to stdout.
pub fn print(text: impl AsRef<[u8]>) -> Result<()> {
    write_all(io::stdout().lock(), text.as_ref()).map_err(|error| Failure::io("write to stdout", error))
}

/// Writes to stderr. There is nowhere to tell of a failure, so it is ignored.
pub fn complain(text: impl AsRef<[u8]>) {
    match write_all(io::stderr().lock(), text.as_ref()) {
        Ok(()) | Err(_) => {}
    }
}

fn write_all(mut stream: impl Write, text: &[u8]) -> io::Result<()> {
    match stream.write_all(text).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
