//! Conformance suite for OCI runtimes.
