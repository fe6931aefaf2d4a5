//! One delivery in, one out: recorded deliveries through the whole relay.
