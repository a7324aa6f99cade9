//! The identity a request acts under.

use crate::control::routes::Class;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Admin,
    /// What changes nothing and uses no private key.
    Viewer,
}

impl Role {
    pub(crate) const ALL: [Role; 2] = [Role::Admin, Role::Viewer];

    /// The name in requests and in stored tokens.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// An authenticated caller. Only [`super::authenticate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    principal: String,
    role: Role,
}

impl Caller {
    pub(super) fn new(principal: String, role: Role) -> Caller {
        Caller { principal, role }
    }

    /// The name in audit rows: `admin`, `token:NAME` or `credential:NAME`.
    pub(crate) fn principal(&self) -> &str {
        &self.principal
    }

    /// Whether the caller may make calls of this class.
    pub(crate) fn may(&self, class: Class) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Viewer => class == Class::Read,
        }
    }
}
