//! What became of deliveries: found and explained for people.
