//! The hub, over a socket of a whole relay: readers subscribe, are asked, and get what happens.

mod checks;
mod crash;
mod faults;
mod flood;
mod kill;
mod leases;
mod privacy;
mod reader;
mod requests;
mod scene;
