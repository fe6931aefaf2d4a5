//! Refuses, when a template is loaded, what could overflow the stack, escape nothing, or only
//! fail on the day that its branch is taken. Nothing here is executed.

use std::collections::HashMap;

use handlebars::Template;
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};

use super::depth::{self, DEEPEST};
use super::helpers;

/// With its partials put in, a template may have so many elements.
const MOST_ELEMENTS: usize = 20_000;

/// What is wrong with a template, and where in it.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// From 1.
    pub(super) line: Option<usize>,
    /// From 1.
    pub(super) column: Option<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Fault {
        Fault {
            line: None,
            column: None,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    fn at(mut self, place: (usize, usize)) -> Fault {
        (self.line, self.column) = (Some(place.0), Some(place.1));
        self
    }
}

/// Parses texts, each but once however many sets it stands in: parsing is most of what loading
/// templates costs.
#[derive(Default)]
pub(super) struct Parser {
    known: HashMap<String, Result<Template, Fault>>,
}

impl Parser {
    pub(super) fn parse(&mut self, text: &str) -> Result<Template, Fault> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let parsed = parse(text);
        self.known.insert(text.to_owned(), parsed.clone());
        parsed
    }
}

/// Counts first how deep the text nests, because the parser recurses.
fn parse(text: &str) -> Result<Template, Fault> {
    if let Some(place) = depth::too_deep_at(text) {
        return Err(Fault::new(format!("nests deeper than {DEEPEST}")).at(place));
    }
    Template::compile(text).map_err(|error| {
        let fault = Fault::new(first_line(&error.reason().to_string()));
        match error.pos() {
            Some((line, column)) => fault.at((line, column)),
            None => fault,
        }
    })
}

fn first_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// What one template asks for, before its partials are put in.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    pub(super) faults: Vec<Fault>,
    /// The partials it names, and where.
    pub(super) partials: Vec<(String, (usize, usize))>,
    elements: usize,
}

/// Walks all of a template, the branches that rarely run too.
pub(super) fn inspect(template: &Template) -> Inspected {
    let mut inspected = Inspected::default();
    inspected.template(template);
    inspected
}

impl Inspected {
    /// Of a template that could not be parsed.
    pub(super) fn broken(fault: Fault) -> Inspected {
        Inspected {
            faults: vec![fault],
            ..Inspected::default()
        }
    }

    fn template(&mut self, template: &Template) {
        for (at, element) in template.elements.iter().enumerate() {
            let mapping = template.mapping.get(at);
            let place = mapping.map_or((1, 1), |mapping| (mapping.0, mapping.1));
            self.elements += 1;
            self.element(element, place);
        }
    }

