//! Builds the freestanding program.
fn main() {}
