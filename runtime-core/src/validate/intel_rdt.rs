//! `linux.intelRdt`: names of folders and lines of resctrl (config-linux.md, IntelRdt).

use super::linux;
use crate::{Bundle, Problem};

/// Folders that resctrl itself has at its top.
const OF_RESCTRL: [&str; 3] = ["info", "mon_groups", "mon_data"];

pub(super) fn check(bundle: &Bundle) -> Vec<Problem> {
    let Some(rdt) = linux(bundle).and_then(|linux| linux.intel_rdt().as_ref()) else { return Vec::new() };
    let mut problems = Vec::new();
    let mut problem = |at: String, words: String| {
        problems.push(Problem::new(format!("linux.intelRdt.{at}"), words));
    };
    if let Some(words) = rdt.clos_id().as_deref().and_then(why_no_class) {
        problem("closID".to_owned(), words);
    }
    if let Some(schema) = rdt.mem_bw_schema().as_deref().filter(|schema| !schema.is_empty()) {
        if !schema.starts_with("MB:") {
            problem("memBwSchema".to_owned(), format!("{schema:?} does not begin with \"MB:\""));
        }
        if schema.contains('\n') {
            problem("memBwSchema".to_owned(), "has more than one line".to_owned());
        }
    }
    for (index, line) in rdt.schemata().iter().flatten().enumerate() {
        if line.contains('\n') {
            problem(format!("schemata[{index}]"), "has more than one line".to_owned());
        }
    }
    problems
}

fn why_no_class(name: &str) -> Option<String> {
    let why = match name {
        "" | "/" => return None,
        "." | ".." => "names no folder of its own",
        _ if name.contains('/') => "has a slash: only the root of resctrl, \"/\", may",
        _ if name.contains('\n') => "has more than one line",
        _ if OF_RESCTRL.contains(&name) => "is a folder of resctrl itself",
        _ => return None,
    };
    Some(format!("{name:?} {why}"))
}

#[cfg(test)]
mod tests {
    use super::why_no_class;

    #[test]
    fn a_class_is_one_folder() {
        for (name, is_right) in [
            ("", true),
            ("/", true),
            ("gold", true),
            ("..gold", true),
            ("..", false),
            (".", false),
            ("../x", false),
            ("a/b", false),
            ("/a", false),
            ("info", false),
            ("a\nb", false),
        ] {
            assert_eq!(why_no_class(name).is_none(), is_right, "{name:?}");
        }
    }
}
