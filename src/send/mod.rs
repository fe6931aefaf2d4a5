//! From a lane's head to the service's answer.

pub mod lanes;
mod work;

pub(crate) mod caught;
pub mod deliver;
mod ladder;
mod notes;
mod request;
pub mod turn;

mod failure;
mod links;
mod pool;
pub mod transport;

pub mod dial;
pub mod egress;
pub(crate) mod roots;
mod tunnel;

pub mod dingtalk;
pub mod discord;
pub mod github;
pub mod gogs;
pub mod slack;
pub mod verdict;
pub mod voice;
pub mod websub;

pub mod pace;
pub mod retry;
pub mod retry_after;
mod rooms;
