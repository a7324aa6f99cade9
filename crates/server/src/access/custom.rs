//! Roles that a project made for itself.

use std::collections::BTreeSet;

use binauthz_store::{Kind, Unavailable};
use binauthz_wire::json::{self, InvalidField, Limits, Object};
use serde_json::json;

use super::{On, permissions};
use crate::app::App;

/// A role of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CustomRole {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) included: Vec<String>,
    /// `GA` and the like; `DISABLED` gives nothing.
    pub(crate) stage: String,
}

impl CustomRole {
    /// What it gives, as far as this release has it.
    pub(crate) fn permissions(&self) -> BTreeSet<&'static str> {
        let given = |name: &String| permissions::known(name);
        match self.stage.as_str() {
            "DISABLED" => BTreeSet::new(),
            _ => self.included.iter().filter_map(given).collect(),
        }
    }

    /// As it is stored.
    pub(crate) fn to_document(&self) -> String {
        json!({
            "title": self.title,
            "description": self.description,
            "includedPermissions": self.included,
            "stage": self.stage,
        })
        .to_string()
    }

    /// As it was stored; none if this release cannot read it.
    pub(crate) fn from_document(document: &str) -> Option<CustomRole> {
        let value = json::parse(document.as_bytes(), Limits::API).ok()?;
        let read = || -> Result<CustomRole, InvalidField> {
            let mut object = Object::new(value, "")?;
            let role = CustomRole {
                title: object.take_string("title")?,
                description: object.take_optional_string("description")?.unwrap_or_default(),
                included: object.take_strings("includedPermissions")?,
                stage: object.take_string("stage")?,
            };
            object.finish()?;
            Ok(role)
        };
        read().ok()
    }

    /// The role of this name, if the project that `resource` is of made it.
    pub(crate) async fn find(
        app: &App,
        resource: &str,
        role: &str,
    ) -> Result<Option<CustomRole>, Unavailable> {
        if project_of_role(role).is_none() || project_of_role(role) != On::Resource(resource).project() {
            return Ok(None);
        }
        let stored = app.store.resource(Kind::Role, role).await?;
        Ok(stored.and_then(|row| CustomRole::from_document(&row.document)))
    }
}

/// The project of `projects/PROJECT/roles/ROLE`.
pub(crate) fn project_of_role(name: &str) -> Option<&str> {
    match name.split('/').collect::<Vec<&str>>().as_slice() {
        ["projects", project, "roles", _] => Some(project),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_comes_back_and_gives_what_is_known() {
        let role = CustomRole {
            title: "t".to_owned(),
            description: "d".to_owned(),
            included: vec!["binaryauthorization.policy.get".to_owned(), "a.b.gone".to_owned()],
            stage: "GA".to_owned(),
        };
        assert_eq!(CustomRole::from_document(&role.to_document()).unwrap(), role);
        assert_eq!(
            role.permissions(),
            BTreeSet::from(["binaryauthorization.policy.get"])
        );
        let disabled = CustomRole {
            stage: "DISABLED".to_owned(),
            ..role
        };
        assert!(disabled.permissions().is_empty());
        for document in ["", "{}", "x", r#"{"title":"t","stage":"GA","more":1}"#] {
            assert_eq!(CustomRole::from_document(document), None, "{document}");
        }
        assert_eq!(project_of_role("projects/p/roles/r"), Some("p"));
        assert_eq!(project_of_role("roles/viewer"), None);
        assert_eq!(project_of_role("projects/p/roles/r/x"), None);
    }
}
