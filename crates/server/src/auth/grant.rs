//! What a token or a credential is good for, as it is stored.

use binauthz_wire::json::{self, InvalidField, Limits, Object};
use serde_json::json;

use super::{Role, Scope};

/// What the word for a role begins with where a scope bounds it: a release that knows no scopes takes the token for
/// nobody's, and not for one without bounds.
const SCOPED: &str = "scoped:";

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    pub(crate) description: String,
}

impl Grant {
    /// As it is stored.
    pub(crate) fn to_document(&self) -> String {
        let role = self.role.as_str();
        let mut document = json!({ "role": role, "description": self.description });
        if !self.scope.is_unbounded() {
            document["role"] = format!("{SCOPED}{role}").into();
        }
        let lists = [
            ("projects", &self.scope.projects),
            ("permissions", &self.scope.permissions),
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                document[name] = json!(list);
            }
        }
        document.to_string()
    }

    /// As it was stored; none if this release cannot read all of it.
    pub(crate) fn from_document(document: &str) -> Option<Grant> {
        let value = json::parse(document.as_bytes(), Limits::API).ok()?;
        let read = || -> Result<(String, Grant), InvalidField> {
            let mut object = Object::new(value, "")?;
            let word = object.take_string("role")?;
            let mut list = |name| object.has(name).then(|| object.take_strings(name)).transpose();
            let scope = Scope {
                projects: list("projects")?,
                permissions: list("permissions")?,
            };
            let description = object.take_optional_string("description")?.unwrap_or_default();
            object.finish()?;
            let role = Role::Member;
            Ok((
                word,
                Grant {
                    role,
                    scope,
                    description,
                },
            ))
        };
        let (word, grant) = read().ok()?;
        let (is_scoped, name) = match word.strip_prefix(SCOPED) {
            Some(name) => (true, name),
            None => (false, word.as_str()),
        };
        let role = Role::from_name(name)?;
        (is_scoped != grant.scope.is_unbounded()).then_some(Grant { role, ..grant })
    }

    /// Whom a token stands for if nobody else is named.
    pub(crate) fn own_principal(id: &str) -> String {
        format!("token:{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_comes_back() {
        let scopes = [
            Scope::default(),
            Scope {
                projects: Some(vec!["p".to_owned()]),
                permissions: None,
            },
            Scope {
                projects: None,
                permissions: Some(vec!["a.*".to_owned()]),
            },
            Scope {
                projects: Some(vec!["p".to_owned(), "q".to_owned()]),
                permissions: Some(vec!["a.*".to_owned()]),
            },
        ];
        for (role, scope) in Role::ALL
            .into_iter()
            .flat_map(|role| scopes.iter().map(move |scope| (role, scope)))
        {
            let grant = Grant {
                role,
                scope: scope.clone(),
                description: "d".to_owned(),
            };
            assert_eq!(Grant::from_document(&grant.to_document()), Some(grant));
        }
        // What bounds nothing is not what was meant by a bound.
        for document in [
            r#"{"role":"scoped:admin","projects":[]}"#,
            r#"{"role":"scoped:admin","projects":[],"permissions":[]}"#,
            r#"{"role":"scoped:scoped:admin","projects":["p"]}"#,
        ] {
            assert_eq!(Grant::from_document(document), None, "{document}");
        }
    }
}
