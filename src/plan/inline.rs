//! Puts partials into the templates that name them: a render copies the whole payload for each
//! partial it enters, which costs more than all the rest of a message.

use std::collections::HashMap;

use handlebars::template::{HelperTemplate, TemplateElement};
use handlebars::{Handlebars, Template};

/// `template` with every partial put in that is named without arguments. It renders the same; a
/// fault in a partial is told at the place that names it. `texts` are all templates' sources.
///
/// The templates must have been vetted: partials in a circle would never end.
pub(super) fn inline(
    template: &Template,
    registry: &Handlebars<'static>,
    texts: &HashMap<String, String>,
) -> Template {
    let mut whole = template.clone();
    whole.elements.clear();
    whole.mapping.clear();
    for (at, element) in template.elements.iter().enumerate() {
        match partial_of(element, registry, texts) {
            Some(partial) => {
                let inner = inline(partial, registry, texts);
                whole.elements.extend(inner.elements);
            }
            None => whole.elements.push(inside(element, registry, texts)),
        }
        // Not every element of a block has a place of its own.
        let place = template.mapping.get(at).or(template.mapping.last());
        if let Some(place) = place {
            whole.mapping.resize(whole.elements.len(), place.clone());
        }
    }
    whole
}

fn partial_of<'a>(
    element: &TemplateElement,
    registry: &'a Handlebars<'static>,
    texts: &HashMap<String, String>,
) -> Option<&'a Template> {
    let TemplateElement::PartialExpression(partial) = element else {
        return None;
    };
    if !partial.params.is_empty() || !partial.hash.is_empty() {
        return None;
    }
    let name = partial.name.as_name()?;
    // Inside a partial `../` means where it was named, one step nearer than without it.
    let is_same_there = texts.get(name).is_some_and(|text| !text.contains("../"));
    registry.get_template(name).filter(|_| is_same_there)
}

/// A block with the partials put into its branches.
fn inside(
    element: &TemplateElement,
    registry: &Handlebars<'static>,
    texts: &HashMap<String, String>,
) -> TemplateElement {
    let TemplateElement::HelperBlock(block) = element else {
        return element.clone();
    };
    let branch = |template: &Template| inline(template, registry, texts);
    let mut whole: Box<HelperTemplate> = block.clone();
    whole.template = block.template.as_ref().map(branch);
    whole.inverse = block.inverse.as_ref().map(branch);
    TemplateElement::HelperBlock(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_renders_the_same_with_its_partials_put_in() {
        let texts = [
            (
                "page",
                "{{#each list}}{{> _item}};{{/each}}{{> _tail}}{{> _named list x=1}}",
            ),
            (
                "_item",
                "{{@index}} {{this}}{{#if @first}}{{> _tail}}{{/if}} {{> _above}}",
            ),
            ("_above", "{{#with this}}{{../name}}{{/with}}"),
            ("_tail", "\n  {{~name}}.\n"),
            ("_named", "{{x}}"),
        ];
        let mut registry = Handlebars::new();
        for (name, text) in texts {
            registry.register_template_string(name, text).unwrap();
        }
        let sources = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let page = registry.get_template("page").unwrap();
        let whole = inline(page, &registry, &sources.into());
        assert!(whole.elements.len() > page.elements.len());
        assert_eq!(whole.elements.len(), whole.mapping.len());
        registry.register_template("whole", whole);
        let data = json!({"list": ["a", "b"], "name": "n"});
        let rendered = registry.render("page", &data).unwrap();
        assert_eq!(registry.render("whole", &data).unwrap(), rendered);
        assert!(rendered.contains("0 a"), "{rendered}");
    }
}
