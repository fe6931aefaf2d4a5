//! What is told of a panic: where it was. Its own words may repeat a body or a secret.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;

/// From here on, for the whole process.
pub(super) fn tell_the_place_alone() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".to_owned());
    let mut told = format!("error: a panic at {place}: a bug of gogs-relay\n");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        told.push_str(&trace.to_string());
    }
    // Where standard error is gone, nobody can be told.
    let _gone = std::io::stderr().write_all(told.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Set for the process that panics: this test binary, run again for one test.
    const PANICS: &str = "GOGS_RELAY_TEST_PANICS";

    #[test]
    fn a_panic_tells_its_place_and_not_its_words() {
        if std::env::var_os(PANICS).is_some() {
            super::tell_the_place_alone();
            panic!("a body with {}", "orbit-hook-s3cret");
        }
        let test = "cli::panics::tests::a_panic_tells_its_place_and_not_its_words";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(PANICS, "yes")
            .output()
            .unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            told.contains("error: a panic at src/cli/panics.rs:"),
            "{told}"
        );
        assert!(!told.contains("s3cret"), "{told}");
    }
}
