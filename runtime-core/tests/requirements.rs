//! The requirements of the specification and the tests that show them: `docs/src/requirements.md` is written from
//! `conformance/requirements.tsv` (every statement with MUST or SHOULD of runtime-spec 1.3 that binds a runtime on Linux,
//! in short form), from the comments `// spec: ID…` above tests, and from `conformance/unshown.tsv`, which says of the
//! others why no test can show them, or that none does yet.
//!
//! `ORLOP_UPDATE_PLANS=1 cargo test -p orlop --test requirements` writes the page.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The mark of a comment that names requirements.
const MARK: &str = "// spec: ";

struct Requirement {
    id: String,
    level: String,
    section: String,
    statement: String,
}

/// Why no test shows a requirement.
#[derive(Clone)]
enum Unshown {
    /// None can, or none needs to.
    Never(String),
    /// None does yet.
    Open,
}

/// None where the crate was packaged alone.
fn workspace() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    above.join("conformance/requirements.tsv").is_file().then_some(above)
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn requirements(workspace: &Path) -> Vec<Requirement> {
    let rows = rows(&workspace.join("conformance/requirements.tsv"));
    rows.into_iter()
        .map(|row| {
            let [id, level, section, statement] = row.try_into().unwrap();
            Requirement { id, level, section, statement }
        })
        .collect()
}

/// By id, or by the beginning of ids where it ends with a star.
fn unshown(workspace: &Path) -> Vec<(String, Unshown)> {
    let rows = rows(&workspace.join("conformance/unshown.tsv"));
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [id, why] if why == "open" => (id.clone(), Unshown::Open),
            [id, why] => (id.clone(), Unshown::Never(why.clone())),
            other => panic!("{other:?} is no id with a reason"),
        })
        .collect()
}

fn matches(pattern: &str, id: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == id, |beginning| id.starts_with(beginning))
}

/// Tests by the requirements that their comments name: file and function.
fn shown(workspace: &Path) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut shown: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    let mut folders =
        ["runtime-core", "runtime-cli", "conformance"].map(|name| workspace.join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let file = path.strip_prefix(workspace).unwrap().to_string_lossy().into_owned();
                for (id, function) in named(&fs::read_to_string(&path).unwrap(), &file) {
                    shown.entry(id).or_default().insert((file.clone(), function));
                }
            }
        }
    }
    shown
}

/// The ids of a source, each with the test that follows.
fn named(source: &str, file: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if let Some(ids) = line.strip_prefix(MARK) {
            waiting.extend(ids.split_whitespace().map(str::to_owned));
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| !waiting.is_empty()) {
            assert!(is_test, "{file}: {waiting:?} stand above no test");
            let name = rest.split('(').next().unwrap().to_owned();
            found.extend(waiting.drain(..).map(|id| (id, name.clone())));
        }
        if line.starts_with("fn ") {
            is_test = false;
        }
    }
    assert!(waiting.is_empty(), "{file}: {waiting:?} stand above nothing");
    found
}

fn page(
    requirements: &[Requirement],
    shown: &BTreeMap<String, BTreeSet<(String, String)>>,
    unshown: &[(String, Unshown)],
) -> String {
    let is_shown = |requirement: &&Requirement| shown.contains_key(&requirement.id);
    let of = |level: &str| {
        let all = requirements.iter().filter(|requirement| requirement.level.starts_with(level));
        (all.clone().filter(is_shown).count(), all.count())
    };
    let (musts, shoulds) = (of("MUST"), of("SHOULD"));
    let mut text = format!(
        "# Requirements\n\nEvery statement with MUST or SHOULD of the \
         [OCI runtime specification](https://github.com/opencontainers/runtime-spec) 1.3.0 (Apache-2.0) that binds a \
         runtime on Linux\nor says what it may refuse, in short form, with the tests that show it. Written from the \
         comments `// spec:` above tests; a test\ncompares. {} of {} MUST and MUST NOT are shown by a test of their own, {} of {} \
         SHOULD and SHOULD NOT. *Open*: no test says so yet.\n",
        musts.0, musts.1, shoulds.0, shoulds.1
    );
    let mut section = "";
    for requirement in requirements {
        if requirement.section != section {
            section = &requirement.section;
            text.push_str(&format!(
                "\n## {section}\n\n| id | level | statement | shown by |\n| --- | --- | --- | --- |\n"
            ));
        }
        let by = match shown.get(&requirement.id) {
            Some(tests) => tests
                .iter()
                .map(|(file, test)| format!("`{}` `{test}`", file.rsplit_once('.').unwrap().0))
                .collect::<Vec<_>>()
                .join(", "),
            None => match unshown.iter().find(|(pattern, _)| matches(pattern, &requirement.id)) {
                Some((_, Unshown::Never(why))) => why.clone(),
                _ => "*open*".to_owned(),
            },
        };
        let statement = requirement.statement.replace('|', "\\|").replace('<', "&lt;");
        text.push_str(&format!("| `{}` | {} | {statement} | {by} |\n", requirement.id, requirement.level));
    }
    text
}

#[test]
fn every_requirement_is_shown_or_says_why_not() {
    let Some(workspace) = workspace() else { return };
    let (requirements, shown, unshown) = (requirements(&workspace), shown(&workspace), unshown(&workspace));
    let known: BTreeSet<_> = requirements.iter().map(|requirement| requirement.id.as_str()).collect();
    for (id, tests) in &shown {
        assert!(known.contains(id.as_str()), "{tests:?} name {id}, which is no requirement");
    }
    for requirement in requirements.iter().filter(|requirement| requirement.level.starts_with("MUST")) {
        let is_told = unshown.iter().any(|(pattern, _)| matches(pattern, &requirement.id));
        assert!(
            shown.contains_key(&requirement.id) || is_told,
            "{} has neither a test nor a line in conformance/unshown.tsv",
            requirement.id
        );
    }
    for (pattern, _) in &unshown {
        let mut meant =
            requirements.iter().filter(|requirement| matches(pattern, &requirement.id)).peekable();
        assert!(meant.peek().is_some(), "conformance/unshown.tsv: {pattern} is no requirement");
        for requirement in meant {
            let is_shown = shown.get(&requirement.id);
            assert!(
                is_shown.is_none(),
                "conformance/unshown.tsv: {} is shown by {is_shown:?}",
                requirement.id
            );
        }
    }
    let (written, path) = (page(&requirements, &shown, &unshown), workspace.join("docs/src/requirements.md"));
    if std::env::var_os("ORLOP_UPDATE_PLANS").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    let words =
        "docs/src/requirements.md is stale: ORLOP_UPDATE_PLANS=1 cargo test -p orlop --test requirements";
    assert!(present == written, "{words}");
}

#[test]
fn ids_belong_to_the_test_that_follows() {
    let source =
        "// spec: a.b c.d\n    // spec: e.f\n#[test]\n#[cfg(x)]\nfn one() {\n}\n#[test]\nfn two() {}\n";
    let pair = |id: &str| (id.to_owned(), "one".to_owned());
    assert_eq!(named(source, "x"), ["a.b", "c.d", "e.f"].map(pair));
}
