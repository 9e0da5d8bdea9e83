//! `linux.netDevices`: names as the kernel takes them (`dev_valid_name` of its net/core/dev.c), and a network namespace to
//! move devices into.

use oci_spec::runtime::LinuxNamespaceType;

use super::has_namespace;
use crate::{Bundle, Problem};

/// `IFNAMSIZ`, with the NUL at the end.
const NAME_SIZE: usize = 16;

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let devices = &bundle.fields().net_devices;
    let mut problems = Vec::new();
    if !devices.is_empty() && !has_namespace(bundle, LinuxNamespaceType::Network) {
        let words = "unable to move network devices without a NET namespace: add {\"type\": \"network\"}";
        problems.push(Problem::new("linux.netDevices", words));
    }
    for (index, device) in devices.iter().enumerate() {
        if let Some(words) = why_no_name(&device.name).filter(|_| !device.name.is_empty()) {
            problems.push(Problem::new(&device.config_path, words));
        }
        let at = format!("{}.name", device.config_path);
        match why_no_name(&device.name_inside) {
            Some(words) if device.name_inside != device.name => problems.push(Problem::new(&at, words)),
            Some(_) => {}
            None if device.name_inside == "lo" => {
                let words = "every network namespace has a device of this name already";
                problems.push(Problem::new(&at, words));
            }
            None => {}
        }
        let is_template = device.name_inside.contains('%');
        let same = devices[..index].iter().find(|other| other.name_inside == device.name_inside);
        if let Some(other) = same.filter(|_| !is_template) {
            let words = format!("{} gets the name {:?} too", other.config_path, device.name_inside);
            problems.push(Problem::new(&at, words));
        }
    }
    problems
}

/// Why the kernel would refuse a name.
fn why_no_name(name: &str) -> Option<String> {
    let why = match name {
        "" => "is empty",
        "." | ".." => "stands for a folder",
        _ if name.len() >= NAME_SIZE => "is longer than 15 bytes",
        _ if name.contains(['/', ':']) => "has a slash or a colon",
        _ if name.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0b) => "has white space",
        _ if name.contains('%') && (name.matches('%').count() > 1 || !name.contains("%d")) => {
            "has a % that is not one %d, the place of a number"
        }
        _ => return None,
    };
    Some(format!("invalid network device name {name:?}: it {why}"))
}

#[cfg(test)]
mod tests {
    use super::why_no_name;

    #[test]
    fn names_are_those_of_the_kernel() {
        for (name, is_right) in [
            ("eth0", true),
            ("a", true),
            ("fifteen-bytes-x", true),
            ("sixteen-bytes-xy", false),
            ("net%d", true),
            ("%d", true),
            ("net%s", false),
            ("%d%d", false),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a:b", false),
            ("a b", false),
            ("a\tb", false),
            ("a\u{b}b", false),
        ] {
            assert_eq!(why_no_name(name).is_none(), is_right, "{name:?}");
        }
    }
}
