//! `deliveries redeliver`: one delivery, or all that a filter finds, counted first.

use std::io::Write;

use anyhow::Context;
use serde_json::Value;

use super::api::{Address, Client, confirm, deliveries};
use super::deliveries::{Filter, HEADER, escape, row};
use super::{Failure, Outcome, paint, say};

/// One call sends so many again.
const STEP: u64 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Redeliver {
    /// EVENT:DESTINATION, for example 1234:team-slack
    #[arg(conflicts_with = "state")]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many there are, and show some
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) address: Address,
}

pub(super) fn run(client: &Client, args: &Redeliver) -> Outcome {
    if let Some(id) = &args.id {
        let path = format!("/v1/deliveries/{}/redeliver", escape(id));
        client.post(&path, &Value::Null)?;
        return say(format!("{id} is on its way again"));
    }
    if args.filter.state.is_none() {
        let advice = "say which: EVENT:DESTINATION, or `--state dead` and what else narrows it";
        return Err(Failure::Usage(Some(anyhow::anyhow!(advice))));
    }
    let found = in_steps(client, args, true)?;
    if found.matched == 0 {
        return say("no deliveries");
    }
    let count = deliveries(found.matched - found.impossible);
    let impossible = found.impossible_in_words();
    if args.dry_run {
        let mut out = std::io::stdout().lock();
        let rows: Vec<Vec<String>> = found.sample.iter().map(row).collect();
        paint::table(&mut out, &HEADER, &rows).context("failed to print")?;
        writeln!(out, "{count} would be sent again{impossible}").context("failed to print")?;
        return Ok(());
    }
    if !args.yes {
        confirm(&format!("Send {count} again{impossible}?"), "--yes")?;
    }
    let done = in_steps(client, args, false)?;
    let (count, impossible) = (deliveries(done.requeued), done.impossible_in_words());
    say(format!("{count} on their way again{impossible}"))
}

/// What several calls came to together.
#[derive(Default)]
struct Sum {
    matched: u64,
    requeued: u64,
    impossible: u64,
    sample: Vec<Value>,
}

impl Sum {
    fn impossible_in_words(&self) -> String {
        match self.impossible {
            0 => String::new(),
            _ => format!(
                " ({} cannot be: the event is no longer kept, or the destination is gone)",
                self.impossible
            ),
        }
    }
}

/// Each call does a part, so that none takes long, and progress shows on a terminal.
fn in_steps(client: &Client, args: &Redeliver, dry_run: bool) -> Result<Sum, Failure> {
    let mut body = serde_json::json!({ "dry_run": dry_run, "limit": STEP });
    for (name, value) in args.filter.parts() {
        body[name] = value.into();
    }
    let mut sum = Sum::default();
    loop {
        let mut answer = client.post("/v1/deliveries/redeliver", &body)?;
        let count = |name: &str| answer[name].as_u64().unwrap_or(0);
        sum.matched += count("matched");
        sum.requeued += count("requeued");
        sum.impossible += count("impossible");
        if let (true, Value::Array(some)) = (sum.sample.is_empty(), answer["sample"].take()) {
            sum.sample = some;
        }
        body["cursor"] = answer["next"].take();
        if body["cursor"].is_null() {
            return Ok(sum);
        }
        let what = if dry_run { "counted" } else { "sent again" };
        paint::progress(&format!("{} {what} so far", sum.matched));
    }
}
