//! The table: Markdown, ready to be pasted into the README.

use std::fmt;

/// What stands above the rows.
pub(crate) const HEAD: &str = "| what | median | spread | to reach | |\n|---|--:|--:|--:|---|";

/// One line of it: what several rounds measured.
pub(crate) struct Row {
    what: String,
    values: Vec<f64>,
    decimals: usize,
    bound: Option<Bound>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, values: Vec<f64>, decimals: usize) -> Row {
        Row {
            what: what.into(),
            values,
            decimals,
            bound: None,
        }
    }

    pub(crate) fn at_least(mut self, bound: f64) -> Row {
        self.bound = Some(Bound::AtLeast(bound));
        self
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Row {
        self.bound = Some(Bound::AtMost(bound));
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, decimals, median) = (&self.what, self.decimals, median(&self.values));
        write!(f, "| {what} | {median:.decimals$} | ")?;
        if self.values.len() > 1 {
            let low = self.values.iter().copied().fold(f64::MAX, f64::min);
            let high = self.values.iter().copied().fold(f64::MIN, f64::max);
            write!(f, "{low:.decimals$}–{high:.decimals$}")?;
        }
        let (bound, is_reached) = match self.bound {
            None => return write!(f, " | | |"),
            Some(Bound::AtLeast(bound)) => (format!("≥ {bound}"), median >= bound),
            Some(Bound::AtMost(bound)) => (format!("≤ {bound}"), median <= bound),
        };
        let word = if is_reached {
            "reached"
        } else {
            "**not reached**"
        };
        write!(f, " | {bound} | {word} |")
    }
}

/// The middle one of these values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Each value over the other one of its round.
pub(crate) fn ratios(values: &[f64], of: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(of)
        .map(|(value, of)| value / of)
        .collect()
}
