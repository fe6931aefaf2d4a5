//! `route`: where an event would go, and what stopped it elsewhere. Needs no running relay.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::given::Given;
use super::{Outcome, check, paint};
use crate::clock::Clock;
use crate::plan::{Explained, Router};
use crate::{ingest, trail};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Path, args: &Args) -> Outcome {
    let config = check::load(config)?;
    let event = args.given.event(&config, &Clock::system())?;
    let facts = ingest::facts(&event);
    let router = Router::new(
        &config.routes,
        &config.destinations.keys().cloned().collect::<Vec<_>>(),
    )
    .context("failed to read the routes")?;
    let explained = router.explain(&event, &facts);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", trail::explained(&explained)).context("failed to print")?;
        return Ok(());
    }
    writeln!(out, "{}", facts.summary(&event.name)).context("failed to print")?;
    for route in &explained {
        writeln!(out, "  {}", line(route)).context("failed to print")?;
    }
    let to: Vec<String> = router
        .route(&event, &facts)
        .iter()
        .map(|planned| planned.destination.to_string())
        .collect();
    let goes = if to.is_empty() {
        "nowhere; it would be kept as unrouted".to_owned()
    } else {
        to.join(", ")
    };
    writeln!(out, "goes to: {}", paint::stdout().bold(&goes)).context("failed to print")?;
    Ok(())
}

fn line(route: &Explained) -> String {
    let paint = paint::stdout();
    let mark = if route.matched {
        paint.green("matches")
    } else {
        paint.dim("passed over")
    };
    format!("{}: {mark}, {}", route.route, paint::tame(&route.why))
}
