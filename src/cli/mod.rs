//! The commands. Only here is text printed for people: messages to stdout, logs to stderr.
//!
//! Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.

mod api;
mod check;
mod deliveries;
mod demo;
mod destinations;
mod given;
mod gogs;
mod hooks;
mod init;
mod missed;
mod paint;
mod panics;
mod redeliver;
mod reload;
mod render;
mod route;
mod salvage;
mod send;
mod serve;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

/// A webhook relay for Gogs: takes each delivery durably, and brings it to Slack, Discord and
/// other tools.
#[derive(Debug, Parser)]
#[command(name = "gogs-relay", version, after_help = EXAMPLES)]
pub struct Args {
    /// The configuration.
    #[arg(
        short,
        long,
        global = true,
        default_value = "relay.yaml",
        value_name = "FILE"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  gogs-relay demo                     see what it does, in half a minute
  gogs-relay init && gogs-relay       write a relay.yaml and run with it
  gogs-relay send --event push        send it a signed delivery, as Gogs would
  gogs-relay deliveries list          what became of it";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay (also without a command)
    Serve,
    /// Read relay.yaml and the templates, and report every mistake at once
    Check(check::Args),
    /// Show where an event would go, and why not elsewhere
    Route(route::Args),
    /// Show the exact bytes that a destination would get for an event
    Render(render::Args),
    /// Send a signed delivery to the relay, as Gogs does
    Send(send::Args),
    /// Find, explain, send again or cancel deliveries
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// See destinations and their lanes; hold, resume, empty or test one
    #[command(subcommand)]
    Destinations(destinations::Command),
    /// See hooks that were added over the hook APIs, or delete one
    #[command(subcommand)]
    Hooks(hooks::Command),
    /// Look after the hooks of a whole Gogs: install and repair them, change their secret, take
    /// over those for chat services
    #[command(subcommand)]
    Gogs(gogs::Command),
    /// Show pushes that never reached the relay
    Missed(missed::Args),
    /// Have the running relay put in force what changed in relay.yaml and the templates
    Reload(reload::Args),
    /// Rebuild a damaged queue from what can still be read of it
    Salvage(salvage::Args),
    /// Write a commented relay.yaml with a secret of its own
    Init(init::Args),
    /// See the relay at work with stand-ins for Slack, Discord and a Gogs receiver
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// How a command ended, when not well.
#[derive(Debug)]
enum Failure {
    /// It could not do what was asked: exit code 1.
    Failed(anyhow::Error),
    /// It was asked wrongly, or the configuration is wrong: exit code 2. What is wrong has been
    /// printed when there is no error.
    Usage(Option<anyhow::Error>),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

type Outcome = Result<(), Failure>;

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    panics::tell_the_place_alone();
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        // `… | head -1`: whoever reads has seen enough, so nothing went wrong.
        Err(Failure::Failed(error)) if reader_left(&error) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => complain(&error, 1),
        Err(Failure::Usage(Some(error))) => complain(&error, 2),
        Err(Failure::Usage(None)) => ExitCode::from(2),
    }
}

fn run(args: Args) -> Outcome {
    let config = &args.config;
    match args.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
        Command::Check(args) => check::run(config, &args),
        Command::Route(args) => route::run(config, &args),
        Command::Render(args) => render::run(config, &args),
        Command::Send(args) => send::run(config, args),
        Command::Deliveries(command) => deliveries::run(config, command),
        Command::Destinations(command) => destinations::run(config, command),
        Command::Hooks(command) => hooks::run(config, command),
        Command::Gogs(command) => gogs::run(config, command),
        Command::Missed(args) => missed::run(config, &args),
        Command::Reload(args) => reload::run(config, &args),
        Command::Salvage(args) => salvage::run(config, args),
        Command::Init(args) => init::run(config, &args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "gogs-relay", &mut script);
            print(&script)
        }
    }
}

/// Prints a line of a command's message.
fn say(line: impl Display) -> Outcome {
    print(format!("{line}\n").as_bytes())
}

fn print(text: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text).and_then(|()| out.flush());
    Ok(printed.context("failed to print")?)
}

/// Whether standard output was closed by its reader. Trouble with a connection comes in words.
fn reader_left(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a command's failure is told"
)]
fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("{} {error:#}", paint::stderr().red("error:"));
    ExitCode::from(code)
}

/// The runtime of a command that talks to a relay.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
