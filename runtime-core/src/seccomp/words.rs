//! The words of a profile (runtime-spec 1.3, config-linux.md, "Seccomp") and what the kernel calls them.

/// `SECCOMP_RET_*` of linux/seccomp.h.
const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
pub(super) const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// `ENOSYS` and `EPERM` of errno(3).
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// `MAX_ERRNO` of linux/err.h: the kernel returns no greater number.
const MAX_ERRNO: u32 = 4095;
/// `SECCOMP_RET_DATA`.
const MAX_DATA: u32 = 0xffff;

/// What happens to a call: a return value of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub(super) u32);

impl Action {
    /// What a call of an unknown architecture gets, as libseccomp decides.
    pub(super) const WRONG_ARCHITECTURE: Self = Self(KILL_THREAD);

    /// What a call gets that is newer than the profile.
    pub(super) const NO_SUCH_CALL: Self = Self(ERRNO | ENOSYS);

    /// Whether calls go on where nothing more is said, if only with a tracer's help.
    pub(super) fn is_permissive(self) -> bool {
        matches!(self.0 & !MAX_DATA, ALLOW | LOG | TRACE)
    }
}

/// Names of actions, in the order in which the specification has them: name, value, greatest number that goes with it.
const ACTIONS: [(&str, u32, u32); 9] = [
    ("SCMP_ACT_KILL", KILL_THREAD, 0),
    ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS, 0),
    ("SCMP_ACT_KILL_THREAD", KILL_THREAD, 0),
    ("SCMP_ACT_TRAP", TRAP, 0),
    ("SCMP_ACT_ERRNO", ERRNO, MAX_ERRNO),
    ("SCMP_ACT_TRACE", TRACE, MAX_DATA),
    ("SCMP_ACT_ALLOW", ALLOW, 0),
    ("SCMP_ACT_LOG", LOG, 0),
    ("SCMP_ACT_NOTIFY", NOTIFY, 0),
];

/// What a name of an action stands for: its value, and the greatest `errnoRet` that it takes (0 where it takes none).
pub(super) fn action(name: &str) -> Option<(u32, u32)> {
    ACTIONS.iter().find(|(known, ..)| *known == name).map(|(_, value, most)| (*value, *most))
}

/// What `errnoRet` is where it is not set.
pub(super) const DEFAULT_DATA: u32 = EPERM;

/// How an argument is compared, as unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// The argument AND `value` is `valueTwo`.
    MaskedEqual,
}

const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_NE", Operator::NotEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
];

pub(super) fn operator(name: &str) -> Option<Operator> {
    OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
}

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
pub(super) const FLAG_SPEC_ALLOW: u32 = 1 << 2;
pub(super) const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// TSYNC is known and stands for nothing: the process that loads the filter has one thread, and the kernel would
/// refuse it beside a listener.
const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", FLAG_SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FLAG_WAIT_KILLABLE_RECV),
];

pub(super) fn flag(name: &str) -> Option<u32> {
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Names of all actions that a profile may use, for `features`.
pub(crate) fn action_names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(name, ..)| *name)
}

/// Names of all operators that a profile may use, for `features`.
pub(crate) fn operator_names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|(name, _)| *name)
}

/// Names of all flags that a profile may use, for `features`.
pub(crate) fn flag_names() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}
