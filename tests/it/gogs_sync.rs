//! `gogs sync` and `gogs import` against a stand-in for Gogs that is held against the recorded one.

mod import;
mod interrupted;
mod recorded;
mod refused;
mod rotation;
mod runs;
mod server;
mod world;
