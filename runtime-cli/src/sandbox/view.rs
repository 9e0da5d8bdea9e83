//! What the sandbox sees of the host's files.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use super::{Identity, Network, Options};
use crate::failure::{Failure, Result};

/// What of this machine's root is the system. `/etc` is bound too and masked in places.
const SYSTEM: &[&str] =
    &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu", "etc"];

/// Always new and empty.
const FRESH: &[&str] = &["dev", "proc", "sys", "run", "tmp"];

/// Secrets of /etc, whoever may read them (a plain user may be in the group of the shadow file or of the keys).
const SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/master.passwd",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/doas.conf",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/pki/nssdb",
    "/etc/letsencrypt",
    "/etc/krb5.keytab",
    "/etc/ipsec.d",
    "/etc/ipsec.secrets",
    "/etc/swanctl",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/ppp",
    "/etc/wpa_supplicant",
    "/etc/NetworkManager/system-connections",
    "/etc/netplan",
    "/etc/iwd",
    "/etc/docker",
    "/etc/containers/auth.json",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/cni",
    "/etc/samba/private",
    "/etc/postgresql",
    "/etc/mysql/debian.cnf",
    "/etc/exim4/passwd.client",
    "/etc/postfix/sasl_passwd",
    "/etc/dovecot/private",
    "/etc/cryptsetup-keys.d",
    "/etc/crypttab",
    "/etc/luks",
    "/etc/environment",
    "/etc/environment.d",
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d",
    "/etc/pip.conf",
    "/etc/npmrc",
];

/// A bind mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host, resolved.
    pub source: PathBuf,
    /// In the sandbox.
    pub target: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}

/// What is seen.
#[derive(Debug)]
pub struct View {
    /// Symbolic links at the top: name and target.
    pub links: Vec<(String, PathBuf)>,
    /// Bind mounts, parents before children.
    pub binds: Vec<Bind>,
    /// The home directory: new and empty.
    pub home: PathBuf,
    /// Where the command starts.
    pub cwd: PathBuf,
    /// Whether /var is new and empty; another system keeps its own.
    pub fresh_var: bool,
    /// What is there but not to be read.
    pub masked: Vec<PathBuf>,
}

impl View {
    /// Looks at the host.
    pub fn of_host(
        options: &Options,
        caller_home: Option<&Path>,
        cwd: &Path,
        identity: Identity,
    ) -> Result<Self> {
        let home = home_inside(caller_home);
        let shared = shared_paths(options, cwd)?;
        for path in &shared {
            check_shareable(&path.source, caller_home)?;
        }
        let mut view = Self {
            links: Vec::new(),
            binds: Vec::new(),
            home,
            cwd: cwd.to_owned(),
            fresh_var: options.rootfs.is_none(),
            masked: Vec::new(),
        };
        match &options.rootfs {
            None => {
                for name in SYSTEM {
                    view.add_system(Path::new("/"), OsStr::new(name))?;
                }
                view.masked = secrets_of_etc(identity)?;
                if options.network == Network::Host {
                    view.add_resolver();
                }
            }
            Some(rootfs) => view.add_rootfs(rootfs, &shared)?,
        }
        view.binds.extend(shared);
        view.binds.sort_by_key(|bind| bind.target.components().count());
        Ok(view)
    }

    /// Adds an entry of the top of a system: a link as it is, anything else as a bind mount.
    fn add_system(&mut self, root: &Path, name: &OsStr) -> Result<()> {
        let source = root.join(name);
        let failure = |error| Failure::io(format_args!("look at {}", source.display()), error);
        match fs::symlink_metadata(&source) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failure(error)),
            Ok(metadata) if metadata.is_symlink() => {
                let target = fs::read_link(&source).map_err(failure)?;
                self.links.push((name.to_string_lossy().into_owned(), target));
            }
            Ok(_) => self.binds.push(Bind { target: Path::new("/").join(name), source, writable: false }),
        }
        Ok(())
    }

    /// Adds all of another system but what is new, and but directories in which we need a mount point that is not there:
    /// nothing is ever made in a system that is not ours.
    fn add_rootfs(&mut self, rootfs: &Path, shared: &[Bind]) -> Result<()> {
        let failure = |error| Failure::io(format_args!("look at the rootfs {}", rootfs.display()), error);
        let needed: Vec<&Path> =
            shared.iter().map(|bind| bind.target.as_path()).chain([self.home.as_path()]).collect();
        let lacks_mount_point = |name: &OsStr| {
            needed.iter().any(|path| {
                path.components().nth(1) == Some(Component::Normal(name))
                    && path.strip_prefix("/").is_ok_and(|path| !rootfs.join(path).is_dir())
            })
        };
        let names: Vec<_> = fs::read_dir(rootfs)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
            .map_err(failure)?;
        let kept: Vec<_> = names
            .iter()
            .filter(|name| !FRESH.iter().any(|fresh| name == fresh) && !lacks_mount_point(name))
            .collect();
        kept.into_iter().try_for_each(|name| self.add_system(rootfs, name))
    }

    /// resolv.conf is often a link to below /run, which is new here.
    fn add_resolver(&mut self) {
        if let Ok(source) = fs::canonicalize("/etc/resolv.conf") {
            if source.starts_with("/run") {
                self.binds.push(Bind { target: source.clone(), source, writable: false });
            }
        }
    }
}

