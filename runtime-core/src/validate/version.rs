//! `ociVersion`: `SemVer` 2.0.0 of major version 1. A newer minor version is tried, since what it added is an unknown
//! property at worst.

use crate::{Bundle, Problem};

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let version = bundle.oci_version();
    let words = match major(version) {
        Some("1") => return Vec::new(),
        Some(_) => format!("{version} is not supported, expected 1.x"),
        None => format!("{version:?} is no version of the form MAJOR.MINOR.PATCH"),
    };
    vec![Problem::new("ociVersion", words)]
}

/// The major version, where the whole is well-formed.
fn major(version: &str) -> Option<&str> {
    let (version, build) = split(version, '+');
    let (core, pre_release) = split(version, '-');
    let mut numbers = core.split('.');
    let major = numbers.next()?;
    let rest: Vec<_> = numbers.collect();
    let is_version = rest.len() == 2
        && is_number(major)
        && rest.into_iter().all(is_number)
        && build.is_none_or(|build| build.split('.').all(is_identifier))
        && pre_release.is_none_or(|words| words.split('.').all(is_pre_release));
    is_version.then_some(major)
}

fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_number(text: &str) -> bool {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (text == "0" || !text.starts_with('0'))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// An identifier of digits alone is a number, and numbers have no leading zeroes.
fn is_pre_release(text: &str) -> bool {
    is_identifier(text) && (!text.bytes().all(|byte| byte.is_ascii_digit()) || is_number(text))
}

#[cfg(test)]
mod tests {
    use super::major;

    // spec: config.ociversion.semver features.ociversionmin.accepted features.ociversionmax.accepted
    #[test]
    fn versions_are_semantic() {
        for version in
            ["1.0.0", "1.0.2-dev", "1.3.0", "1.0.0-rc5-dev", "1.2.0+dev", "1.0.0-alpha.1+b.01", "1.99.0-0-0"]
        {
            assert_eq!(major(version), Some("1"), "{version}");
        }
        assert_eq!((major("0.9.0"), major("10.0.0")), (Some("0"), Some("10")));
        for version in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.0.00",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0+",
            "1.0.0-a..b",
            "1.0.x",
            " 1.0.0",
        ] {
            assert_eq!(major(version), None, "{version}");
        }
    }
}
