//! Every cell of the table of answers.
