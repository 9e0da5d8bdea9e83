//! Containers of a plain user: the whole life without root, ranges of ids, delegated cgroups, and what an engine that
//! plays root in a user namespace asks for.

mod cgroups;
mod engines;
mod life;
mod ranges;
mod users;
