//! One set as one kind of destination sees it: parsed templates, and which of them an event gets.

use std::collections::{BTreeSet, HashMap};

use handlebars::{Context, Handlebars};
use xxhash_rust::xxh3::xxh3_64;

use super::escape::Format;
use super::helpers;
use super::inline::inline;
use super::library::Source;
use super::render::{Strict, render_with};
use super::vet::{self, Fault, Inspected, Parser};
use crate::config::{Problem, Severity};

/// The templates of one set and format, with what they fall back to.
pub(super) struct Shelf {
    registry: Handlebars<'static>,
    /// From the user's own down to the built-in ones; a page's name is its file's.
    layers: Vec<HashMap<String, Page>>,
}

/// A template that renders a message.
#[derive(Debug)]
pub(super) struct Page {
    /// `default/slack/push`.
    pub(super) label: String,
    pub(super) fingerprint: String,
    pub(super) source: Source,
    /// Its name in the registry.
    pub(super) key: String,
    /// The same with its partials put in.
    pub(super) whole_key: String,
    /// Why it cannot be rendered at all.
    pub(super) broken: Option<String>,
}

impl Shelf {
    /// Parses `layers`, the user's own first. What is broken is told and remembered, so that the
    /// ladder can say why it passed over it.
    pub(super) fn new(
        format: Format,
        layers: &[Vec<&Source>],
        parser: &mut Parser,
    ) -> (Shelf, Vec<Problem>) {
        let mut building = Building::new(format);
        for (depth, layer) in layers.iter().enumerate() {
            for source in layer {
                building.add(depth, source, parser);
            }
        }
        building.finish(layers.len())
    }

    /// The page for an event: by event and action, by event alone, then the one for any event;
    /// among equals the user's own.
    pub(super) fn page(&self, event: &str, action: Option<&str>) -> Option<&Page> {
        let full = action.map(|action| format!("{event}-{action}"));
        let named = self.layers.iter().find_map(|layer| {
            let by_action = full.as_ref().and_then(|full| layer.get(full));
            by_action.or_else(|| layer.get(event))
        });
        named.or_else(|| self.layers.iter().find_map(|layer| layer.get("event")))
    }

    /// All pages of all layers.
    pub(super) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.layers.iter().flat_map(HashMap::values)
    }

    /// Whether any file of the set itself stands here.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.iter().all(HashMap::is_empty)
    }

    /// What the page renders to.
    ///
    /// # Errors
    /// Why not, in words, with the place.
    pub(super) fn render(&self, page: &Page, context: &Context) -> Result<String, String> {
        if let Some(broken) = &page.broken {
            return Err(broken.clone());
        }
        let rendered = render_with(&self.registry, page, context);
        rendered.map_err(|failure| failure.to_string())
    }

    /// The same, taking every missing field and every whole object for a mistake.
    pub(super) fn strict(&self) -> Strict {
        Strict::of(&self.registry)
    }
}

struct Building {
    registry: Handlebars<'static>,
    inspected: HashMap<String, Inspected>,
    texts: HashMap<String, String>,
    /// By key: the source and how deep its layer is.
    sources: Vec<(String, usize, Source)>,
    partials: BTreeSet<String>,
}

impl Building {
    fn new(format: Format) -> Building {
        let mut registry = Handlebars::new();
        registry.set_prevent_indent(true);
        helpers::register(&mut registry, format);
        Building {
            registry,
            inspected: HashMap::new(),
            texts: HashMap::new(),
            sources: Vec::new(),
            partials: BTreeSet::new(),
        }
    }

    fn add(&mut self, depth: usize, source: &Source, parser: &mut Parser) {
        let is_partial = source.name.starts_with('_');
        if is_partial && !self.partials.insert(source.name.clone()) {
            // A layer above has one of this name.
            return;
        }
        let key = match is_partial {
            true => source.name.clone(),
            false => format!("{depth}/{}", source.name),
        };
        let inspected = match parser.parse(&source.text) {
            Ok(mut template) => {
                template.name = Some(key.clone());
                let inspected = vet::inspect(&template);
                self.registry.register_template(&key, template);
                inspected
            }
            Err(fault) => Inspected::broken(fault),
        };
        self.inspected.insert(key.clone(), inspected);
        self.texts.insert(key.clone(), source.text.clone());
        self.sources.push((key, depth, source.clone()));
    }

    fn finish(mut self, depth: usize) -> (Shelf, Vec<Problem>) {
        let mut layers: Vec<HashMap<String, Page>> = Vec::new();
        layers.resize_with(depth, HashMap::new);
        let mut problems = Vec::new();
        for (key, depth, source) in std::mem::take(&mut self.sources) {
            let (faults, fingerprint) = self.assess(&key, &source);
            let broken = faults.first().map(describe);
            problems.extend(faults.into_iter().map(|fault| problem(&source, fault)));
            if !source.name.starts_with('_') {
                let page = Page {
                    label: source.label(),
                    fingerprint,
                    source: source.clone(),
                    whole_key: self.whole(&key, broken.is_some()),
                    key,
                    broken,
                };
                layers[depth].insert(source.name, page);
            }
        }
        let registry = self.registry;
        (Shelf { registry, layers }, problems)
    }

    /// Puts the partials into a page; gives the name under which the result is found.
    fn whole(&mut self, key: &str, is_broken: bool) -> String {
        let whole_key = format!("{key} with its partials");
        let template = self.registry.get_template(key).filter(|_| !is_broken);
        let whole = template.map(|template| inline(template, &self.registry, &self.texts));
        if let Some(whole) = whole {
            self.registry.register_template(&whole_key, whole);
        }
        whole_key
    }

    /// What is wrong with a template, and the fingerprint of it and all that it puts in.
    fn assess(&self, key: &str, source: &Source) -> (Vec<Fault>, String) {
        let mut faults = self.inspected[key].faults.clone();
        let mut text = source.text.clone();
        match vet::expand(key, &self.inspected) {
            Ok(needed) => {
                for name in needed {
                    text.push_str(&self.texts[name]);
                }
            }
            Err(fault) => faults.push(fault),
        }
        let fingerprint = format!("{:016x}", xxh3_64(text.as_bytes()));
        (faults, fingerprint[..12].to_owned())
    }
}

fn describe(fault: &Fault) -> String {
    match fault.line {
        Some(line) => format!("line {line}: {}", fault.message),
        None => fault.message.clone(),
    }
}

/// The fault as a person reads it.
pub(super) fn problem(source: &Source, fault: Fault) -> Problem {
    let line = fault.line.map(|line| line.max(1));
    let excerpt = line.and_then(|line| source.text.lines().nth(line - 1));
    Problem {
        severity: Severity::Error,
        file: source.file.clone(),
        line,
        column: fault.column.map(|column| column.max(1)),
        excerpt: excerpt.map(str::to_owned),
        message: fault.message,
        hint: fault.hint,
    }
}