    fn element(&mut self, element: &TemplateElement, place: (usize, usize)) {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(call) => self.call(call, place),
            TemplateElement::HelperBlock(call) => self.block(call, place),
            TemplateElement::PartialExpression(partial) => self.partial(partial, place),
            TemplateElement::HtmlExpression(_) => self.refuse(
                place,
                "`{{{…}}}` and `{{&…}}` write without escaping",
                "write `{{x}}`, or `{{raw x}}` to keep the formatting of what somebody wrote",
            ),
            TemplateElement::PartialBlock(_) => self.refuse(
                place,
                "a partial cannot be given a block",
                "write `{{> _name}}`",
            ),
            _ => self.refuse(place, "decorators are not available", "use a partial file"),
        }
    }

    fn refuse(&mut self, place: (usize, usize), message: impl Into<String>, hint: &str) {
        let fault = Fault::new(message).at(place);
        self.faults.push(if hint.is_empty() {
            fault
        } else {
            fault.hint(hint)
        });
    }

    /// `{{x}}` or `{{helper x}}`.
    fn call(&mut self, call: &HelperTemplate, place: (usize, usize)) {
        let bare = call.params.is_empty() && call.hash.is_empty();
        match call.name.as_name() {
            None => self.refuse(place, "a helper's name must be written out", ""),
            Some(name) if helpers::is_value(name) || helpers::WRITERS.contains(&name) => {}
            Some(name) if bare && !helpers::BLOCKS.contains(&name) => {}
            Some(name) => self.unknown_helper(name, place),
        }
        self.arguments(call, place);
    }

    fn block(&mut self, call: &HelperTemplate, place: (usize, usize)) {
        match call.name.as_name() {
            None => self.refuse(place, "a helper's name must be written out", ""),
            Some(name) if helpers::BLOCKS.contains(&name) => {}
            Some(name) => {
                let message = format!("`{{{{#{name}}}}}` is no block");
                self.refuse(place, message, "blocks are #if, #unless, #each and #with");
            }
        }
        self.arguments(call, place);
        for branch in [&call.template, &call.inverse].into_iter().flatten() {
            self.template(branch);
        }
    }

    fn arguments(&mut self, call: &HelperTemplate, place: (usize, usize)) {
        for argument in call.params.iter().chain(call.hash.values()) {
            let Parameter::Subexpression(inner) = argument else {
                continue;
            };
            let TemplateElement::Expression(inner) = inner.as_element() else {
                continue;
            };
            match inner.name.as_name() {
                Some(name) if helpers::is_value(name) => {}
                Some(name) if helpers::WRITERS.contains(&name) => {
                    let message =
                        format!("`{name}` writes its own text, so it cannot stand in parentheses");
                    self.refuse(place, message, "");
                }
                Some(name) => self.unknown_helper(name, place),
                None => self.refuse(place, "a helper's name must be written out", ""),
            }
            self.arguments(inner, place);
        }
    }

    fn unknown_helper(&mut self, name: &str, place: (usize, usize)) {
        let near = helpers::names()
            .map(|helper| (strsim::damerau_levenshtein(helper, name), helper))
            .min()
            .filter(|(distance, _)| *distance <= 2);
        let hint = near.map(|(_, helper)| format!("did you mean `{helper}`?"));
        let message = format!("there is no helper `{name}`");
        self.refuse(place, message, hint.as_deref().unwrap_or_default());
    }

    fn partial(&mut self, partial: &DecoratorTemplate, place: (usize, usize)) {
        match partial.name.as_name() {
            Some(name) if !name.starts_with('@') => self.partials.push((name.to_owned(), place)),
            _ => self.refuse(place, "a partial's name must be written out", ""),
        }
    }
}

/// What putting all partials in comes to: the names of all it needs, or the fault.
pub(super) fn expand<'a>(
    name: &'a str,
    all: &'a HashMap<String, Inspected>,
) -> Result<Vec<&'a str>, Fault> {
    let mut expansion = Expansion {
        all,
        path: vec![name],
        elements: 0,
        needed: Vec::new(),
    };
    expansion.enter(name)?;
    Ok(expansion.needed)
}

struct Expansion<'a> {
    all: &'a HashMap<String, Inspected>,
    path: Vec<&'a str>,
    elements: usize,
    needed: Vec<&'a str>,
}

impl<'a> Expansion<'a> {
    fn enter(&mut self, name: &str) -> Result<(), Fault> {
        let Some(inspected) = self.all.get(name) else {
            return Ok(());
        };
        self.elements += inspected.elements.max(1);
        if self.elements > MOST_ELEMENTS || self.path.len() > DEEPEST {
            let what = format!(
                "its partials come to more than {MOST_ELEMENTS} elements, or nest deeper than {DEEPEST}"
            );
            return Err(Fault::new(what));
        }
        for (partial, place) in &inspected.partials {
            if self.path.contains(&partial.as_str()) {
                let circle = [&self.path[..], &[partial]].concat().join(" > ");
                return Err(Fault::new(format!("partials go in a circle: {circle}")).at(*place));
            }
            match self.all.get(partial) {
                None => {
                    let fault = Fault::new(format!("there is no partial `{partial}`"));
                    return Err(fault.hint(format!("put it into {partial}.hbs")).at(*place));
                }
                Some(inner) if !inner.faults.is_empty() => {
                    let fault = Fault::new(format!("the partial `{partial}` is broken"));
                    return Err(fault.at(*place));
                }
                Some(_) => {}
            }
            if !self.needed.contains(&partial.as_str()) {
                self.needed.push(partial);
            }
            self.path.push(partial);
            // Named where this file calls for it; the partial's own file is vetted as well.
            self.enter(partial).map_err(|fault| fault.at(*place))?;
            self.path.pop();
        }
        Ok(())
    }
}
