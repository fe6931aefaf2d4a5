//! The hub: where readers subscribe to the events of repositories.

pub mod topic;
