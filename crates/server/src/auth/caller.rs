//! The identity a request acts under.

use crate::access::{On, matches};

/// What a credential may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Admin,
    /// What changes nothing and uses no private key.
    Viewer,
    /// Nothing but what IAM policies give to its names.
    Member,
}

impl Role {
    pub(crate) const ALL: [Role; 3] = [Role::Admin, Role::Viewer, Role::Member];

    /// The name in requests and in stored tokens.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
            Role::Member => "member",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// What a token is good for at most, whatever its owner may do. An absent list has no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) projects: Option<Vec<String>>,
    /// Patterns of permissions.
    pub(crate) permissions: Option<Vec<String>>,
}

impl Scope {
    pub(crate) fn is_unbounded(&self) -> bool {
        self.projects.is_none() && self.permissions.is_none()
    }

    pub(crate) fn reaches(&self, permission: &str, on: On<'_>) -> bool {
        let is_project = self.projects.as_ref().is_none_or(|projects| {
            on.project()
                .is_some_and(|project| projects.iter().any(|listed| listed == project))
        });
        let is_permission = self
            .permissions
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, permission)));
        is_project && is_permission
    }
}

/// An authenticated caller. Only [`super::authenticate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    principal: String,
    role: Role,
    names: Vec<String>,
    scope: Scope,
}

impl Caller {
    pub(super) fn new(principal: String, role: Role) -> Caller {
        let mut names = vec![principal.clone()];
        if let Some(("user", email)) = principal.split_once(':') {
            names.extend(
                email
                    .rsplit_once('@')
                    .map(|(_, domain)| format!("domain:{domain}")),
            );
        }
        Caller {
            principal,
            role,
            names,
            scope: Scope::default(),
        }
    }

    /// As [`Caller::new`], who goes by these names, too.
    pub(super) fn also(mut self, names: impl IntoIterator<Item = String>) -> Caller {
        self.names.extend(names);
        self
    }

    pub(super) fn within(mut self, scope: Scope) -> Caller {
        self.scope = scope;
        self
    }

    /// The name in audit rows: `admin`, `token:NAME`, `credential:NAME`, or a member as in an IAM policy.
    pub(crate) fn principal(&self) -> &str {
        &self.principal
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whom IAM policies may name.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the scope lets the caller use this permission here, if there is one to use.
    pub(crate) fn reaches(&self, permission: &str, on: On<'_>) -> bool {
        self.scope.reaches(permission, on)
    }

    /// Whether nothing is kept from the caller.
    pub(crate) fn is_administrator(&self) -> bool {
        self.role == Role::Admin && self.scope.is_unbounded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_takes_away_and_gives_nothing() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let of = |projects, permissions| Scope {
            projects,
            permissions,
        };
        let (here, there) = (On::Resource("projects/p/notes/n"), On::Resource("projects/pq"));
        for (scope, permission, on, expected) in [
            (of(None, None), "a.b.c", On::Installation, true),
            (of(list(&["p"]), None), "a.b.c", here, true),
            (of(list(&["p"]), None), "a.b.c", there, false),
            (of(list(&["p"]), None), "a.b.c", On::Installation, false),
            (of(list(&[]), None), "a.b.c", here, false),
            (of(None, list(&["a.b.*"])), "a.b.c", On::Installation, true),
            (of(None, list(&["a.b.d"])), "a.b.c", here, false),
            (of(None, list(&[])), "a.b.c", here, false),
            (of(list(&["p"]), list(&["x.*", "a.*"])), "a.b.c", here, true),
            (of(list(&["p"]), list(&["a.*"])), "a.b.c", there, false),
        ] {
            let caller = Caller::new("admin".to_owned(), Role::Admin).within(scope.clone());
            assert_eq!(caller.reaches(permission, on), expected, "{scope:?} {on:?}");
            assert_eq!(caller.is_administrator(), scope.is_unbounded());
        }
    }

    #[test]
    fn a_user_is_of_the_domain_behind_the_last_at() {
        let names = |principal: &str| Caller::new(principal.to_owned(), Role::Member).names().to_vec();
        assert_eq!(
            names("user:jane@example.com"),
            ["user:jane@example.com", "domain:example.com"]
        );
        assert_eq!(names("token:ci"), ["token:ci"]);
        assert_eq!(
            names("serviceAccount:a@example.com"),
            ["serviceAccount:a@example.com"]
        );
        assert_eq!(names("user:jane"), ["user:jane"]);
    }
}
