//! The hook APIs, over a socket of a whole relay.

mod delivery;
mod front;
mod gogs;
mod wire;
