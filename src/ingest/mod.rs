//! Takes deliveries in: receive, verify, decode.
