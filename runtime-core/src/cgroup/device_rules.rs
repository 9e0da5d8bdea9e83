//! `linux.resources.devices` to one policy, and for cgroup v1 to lines of its files. Pure.
//!
//! Every container starts from *deny all*. Of the rules that speak of a device and a right, the last one decides that
//! right. The default devices are allowed after the last rule that denies all, so that they can be used in spite of
//! it (they are a MUST of the specification), and before the others, so that one that names a device still holds.

use std::{collections::BTreeMap, fmt};

use super::{DeviceAccess, DeviceKind, DeviceRule};

impl DeviceAccess {
    pub(super) const NONE: Self = Self { read: false, write: false, mknod: false };
    pub(super) const ALL: Self = Self { read: true, write: true, mknod: true };
    pub(super) const MKNOD: Self = Self { read: false, write: false, mknod: true };

    /// These rights and those.
    const fn with(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            mknod: self.mknod || other.mknod,
        }
    }

    /// These rights but not those.
    const fn without(self, other: Self) -> Self {
        Self {
            read: self.read && !other.read,
            write: self.write && !other.write,
            mknod: self.mknod && !other.mknod,
        }
    }

    const fn both(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            write: self.write && other.write,
            mknod: self.mknod && other.mknod,
        }
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        letters.iter().filter(|(has, _)| *has).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// What a container may do with device nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DevicePolicy {
    /// What holds for devices that no rule speaks of.
    pub(super) allows_others: bool,
    /// The last match decides, for each right. No rule speaks of all rights of all devices.
    pub(super) rules: Vec<DeviceRule>,
}

const fn allow_char(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule { allow: true, kind: DeviceKind::Char, major: Some(major), minor, access: DeviceAccess::ALL }
}

const fn allow_mknod(kind: DeviceKind) -> DeviceRule {
    DeviceRule { allow: true, kind, major: None, minor: None, access: DeviceAccess::MKNOD }
}

/// What every container may use: the default devices of the specification, pseudoterminals (its console is one), and
/// making any node, which without a rule for the device cannot be opened. The list of runc.
const DEFAULTS: [DeviceRule; 10] = [
    allow_mknod(DeviceKind::Char),
    allow_mknod(DeviceKind::Block),
    allow_char(1, Some(3)), // null
    allow_char(1, Some(5)), // zero
    allow_char(1, Some(7)), // full
    allow_char(1, Some(8)), // random
    allow_char(1, Some(9)), // urandom
    allow_char(5, Some(0)), // tty
    allow_char(5, Some(2)), // ptmx
    allow_char(136, None),  // pts
];

impl DevicePolicy {
    /// The policy of a container with these rules.
    pub(super) fn new(listed: &[DeviceRule]) -> Self {
        let denies_all = |rule: &DeviceRule| {
            !rule.allow && rule.kind != DeviceKind::Block && rule.major.is_none() && rule.minor.is_none()
        };
        let from = listed.iter().rposition(denies_all).map_or(0, |last| last + 1);
        let mut rules = listed[..from].to_vec();
        rules.extend(DEFAULTS);
        rules.extend_from_slice(&listed[from..]);
        // What stands before a rule on everything has no say.
        let speaks_of_all = |rule: &DeviceRule| {
            let is_any = rule.kind == DeviceKind::All && rule.major.is_none() && rule.minor.is_none();
            is_any && rule.access == DeviceAccess::ALL
        };
        let mut allows_others = false;
        if let Some(last) = rules.iter().rposition(speaks_of_all) {
            allows_others = rules[last].allow;
            rules.drain(..=last);
        }
        Self { allows_others, rules }
    }
}

/// A set of devices as cgroup v1 names it: `c 1:*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct V1Device {
    is_block: bool,
    major: Option<u32>,
    minor: Option<u32>,
}

impl V1Device {
    fn covers(&self, other: &Self) -> bool {
        let covers = |mine: Option<u32>, others: Option<u32>| mine.is_none() || mine == others;
        self.is_block == other.is_block && covers(self.major, other.major) && covers(self.minor, other.minor)
    }

    fn meets(&self, other: &Self) -> bool {
        let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.is_block == other.is_block && meets(self.major, other.major) && meets(self.minor, other.minor)
    }

