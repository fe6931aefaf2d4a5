//! The own API, for people and scripts.
