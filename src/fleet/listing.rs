//! Lists repositories, page by page.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::error::GogsError;
use super::gogs::Gogs;

/// Gogs gives at most 50 by default; a smaller page is no sign of the last one.
const PAGE: &str = "50";

/// A repository, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `owner/name`.
    pub name: String,
    /// Whether the token's user administers it; lists of strangers' repositories do not say.
    pub admin: Option<bool>,
}

impl Gogs {
    /// All repositories that the token's user owns or has a share in.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn repositories(&mut self) -> Result<Vec<Listed>, GogsError> {
        let path = self.path(&["user", "repos"]);
        self.pages(path, Some).await
    }

    /// All public repositories. Private ones of others no request of Gogs lists.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn public_repositories(&mut self) -> Result<Vec<Listed>, GogsError> {
        let mut path = self.path(&["repos", "search"]);
        // Gogs looks for this within names by SQL's LIKE, and takes nothing for a dot.
        path.query_pairs_mut().append_pair("q", "%");
        self.pages(path, |mut answer| Some(answer.get_mut("data")?.take()))
            .await
    }

    /// Reads pages until one brings nothing new, which is right for lists that have no pages too.
    /// Gogs' `Link` header would not do: it leaves out what was asked for.
    async fn pages(
        &mut self,
        path: Url,
        list: fn(Value) -> Option<Value>,
    ) -> Result<Vec<Listed>, GogsError> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for page in 1_u32.. {
            let mut path = path.clone();
            path.query_pairs_mut()
                .append_pair("page", &page.to_string())
                .append_pair("limit", PAGE);
            let answer: Value = self.get(path).await?;
            let listed = list(answer).and_then(|it| serde_json::from_value(it).ok());
            let listed: Vec<ListedRepository> = listed.ok_or_else(|| self.not_gogs(200))?;
            let before = all.len();
            let new = |it: &ListedRepository| seen.insert(it.full_name.to_lowercase());
            all.extend(listed.into_iter().filter(new).map(Listed::from));
            if all.len() == before {
                break;
            }
        }
        Ok(all)
    }
}

#[derive(Deserialize)]
struct ListedRepository {
    full_name: String,
    #[serde(default)]
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    admin: bool,
}

impl From<ListedRepository> for Listed {
    fn from(repository: ListedRepository) -> Listed {
        Listed {
            name: repository.full_name,
            admin: repository.permissions.map(|it| it.admin),
        }
    }
}