    fn is_any(&self) -> bool {
        self.major.is_none() && self.minor.is_none()
    }
}

impl fmt::Display for V1Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let kind = if self.is_block { 'b' } else { 'c' };
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// State of a v1 devices cgroup: a default for all devices, and exceptions from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V1State {
    allows_others: bool,
    exceptions: BTreeMap<V1Device, DeviceAccess>,
}

impl V1State {
    /// The state that enforces a policy.
    ///
    /// # Errors
    /// The words for a rule that v1 cannot express: a hole in a wildcard.
    pub(super) fn of_policy(policy: &DevicePolicy) -> Result<Self, String> {
        let mut state = Self { allows_others: policy.allows_others, exceptions: BTreeMap::new() };
        for rule in &policy.rules {
            let kinds: &[bool] = match rule.kind {
                DeviceKind::All => &[false, true],
                DeviceKind::Char => &[false],
                DeviceKind::Block => &[true],
            };
            for &is_block in kinds {
                let device = V1Device { is_block, major: rule.major, minor: rule.minor };
                if rule.allow == state.allows_others {
                    state.remove(device, rule.access)?;
                } else {
                    let access = state.exceptions.entry(device).or_insert(DeviceAccess::NONE);
                    *access = access.with(rule.access);
                }
            }
        }
        Ok(state)
    }

    /// Takes rights out of the exceptions.
    fn remove(&mut self, device: V1Device, access: DeviceAccess) -> Result<(), String> {
        for (other, has) in &mut self.exceptions {
            let mut common = has.both(access);
            if !device.meets(other) || common == DeviceAccess::NONE {
                continue;
            }
            if device.covers(other) {
                *has = has.without(access);
                continue;
            }
            if other.is_any() && !self.allows_others {
                // `c *:* m` is a default. A node that was made but may not be opened is of no use, so it stays.
                common = common.without(DeviceAccess::MKNOD);
            }
            if common != DeviceAccess::NONE {
                let verbs = if self.allows_others { ["allow", "denies"] } else { ["deny", "allows"] };
                return Err(format!(
                    "cgroup v1 cannot {} {device} {common} where another rule {} {other} {has}",
                    verbs[0], verbs[1]
                ));
            }
        }
        self.exceptions.retain(|_, has| *has != DeviceAccess::NONE);
        Ok(())
    }

    /// The state in force, from `devices.list`. Exceptions from *allow all* are not shown there.
    pub(super) fn parse(list: &str) -> Self {
        let mut state = Self { allows_others: false, exceptions: BTreeMap::new() };
        for line in list.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(kind), Some(numbers), Some(letters)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if kind == "a" {
                state.allows_others = true;
                continue;
            }
            let (major, minor) = numbers.split_once(':').unwrap_or((numbers, "*"));
            let device =
                V1Device { is_block: kind == "b", major: major.parse().ok(), minor: minor.parse().ok() };
            let has = |letter: char| letters.contains(letter);
            let access = DeviceAccess { read: has('r'), write: has('w'), mknod: has('m') };
            state.exceptions.insert(device, access);
        }
        state
    }

    /// The writes that lead from this state to another: as few as can be, since the processes of the cgroup live on
    /// between them, and `a` is refused once there are nested cgroups.
    pub(super) fn writes_to(&self, target: &Self) -> Vec<(&'static str, String)> {
        let (exceptions_file, others_file) = match target.allows_others {
            true => ("devices.deny", "devices.allow"),
            false => ("devices.allow", "devices.deny"),
        };
        let mut writes = Vec::new();
        let mut current = self.clone();
        // Exceptions from "allow all" cannot be read, so they cannot be taken back one by one.
        if self.allows_others || target.allows_others {
            writes.push((others_file, "a".to_owned()));
            current.exceptions.clear();
        }
        let missing = |from: &Self, to: &Self| -> Vec<String> {
            let difference = |(device, access): (&V1Device, &DeviceAccess)| {
                let has = from.exceptions.get(device).copied().unwrap_or(DeviceAccess::NONE);
                let lacks = access.without(has);
                (lacks != DeviceAccess::NONE).then(|| format!("{device} {lacks}"))
            };
            to.exceptions.iter().filter_map(difference).collect()
        };
        writes.extend(missing(target, &current).into_iter().map(|line| (others_file, line)));
        writes.extend(missing(&current, target).into_iter().map(|line| (exceptions_file, line)));
        writes
    }
}

