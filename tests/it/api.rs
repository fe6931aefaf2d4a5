//! The hook APIs, over a socket of a whole relay.

mod delivery;
mod front;
mod github;
mod gogs;
mod octokit;
mod schema;
mod wire;
