//! Reads YAML into a tree whose leaves are text, and remembers where every key and value stands.
//! Gives nothing a type, so `0123`, `off` and `1e3` keep their spelling.

use figment::value::{Dict, Tag, Value};
use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::document::{Document, Path, Role, Spot, Token};
use super::problem::{Found, Mark, Place};

/// Reads one document. Mistakes of YAML are in `found`, each with its place.
pub(super) fn read(text: &str) -> Document {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: NESTING,
        block_nesting_limit: NESTING,
    };
    let mut reader = Reader::new(text, options);
    reader.document();
    let mut document = reader.document;
    document.tokens.sort_by_key(|token| token.range.start);
    document
}

/// No setting is deeper than five; the limit keeps the reader's own recursion small.
const NESTING: usize = 32;

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    document: Document,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, options: Options) -> Reader<'a> {
        Reader {
            text,
            events: Parser::new_from_str_with_options(text, options),
            document: Document::default(),
        }
    }

    fn document(&mut self) {
        while let Some((event, span)) = self.next() {
            match event {
                Event::StreamEnd => return,
                Event::DocumentStart(..) if self.document.root.is_some() => {
                    let second = Found::error(&at(&span), "a second document starts here");
                    self.found(second.hint("put everything into one, without a line `---`"));
                    return;
                }
                event if event.is_node() => {
                    self.document.root = self.node(event, span, &mut Path::new(), None);
                }
                _ => {}
            }
        }
    }

    /// The value that starts with `event`; `None` when the scan stopped within it.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &mut Path,
        key: Option<Mark>,
    ) -> Option<Value> {
        let refused = self.refuse(&event, &span);
        let nothing = is_nothing(&event);
        // An empty value has no place of its own, and what is wrong with it is seen at its key.
        let value = match (nothing && span.is_empty(), key) {
            (true, Some(key)) => key,
            _ => mark(&span),
        };
        let key = key.unwrap_or(value);
        let spot = Spot {
            key,
            value,
            nothing,
            refused,
        };
        self.document.spots.insert(path.clone(), spot);
        match event {
            Event::Scalar(text, ..) => {
                self.token(&span, Role::Value(path.clone()));
                Some(match nothing {
                    true => Value::Dict(Tag::Default, Dict::new()),
                    false => Value::String(Tag::Default, text.into_owned()),
                })
            }
            Event::SequenceStart(..) => self.sequence(path),
            Event::MappingStart(..) => self.mapping(path),
            _ => {
                // An alias.
                self.token(&span, Role::Syntax);
                Some(Value::String(Tag::Default, String::new()))
            }
        }
    }

    fn sequence(&mut self, path: &mut Path) -> Option<Value> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(Value::Array(Tag::Default, entries));
            }
            path.push(entries.len().to_string());
            let entry = self.node(event, span, path, None);
            path.pop();
            entries.push(entry?);
        }
    }

    fn mapping(&mut self, path: &mut Path) -> Option<Value> {
        let mut entries = Dict::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(Value::Dict(Tag::Default, entries));
            }
            let key = self.key(event, span, path, &entries)?;
            let mark = mark(&span);
            let (event, span) = self.next()?;
            match key {
                Some(key) => {
                    path.push(key.clone());
                    let value = self.node(event, span, path, Some(mark));
                    path.pop();
                    entries.insert(key, value?);
                }
                None => self.pass_over(event, span)?,
            }
        }
    }

    /// A usable key, or `Some(None)` when its entry has to be passed over.
    fn key(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &Path,
        entries: &Dict,
    ) -> Option<Option<String>> {
        self.refuse(&event, &span);
        let Event::Scalar(text, ..) = event else {
            self.found(Found::error(&at(&span), "a key must be plain text"));
            self.pass_over(event, span)?;
            return Some(None);
        };
        self.token(&span, Role::Syntax);
        if text == "<<" {
            self.found(
                Found::error(&at(&span), "merge keys are not supported")
                    .hint("write the keys out wherever they are needed"),
            );
            return Some(None);
        }
        if !entries.contains_key(text.as_ref()) {
            return Some(Some(text.into_owned()));
        }
        let mut first = path.clone();
        first.push(text.into_owned());
        let line = self
            .document
            .spots
            .get(&first)
            .map_or(0, |spot| spot.key.line);
        self.found(
            Found::error(&at(&span), "this key stands here twice")
                .hint(format!("the first is on line {line}; keep one of them")),
        );
        Some(None)
    }

    /// Reads on to the end of a node; its scalars are kept for masking alone.
    fn pass_over(&mut self, event: Event<'a>, span: Span) -> Option<()> {
        let mut depth = 0;
        let mut next = (event, span);
        loop {
            let (event, span) = next;
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth -= 1,
                _ => self.token(&span, Role::Value(vec!["passed over".to_owned()])),
            }
            if depth == 0 {
                return Some(());
            }
            next = self.next()?;
        }
    }

    /// Reports what YAML can do and relay.yaml does not need; whether there was any.
    fn refuse(&mut self, event: &Event<'a>, span: &Span) -> bool {
        let found = if let Some(tag) = span.tag_span().filter(|_| event.tag().is_some()) {
            self.token(&tag, Role::Syntax);
            Found::error(&at(&tag), "an unquoted `!` starts a YAML tag")
                .hint("quote it, for example \"!ci-bot\"")
        } else if matches!(event, Event::Alias(_) | Event::UnresolvedAlias(_)) {
            Found::error(&at(span), "an unquoted `*` starts a YAML alias")
                .hint("quote it, for example \"*-stable\"")
        } else if event.anchor_id().is_some() {
            Found::error(&at(span), "YAML anchors are not supported")
                .hint("write the value out wherever it is needed; quote text that starts with &")
        } else {
            return false;
        };
        self.found(found);
        true
    }

    /// The next event; `None` at the end, or where the text stops being YAML.
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        match self.events.next_event()? {
            Ok(next) => Some(next),
            Err(error) => {
                self.document.broken = true;
                let found = self.syntax(&error);
                self.found(found);
                None
            }
        }
    }

    fn syntax(&self, error: &ScanError) -> Found {
        let place = Mark {
            line: error.marker().line(),
            column: error.marker().col() + 1,
        };
        let found = Found::error(&Place::At(place), format!("not YAML: {}", error.info()));
        // The scanner stops at or soon after the mistake.
        let mut lines = self.text.lines().skip(place.line.saturating_sub(2)).take(2);
        if lines.any(has_bare_variable_in_brackets) {
            return found.hint("inside { } and [ ], ${NAME} needs quotes: \"${NAME}\"");
        }
        match syntax_hint(error.kind()) {
            Some(hint) => found.hint(hint),
            None => found,
        }
    }

    fn token(&mut self, span: &Span, role: Role) {
        if let Some(range) = span.byte_range().filter(|range| !range.is_empty()) {
            self.document.tokens.push(Token { range, role });
        }
    }

    fn found(&mut self, found: Found) {
        self.document.found.push(found);
    }
}

fn has_bare_variable_in_brackets(line: &str) -> bool {
    let Some((before, _)) = line.split_once("${") else {
        return false;
    };
    before.contains(['{', '[']) && !before.ends_with(['"', '\''])
}

/// What people mean when they run into it, where that is nearly always the same.
fn syntax_hint(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::SimpleKeyExpected
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement => Some(
            "each key needs a colon and a space after it, and a value that contains `: ` needs quotes",
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => Some("indent with spaces"),
        ErrorKind::UnexpectedCharacter { .. } => {
            Some("a value that starts with @, ` or % needs quotes")
        }
        ErrorKind::CommentNotSeparated | ErrorKind::UnclosedFlowCollection { .. } => {
            Some("close every bracket, and quote text that starts with #: it would be a comment")
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            Some("a quotation mark before this place is not closed")
        }
        ErrorKind::RecursionLimitExceeded => Some("no setting is nested that deeply"),
        _ => None,
    }
}

fn is_nothing(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, _, None)
        if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
}

fn mark(span: &Span) -> Mark {
    Mark {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn at(span: &Span) -> Place {
    Place::At(mark(span))
}
