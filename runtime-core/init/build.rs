//! Builds the freestanding program from the sources of this crate, by one call of the compiler.
//!
//! A nested cargo or a second crate type would break `--target`, vendored or packaged builds. The flags are fixed:
//! the program must be the same in every profile. `ORLOP_INIT=path` uses a program that was built elsewhere.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

mod check {
    include!("build/elf.rs");
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ORLOP_INIT");
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let os = variable("CARGO_CFG_TARGET_OS")?;
    let machine = match (os.as_str(), arch.as_str()) {
        ("linux", "x86_64") => check::X86_64,
        ("linux", "aarch64") => check::AARCH64,
        _ => return Err(format!("orlop runs on Linux on x86_64 and aarch64, not on {os} on {arch}").into()),
    };
    let program = PathBuf::from(variable("OUT_DIR")?).join("orlop-init");
    match env::var_os("ORLOP_INIT") {
        Some(given) => {
            println!("cargo:rerun-if-changed={}", Path::new(&given).display());
            fs::copy(&given, &program).map_err(|error| {
                format!("cannot copy ORLOP_INIT {}: {error}", Path::new(&given).display())
            })?;
        }
        None => compile(&program)?,
    }
    let bytes = fs::read(&program)?;
    check::check_program(&bytes, machine)
        .map_err(|problem| format!("{}: {problem}", program.display()).into())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set: cargo sets it for build scripts"))
}

fn compile(program: &Path) -> Result<(), Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").ok_or("RUSTC is not set: cargo sets it for build scripts")?;
    let sources = variable("CARGO_MANIFEST_DIR")?;
    let mut command = Command::new(&rustc);
    command
        .arg(Path::new(&sources).join("src/lib.rs"))
        .args(["--crate-name=orlop_init", "--crate-type=bin", "--edition=2024", "--cfg=orlop_freestanding"])
        .args(["--check-cfg=cfg(orlop_freestanding)", "--cap-lints=allow", "--emit=link"])
        .arg("--target")
        .arg(variable("TARGET")?)
        .arg("-o")
        .arg(program)
        .arg(format!("--remap-path-prefix={sources}=orlop-init"));
    for flag in [
        "opt-level=s",
        "panic=abort",
        "lto=fat",
        "codegen-units=1",
        "debuginfo=0",
        "debug-assertions=off",
        "overflow-checks=off",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=+crt-static",
        "force-unwind-tables=no",
    ] {
        command.arg("-C").arg(flag);
    }
    Linker::find(&rustc).add_to(&mut command);
    let status =
        command.status().map_err(|error| format!("cannot run {}: {error}", rustc.to_string_lossy()))?;
    if status.success() { Ok(()) } else { Err(format!("the compiler failed on orlop-init: {status}").into()) }
}

/// Who links, and whether it is a linker itself or a C compiler that calls one.
struct Linker {
    path: OsString,
    is_driver: bool,
}

impl Linker {
    /// The one that cargo was told to use, else the compiler's own (which links for every target), else `cc`.
    fn find(rustc: &OsStr) -> Self {
        if let Some(path) = env::var_os("RUSTC_LINKER") {
            let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Self { is_driver: !(name.ends_with("ld") || name.starts_with("ld.")), path };
        }
        match own_lld(rustc) {
            Some(path) => Self { path: path.into(), is_driver: false },
            None => Self { path: "cc".into(), is_driver: true },
        }
    }

    fn add_to(&self, command: &mut Command) {
        let mut linker = OsString::from("linker=");
        linker.push(&self.path);
        let flavor = if self.is_driver { "linker-flavor=gcc" } else { "linker-flavor=ld.lld" };
        command.arg("-C").arg(linker).arg("-C").arg(flavor);
        if env::var_os("CARGO_CFG_TARGET_ENV").is_some_and(|libc| libc == "musl") {
            // There the compiler would add start files of its own. Elsewhere the switch takes a C compiler's linker away.
            command.args(["-C", "link-self-contained=no"]);
        }
        let (driver, prefix): (&[&str], _) = if self.is_driver {
            (&["-nostartfiles", "-nostdlib", "-static", "-no-pie"], "-Wl,")
        } else {
            (&["-static", "-nostdlib"], "")
        };
        driver.iter().for_each(|flag| {
            command.arg("-C").arg(format!("link-arg={flag}"));
        });
        // `-z` and its word are joined by a comma for a driver, two arguments for a linker.
        for flags in [&["-z", "noexecstack"][..], &["--build-id=none"], &["--gc-sections"], &["-e", "_start"]]
        {
            if self.is_driver {
                command.arg("-C").arg(format!("link-arg={prefix}{}", flags.join(",")));
            } else {
                flags.iter().for_each(|flag| {
                    command.arg("-C").arg(format!("link-arg={flag}"));
                });
            }
        }
    }
}

/// `rust-lld` of the toolchain, which not all distributions ship.
fn own_lld(rustc: &OsStr) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    let host = env::var("HOST").ok()?;
    let lld = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    lld.is_file().then_some(lld)
}
