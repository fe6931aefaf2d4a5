//! The hub, over a socket of a whole relay: readers subscribe, are asked, and get what happens.

mod checks;
mod flood;
mod kill;
mod leases;
mod privacy;
mod reader;
mod requests;
