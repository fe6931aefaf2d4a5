//! `missed`: pushes that never reached the relay, through the own API of a running one.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::api::{Address, Client, text};
use super::deliveries::to_the_second;
use super::paint::{self, tame};
use super::{Outcome, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the answer of the own API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

pub(super) fn run(config: &Path, args: &Args) -> Outcome {
    let answer = Client::new(config, &args.address)?.get("/v1/missed")?;
    if args.json {
        return say(answer);
    }
    let missed = answer["missed"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = missed.map(row).collect();
    if rows.is_empty() {
        return say("no push is known to be missing");
    }
    let header = [
        "NOTICED",
        "SOURCE",
        "REPOSITORY",
        "BRANCH",
        "WHAT IS MISSING",
    ];
    let mut out = std::io::stdout().lock();
    paint::table(&mut out, &header, &rows).context("failed to print")?;
    Ok(())
}

fn row(missed: &Value) -> Vec<String> {
    vec![
        to_the_second(&missed["noticed"]),
        text(&missed["source"]),
        tame(&text(&missed["repo"])),
        tame(&text(&missed["branch"])),
        tame(&text(&missed["link"])),
    ]
}
