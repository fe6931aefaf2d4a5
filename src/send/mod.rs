//! From a lane's head to the service's answer.

pub mod deliver;
pub mod lanes;
mod work;

pub mod pace;
pub mod retry;
pub mod retry_after;

mod dial;
mod request;
pub mod transport;
pub mod turn;

pub mod discord;
pub mod gogs;
pub mod slack;
pub mod verdict;
