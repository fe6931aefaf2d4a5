//! Counts how deep a template nests, before the parser, which recurses, sees it.

/// Blocks in blocks, parentheses in parentheses and partials in partials may go so deep.
pub(super) const DEEPEST: usize = 64;

/// The line and column, from 1, where the text nests deeper than [`DEEPEST`], if it does.
pub(super) fn too_deep_at(text: &str) -> Option<(usize, usize)> {
    let mut blocks: Vec<usize> = Vec::new();
    for (at, _) in text.match_indices("{{") {
        let rest = &text[at + 2..];
        let rest = &rest[..rest.find("{{").unwrap_or(rest.len())];
        let inside = rest.trim_start_matches(['~', ' ']);
        if inside.starts_with('#') {
            blocks.push(1);
        } else if inside.starts_with('/') {
            blocks.pop();
        } else if inside.starts_with("else ")
            && let Some(chained) = blocks.last_mut()
        {
            *chained += 1;
        }
        if blocks.iter().sum::<usize>() > DEEPEST || parentheses(rest) > DEEPEST {
            return Some(place_of(text, at));
        }
    }
    None
}

/// How deep brackets nest, JSON literals among a helper's arguments included.
fn parentheses(text: &str) -> usize {
    let mut deepest = 0;
    let mut depth: usize = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
