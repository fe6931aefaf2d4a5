//! The README and relay.yaml keep their word.
