//! The integration tests: real sockets, the real binary, the real sled, recorded deliveries.
#![allow(clippy::unwrap_used, clippy::allow_attributes, unreachable_pub)]

mod binary;
mod corpus;
mod relay;
mod world;

mod attempts;
mod cli;
mod config;
mod default_messages;
mod hostile;
mod ingest;
mod journey;
mod kill;
mod lanes;
mod messages;
mod queue;
mod readme;
mod route;
mod templates;
mod tidy;
mod verdicts;
