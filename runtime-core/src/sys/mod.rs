//! Host-side system calls that rustix and nix lack. The only place of the library with `unsafe`.
