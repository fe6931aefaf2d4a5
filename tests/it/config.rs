//! relay.yaml: every mistake at once, each with its place; one fixture a mistake.
