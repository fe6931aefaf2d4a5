//! kill -9 at any moment of a running load: nothing acknowledged is lost.
