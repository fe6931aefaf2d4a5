//! `destinations`: how their lanes stand; hold, resume, discard, test; over the own API.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::api::{Address, Client, text};
use super::deliveries::to_the_second;
use super::paint::{self, tame};
use super::{Failure, Outcome, print, say};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List destinations: state, what waits, why
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Stop sending to one; everything for it is kept
    Hold {
        name: String,
        /// Why, for whoever looks at the list
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        address: Address,
    },
    /// Go on sending to one that is held
    Resume {
        name: String,
        #[command(flatten)]
        address: Address,
    },
    /// Cancel everything that waits for one
    Discard {
        name: String,
        /// Do not ask; the number of deliveries that must be waiting
        #[arg(long, value_name = "COUNT")]
        expect: Option<u64>,
        #[command(flatten)]
        address: Address,
    },
    /// Send a sample to one right now, and say what came of it
    Test {
        name: String,
        #[command(flatten)]
        address: Address,
    },
}

pub(super) fn run(config: &Path, command: Command) -> Outcome {
    match command {
        Command::List { json, address } => list(&Client::new(config, &address)?, json),
        Command::Hold {
            name,
            reason,
            address,
        } => {
            let options = reason.map_or(json!({}), |reason| json!({ "reason": reason }));
            Client::new(config, &address)?.post(&path(&name, "hold"), &options)?;
            say(format!(
                "{name} is held; `gogs-relay destinations resume {name}` goes on"
            ))
        }
        Command::Resume { name, address } => {
            Client::new(config, &address)?.post(&path(&name, "resume"), &Value::Null)?;
            say(format!("{name} goes on"))
        }
        Command::Discard {
            name,
            expect,
            address,
        } => discard(&Client::new(config, &address)?, &name, expect),
        Command::Test { name, address } => test(&Client::new(config, &address)?, &name),
    }
}

fn path(name: &str, action: &str) -> String {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("/v1/destinations/{name}/{action}")
}

fn list(client: &Client, json: bool) -> Outcome {
    let answer = client.get("/v1/destinations")?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{answer}").context("failed to print")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer["destinations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    tell_missing(&mut out, &answer).context("failed to print")?;
    if rows.is_empty() {
        return say("no destinations");
    }
    let header = [
        "NAME", "KIND", "STATE", "WAITING", "DEAD", "NEXT TRY", "WHY",
    ];
    paint::table(&mut out, &header, &rows).context("failed to print")?;
    Ok(())
}

/// What damage has taken concerns every destination, so it is told above them all.
fn tell_missing(out: &mut dyn Write, answer: &Value) -> std::io::Result<()> {
    for missing in answer["missing"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "{} events are missing by damage, {} to {}, found {}; \
             `gogs-relay salvage` may bring them back",
            missing["events"],
            missing["first"],
            missing["last"],
            to_the_second(&missing["found"]),
        )?;
    }
    Ok(())
}

fn row(lane: &Value) -> Vec<String> {
    let why = lane["reason"]
        .as_str()
        .or(lane["last_error"].as_str())
        .unwrap_or("");
    vec![
        text(&lane["name"]),
        text(&lane["kind"]),
        text(&lane["state"]).replace('_', " "),
        text(&lane["waiting"]),
        text(&lane["dead"]),
        to_the_second(&lane["next_try"]),
        tame(why),
    ]
}

/// Says how many would go, and lets nothing go that was not counted.
fn discard(client: &Client, name: &str, expect: Option<u64>) -> Outcome {
    let expect = match expect {
        Some(expect) => expect,
        None => {
            let counted = client.post(&path(name, "discard"), &json!({ "dry_run": true }))?;
            let count = counted["would_discard"].as_u64().unwrap_or(0);
            if count == 0 {
                return say(format!("nothing waits for {name}"));
            }
            confirm(name, count)?;
            count
        }
    };
    let done = client.post(&path(name, "discard"), &json!({ "expect": expect }))?;
    let cancelled = done["discarded"].as_u64().unwrap_or(0);
    say(format!("cancelled {} to {name}", deliveries(cancelled)))
}

fn deliveries(count: u64) -> String {
    match count {
        1 => "1 delivery".to_owned(),
        _ => format!("{count} deliveries"),
    }
}

fn confirm(name: &str, count: u64) -> Outcome {
    if !std::io::stdin().is_terminal() {
        let advice = anyhow!(
            "{} for {name} would be cancelled; repeat with `--expect {count}` to do it",
            deliveries(count)
        );
        return Err(Failure::Usage(Some(advice)));
    }
    print(format!("Cancel {} to {name}? [y/N] ", deliveries(count)).as_bytes())?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("failed to read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(anyhow!("nothing was cancelled").into()),
    }
}

fn test(client: &Client, name: &str) -> Outcome {
    let answer = client.post(&path(name, "test"), &Value::Null)?;
    let verdict = tame(&text(&answer["verdict"]));
    if answer["delivered"] == json!(true) {
        return say(format!("{} {verdict}", paint::stdout().green("delivered:")));
    }
    Err(anyhow!("not delivered: {verdict}").into())
}
