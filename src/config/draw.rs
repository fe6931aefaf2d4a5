//! Draws problems for people.

use std::io::{self, Write};

use super::problem::{Problem, Severity};

/// Draws each problem with its line, and a blank line between them. `colour` is for terminals.
///
/// # Errors
/// What the writer says.
pub fn draw(out: &mut dyn Write, problems: &[Problem], colour: bool) -> io::Result<()> {
    for (at, problem) in problems.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        draw_one(out, problem, colour)?;
    }
    Ok(())
}

fn draw_one(out: &mut dyn Write, problem: &Problem, colour: bool) -> io::Result<()> {
    let (sign, paint) = match problem.severity {
        Severity::Error => ("×", "\u{1b}[31m"),
        Severity::Warning => ("⚠", "\u{1b}[33m"),
    };
    let (paint, plain) = if colour {
        (paint, "\u{1b}[0m")
    } else {
        ("", "")
    };
    writeln!(out, "  {paint}{sign}{plain} {}", problem.message)?;
    draw_place(out, problem, (paint, plain))?;
    match &problem.hint {
        Some(hint) => writeln!(out, "  help: {hint}"),
        None => Ok(()),
    }
}

/// The place, and the line with the mistake underlined as far as they are known.
fn draw_place(
    out: &mut dyn Write,
    problem: &Problem,
    (paint, plain): (&str, &str),
) -> io::Result<()> {
    let file = &problem.file;
    let Some(line) = problem.line else {
        return writeln!(out, "   ╰─[{file}]");
    };
    let gutter = " ".repeat(line.to_string().len() + 2);
    match problem.column {
        Some(column) => writeln!(out, "{gutter}╭─[{file}:{line}:{column}]")?,
        None => writeln!(out, "{gutter}╭─[{file}:{line}]")?,
    }
    if let Some(excerpt) = &problem.excerpt {
        writeln!(out, " {line} │ {excerpt}")?;
        let marked = problem.column.and_then(|column| underline(excerpt, column));
        if let Some((before, width)) = marked {
            writeln!(out, "{gutter}· {before}{paint}{}{plain}", "─".repeat(width))?;
        }
    }
    writeln!(out, "{gutter}╰────")
}

/// What stands before the underline, and how long it is: the key, value or quoted text that
/// starts at `column`. `None` when the excerpt ends before it.
fn underline(excerpt: &str, column: usize) -> Option<(String, usize)> {
    let before = excerpt.chars().take(column.saturating_sub(1));
    // Tabs stay tabs, so that the underline keeps its place under them.
    let before = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
    let from: String = excerpt.chars().skip(column.saturating_sub(1)).collect();
    if from.is_empty() {
        return None;
    }
    let quoted = from.strip_prefix(['"', '\'']).and_then(|rest| {
        let end = rest.find(&from[..1])?;
        Some(&from[..end + 2])
    });
    let plain = || {
        let ends = [", ", "]", "}", ": "]
            .iter()
            .filter_map(|end| from.find(end));
        let word = &from[..ends.min().unwrap_or(from.len())];
        word.trim_end().trim_end_matches(':')
    };
    let marked = quoted.unwrap_or_else(plain);
    Some((before, marked.chars().count().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(column: Option<usize>, excerpt: &str, colour: bool) -> String {
        let problem = Problem {
            severity: Severity::Error,
            file: "push.hbs".to_owned(),
            line: Some(12),
            column,
            excerpt: Some(excerpt.to_owned()),
            message: "unknown helper".to_owned(),
            hint: None,
        };
        let mut drawing = Vec::new();
        draw(&mut drawing, &[problem], colour).unwrap();
        String::from_utf8(drawing).unwrap()
    }

    #[test]
    fn a_line_without_a_column_is_shown_without_an_underline() {
        let expected = "  × unknown helper\n    ╭─[push.hbs:12]\n 12 │ {{nope x}}\n    ╰────\n";
        assert_eq!(drawn(None, "{{nope x}}", false), expected);
        let beyond = drawn(Some(40), "{{nope x}}", false);
        assert!(
            beyond.contains("push.hbs:12:40") && !beyond.contains('·'),
            "{beyond}"
        );
    }

    #[test]
    fn the_underline_stands_below_the_mistake_also_after_tabs_and_wide_letters() {
        let drawing = drawn(Some(5), "\té: \"a, b\", c", false);
        assert!(drawing.contains("    · \t   ──────\n"), "{drawing}");
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        assert!(drawn(Some(3), "{{nope x}}", true).contains("\u{1b}[31m───"));
        assert!(!drawn(Some(3), "{{nope x}}", false).contains('\u{1b}'));
    }
}
