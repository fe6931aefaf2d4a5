//! A call as the APIs see it: from somebody whose token is right, with its body.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use tracing::info;

use super::Means;
use crate::config::{Api, Token};
use crate::hook::{Hook, Repository};
use crate::hooks::{Change, Hooks};
use crate::queue::QueueError;
use crate::settings::Settings;

/// One call of a hook API.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// GET for HEAD, whose answer hyper sends without its body.
    pub(super) method: Method,
    /// What follows the API's prefix, decoded part by part; the last part is empty when a slash
    /// ends the path.
    pub(super) path: Vec<String>,
    /// As it came, without the `?`.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
    pub(super) token: &'a Token,
    pub(super) api: &'a Api,
    pub(super) settings: &'a Settings,
    pub(super) means: &'a Means,
}

impl Call<'_> {
    /// The repository of this name, unless there is none for the token: the others do not exist
    /// for it.
    pub(super) fn repository(&self, owner: &str, name: &str) -> Option<Repository> {
        let repository = Repository::named(&self.api.source, owner, name)?;
        self.token.repos.fit(&repository.name).then_some(repository)
    }

    /// All hooks as they were when the call came.
    pub(super) fn hooks(&self) -> &Hooks {
        &self.settings.hooks
    }

    /// Changes a hook, durably: the hook as it is then, or as it was when it is deleted.
    ///
    /// # Errors
    /// Within, what `work` finds wrong.
    pub(super) async fn change<E: Send + 'static>(
        &self,
        work: impl FnOnce(&Hooks) -> Result<Change, E> + Send + 'static,
    ) -> Result<Result<Hook, E>, QueueError> {
        let changed = self.means.desk.change(work).await?;
        if let Ok(hook) = &changed {
            let done = match self.method {
                Method::POST => "made",
                Method::DELETE => "deleted",
                _ => "changed",
            };
            let (id, repository, token) = (hook.id, &hook.repository.name, &self.token.name);
            info!("hook {id} of {repository} was {done} with the token {token}");
        }
        Ok(changed)
    }
}

/// The decoded parts of a path; `None` when one of them is no text.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let decoded = |part| percent_decode_str(part).decode_utf8().ok();
    path.split('/')
        .map(|part| Some(decoded(part)?.into_owned()))
        .collect()
}
