//! House rules that a machine can hold.

use std::path::{Path, PathBuf};

/// All Rust files below `folder`, with their text.
fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

/// The part of a file before its unit tests.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap()
}

/// The same without comments.
fn code(text: &str) -> String {
    before_tests(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The files below `folder` whose code names `word`, relative to it.
fn files_naming(folder: &str, word: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<String> = rust_files(folder)
        .into_iter()
        .filter(|(_, text)| code(text).contains(word))
        .map(|(path, _)| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_opens_by_saying_its_one_job() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in rust_files(folder) {
            assert!(
                text.starts_with("//! "),
                "{} does not open with //!",
                path.display()
            );
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    for (path, text) in rust_files("src") {
        let lines = before_tests(&text).lines().count();
        assert!(
            lines <= 400,
            "{} has {lines} lines before its tests",
            path.display()
        );
    }
}

#[test]
fn planning_does_no_io_and_knows_nothing_of_sending() {
    for word in [
        "crate::send",
        "crate::ingest",
        "tokio::",
        "hyper::",
        "TcpStream",
    ] {
        assert_eq!(
            files_naming("src/plan", word),
            Vec::<String>::new(),
            "plan/ names {word}"
        );
    }
}

#[test]
fn only_one_place_names_each_of_the_libraries_that_may_be_replaced() {
    let naming_sled = files_naming("src", "sled::");
    assert!(
        naming_sled
            .iter()
            .all(|file| file.starts_with("queue/store/"))
    );
    assert_eq!(files_naming("src", "backoff::"), ["send/retry.rs"]);
    assert_eq!(files_naming("src", "hyper_rustls"), ["send/links.rs"]);
}

#[test]
fn only_the_clock_reads_the_time() {
    for word in [
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "tokio::time::sleep",
        "tokio::time::timeout",
    ] {
        let files = files_naming("src", word);
        assert!(
            files.iter().all(|file| file == "clock.rs"),
            "{files:?} name {word}"
        );
    }
}

#[test]
fn only_the_commands_print() {
    for word in ["println!", "print!(", "eprint!("] {
        let files = files_naming("src", word);
        assert!(
            files.iter().all(|file| file.starts_with("cli/")),
            "{files:?} name {word}"
        );
    }
}
