//! The environment of the sandboxed command: an allow-list, so that no token, agent socket or bus address gets in.

use std::path::Path;

const PASSED: &[&str] =
    &["PATH", "TERM", "COLORTERM", "NO_COLOR", "CLICOLOR", "LANG", "LANGUAGE", "TZ", "COLUMNS", "LINES"];
const PASSED_PREFIX: &str = "LC_";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Entries in the order they are given; the last of a name wins.
pub fn entries(
    caller: impl IntoIterator<Item = (String, String)>,
    home: &Path,
    asked: &[String],
) -> Vec<String> {
    let caller: Vec<(String, String)> = caller.into_iter().collect();
    let mut entries = Vec::new();
    for (name, value) in &caller {
        if PASSED.contains(&name.as_str()) || name.starts_with(PASSED_PREFIX) {
            set(&mut entries, name, value);
        }
    }
    if !caller.iter().any(|(name, _)| name == "PATH") {
        set(&mut entries, "PATH", DEFAULT_PATH);
    }
    set(&mut entries, "HOME", &home.to_string_lossy());
    for name in ["USER", "LOGNAME"] {
        set(&mut entries, name, "root");
    }
    for entry in asked {
        match entry.split_once('=') {
            Some((name, value)) => set(&mut entries, name, value),
            None => {
                if let Some((name, value)) = caller.iter().find(|(name, _)| name == entry) {
                    set(&mut entries, name, value);
                }
            }
        }
    }
    entries.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn set(entries: &mut Vec<(String, String)>, name: &str, value: &str) {
    entries.retain(|(known, _)| known != name);
    entries.push((name.to_owned(), value.to_owned()));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::entries;

    fn seen(caller: &[(&str, &str)], asked: &[&str]) -> Vec<String> {
        let caller = caller.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let asked: Vec<String> = asked.iter().map(|entry| (*entry).to_owned()).collect();
        entries(caller, Path::new("/home/anna"), &asked)
    }

    #[test]
    fn secrets_and_sockets_stay_outside() {
        let caller = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("HOME", "/root"),
            ("SSH_AUTH_SOCK", "/tmp/agent"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/0/bus"),
            ("XDG_RUNTIME_DIR", "/run/user/0"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("LD_PRELOAD", "x.so"),
        ];
        assert_eq!(
            seen(&caller, &[]),
            ["PATH=/bin", "LC_ALL=C", "HOME=/home/anna", "USER=root", "LOGNAME=root"]
        );
    }

    #[test]
    fn what_is_asked_for_is_set_or_passed_on() {
        let caller = [("PATH", "/bin"), ("TOKEN", "secret")];
        let entries = seen(&caller, &["TOKEN", "MISSING", "A=b=c", "HOME=/x"]);
        assert_eq!(entries, ["PATH=/bin", "USER=root", "LOGNAME=root", "TOKEN=secret", "A=b=c", "HOME=/x"]);
        assert!(seen(&[], &[])[0].starts_with("PATH=/usr/local/sbin:"));
    }
}
