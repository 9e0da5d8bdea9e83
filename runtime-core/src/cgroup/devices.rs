//! Puts a device policy into force: the files of the devices hierarchy on v1, an eBPF program on v2.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::{
    Cgroup, DeviceRule,
    device_rules::{DevicePolicy, V1State},
    files,
};
use crate::{Error, ErrorKind, Result, sys::bpf};

/// How our programs are known among those that others attached to the same cgroup.
const PROGRAM_NAME: &str = "orlop_devices";

const CONFIG_PATH: &str = "linux.resources.devices";

impl Cgroup {
    /// Lets processes use the default devices and what these rules allow, in place of what an earlier call said.
    ///
    /// # Errors
    /// `PermissionDenied` for a caller outside of the initial user namespace, which may not filter devices;
    /// `Unsupported` for a rule that v1 cannot express.
    pub(crate) fn apply_device_rules(&self, rules: &[DeviceRule]) -> Result<()> {
        let policy = DevicePolicy::new(rules);
        let applied = match (self.dirs.v1("devices"), self.dirs.v2()) {
            (Some(dir), _) => write_v1(dir, &policy),
            // A hybrid host whose v1 hierarchies lack devices has the container in a v2 cgroup as well.
            (None, Some(dir)) => attach_v2(&dir, &policy),
            (None, None) => Err(Error::new(ErrorKind::Unsupported, "no devices cgroup is mounted")),
        };
        applied.map_err(|error| match error.config_path() {
            Some(_) => error,
            None => error.with_config_path(CONFIG_PATH),
        })
    }
}

fn write_v1(dir: &std::path::Path, policy: &DevicePolicy) -> Result<()> {
    let target = V1State::of_policy(policy).map_err(|message| Error::new(ErrorKind::Unsupported, message))?;
    let list = dir.join("devices.list");
    let current =
        files::read_raw(rustix::fs::CWD, &list).map_err(|errno| files::cannot_read(&list, errno))?;
    let before = V1State::parse(&current);
    write_lines(dir, &before.writes_to(&target)).map_err(|mut error| {
        // What cannot be read says nothing of what would have to be taken back.
        let now = files::read_raw(rustix::fs::CWD, &list).unwrap_or(current);
        if let Err(failure) = write_lines(dir, &V1State::parse(&now).writes_to(&before)) {
            error.attach_cleanup(failure);
        }
        error
    })
}

fn write_lines(dir: &std::path::Path, lines: &[(&'static str, String)]) -> Result<()> {
    lines.iter().try_for_each(|(file, value)| {
        files::write(&dir.join(file), value).map_err(|error| {
            match error.errno().map(Errno::from_raw_os_error) {
                Some(Errno::PERM) => {
                    error.with_hint("the cgroup above does not allow it, or CAP_SYS_ADMIN is missing")
                }
                Some(Errno::INVAL) if value == "a" => error
                    .with_hint("the default for all devices cannot change while there are nested cgroups"),
                _ => error,
            }
        })
    })
}

fn attach_v2(dir: &std::path::Path, policy: &DevicePolicy) -> Result<()> {
    let Some(cgroup) = files::open_dir(dir)? else {
        let message = format!("cgroup {} does not exist", dir.display());
        return Err(Error::new(ErrorKind::NotFound, message).with_path(dir));
    };
    let failed = |what: &str, errno: Errno| {
        let attempted = format!("cannot {what} device filter of cgroup {}", dir.display());
        let error = Error::from_errno(attempted, errno.raw_os_error()).with_path(dir);
        match errno {
            Errno::PERM => error.with_hint(
                "bpf(2) needs CAP_SYS_ADMIN in the initial user namespace, and that no cgroup above has a filter \
                 which excludes others",
            ),
            Errno::NOSYS | Errno::INVAL => error.with_hint("the kernel needs CONFIG_CGROUP_BPF"),
            _ => error,
        }
    };
    let old = own_programs(cgroup.as_fd()).map_err(|errno| failed("look at the", errno))?;
    let detach = |programs: &[OwnedFd]| {
        programs.iter().try_for_each(|program| {
            match bpf::detach_device_program(cgroup.as_fd(), program.as_fd()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(failed("remove the old", errno)),
            }
        })
    };
    if policy.allows_others && policy.rules.is_empty() {
        return detach(&old);
    }
    let program = bpf::load_device_program(&policy.program(), PROGRAM_NAME)
        .map_err(|errno| failed("load the", errno))?;
    let attach = |replaced: Option<&OwnedFd>| {
        bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), replaced.map(AsFd::as_fd))
    };
    let Some((first, others)) = old.split_first() else {
        return attach(None).map_err(|errno| failed("attach the", errno));
    };
    match attach(Some(first)) {
        Ok(()) => detach(others),
        // Before 5.6 nothing can be replaced. Both in force are stricter than either, so nothing opens up meanwhile.
        Err(Errno::INVAL) => {
            attach(None).map_err(|errno| failed("attach the", errno))?;
            detach(&old)
        }
        Err(errno) => Err(failed("replace the", errno)),
    }
}

