//! Looks after the hooks of a whole Gogs, over its REST API: every repository that a token
//! administers gets the relay's hook, as relay.yaml wants it, and keeps it.
//!
//! 1. [`Gogs`] speaks the API: lists repositories and hooks, makes, edits and deletes hooks.
//! 2. [`plan()`] compares a repository's hooks with what is [`Wanted`], and says what is to
//!    be done and why. Pure.
//! 3. [`Sync`] does it, in an order in which no event is lost or counted twice, wherever it is
//!    interrupted; [`Report`] tells what it did.
//!
//! Gogs' API never tells a hook's secret and cannot change it, so [`mark()`] writes a fingerprint
//! of it into the part of the URL that is never sent. [`fragment()`] says in relay.yaml's
//! words what hooks for chat services do.

mod address;
mod choose;
mod error;
mod fragment;
mod gogs;
mod hook;
mod listing;
mod mark;
mod ping;
mod plan;
mod report;
mod sync;

pub use address::Address;
pub use choose::{Chosen, Wish};
pub use error::GogsError;
pub use fragment::{Fragment, fragment};
pub use gogs::Gogs;
pub use hook::RemoteHook;
pub use listing::Listed;
pub use mark::mark;
pub use ping::{Unaccepted, ping};
pub use plan::{Drift, Fault, Keep, Plan, Retire, Wanted, plan};
pub use report::{Action, Change, Outcome, Report};
pub use sync::Sync;

pub use crate::event::GOGS_EVENTS as EVENTS;
