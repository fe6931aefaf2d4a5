//! The composition root: builds every part from the configuration and runs them until told to stop.
