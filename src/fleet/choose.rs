//! Which repositories are looked after.

use std::collections::BTreeMap;

use super::error::GogsError;
use super::gogs::Gogs;
use super::listing::Listed;
use crate::plan::Patterns;

/// What somebody asks to have looked after.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// As they were written.
    pub patterns: &'a [String],
    /// The same, read.
    pub fit: &'a Patterns,
    /// The token is a site administrator's: public repositories of others too, and whatever the
    /// lists say of its user's rights.
    pub everywhere: bool,
}

/// The repositories that were found for a wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// `owner/name`, in alphabetical order.
    pub repositories: Vec<String>,
    /// How many more fit, but are not administered by the token's user.
    pub not_administered: usize,
}

impl Gogs {
    /// Finds the repositories for a wish. A pattern without `*` names a repository, which then
    /// need not be in any list: Gogs lists no private repositories of others, not even to a site
    /// administrator.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn choose(&mut self, wish: Wish<'_>) -> Result<Chosen, GogsError> {
        let mut listed = self.repositories().await?;
        if wish.everywhere {
            let public = self.public_repositories().await?;
            listed.extend(public);
            let unsure = |it: Listed| Listed { admin: None, ..it };
            listed = listed.into_iter().map(unsure).collect();
        }
        let is_name = |text: &&String| !text.starts_with('!') && !text.contains('*');
        let named = wish.patterns.iter().filter(is_name).map(|name| Listed {
            name: name.clone(),
            admin: None,
        });
        let mut found = BTreeMap::new();
        let fitting = listed.into_iter().chain(named);
        for listed in fitting.filter(|it| wish.fit.fit(&it.name)) {
            found.entry(listed.name.to_lowercase()).or_insert(listed);
        }
        let all = found.len();
        let administered = found.into_values().filter(|it| it.admin != Some(false));
        let repositories: Vec<String> = administered.map(|it| it.name).collect();
        Ok(Chosen {
            not_administered: all - repositories.len(),
            repositories,
        })
    }
}
