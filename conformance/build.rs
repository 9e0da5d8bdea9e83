//! Compiles the probe (`src/probe`) as a static program, which the library embeds.
//!
//! A rootfs of a test holds nothing but this one file, so it must need no loader and no library. Rust's std on the gnu
//! target links statically with `+crt-static`; libc.a comes with the C toolchain that Rust needs anyway. A call of
//! `$RUSTC` instead of a nested cargo keeps vendored, offline and cross builds working.

use std::{env, error::Error, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/probe");
    println!("cargo::rerun-if-env-changed=OCI_PROBE");
    let probe = PathBuf::from(env::var("OUT_DIR")?).join("probe");
    if let Ok(supplied) = env::var("OCI_PROBE") {
        std::fs::copy(supplied, &probe)?;
        return Ok(());
    }
    let target = env::var("TARGET")?;
    if !target.contains("-linux-") {
        return Err(format!("the probe needs a Linux target, not {target}").into());
    }
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--crate-name=probe", "--crate-type=bin", "--edition=2024", "--target", &target]);
    for option in
        ["target-feature=+crt-static", "panic=abort", "opt-level=s", "strip=symbols", "codegen-units=1"]
    {
        rustc.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.arg("src/probe/main.rs").arg("-o").arg(&probe);
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!(
            "building the static probe failed ({status}): it needs the static C library (libc.a, in Debian's libc6-dev)"
        )
        .into());
    }
    Ok(())
}
