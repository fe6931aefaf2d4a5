//! `destinations`: how their lanes stand; hold, resume, discard, test; over the own API.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::api::{Address, Client, confirm, deliveries, moment, text};
use super::deliveries::to_the_second;
use super::paint::{self, tame};
use super::{Outcome, say};
use crate::clock::Timestamp;

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
        /// Only what was received after this time (RFC 3339), or is younger than this: 2h
        #[arg(long, value_name = "TIME", value_parser = moment)]
        newer_than: Option<Timestamp>,
        /// What becomes of the rest: keep (it stays held), dead (dead letters), or summary (one
        /// message tells what it was)
        #[arg(long, value_name = "FATE")]
        rest: Option<String>,
        #[command(flatten)]
        address: Address,
    },
    /// Cancel everything that waits for one
    Discard(Discard),
    /// Send a sample to one right now, and say what came of it
    Test {
        name: String,
        #[command(flatten)]
        address: Address,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Discard {
    name: String,
    /// Only what was kept back when it was resumed
    #[arg(long)]
    kept_back: bool,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not ask; the number of deliveries that must be waiting
    #[arg(long, value_name = "COUNT")]
    expect: Option<u64>,
    #[command(flatten)]
    address: Address,
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
        Command::Resume {
            name,
            newer_than,
            rest,
            address,
        } => {
            let how =
                json!({ "newer_than": newer_than.map(|time| time.to_string()), "rest": rest });
            let answer = Client::new(config, &address)?.post(&path(&name, "resume"), &how)?;
            resumed(&name, &answer)
        }
        Command::Discard(args) => discard(&Client::new(config, &args.address)?, &args),
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
    if let Some(notice) = notice(&answer["dead_letters"]) {
        writeln!(out, "{notice}").context("failed to print")?;
    }
    Ok(())
}

/// Says when dead letters are about to go because there are too many.
fn notice(dead: &Value) -> Option<String> {
    let (count, at_most) = (dead["count"].as_u64()?, dead["at_most"].as_u64()?);
    (count > 0 && count * 10 >= at_most * 9).then(|| {
        format!(
            "{count} dead letters are kept, and at most {at_most}: beyond that the oldest go. \
             `gogs-relay deliveries redeliver --state dead` sends them again"
        )
    })
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
    for damage in answer["damage"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "the queue is damaged: {} cannot be read; `gogs-relay salvage` may bring it back",
            text(damage),
        )?;
    }
    Ok(())
}

fn row(lane: &Value) -> Vec<String> {
    let since = |time: &Value| match time.is_null() {
        true => String::new(),
        false => format!(" (since {})", to_the_second(time)),
    };
    let why = lane["reason"].as_str().or(lane["last_error"].as_str());
    let why = why.map(|why| format!("{}{}", tame(why), since(&lane["since"])));
    let kept_back = lane["kept_back"]["count"].as_u64();
    let kept_back = kept_back.map(|count| {
        let since = since(&lane["kept_back"]["since"]);
        format!("{count} kept back{since}")
    });
    let why: Vec<String> = why.into_iter().chain(kept_back).collect();
    vec![
        text(&lane["name"]),
        text(&lane["kind"]),
        text(&lane["state"]).replace('_', " "),
        text(&lane["waiting"]),
        text(&lane["dead"]),
        to_the_second(&lane["next_try"]),
        why.join("; "),
    ]
}

fn resumed(name: &str, answer: &Value) -> Outcome {
    let left = answer["left_behind"].as_u64().unwrap_or(0);
    let behind = deliveries(left);
    let rest = match answer["became"].as_str() {
        _ if left == 0 => String::new(),
        Some("dead") => format!(
            "; {behind} became dead letters (`gogs-relay deliveries redeliver --state dead \
             --destination {name}` sends them after all)"
        ),
        Some("summarised") => format!("; one message sums up {behind}"),
        _ => format!(
            "; {behind} stay held: `destinations resume {name}` sends them, `destinations \
             discard {name} --kept-back` cancels them"
        ),
    };
    say(format!("{name} goes on{rest}"))
}

/// Says how many would go, and lets nothing go that was not counted.
fn discard(client: &Client, args: &Discard) -> Outcome {
    let (name, kept_back) = (&args.name, args.kept_back);
    let expect = match args.expect {
        Some(expect) if !args.dry_run => expect,
        _ => {
            let count = json!({ "dry_run": true, "kept_back": kept_back });
            let counted = client.post(&path(name, "discard"), &count)?;
            let count = counted["would_discard"].as_u64().unwrap_or(0);
            if count == 0 {
                return say(format!("nothing waits for {name}"));
            }
            if args.dry_run {
                let would = deliveries(count);
                return say(format!("{would} to {name} would be cancelled"));
            }
            if !args.yes {
                let question = format!("Cancel {} to {name}?", deliveries(count));
                confirm(&question, &format!("--expect {count}"))?;
            }
            count
        }
    };
    let discard = json!({ "expect": expect, "kept_back": kept_back });
    let done = client.post(&path(name, "discard"), &discard)?;
    let cancelled = done["discarded"].as_u64().unwrap_or(0);
    say(format!("cancelled {} to {name}", deliveries(cancelled)))
}

fn test(client: &Client, name: &str) -> Outcome {
    let answer = client.post(&path(name, "test"), &Value::Null)?;
    let verdict = tame(&text(&answer["verdict"]));
    if answer["delivered"] == json!(true) {
        return say(format!("{} {verdict}", paint::stdout().green("delivered:")));
    }
    Err(anyhow!("not delivered: {verdict}").into())
}
