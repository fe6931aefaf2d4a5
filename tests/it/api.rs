//! The hook APIs, over a socket of a whole relay.

mod commands;
mod delivery;
mod front;
mod gogs;
mod kill;
mod many;
mod wire;
