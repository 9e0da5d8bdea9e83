//! The filter that runc would make of a profile: by libseccomp, found at run time, and with runc's treatment of new calls.

use std::{
    ffi::{CString, c_char, c_int, c_uint, c_void},
    io::{Read as _, Seek as _},
    os::fd::AsRawFd as _,
};

use libloading::Library;

use super::machine::{self, Call};
use crate::seccomp::{
    Instruction,
    arch::{Arch, X32_BIT},
    profile::{Condition, Profile},
    words::{Action, Operator},
};

/// `SCMP_FLTATR_CTL_OPTIMIZE` of seccomp.h; 2 is a binary tree.
const OPTIMIZE: c_int = 8;
/// `__NR_SCMP_ERROR`.
const NO_SUCH_NAME: c_int = -1;
const EEXIST: c_int = 17;

/// `struct scmp_arg_cmp`.
#[repr(C)]
struct Comparison {
    arg: c_uint,
    operator: c_int,
    a: u64,
    b: u64,
}

/// The library, where it is installed.
pub(super) struct Libseccomp(Library);

/// What it made of a profile.
pub(super) struct Reference {
    pub(super) program: Vec<Instruction>,
    /// By architecture the last number that the profile knows.
    last: Vec<(Arch, u32)>,
    is_permissive: bool,
}

type Context = *mut c_void;

impl Libseccomp {
    pub(super) fn find() -> Option<Self> {
        // SAFETY: the initialisers of this library do nothing that others could see.
        unsafe { Library::new("libseccomp.so.2") }.ok().map(Self)
    }

