//! The rules of the house that a reviewer would otherwise have to remember, as one executed test.
//!
//! Each rule reads the checkout as text and reports every place that breaks it at once, so that one run shows
//! the whole list. What the compiler, rustfmt or clippy already checks is not repeated here.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken checkout may end the test at once")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates a crate may build upon. An arrow that is not here does not exist.
const DIRECTION: [(&str, &[&str]); 7] = [
    ("catalog", &[]),
    ("ingest", &["catalog"]),
    ("sql", &["catalog"]),
    ("models", &["catalog", "sql"]),
    ("query", &["catalog", "ingest", "sql"]),
    ("bench", &["catalog", "ingest", "sql"]),
    (".", &["catalog", "ingest", "sql", "models", "query"]),
];

/// Who may use a library that shapes a design. `.` is the binary: its demo broker needs a Kafka client.
const OWNERS: [(&str, &[&str]); 9] = [
    ("rdkafka", &["ingest", "bench", "."]),
    ("datafusion", &["sql", "models", "query", "bench"]),
    ("iceberg", &["catalog", "sql"]),
    ("sqlx", &["catalog", "ingest"]),
    ("reqwest", &["catalog", "ingest"]),
    ("tonic", &["query"]),
    ("axum", &["query"]),
    ("arrow-flight", &["query"]),
    ("tansu-broker", &["."]),
];

/// Lines of a source file, and of a test file, that one reader still takes in.
const LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 600;
/// Paths in a user's model project, which documents show and which begin as a path of ours does.
const EXAMPLES: [&str; 3] = ["models/bronze/", "models/silver/", "models/gold/"];
/// Lines of a `lib.rs`: module list and exports, no logic.
const LIB_LINES_MAX: usize = 60;

#[test]
fn dependencies_point_one_way() {
    let mut broken = Report::new("a crate builds upon one that it must not know");
    for (folder, allowed) in DIRECTION {
        for name in dependencies(folder) {
            if let Some(ours) = name.strip_prefix("sluice-")
                && !allowed.contains(&ours)
            {
                broken.add(format!("{folder}/Cargo.toml uses {name}"));
            }
        }
    }
    let listed = DIRECTION.map(|(folder, _)| folder).into_iter().collect::<BTreeSet<_>>();
    for file in tracked().iter().filter(|file| file.ends_with("Cargo.toml")) {
        let folder = match file.parent().and_then(Path::to_str) {
            Some("") | None => ".",
            Some(folder) => folder,
        };
        if !listed.contains(folder) {
            broken.add(format!("{folder} is a crate that DIRECTION in this test does not list"));
        }
    }
    broken.check();
}

#[test]
fn shaping_libraries_stay_with_their_owners() {
    let mut broken = Report::new("a library is used outside the crates that own it");
    for (folder, _) in DIRECTION {
        let used = dependencies(folder);
        for (library, owners) in OWNERS {
            if used.contains(library) && !owners.contains(&folder) {
                broken.add(format!("{folder}/Cargo.toml uses {library}, which belongs to {owners:?}"));
            }
        }
    }
    broken.check();
}

#[test]
fn every_file_says_what_it_is() {
    let mut broken = Report::new("a file does not open with `//!`");
    for (path, text) in rust_files() {
        if !text.trim_start().starts_with("//!") {
            broken.add(path.display());
        }
    }
    broken.check();
}

#[test]
fn files_stay_readable() {
    let mut broken = Report::new("a file is too long for one reader");
    for (path, text) in rust_files() {
        let limit = match path.file_name().and_then(|name| name.to_str()) {
            Some("lib.rs") => LIB_LINES_MAX,
            _ if is_test(&path) => TEST_LINES_MAX,
            _ => LINES_MAX,
        };
        let lines = text.lines().count();
        if lines > limit {
            broken.add(format!("{}: {lines} lines, at most {limit}", path.display()));
        }
    }
    broken.check();
}

#[test]
fn folders_are_named_after_what_they_hold() {
    let vague = ["utils", "util", "common", "helpers", "helper", "misc", "shared", "manager"];
    let mut broken = Report::new("a name that says nothing about its content");
    for path in tracked() {
        for part in path.iter().filter_map(|part| part.to_str()) {
            if vague.contains(&part.split('.').next().unwrap_or(part)) {
                broken.add(path.display());
            }
        }
    }
    broken.check();
}

#[test]
fn nothing_is_left_undone_silently() {
    // Spelt in halves, so that this file does not break its own rule.
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let ignore = concat!("#[", "ignore");
    let mut broken = Report::new("undone work without an issue number, or a test that does not run");
    for (path, text) in text_files() {
        for (at, line) in text.lines().enumerate() {
            let place = || format!("{}:{}: {}", path.display(), at + 1, line.trim());
            let unnumbered = |marker: &&str| {
                line.match_indices(*marker).any(|(from, _)| !line[from + marker.len()..].starts_with("(#"))
            };
            if markers.iter().any(unnumbered) {
                broken.add(place());
            }
            if path.extension().is_some_and(|it| it == "rs") && line.contains(ignore) {
                broken.add(place());
            }
        }
    }
    broken.check();
}

