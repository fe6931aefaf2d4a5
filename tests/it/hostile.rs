//! Hostile text in every field of every event: valid body, no ping, no forged link, within limits.
