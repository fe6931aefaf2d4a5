//! Finds the line of a template that wrote a place of what it rendered.

use handlebars::Template;
use handlebars::template::{TemplateElement, TemplateMapping};

/// Noncharacters around the number of the line that what follows comes from.
const OPEN: char = '\u{fdd2}';
const CLOSE: char = '\u{fdd3}';

/// The template, writing before each piece the line that it stands in.
pub(super) fn numbered(template: &Template) -> Template {
    let mut numbered = template.clone();
    numbered.elements.clear();
    numbered.mapping.clear();
    for (element, mapping) in template.elements.iter().zip(&template.mapping) {
        let mut push = |element: TemplateElement| {
            numbered.elements.push(element);
            numbered.mapping.push(mapping.clone());
        };
        match element {
            TemplateElement::RawString(text) => {
                for (at, piece) in text.split_inclusive('\n').enumerate() {
                    push(number(mapping, at));
                    push(TemplateElement::RawString(piece.to_owned()));
                }
            }
            TemplateElement::HelperBlock(block) => {
                let mut block = block.clone();
                block.template = block.template.as_ref().map(self::numbered);
                block.inverse = block.inverse.as_ref().map(self::numbered);
                push(TemplateElement::HelperBlock(block));
            }
            other => {
                push(number(mapping, 0));
                push(other.clone());
            }
        }
    }
    numbered
}

fn number(mapping: &TemplateMapping, further: usize) -> TemplateElement {
    let line = mapping.0 + further;
    TemplateElement::RawString(format!("{OPEN}{line}{CLOSE}"))
}

/// The line that wrote what stands at `line` and `column` (from 1, in bytes) of the text that
/// `rendered` is without its numbers.
pub(super) fn line_of(rendered: &str, line: usize, column: usize) -> Option<usize> {
    // For the parser a line break stands before the first column of the next line.
    let sought = match column {
        0 => (line.saturating_sub(1), usize::MAX),
        _ => (line, column),
    };
    let mut place = (1, 1);
    let mut line = None;
    let mut found = None;
    let mut rest = rendered;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == OPEN {
            let (number, behind) = rest.split_once(CLOSE)?;
            line = number.parse().ok();
            rest = behind;
            continue;
        }
        if place > sought {
            break;
        }
        found = line;
        place = match character {
            '\n' => (place.0 + 1, 1),
            _ => (place.0, place.1 + character.len_utf8()),
        };
    }
    found
}
