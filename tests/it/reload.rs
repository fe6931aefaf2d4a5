//! Changing the configuration while the relay runs: no delivery is refused, lost or delayed by it.

mod command;
mod lanes;
mod live;
mod queue;