    fn symbol<T: Copy>(&self, name: &str) -> T {
        // SAFETY: each caller gives the type that seccomp.h has for the name.
        *unsafe { self.0.get::<T>(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The number of a name, negative where only other architectures have it.
    pub(super) fn resolve(&self, arch: Arch, name: &str) -> Option<c_int> {
        let resolve: unsafe extern "C" fn(u32, *const c_char) -> c_int =
            self.symbol("seccomp_syscall_resolve_name_arch");
        let name = CString::new(name).ok()?;
        // SAFETY: a string that ends with NUL.
        let number = unsafe { resolve(token(arch), name.as_ptr()) };
        (number != NO_SUCH_NAME).then_some(number)
    }

    /// Whether this version can build filters for an architecture.
    pub(super) fn knows(&self, arch: Arch) -> bool {
        self.resolve(arch, "read").is_some()
    }

    /// None where libseccomp refuses a rule because an earlier one contradicts it.
    pub(super) fn compile(&self, profile: &Profile, arches: &[Arch]) -> Option<Reference> {
        let init: unsafe extern "C" fn(u32) -> Context = self.symbol("seccomp_init");
        let release: unsafe extern "C" fn(Context) = self.symbol("seccomp_release");
        // SAFETY: a context is used until it is released, by one thread.
        let context = unsafe { init(profile.default.0) };
        assert!(!context.is_null());
        let built = self.build(context, profile, arches);
        // SAFETY: as above.
        unsafe { release(context) };
        built
    }

    fn build(&self, context: Context, profile: &Profile, arches: &[Arch]) -> Option<Reference> {
        let add: unsafe extern "C" fn(Context, u32) -> c_int = self.symbol("seccomp_arch_add");
        let remove: unsafe extern "C" fn(Context, u32) -> c_int = self.symbol("seccomp_arch_remove");
        let set: unsafe extern "C" fn(Context, c_int, u32) -> c_int = self.symbol("seccomp_attr_set");
        let is_native = |arch: &Arch| *arch == crate::seccomp::NATIVE;
        if !arches.iter().any(is_native) {
            // SAFETY: a live context. 0 stands for the own architecture.
            assert_eq!(unsafe { remove(context, 0) }, 0);
        }
        for arch in arches.iter().filter(|arch| !is_native(arch)) {
            // SAFETY: a live context.
            assert_eq!(unsafe { add(context, token(*arch)) }, 0, "{}", arch.name);
        }
        // A binary tree as runc asks for: in the other form libseccomp 2.5 forgets to load the number where the first
        // call of an architecture is one that it does not have. Without rules it makes no tree.
        let has_rules = profile.rules.iter().any(|rule| rule.action != profile.default);
        // SAFETY: a live context.
        assert_eq!(unsafe { set(context, OPTIMIZE, if has_rules { 2 } else { 1 }) }, 0);
        for rule in profile.rules.iter().filter(|rule| rule.action != profile.default) {
            for name in &rule.names {
                let Some(number) = self.resolve(crate::seccomp::NATIVE, name.name()) else { continue };
                for conditions in &rule.alternatives {
                    if !self.add_rule(context, rule.action, number, conditions) {
                        return None;
                    }
                }
            }
        }
        let program = self.export(context, arches[0].is_big_endian);
        let is_permissive = profile.default.is_permissive();
        Some(Reference { program, last: self.last(profile, arches), is_permissive })
    }

    fn add_rule(&self, context: Context, action: Action, number: c_int, conditions: &[Condition]) -> bool {
        let add: unsafe extern "C" fn(Context, u32, c_int, c_uint, *const Comparison) -> c_int =
            self.symbol("seccomp_rule_add_array");
        let comparisons: Vec<_> = conditions
            .iter()
            .map(|condition| Comparison {
                arg: condition.index.into(),
                operator: code(condition.operator),
                a: condition.value,
                b: condition.value_two,
            })
            .collect();
        let (count, list) = (comparisons.len() as c_uint, comparisons.as_ptr());
        // SAFETY: a live context and a list of that many comparisons.
        match unsafe { add(context, action.0, number, count, list) } {
            0 => true,
            error if error == -EEXIST => false,
            error => panic!("{error} for {action:?} of {number} with {conditions:?}"),
        }
    }

    fn export(&self, context: Context, is_big_endian: bool) -> Vec<Instruction> {
        let export: unsafe extern "C" fn(Context, c_int) -> c_int = self.symbol("seccomp_export_bpf");
        let mut file = tempfile::tempfile().unwrap();
        // SAFETY: a live context and an open file.
        assert_eq!(unsafe { export(context, file.as_raw_fd()) }, 0);
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        // libseccomp writes for the machine that the filter is for.
        let turn = is_big_endian != cfg!(target_endian = "big");
        let read = |bytes: &[u8]| Instruction {
            code: {
                let code = u16::from_ne_bytes([bytes[0], bytes[1]]);
                if turn { code.swap_bytes() } else { code }
            },
            jt: bytes[2],
            jf: bytes[3],
            k: {
                let k = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
                if turn { k.swap_bytes() } else { k }
            },
        };
        bytes.chunks_exact(8).map(read).collect()
    }

    fn last(&self, profile: &Profile, arches: &[Arch]) -> Vec<(Arch, u32)> {
        let names = || profile.rules.iter().flat_map(|rule| &rule.names);
        let last = |arch: &Arch| names().filter_map(|name| self.resolve(*arch, name.name())).max();
        let positive = |arch: &Arch| Some((*arch, u32::try_from(last(arch)?).ok().filter(|last| *last > 0)?));
        arches.iter().filter_map(positive).collect()
    }
}

impl Reference {
    /// The outcome of a call, and how many instructions that took; runc's own in front are not counted.
    pub(super) fn run(&self, audit: u32, call: &Call, number: u32) -> (u32, u32) {
        if !self.is_permissive && self.is_newer(audit, number) {
            return (Action::NO_SUCH_CALL.0, 0);
        }
        machine::run(&self.program, call)
    }

    fn is_newer(&self, audit: u32, number: u32) -> bool {
        let of_audit: Vec<_> = self.last.iter().filter(|(arch, _)| arch.audit == audit).collect();
        let is_x32 = number & X32_BIT != 0;
        of_audit.iter().any(|(arch, last)| {
            let is_meant = match arch.name {
                "SCMP_ARCH_X86_64" => !is_x32,
                "SCMP_ARCH_X32" => is_x32,
                "SCMP_ARCH_S390" | "SCMP_ARCH_S390X" if number == 0 => return true,
                _ => true,
            };
            is_meant && number > *last
        })
    }
}

/// `SCMP_ARCH_*` of seccomp.h: as the kernel's, but for x32.
fn token(arch: Arch) -> u32 {
    if arch.name == "SCMP_ARCH_X32" { 0x4000_003e } else { arch.audit }
}

/// `SCMP_CMP_*`.
fn code(operator: Operator) -> c_int {
    match operator {
        Operator::NotEqual => 1,
        Operator::Less => 2,
        Operator::LessOrEqual => 3,
        Operator::Equal => 4,
        Operator::GreaterOrEqual => 5,
        Operator::Greater => 6,
        Operator::MaskedEqual => 7,
    }
}
