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
    match (problem.line, problem.column) {
        (Some(line), Some(column)) => {
            let file = &problem.file;
            let gutter = " ".repeat(line.to_string().len() + 2);
            writeln!(out, "{gutter}╭─[{file}:{line}:{column}]")?;
            if let Some(excerpt) = &problem.excerpt {
                writeln!(out, " {line} │ {excerpt}")?;
                if let Some((before, width)) = underline(excerpt, column) {
                    writeln!(out, "{gutter}· {before}{paint}{}{plain}", "─".repeat(width))?;
                }
            }
            writeln!(out, "{gutter}╰────")?;
        }
        _ => writeln!(out, "   ╰─[{}]", problem.file)?,
    }
    match &problem.hint {
        Some(hint) => writeln!(out, "  help: {hint}"),
        None => Ok(()),
    }
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
