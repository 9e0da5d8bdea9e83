//! What this version cannot carry out is refused by name, never skipped: a container that lacks a protection its
//! configuration asks for is worse than none.

use crate::{Bundle, Problem};

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let paths = bundle.fields().unsupported.iter();
    paths.map(|path| Problem::new(path, "is not supported by this version of orlop")).collect()
}
