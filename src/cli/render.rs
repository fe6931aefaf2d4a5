//! `render`: the exact bytes that a destination would get for an event. Needs no running relay.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};

use super::given::Given;
use super::{Failure, Outcome, check, paint};
use crate::clock::Clock;
use crate::event::EventId;
use crate::plan::{Rendered, Step, Templates};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,
    /// The destination
    #[arg(long, value_name = "NAME")]
    to: String,
}

#[expect(
    clippy::print_stderr,
    reason = "what is not the message goes beside it"
)]
pub(super) fn run(config: &Path, args: &Args) -> Outcome {
    let config = check::load(config)?;
    let event = args.given.event(&config, &Clock::system())?;
    let destination = config.destinations.get(args.to.as_str()).ok_or_else(|| {
        let known: Vec<&str> = config.destinations.keys().map(AsRef::as_ref).collect();
        Failure::Usage(Some(anyhow!(
            "no destination {:?}; there are {}",
            args.to,
            known.join(", ")
        )))
    })?;
    let (templates, _) = Templates::load(&config.templates);
    match templates.render(&event, EventId(0), destination, Step::Chosen, None) {
        Rendered::Message(message) => {
            if let Some(why) = &message.fallback {
                eprintln!(
                    "{} rendered by {:?} instead: {why}",
                    paint::stderr().yellow("warning:"),
                    message.template
                );
            }
            let mut out = std::io::stdout().lock();
            out.write_all(&message.body)
                .and_then(|()| out.write_all(b"\n"))
                .context("failed to print")?;
            Ok(())
        }
        Rendered::Skip { template, .. } => {
            eprintln!("nothing would be sent: {template} renders nothing for this event");
            Ok(())
        }
        Rendered::Failed(why) => Err(anyhow!("failed to render: {why}").into()),
    }
}