/// The paths that were asked for and the current directory, unless one of them holds it.
fn shared_paths(options: &Options, cwd: &Path) -> Result<Vec<Bind>> {
    let bind = |path: &PathBuf, writable| Bind { source: path.clone(), target: path.clone(), writable };
    let mut shared: Vec<Bind> = options.writable.iter().map(|path| bind(path, true)).collect();
    shared.extend(options.readable.iter().map(|path| bind(path, false)));
    for (index, one) in shared.iter().enumerate() {
        if shared[..index].iter().any(|other| other.target == one.target && other.writable != one.writable) {
            return Err(Failure::new(format!(
                "{} is asked for with --rw and with --ro",
                one.target.display()
            )));
        }
    }
    shared.dedup();
    if !shared.iter().any(|other| cwd.starts_with(&other.target)) {
        shared.push(bind(&cwd.to_owned(), false));
    }
    Ok(shared)
}

/// Refuses what would let in more than anybody means: everything, the whole home, sockets, devices.
fn check_shareable(path: &Path, home: Option<&Path>) -> Result<()> {
    let refuse = |what: &str, hint: &str| {
        Err(Failure::new(format!("{} is not made visible in a sandbox: {what}", path.display()))
            .with_hint(hint))
    };
    let project = "change to the directory of one project, or name single directories with --ro and --rw";
    if path == Path::new("/") {
        return refuse("it is everything, with all sockets", project);
    }
    if let Some(home) = home {
        if path == home {
            return refuse("it is the home directory, with keys and tokens", project);
        }
        if home.starts_with(path) {
            return refuse("the home directory is in it", project);
        }
    }
    if ["/proc", "/sys", "/dev"].iter().any(|fresh| path.starts_with(fresh)) {
        return refuse("the sandbox has its own", project);
    }
    if ["/run", "/var/run", "/tmp", "/var"].iter().any(|dir| path == Path::new(dir)) {
        return refuse("sockets of services and agents are in it", project);
    }
    Ok(())
}

/// Where home is inside: as outside, unless that is part of the system.
fn home_inside(home: Option<&Path>) -> PathBuf {
    let is_system = |home: &Path| {
        let top = home.components().nth(1);
        top.is_none_or(|top| {
            SYSTEM.iter().chain(FRESH).any(|name| top == Component::Normal(OsStr::new(name)))
        })
    };
    match home {
        Some(home) if home.is_absolute() && !is_system(home) => home.to_owned(),
        _ => PathBuf::from("/home/sandbox"),
    }
}

fn secrets_of_etc(identity: Identity) -> Result<Vec<PathBuf>> {
    let is_there = |path: &&&str| fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_symlink());
    let mut masked: Vec<PathBuf> = SECRETS.iter().filter(is_there).map(PathBuf::from).collect();
    if identity.is_root() {
        add_closed_below(Path::new("/etc"), &mut masked)
            .map_err(|error| Failure::io("look for files below /etc that only root may read", error))?;
    }
    Ok(masked)
}

/// Adds what is not readable for all. Links are judged where they lead.
fn add_closed_below(dir: &Path, masked: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if metadata.is_symlink() || masked.contains(&path) {
            continue;
        }
        let wanted = if metadata.is_dir() { 0o005 } else { 0o004 };
        if metadata.permissions().mode() & wanted != wanted {
            masked.push(path);
        } else if metadata.is_dir() {
            add_closed_below(&path, masked)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::{add_closed_below, check_shareable, home_inside};

    #[test]
    fn whole_homes_roots_and_sockets_are_refused() {
        let home = Some(Path::new("/home/anna"));
        for path in
            ["/", "/home", "/home/anna", "/run", "/var/run", "/tmp", "/var", "/proc", "/sys/fs", "/dev/shm"]
        {
            let failure = check_shareable(Path::new(path), home).expect_err(path);
            assert!(failure.hint().is_some(), "{path}");
        }
        for path in ["/home/anna/project", "/srv/x", "/tmp/build", "/var/lib/x", "/opt"] {
            assert!(check_shareable(Path::new(path), home).is_ok(), "{path}");
        }
        assert!(check_shareable(Path::new("/"), None).is_err());
    }

    #[test]
    fn home_never_hides_the_system() {
        for (home, inside) in [
            (Some("/home/anna"), "/home/anna"),
            (Some("/root"), "/root"),
            (Some("/var/lib/service"), "/var/lib/service"),
            (Some("/"), "/home/sandbox"),
            (Some("/usr/sbin"), "/home/sandbox"),
            (Some("/dev"), "/home/sandbox"),
            (Some("relative"), "/home/sandbox"),
            (None, "/home/sandbox"),
        ] {
            assert_eq!(home_inside(home.map(Path::new)), Path::new(inside), "{home:?}");
        }
    }

    #[test]
    fn what_not_everybody_may_read_is_found() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let make = |name: &str, mode| {
            let path = dir.path().join(name);
            fs::write(&path, "x").expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        };
        fs::create_dir(dir.path().join("open")).expect("directory");
        fs::create_dir(dir.path().join("closed")).expect("directory");
        make("key", 0o600);
        make("open/text", 0o644);
        make("open/group", 0o640);
        make("closed/text", 0o644);
        fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o750)).expect("mode");
        let mut masked = Vec::new();
        add_closed_below(dir.path(), &mut masked).expect("walk");
        masked.sort();
        let names: Vec<_> =
            masked.iter().filter_map(|path| path.strip_prefix(dir.path()).ok()?.to_str()).collect();
        assert_eq!(names, ["closed", "key", "open/group"]);
    }
}
