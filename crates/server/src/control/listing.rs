//! Pages of stored resources.

use binauthz_store::{Kind, ListQuery, MAX_ROWS, Resource};
use binauthz_wire::filter::Filter;
use binauthz_wire::page::PageToken;

use super::call::Call;
use super::error::ApiError;
use crate::app::App;

/// Which page of which list a call asks for.
#[derive(Debug)]
pub(crate) struct Page {
    list: String,
    size: u32,
    after: Option<String>,
}

impl Page {
    /// Reads `pageSize` and `pageToken`. `list` names the list with its filter: a token of another list is refused.
    pub(crate) fn of(call: &Call, list: String, default: u32, most: u32) -> Result<Page, ApiError> {
        let after = call
            .query
            .string("pageToken")?
            .map(|token| PageToken::decode(&list, token))
            .transpose()?;
        Ok(Page {
            size: call.page_size(default, most)?,
            after: after.map(|token| token.after().to_owned()),
            list,
        })
    }

    /// The key to continue after.
    pub(crate) fn after(&self) -> Option<String> {
        self.after.clone()
    }

    /// How many items to ask for: one more than fit, to know whether there is a next page.
    pub(crate) fn fetch(&self) -> u32 {
        self.size.saturating_add(1)
    }

    /// Cuts what was fetched to the page; the token of the next one, if there is a next one.
    pub(crate) fn cut<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> String) -> Option<String> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if items.len() <= size {
            return None;
        }
        items.truncate(size);
        items.last().map(|last| self.token(&key(last)))
    }

    /// How many items to look at for one page of a filtered list.
    pub(crate) fn scan(&self, filter: &Filter) -> u32 {
        if *filter == Filter::Everything {
            self.fetch()
        } else {
            MAX_ROWS
        }
    }

    /// The page of a filtered list from `items`, of which [`Page::scan`] were asked for. A page may be short (or empty)
    /// and still have a successor, as Google's lists do.
    pub(crate) fn filtered<T>(
        &self,
        items: Vec<T>,
        scanned: u32,
        key: impl Fn(&T) -> String,
        wanted: impl FnMut(&T) -> bool,
    ) -> (Vec<T>, Option<String>) {
        let is_last = items.len() < usize::try_from(scanned).unwrap_or(usize::MAX);
        let last = items.last().map(&key).filter(|_| !is_last);
        let mut found: Vec<T> = items.into_iter().filter(wanted).collect();
        let next = self
            .cut(&mut found, key)
            .or_else(|| last.map(|last| self.token(&last)));
        (found, next)
    }

    /// The token of the page after `key`.
    pub(crate) fn token(&self, key: &str) -> String {
        PageToken::encode(&self.list, key)
    }
}

/// One page of the resources of a kind under a parent, in the order of their names.
pub(crate) async fn resources(
    app: &App,
    page: &Page,
    kind: Kind,
    parent: &str,
) -> Result<(Vec<Resource>, Option<String>), ApiError> {
    let query = ListQuery {
        kind,
        parent: parent.to_owned(),
        after: page.after(),
        limit: page.fetch(),
    };
    let mut rows = app.store.list(&query).await?;
    let next = page.cut(&mut rows, |row| row.name.clone());
    Ok((rows, next))
}

/// The answer of a list: the items under their name, and `nextPageToken` unless this was the last page.
pub(crate) fn reply(field: &str, items: Vec<serde_json::Value>, next: Option<String>) -> serde_json::Value {
    let mut answer = serde_json::Map::new();
    if !items.is_empty() {
        answer.insert(field.to_owned(), items.into());
    }
    if let Some(token) = next {
        answer.insert("nextPageToken".to_owned(), token.into());
    }
    answer.into()
}