#[test]
fn no_file_names_a_machine() {
    let roots = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/t", "mp/")];
    let mut broken = Report::new("a path of one machine");
    for (path, text) in text_files() {
        for (at, line) in text.lines().enumerate() {
            let named = roots.iter().any(|root| {
                line.match_indices(root).any(|(from, _)| {
                    let before = line[..from].chars().next_back();
                    let after = line[from + root.len()..].chars().next();
                    !before.is_some_and(|it| it.is_alphanumeric() || "._-})>".contains(it))
                        && after.is_some_and(|it| it.is_ascii_lowercase() || it == '.')
                })
            });
            if named {
                broken.add(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    broken.check();
}

#[test]
fn the_documents_name_paths_that_exist() {
    let tops = tracked().iter().filter_map(|path| first_part(path)).collect::<BTreeSet<_>>();
    let mut broken = Report::new("a document names a path that does not exist");
    for (path, text) in text_files() {
        let name = path.to_str().unwrap();
        let is_document = name.ends_with(".md") && (name.starts_with("docs/") || !name.contains('/'));
        if !is_document {
            continue;
        }
        for link in links(&text) {
            let target = path.parent().unwrap().join(link.split('#').next().unwrap());
            if !root().join(&target).exists() {
                broken.add(format!("{name}: link to {link}"));
            }
        }
        for word in quoted_words(&text) {
            let word = word.strip_prefix("./").unwrap_or(word).trim_end_matches('/');
            let is_ours = first_part(Path::new(word)).is_some_and(|top| tops.contains(&top))
                && !EXAMPLES.iter().any(|example| word.starts_with(example));
            let is_path = word.contains('/')
                && word.chars().all(|it| it.is_ascii_alphanumeric() || "._-/".contains(it));
            if is_ours && is_path && !root().join(word).exists() {
                broken.add(format!("{name}: `{word}`"));
            }
        }
    }
    broken.check();
}

/// Every place that breaks one rule.
struct Report {
    rule: &'static str,
    places: String,
}

impl Report {
    fn new(rule: &'static str) -> Self {
        Self { rule, places: String::new() }
    }

    fn add(&mut self, place: impl std::fmt::Display) {
        writeln!(self.places, "  {place}").unwrap();
    }

    fn check(self) {
        assert!(self.places.is_empty(), "{}:\n{}", self.rule, self.places);
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the project: what git tracks, and what it would track after `git add`.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("this test asks git for the files of the project: install git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).unwrap();
    let mut files = listing
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect::<Vec<_>>();
    files.sort();
    files.dedup();
    assert!(files.len() > 20, "git lists only {} files", files.len());
    files
}

/// Tracked files that hold text, with their content.
fn text_files() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| Some((path.clone(), fs::read_to_string(root().join(&path)).ok()?));
    tracked().into_iter().filter_map(read).collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    text_files().into_iter().filter(|(path, _)| path.extension().is_some_and(|it| it == "rs")).collect()
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests")
        || path
            .file_stem()
            .and_then(|it| it.to_str())
            .is_some_and(|it| it == "tests" || it.ends_with("_tests"))
}

/// The names under `[dependencies]`, `[build-dependencies]` and their forms for one target.
/// Development dependencies may point anywhere: a test is allowed to know more than what it tests.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let path = root().join(folder).join("Cargo.toml");
    let manifest = fs::read_to_string(&path).unwrap().parse::<toml::Table>().unwrap();
    let mut tables = vec![manifest.clone()];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table).cloned());
    }
    let named = |table: &toml::Table, kind: &str| match table.get(kind).and_then(toml::Value::as_table) {
        Some(entries) => entries.keys().cloned().collect(),
        None => Vec::new(),
    };
    tables
        .iter()
        .flat_map(|table| [named(table, "dependencies"), named(table, "build-dependencies")].concat())
        .collect()
}

fn first_part(path: &Path) -> Option<String> {
    Some(path.iter().next()?.to_str()?.to_owned())
}

/// The targets of `[text](target)` that are files of this project.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#') && !target.is_empty())
        .collect()
}

/// The words inside `code` and fenced blocks, without the punctuation around them.
fn quoted_words(text: &str) -> Vec<&str> {
    let code = text.split('`').enumerate().filter(|(at, _)| at % 2 == 1).map(|(_, part)| part);
    code.flat_map(str::split_whitespace).map(|word| word.trim_matches(|it| ",;:()\"'".contains(it))).collect()
}
