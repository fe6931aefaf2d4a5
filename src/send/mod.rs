//! From a lane's head to the service's answer.

pub mod verdict;
