//! One line that says what an event is, for lists and for searching.

use crate::event::Facts;

/// `push to main of orbit/lander by mira`: the facts in one line, whatever of them there is.
pub fn summary(event: &str, facts: &Facts) -> String {
    let mut line = event.replace('_', " ");
    let parts = [
        (" ", &facts.action),
        (" on tag ", &facts.tag),
        (
            if facts.tag.is_some() { " at " } else { " on " },
            &facts.branch,
        ),
        (" in ", &facts.repo),
        (" by ", &facts.sender),
    ];
    for (word, part) in parts {
        if let Some(part) = part {
            line.push_str(word);
            line.push_str(part);
        }
    }
    if facts.is_test {
        line.push_str(" (test delivery)");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_there_is_and_nothing_else() {
        let mut facts = Facts {
            repo: Some("orbit/lander".into()),
            ..Facts::default()
        };
        assert_eq!(summary("fork", &facts), "fork in orbit/lander");
        facts.action = Some("closed".into());
        facts.branch = Some("main".into());
        facts.sender = Some("mira".into());
        assert_eq!(
            summary("pull_request", &facts),
            "pull request closed on main in orbit/lander by mira"
        );
    }
}
