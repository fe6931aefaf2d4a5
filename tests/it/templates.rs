//! Templates of a user: found, checked, and at run time never the end of a message.
