//! `check`: reads relay.yaml and the templates, and reports every mistake at once.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::{Failure, Outcome, paint};
use crate::config::{self, Config, Problem, Severity};
use crate::plan::Templates;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Outcome {
    let (config, mut problems) = match config::load(path, &environment()) {
        Ok(loaded) => (Some(loaded.config), loaded.warnings),
        Err(problems) => (None, problems),
    };
    if let Some(config) = &config {
        let (templates, broken) = Templates::load(&config.templates);
        problems.extend(broken);
        problems.extend(templates.check());
        problems.extend(config::unknown_sets(config, &templates.sets()));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", config::problems_as_json(&problems)).context("failed to print")?;
    } else {
        print(&mut out, path, &problems).context("failed to print")?;
    }
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    if errors { Err(Failure::Usage(None)) } else { Ok(()) }
}

fn print(out: &mut dyn Write, path: &Path, problems: &[Problem]) -> std::io::Result<()> {
    config::draw(out, problems)?;
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let paint = paint::stdout();
    let said = match (errors, warnings) {
        (0, 0) => paint.green("fine"),
        (0, 1) => paint.yellow("fine, with 1 warning"),
        (0, _) => paint.yellow(&format!("fine, with {warnings} warnings")),
        (1, _) => paint.red("1 error"),
        (_, _) => paint.red(&format!("{errors} errors")),
    };
    writeln!(out, "{}: {said}", path.display())
}

/// The configuration, for the other commands; its mistakes are printed.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    match config::load(path, &environment()) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => {
            let drawn = config::draw(&mut std::io::stderr().lock(), &problems);
            Err(Failure::Usage(drawn.err().map(anyhow::Error::new)))
        }
    }
}

fn environment() -> std::collections::BTreeMap<String, String> {
    // A variable that is not text cannot be meant for a text file.
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}
