//! Patterns for names: `*` is any text within a path part, `**` any text at all. Case does not
//! count.
//!
//! Not the globs of a shell: `?`, `[` and `{` are ordinary characters here, since branches and
//! users may have them in their names, and `feature**` crosses slashes as the contract says.

use std::borrow::Cow;
use std::fmt;

/// A pattern, ready to match.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As written, with its `!`.
    text: Box<str>,
    excludes: bool,
    pieces: Vec<Piece>,
}

/// The text is no pattern: it is empty, or nothing follows its `!`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is empty")]
pub struct PatternError;

impl Pattern {
    /// # Errors
    /// The text is empty, but for a `!`.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        let (excludes, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, text),
        };
        if pattern.is_empty() {
            return Err(PatternError);
        }
        Ok(Pattern {
            text: text.into(),
            excludes,
            pieces: pieces(&lower(pattern)),
        })
    }

    /// Whether it starts with `!`.
    fn excludes(&self) -> bool {
        self.excludes
    }

    /// Whether `name`, which has been through [`lower`], fits; the `!` does not count here.
    fn matches(&self, name: &str) -> bool {
        matches(&self.pieces, name.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// A list of patterns: a name fits that any of them matches and none with a `!` does; where all
/// have a `!`, that none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    includes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

/// What a list makes of a name, and the pattern that decided.
pub(super) enum Match<'p> {
    Included(&'p Pattern),
    NotExcluded,
    Excluded(&'p Pattern),
    NotIncluded,
}

impl Patterns {
    /// # Errors
    /// One of them is no pattern.
    pub fn new(texts: &[String]) -> Result<Patterns, PatternError> {
        let patterns = texts.iter().map(|text| Pattern::new(text));
        let patterns: Vec<Pattern> = patterns.collect::<Result<_, _>>()?;
        let (excludes, includes) = patterns.into_iter().partition(Pattern::excludes);
        Ok(Patterns { includes, excludes })
    }

    /// Whether the list lets `name` through.
    pub fn fit(&self, name: &str) -> bool {
        matches!(
            self.find(&lower(name)),
            Match::Included(_) | Match::NotExcluded
        )
    }

    pub(super) fn includes(&self) -> &[Pattern] {
        &self.includes
    }

    /// What decides about `name`, which has been through [`lower`].
    pub(super) fn find(&self, name: &str) -> Match<'_> {
        let matching = |patterns: &'_ [Pattern]| patterns.iter().position(|p| p.matches(name));
        match (matching(&self.excludes), matching(&self.includes)) {
            (Some(at), _) => Match::Excluded(&self.excludes[at]),
            (None, Some(at)) => Match::Included(&self.includes[at]),
            (None, None) if self.includes.is_empty() => Match::NotExcluded,
            (None, None) => Match::NotIncluded,
        }
    }
}

/// In lower case; most names are already.
pub(super) fn lower(name: &str) -> Cow<'_, str> {
    match name.chars().any(char::is_uppercase) {
        true => Cow::Owned(name.to_lowercase()),
        false => Cow::Borrowed(name),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    /// `*`
    WithinPart,
    /// `**`
    Anything,
    /// `**/` at the start of a part: any whole parts, or none.
    Parts,
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    let mut starts_part = true;
    while !rest.is_empty() {
        let (piece, length) = if starts_part && rest.starts_with("**/") {
            (Piece::Parts, 3)
        } else if rest.starts_with("**") {
            (Piece::Anything, 2)
        } else if rest.starts_with('*') {
            (Piece::WithinPart, 1)
        } else {
            let length = rest.find('*').unwrap_or(rest.len());
            (Piece::Text(rest.as_bytes()[..length].into()), length)
        };
        starts_part = rest[..length].ends_with('/');
        pieces.push(piece);
        rest = &rest[length..];
    }
    pieces
}

/// Never looks back further than the last wildcard of each reach: what an earlier one could take
/// more, a later one can take as well. So the work is bounded by the product of both lengths.
fn matches(pieces: &[Piece], name: &[u8]) -> bool {
    let (mut piece, mut at) = (0, 0);
    // The piece after the wildcard, and where in the name that piece was tried last.
    let mut within: Option<(usize, usize)> = None;
    let mut across: Option<(usize, usize)> = None;
    loop {
        match pieces.get(piece) {
            Some(Piece::Text(text)) if name[at..].starts_with(text) => {
                at += text.len();
                piece += 1;
                continue;
            }
            Some(Piece::WithinPart) => {
                piece += 1;
                within = Some((piece, at));
                continue;
            }
            Some(Piece::Anything | Piece::Parts) => {
                piece += 1;
                (across, within) = (Some((piece, at)), None);
                continue;
            }
            None if at == name.len() => return true,
            _ => {}
        }
        if let Some((after, tried)) = within
            && name.get(tried).is_some_and(|byte| *byte != b'/')
        {
            within = Some((after, tried + 1));
            (piece, at) = (after, tried + 1);
            continue;
        }
        let Some((after, next)) = across.and_then(|(after, tried)| {
            let step = match pieces[after - 1] {
                Piece::Parts => name[tried..].iter().position(|byte| *byte == b'/')? + 1,
                _ => 1,
            };
            (tried + step <= name.len()).then_some((after, tried + step))
        }) else {
            return false;
        };
        (across, within) = (Some((after, next)), None);
        (piece, at) = (after, next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, fits: &[&str], fails: &[&str]) {
        let parsed = Pattern::new(pattern).unwrap();
        for name in fits {
            assert!(
                parsed.matches(&lower(name)),
                "{pattern} should match {name}"
            );
        }
        for name in fails {
            assert!(
                !parsed.matches(&lower(name)),
                "{pattern} should not match {name}"
            );
        }
    }

    #[test]
    fn a_star_stays_within_a_path_part() {
        check(
            "orbit/*",
            &["orbit/site", "Orbit/"],
            &["orbit/a/b", "orbit", "x/orbit/a"],
        );
        check("v*", &["v1.0", "v"], &["v1/0", "1v"]);
        check("*-bot", &["ci-bot", "-bot"], &["ci-bot2", "a/ci-bot"]);
    }

    #[test]
    fn two_stars_cross_path_parts_wherever_they_stand() {
        check(
            "release/**",
            &["release/1.0", "release/a/b"],
            &["release", "releases/1"],
        );
        check(
            "feature**",
            &["feature", "feature-x/y", "feature/a/b"],
            &["a/feature"],
        );
        check(
            "**/docs/**",
            &["docs/a", "a/b/docs/c/d"],
            &["mydocs/a", "docs"],
        );
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]);
        check("**", &["", "a", "a/b"], &[]);
    }

    #[test]
    fn case_does_not_count_in_any_script() {
        check(
            "ÄRGER/Straße",
            &["ärger/straße", "ÄRGER/STRAßE"],
            &["arger/straße"],
        );
    }

    #[test]
    fn other_signs_mean_themselves() {
        check("dependabot[bot]", &["dependabot[bot]"], &["dependabotb"]);
        check("a?{b,c}", &["a?{b,c}"], &["axb"]);
    }

    #[test]
    fn nothing_is_no_pattern() {
        assert_eq!(Pattern::new(""), Err(PatternError));
        assert_eq!(Pattern::new("!"), Err(PatternError));
        assert!(Pattern::new("!a").unwrap().excludes());
    }

    /// The meaning, by trying everything.
    fn naive(pattern: &[char], name: &[char], starts_part: bool) -> bool {
        match pattern {
            ['*', '*', '/', rest @ ..] if starts_part => {
                let mut starts = (0..=name.len()).filter(|at| *at == 0 || name[at - 1] == '/');
                starts.any(|at| naive(rest, &name[at..], true))
            }
            ['*', '*', rest @ ..] => (0..=name.len()).any(|at| naive(rest, &name[at..], false)),
            ['*', rest @ ..] => {
                let end = name.iter().position(|c| *c == '/').unwrap_or(name.len());
                (0..=end).any(|at| naive(rest, &name[at..], false))
            }
            [c, rest @ ..] => name.first() == Some(c) && naive(rest, &name[1..], *c == '/'),
            [] => name.is_empty(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn every_pattern_matches_what_it_means(pattern in "[ab*/é]{1,10}", name in "[ab/é]{0,12}") {
            let parsed = Pattern::new(&pattern).unwrap();
            let pattern: Vec<char> = pattern.chars().collect();
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(parsed.matches(&name), naive(&pattern, &chars, true));
        }
    }
}
