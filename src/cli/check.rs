//! `check`: reads relay.yaml and the templates, and reports every mistake at once.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::{Failure, Outcome, paint};
use crate::config::{self, Admin, Config, Loaded, Problem, Severity};
use crate::plan::Templates;
use crate::send::egress::Egress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Outcome {
    let (config, mut problems) = match config::load(path, &config::environment(), &Templates::names)
    {
        Ok(loaded) => (Some(loaded.config), loaded.warnings),
        Err(problems) => (None, problems),
    };
    if let Some(config) = &config {
        let (templates, broken) = Templates::load(&config.templates);
        problems.extend(broken);
        problems.extend(templates.check());
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "problems": problems }))
            .context("failed to print")?;
    } else {
        print(&mut out, path, &problems).context("failed to print")?;
    }
    let errors = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    if errors {
        Err(Failure::Usage(None))
    } else {
        Ok(())
    }
}

fn print(out: &mut dyn Write, path: &Path, problems: &[Problem]) -> std::io::Result<()> {
    let paint = paint::stdout();
    config::draw(out, problems, paint.is_on())?;
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    let warnings = problems.len() - errors;
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
    load_with_warnings(path).map(|loaded| loaded.config)
}

/// The same, with what is to be said about it.
pub(super) fn load_with_warnings(path: &Path) -> Result<Loaded, Failure> {
    config::load(path, &config::environment(), &Templates::names)
        .map_err(|problems| drawn(&problems))
}

/// Where the own API of a running relay is. The rest of the file may have mistakes, or need
/// variables that only the relay has.
pub(super) fn load_admin(path: &Path) -> Result<Admin, Failure> {
    config::load_admin(path, &config::environment()).map_err(|problems| drawn(&problems))
}

/// How others are reached, where relay.yaml is there. The rest of it may be unfinished.
pub(super) fn load_egress(path: &Path) -> Result<Egress, Failure> {
    match path.exists() {
        true => config::load_egress(path, &config::environment()).map_err(|it| drawn(&it)),
        false => Ok(Egress::default()),
    }
}

fn drawn(problems: &[Problem]) -> Failure {
    let mut out = std::io::stderr().lock();
    let drawn = config::draw(&mut out, problems, paint::stderr().is_on());
    Failure::Usage(drawn.err().map(anyhow::Error::new))
}
