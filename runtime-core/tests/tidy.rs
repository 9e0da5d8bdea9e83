//! Rules of the repository that no lint knows: who may use whom, module heads, length of files, words that must not
//! be committed. Each failure says the rule and its reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A module that uses one below it in `lib.rs`, with the reason why it may.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("error", "state", "an error of kind `WrongStatus` tells the status (`Status`)")];

/// The longest source file that still tells one story.
const MAX_LINES: usize = 500;

fn core() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The workspace, or only this crate where it was packaged alone.
fn workspace() -> PathBuf {
    let above = core().join("..");
    if above.join("runtime-cli").is_dir() { above } else { core() }
}

/// Files below a folder, without what git does not keep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if name == "target" || name == ".git" || name == "book" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let rust = files(&workspace()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Modules in the order of `lib.rs`, and the module each re-exported name comes from.
fn order(lib: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut modules = Vec::new();
    let mut names = BTreeMap::new();
    for statement in lib.split(';') {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((_, name)) = statement.rsplit_once("mod ").filter(|(_, name)| !name.contains(' ')) {
            modules.push(name.to_owned());
        }
        if let Some((module, list)) =
            statement.rsplit_once("pub use ").and_then(|(_, path)| path.split_once("::"))
        {
            for name in list.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty())
            {
                names.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    (modules, names)
}

/// The first names after `crate::` in a source, those in braces one by one.
fn used(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let word = |text: &str| {
        text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
    };
    for after in source.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            found.push(word(after));
            continue;
        };
        let mut depth = 0;
        let mut at_name = true;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_name = true,
                c if at_name && !c.is_whitespace() => {
                    found.push(word(&group[index..]));
                    at_name = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn names_in_groups_are_found() {
    let source = "use crate::{a::{b, c}, D,\n e::f}; let x = crate::g::h();";
    assert_eq!(used(source), ["a", "D", "e", "g"]);
    let (modules, names) = order("//! x\nmod a;\npub mod b;\npub use a::{X, Y};\npub use b::Z;");
    assert_eq!(modules, ["a", "b"]);
    assert_eq!((names["Y"].as_str(), names["Z"].as_str()), ("a", "b"));
}

#[test]
fn modules_use_only_what_stands_above_them() {
    let src = core().join("src");
    let (modules, names) = order(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(modules.len() > 5, "the modules of lib.rs were not understood: {modules:?}");
    let place = |module: &str| modules.iter().position(|name| name == module);
    let mut wrong = Vec::new();
    for path in files(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        let Some(own) = place(module) else { continue };
        let source = fs::read_to_string(&path).unwrap();
        // Tests may use what they like.
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: String =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for name in used(&code) {
            let target = names.get(&name).unwrap_or(&name);
            let excepted = EXCEPTIONS.iter().any(|(user, used, _)| *user == module && used == target);
            if place(target).is_some_and(|place| place > own) && !excepted {
                wrong.push(format!("{}: uses crate::{name} of `{target}`", inside.display()));
            }
        }
    }
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "data flows one way: a module uses what stands above it in lib.rs, never what stands below\n{}",
        wrong.join("\n")
    );
}

#[test]
fn exceptions_are_still_needed() {
    let src = core().join("src");
    let (_, names) = order(&fs::read_to_string(src.join("lib.rs")).unwrap());
    for (user, target, reason) in EXCEPTIONS {
        let own =
            |path: &&PathBuf| path.starts_with(src.join(user)) || **path == src.join(format!("{user}.rs"));
        let sources = files(&src);
        let mut found = sources.iter().filter(own).flat_map(|path| used(&fs::read_to_string(path).unwrap()));
        let needed = found.any(|name| names.get(&name).unwrap_or(&name) == target);
        assert!(needed, "{user} no longer uses {target} ({reason}): remove the exception");
    }
}

#[test]
fn every_source_begins_with_what_it_is_for() {
    let sources = sources();
    // A part that another file includes cannot begin with `//!`.
    let included = |path: &Path| {
        let end = format!("{}\")", path.file_name().unwrap().to_str().unwrap());
        sources.iter().any(|(_, text)| {
            text.split("include!(\"").skip(1).any(|after| after.lines().next().unwrap().contains(&end))
        })
    };
    let bare: Vec<_> = sources
        .iter()
        .filter(|(path, text)| !text.starts_with("//!") && !included(path))
        .map(|(path, _)| path)
        .collect();
    assert!(
        bare.is_empty(),
        "a source begins with `//!` and what comes in, what goes out, who calls it: {bare:?}"
    );
}

#[test]
fn sources_are_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "a file tells one story in at most {MAX_LINES} lines; split these: {long:?}");
}

#[test]
fn nothing_unfinished_or_private_is_committed() {
    // In two parts, so that this file does not find itself.
    let words = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("unimpl", "emented!"),
        ("/wo", "rk/"),
        ("shared/", "design"),
        ("/home/", "runner"),
    ]
    .map(|(a, b)| format!("{a}{b}"));
    let mut found = Vec::new();
    for path in files(&workspace()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            found.extend(
                words
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{}: {word}", path.display(), number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "unfinished work or paths of one machine:\n{}", found.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents =
        files(&workspace()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut broken = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|after| after.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            if fs::metadata(path.parent().unwrap().join(link)).is_err() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_summary() {
    let book = workspace().join("docs/src");
    let Ok(summary) = fs::read_to_string(book.join("SUMMARY.md")) else { return };
    for page in files(&book) {
        let name = page.strip_prefix(&book).unwrap().to_str().unwrap();
        let listed = name == "SUMMARY.md" || summary.contains(&format!("]({name})"));
        assert!(listed, "{name} is not in SUMMARY.md, so nobody finds it");
    }
}
