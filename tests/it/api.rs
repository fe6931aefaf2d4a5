//! The hook APIs, over a socket of a whole relay.

mod commands;
mod delivery;
mod front;
mod github;
mod gogs;
mod hub;
mod kill;
mod many;
mod octokit;
mod schema;
pub(crate) mod wire;