/// The programs that this library attached to a cgroup. Others stay: somebody wanted them.
fn own_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    let mut own = Vec::new();
    for id in bpf::device_programs(cgroup)? {
        let Some(program) = bpf::open_program(id)? else { continue };
        if bpf::program_name(program.as_fd())? == PROGRAM_NAME {
            own.push(program);
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            NeededControllers,
            device_rules::tests::rule,
            tests::{Process, cgroups},
        },
        *,
    };

    /// What a shell in the cgroup can open: "r", "w" for reading and writing.
    fn can_open(cgroup: &Cgroup, device: &str, mode: &str) -> bool {
        let redirect = if mode == "r" { "<" } else { ">" };
        let mut process = Process::start(&format!("read go; : {redirect}{device}"));
        cgroup.place(process.pid()).unwrap();
        drop(process.0.stdin.take());
        process.0.wait().unwrap().success()
    }

    #[test]
    fn rules_are_enforced_and_replaced() {
        for cgroup in cgroups("devices") {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            cgroup.apply_device_rules(&[rule("-a *:* rwm")]).unwrap();
            assert!(can_open(&cgroup, "/dev/null", "w"));
            assert!(can_open(&cgroup, "/dev/urandom", "r"));
            assert!(!can_open(&cgroup, "/dev/kmsg", "r"));
            cgroup.apply_device_rules(&[rule("+c 1:11 r"), rule("-c 1:3 w")]).unwrap();
            assert!(can_open(&cgroup, "/dev/kmsg", "r"));
            assert!(!can_open(&cgroup, "/dev/kmsg", "w"));
            assert!(!can_open(&cgroup, "/dev/null", "w"));
            assert!(can_open(&cgroup, "/dev/null", "r"));
            cgroup.apply_device_rules(&[rule("+a *:* rwm")]).unwrap();
            assert!(can_open(&cgroup, "/dev/kmsg", "w"));
            cgroup.apply_device_rules(&[rule("+a *:* rwm"), rule("-c 1:11 w")]).unwrap();
            assert!(!can_open(&cgroup, "/dev/kmsg", "w"));
            assert!(can_open(&cgroup, "/dev/kmsg", "r"));
        }
    }

    #[test]
    fn programs_of_others_stay_in_force() {
        for cgroup in cgroups("bpf").into_iter().filter(|cgroup| cgroup.dirs.v1("devices").is_none()) {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            let dir = cgroup.open_dir().unwrap().unwrap();
            let deny_all = DevicePolicy { allows_others: false, rules: vec![] };
            let program = bpf::load_device_program(&deny_all.program(), "another").unwrap();
            bpf::attach_device_program(dir.as_fd(), program.as_fd(), None).unwrap();
            for rules in [vec![], vec![rule("+a *:* rwm")], vec![rule("+c 1:11 r")]] {
                cgroup.apply_device_rules(&rules).unwrap();
                assert!(!can_open(&cgroup, "/dev/null", "r"), "{rules:?}");
            }
            assert_eq!(bpf::device_programs(dir.as_fd()).unwrap().len(), 2);
            assert_eq!(own_programs(dir.as_fd()).unwrap().len(), 1);
        }
    }

    #[test]
    fn many_rules_fit_the_verifier() {
        for cgroup in cgroups("many").into_iter().filter(|cgroup| cgroup.dirs.v1("devices").is_none()) {
            let _created = cgroup.create(&NeededControllers::new()).unwrap();
            let rules: Vec<DeviceRule> = (0..500)
                .map(|n| rule(&format!("{}c 10:{n} {}", ["+", "-"][n % 2], ["rw", "rwm", "m"][n % 3])))
                .collect();
            cgroup.apply_device_rules(&rules).unwrap();
            assert!(can_open(&cgroup, "/dev/null", "r"));
        }
    }
}
