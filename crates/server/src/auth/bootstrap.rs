//! The token of the data directory where it is good for one call: it makes an administrator's token, and that is written
//! down in the transaction that makes it, so that of two calls at once one makes nothing.

use binauthz_store::{Change, Kind, NewResource, Store, Unavailable};

use super::{Caller, Role, Scope};

const SPENT: &str = "settings/bootstrapToken";

/// Whether it was not used yet.
pub(super) async fn is_left(store: &Store) -> Result<bool, Unavailable> {
    Ok(store.resource(Kind::Setting, SPENT).await?.is_none())
}

/// Whoever shows it.
pub(super) fn caller() -> Caller {
    let scope = Scope {
        projects: None,
        permissions: Some(vec!["binauthz.tokens.create".to_owned()]),
    };
    Caller::new("bootstrap".to_owned(), Role::Admin).within(scope)
}

/// Whether a caller showed it. No token or credential has this name.
pub(crate) fn is_bootstrap(caller: &Caller) -> bool {
    caller.principal() == "bootstrap"
}

/// What goes with its only use; fails if it was used.
pub(crate) fn spend() -> Change {
    Change::Insert(NewResource {
        kind: Kind::Setting,
        name: SPENT.to_owned(),
        parent: String::new(),
        document: "{}".to_owned(),
    })
}
