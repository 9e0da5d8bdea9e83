//! Walks the host steps of a plan: launches, converses with init, undoes on failure.