#[cfg(test)]
impl DevicePolicy {
    /// The meaning of a policy: whether a request is granted. What the v1 files and the v2 program are held against.
    pub(super) fn allows(&self, kind: DeviceKind, numbers: (u32, u32), access: DeviceAccess) -> bool {
        let granted = |right: DeviceAccess| {
            let speaks = |rule: &&DeviceRule| {
                (rule.kind == DeviceKind::All || rule.kind == kind)
                    && rule.major.is_none_or(|major| major == numbers.0)
                    && rule.minor.is_none_or(|minor| minor == numbers.1)
                    && rule.access.both(right) != DeviceAccess::NONE
            };
            self.rules.iter().rev().find(speaks).map_or(self.allows_others, |rule| rule.allow)
        };
        (!access.read || granted(DeviceAccess { read: true, ..DeviceAccess::NONE }))
            && (!access.write || granted(DeviceAccess { write: true, ..DeviceAccess::NONE }))
            && (!access.mknod || granted(DeviceAccess::MKNOD))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rule from the form of devices.list, with `+` or `-` in front: `+c 1:3 rwm`.
    pub(in crate::cgroup) fn rule(text: &str) -> DeviceRule {
        let mut words = text[1..].split(' ');
        let kind = match words.next().unwrap() {
            "a" => DeviceKind::All,
            "c" => DeviceKind::Char,
            "b" => DeviceKind::Block,
            other => panic!("{other}"),
        };
        let (major, minor) = words.next().unwrap().split_once(':').unwrap();
        let letters = words.next().unwrap();
        DeviceRule {
            allow: text.starts_with('+'),
            kind,
            major: major.parse().ok(),
            minor: minor.parse().ok(),
            access: access(letters),
        }
    }

    fn access(letters: &str) -> DeviceAccess {
        let has = |letter: char| letters.contains(letter);
        DeviceAccess { read: has('r'), write: has('w'), mknod: has('m') }
    }

    fn policy(rules: &[&str]) -> DevicePolicy {
        DevicePolicy::new(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>())
    }

    #[test]
    fn default_devices_hold_against_deny_all_but_not_against_rules_that_name_them() {
        use DeviceKind::{Block, Char};
        /// Rules; device; request; granted.
        type Row<'a> = (&'a [&'a str], (DeviceKind, u32, u32), &'a str, bool);
        let rows: &[Row<'_>] = &[
            (&[], (Char, 1, 3), "rw", true),
            (&[], (Char, 10, 229), "rw", false),
            (&[], (Char, 10, 229), "m", true),
            (&[], (Block, 8, 0), "r", false),
            (&["-a *:* rwm"], (Char, 1, 3), "rwm", true),
            (&["-a *:* rwm"], (Char, 136, 7), "rw", true),
            (&["-a *:* rwm"], (Char, 5, 1), "r", false),
            (&["-a *:* rwm", "-c 1:3 w"], (Char, 1, 3), "w", false),
            (&["-a *:* rwm", "-c 1:3 w"], (Char, 1, 3), "r", true),
            (&["-a *:* rwm", "-c 1:3 w"], (Char, 1, 3), "rw", false),
            (&["-c 1:3 rwm", "-a *:* rwm"], (Char, 1, 3), "rw", true),
            (&["-c *:* rwm"], (Char, 1, 9), "r", true),
            (&["-a *:* rwm", "+c 10:229 rwm"], (Char, 10, 229), "rw", true),
            (&["+c 10:229 rwm", "-a *:* rwm"], (Char, 10, 229), "rw", false),
            (&["+c 10:229 r"], (Char, 10, 229), "r", true),
            (&["+c 10:229 r"], (Char, 10, 229), "rw", false),
            (&["+c 10:229 r", "+c 10:229 w"], (Char, 10, 229), "rw", true),
            (&["-a *:* rwm", "+a *:* rwm"], (Block, 8, 0), "rwm", true),
            (&["+a *:* rwm", "-b 8:* w"], (Block, 8, 1), "r", true),
            (&["+a *:* rwm", "-b 8:* w"], (Block, 8, 1), "w", false),
            (&["+a *:* rwm", "-b 8:* w", "+b 8:1 w"], (Block, 8, 1), "w", true),
            (&["+b 8:* rwm"], (Char, 8, 1), "r", false),
        ];
        for (rules, (kind, major, minor), letters, granted) in rows {
            let found = policy(rules).allows(*kind, (*major, *minor), access(letters));
            assert_eq!(found, *granted, "{rules:?}: {kind:?} {major}:{minor} {letters}");
        }
    }

    #[test]
    fn rules_before_one_on_everything_are_dropped() {
        let dropped = policy(&["+c 10:229 rwm", "-a *:* rwm", "+b 8:0 r"]);
        assert_eq!(dropped, policy(&["+b 8:0 r"]));
        assert_eq!(policy(&["-b 8:0 r", "+a *:* rwm"]), DevicePolicy { allows_others: true, rules: vec![] });
    }

    #[test]
    fn fresh_v1_cgroup_is_told_to_deny_all_and_then_what_is_allowed() {
        let target = V1State::of_policy(&policy(&["-a *:* rwm", "+b 8:0 r"])).unwrap();
        let writes = V1State::parse("a *:* rwm\n").writes_to(&target);
        assert_eq!(writes[0], ("devices.deny", "a".to_owned()));
        assert!(writes[1..].iter().all(|(file, _)| *file == "devices.allow"));
        assert!(writes.contains(&("devices.allow", "b 8:0 r".to_owned())));
        assert!(writes.contains(&("devices.allow", "c 136:* rwm".to_owned())));
        assert_eq!(writes.len(), 12);
    }

    #[test]
    fn v1_update_writes_only_the_difference() {
        let old = V1State::of_policy(&policy(&["+b 8:0 rw", "+c 10:229 rwm"])).unwrap();
        let list: String =
            old.exceptions.iter().map(|(device, access)| format!("{device} {access}\n")).collect();
        assert_eq!(V1State::parse(&list), old);
        assert_eq!(old.writes_to(&old), []);
        let new = V1State::of_policy(&policy(&["+b 8:0 r", "+c 10:200 rw"])).unwrap();
        let expected = [
            ("devices.deny", "c 10:229 rwm".to_owned()),
            ("devices.deny", "b 8:0 w".to_owned()),
            ("devices.allow", "c 10:200 rw".to_owned()),
        ];
        assert_eq!(old.writes_to(&new), expected);
    }

    #[test]
    fn v1_privileged_container_resets_to_allow_all() {
        let target = V1State::of_policy(&policy(&["+a *:* rwm", "-b 8:0 w"])).unwrap();
        let expected = [("devices.allow", "a".to_owned()), ("devices.deny", "b 8:0 w".to_owned())];
        assert_eq!(V1State::parse("a *:* rwm\n").writes_to(&target), expected);
    }

    #[test]
    fn v1_refuses_holes_in_wildcards_but_keeps_making_nodes() {
        let error = V1State::of_policy(&policy(&["+c 10:* rw", "-c 10:229 rwm"])).unwrap_err();
        assert_eq!(error, "cgroup v1 cannot deny c 10:229 rw where another rule allows c 10:* rw");
        let error = V1State::of_policy(&policy(&["+a *:* rwm", "-b 8:* w", "+b 8:1 w"])).unwrap_err();
        assert_eq!(error, "cgroup v1 cannot allow b 8:1 w where another rule denies b 8:* w");
        // As Docker writes it.
        let docker = V1State::of_policy(&policy(&["-a *:* rwm", "-c 10:229 rwm"])).unwrap();
        assert_eq!(docker, V1State::of_policy(&policy(&[])).unwrap());
        // What is narrower than the rule is taken out.
        let state = V1State::of_policy(&policy(&["+c 10:229 rw", "-c 10:* rw"])).unwrap();
        assert_eq!(state, V1State::of_policy(&policy(&[])).unwrap());
    }
}
