//! `google.iam.v1`: policies of one resource. The etag travels as bytes.

mod condition;

pub use condition::{InvalidCondition, TimeCondition};

use serde_json::{Map, json};

use crate::json::{InvalidField, Object, Value, bytes_out};

/// Kinds of members that somebody can be. `token` and `credential` are ours; Google's others name what is not here.
pub const MEMBER_KINDS: [&str; 8] = [
    "user",
    "serviceAccount",
    "group",
    "domain",
    "principal",
    "principalSet",
    "token",
    "credential",
];

/// Google's own bound on members of all bindings together.
const MAX_MEMBERS: usize = 1_500;
const MAX_TEXT: usize = 1_024;

/// A condition on a binding; kept as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The expression in the Common Expression Language.
    pub expression: String,
    /// What it is called.
    pub title: String,
    /// What it means.
    pub description: String,
}

/// A role and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `roles/…` or a custom role's full name.
    pub role: String,
    /// `user:…`, `serviceAccount:…`, `group:…`, …
    pub members: Vec<String>,
    /// When it applies.
    pub condition: Option<Condition>,
}

/// The request of `setIamPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRequest {
    /// The bindings.
    pub bindings: Vec<Binding>,
    /// The etag the policy was read with; absent means "whatever is there".
    pub etag: Option<Vec<u8>>,
}

/// Reads `SetIamPolicyRequest`.
pub fn read_set_request(value: Value) -> Result<SetRequest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("updateMask");
    object.ignore("resource");
    let policy = object.take_object("policy")?;
    object.finish()?;
    let request = read_policy_object(policy)?;
    for (index, binding) in request.bindings.iter().enumerate() {
        understood(index, binding)?;
    }
    Ok(request)
}

/// What nobody could be given or what could not be judged is refused when it is written, not passed over for good.
fn understood(index: usize, binding: &Binding) -> Result<(), InvalidField> {
    let at = format!("policy.bindings[{index}]");
    for (place, member) in binding.members.iter().enumerate() {
        let kind = member.split(':').next().unwrap_or_default();
        let is_known = matches!(kind, "allUsers" | "allAuthenticatedUsers" | "deleted");
        if !is_known && !MEMBER_KINDS.contains(&kind) {
            let kinds = MEMBER_KINDS.join("`, `");
            return Err(InvalidField::refused(
                format!("{at}.members[{place}]"),
                format_args!("is of an unknown kind, expected one of `{kinds}`, or `allAuthenticatedUsers`"),
            ));
        }
    }
    if let Some(condition) = &binding.condition {
        TimeCondition::parse(&condition.expression)
            .map_err(|why| InvalidField::refused(format!("{at}.condition.expression"), why))?;
    }
    Ok(())
}

/// Reads `GetIamPolicyRequest`. There is one form of a policy, so the version asked for does not matter.
pub fn read_get_request(value: Value) -> Result<(), InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("resource");
    if let Some(mut options) = object.take_optional_object("options")? {
        options.take_optional_i64("requestedPolicyVersion")?;
        options.finish()?;
    }
    object.finish()
}

/// Reads a policy as it is stored.
pub fn read_policy(value: Value) -> Result<SetRequest, InvalidField> {
    read_policy_object(Object::new(value, "")?)
}

fn read_policy_object(mut object: Object) -> Result<SetRequest, InvalidField> {
    let version = object.take_optional_i64("version")?.unwrap_or(0);
    if !matches!(version, 0 | 1 | 3) {
        return Err(object.refused("version", "must be 1 or 3"));
    }
    let etag = object.take_optional_bytes("etag")?;
    let bindings = object
        .take_objects("bindings")?
        .into_iter()
        .map(read_binding)
        .collect::<Result<Vec<_>, _>>()?;
    if bindings
        .iter()
        .map(|binding| binding.members.len())
        .sum::<usize>()
        > MAX_MEMBERS
    {
        return Err(object.refused(
            "bindings",
            format_args!("have more than {MAX_MEMBERS} members in all"),
        ));
    }
    if object.has("auditConfigs") {
        return Err(object.refused(
            "auditConfigs",
            "are not supported: every call that changes something is recorded",
        ));
    }
    object.ignore("auditConfigs");
    object.finish()?;
    Ok(SetRequest { bindings, etag })
}

fn read_binding(mut object: Object) -> Result<Binding, InvalidField> {
    let role = object.take_string("role")?;
    let custom = role.starts_with("projects/") || role.starts_with("organizations/");
    if role.len() > MAX_TEXT || !(role.starts_with("roles/") || custom) {
        return Err(object.refused(
            "role",
            "must be of the form `roles/NAME` or `projects/PROJECT/roles/NAME`",
        ));
    }
    let members = object.take_strings("members")?;
    for (index, member) in members.iter().enumerate() {
        let known = matches!(member.as_str(), "allUsers" | "allAuthenticatedUsers")
            || member
                .split_once(':')
                .is_some_and(|(kind, id)| !kind.is_empty() && !id.is_empty());
        if member.len() > MAX_TEXT || !known {
            let path = format!("{}[{index}]", object.path_of("members"));
            return Err(InvalidField::refused(
                path,
                "must be of the form `KIND:ID`, for example `user:jane@example.com`",
            ));
        }
    }
    let condition = object
        .take_optional_object("condition")?
        .map(read_condition)
        .transpose()?;
    object.finish()?;
    Ok(Binding {
        role,
        members,
        condition,
    })
}

fn read_condition(mut object: Object) -> Result<Condition, InvalidField> {
    let expression = object.take_string("expression")?;
    let title = object.take_optional_string("title")?.unwrap_or_default();
    let description = object.take_optional_string("description")?.unwrap_or_default();
    object.ignore("location");
    object.finish()?;
    Ok(Condition {
        expression,
        title,
        description,
    })
}

/// Reads `TestIamPermissionsRequest`.
pub fn read_test_request(value: Value) -> Result<Vec<String>, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("resource");
    let permissions = object.take_strings("permissions")?;
    if permissions.len() > 100 {
        return Err(object.refused("permissions", "has more than 100 entries"));
    }
    object.finish()?;
    Ok(permissions)
}

/// Writes a policy.
pub fn write_policy(bindings: &[Binding], etag: &[u8]) -> serde_json::Value {
    let mut policy = Map::new();
    if !bindings.is_empty() {
        policy.insert(
            "bindings".to_owned(),
            bindings.iter().map(write_binding).collect(),
        );
        policy.insert("version".to_owned(), json!(3));
    }
    if !etag.is_empty() {
        policy.insert("etag".to_owned(), json!(bytes_out(etag)));
    }
    policy.into()
}

fn write_binding(binding: &Binding) -> serde_json::Value {
    let mut members = Map::new();
    members.insert("role".to_owned(), json!(binding.role));
    members.insert("members".to_owned(), json!(binding.members));
    if let Some(condition) = &binding.condition {
        let mut fields = Map::new();
        let parts = [
            ("expression", &condition.expression),
            ("title", &condition.title),
            ("description", &condition.description),
        ];
        for (name, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            fields.insert(name.to_owned(), json!(text));
        }
        members.insert("condition".to_owned(), fields.into());
    }
    members.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Limits, parse};

    fn read(text: &str) -> Result<SetRequest, InvalidField> {
        read_set_request(parse(text.as_bytes(), Limits::API).unwrap())
    }

    #[test]
    fn policies_round_trip() {
        let text = r#"{"policy":{"bindings":[{"members":["user:a@b.c"],"role":"roles/viewer",
            "condition":{"expression":"request.time < timestamp(\"2030-01-01T00:00:00Z\")","title":"t"}}],"etag":"j-L1VRAauZuFWdIy","version":3}}"#;
        let request = read(text).unwrap();
        let written = write_policy(&request.bindings, request.etag.as_deref().unwrap());
        let again = read_policy(parse(written.to_string().as_bytes(), Limits::API).unwrap()).unwrap();
        assert_eq!(again, request);
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (r#"{}"#, "policy"),
            (r#"{"policy":{"version":2}}"#, "policy.version"),
            (
                r#"{"policy":{"bindings":[{"members":["user:a"]}]}}"#,
                "policy.bindings[0].role",
            ),
            (
                r#"{"policy":{"bindings":[{"role":"viewer"}]}}"#,
                "policy.bindings[0].role",
            ),
            (
                r#"{"policy":{"bindings":[{"role":"roles/viewer","members":["jane"]}]}}"#,
                "policy.bindings[0].members[0]",
            ),
            (
                r#"{"policy":{"bindings":[{"role":"roles/viewer","condition":{}}]}}"#,
                "policy.bindings[0].condition.expression",
            ),
            (
                r#"{"policy":{"bindings":[{"role":"roles/viewer","members":["user:a"],"condition":{"expression":"resource.name == 'x'"}}]}}"#,
                "policy.bindings[0].condition.expression",
            ),
            (
                r#"{"policy":{"bindings":[{"role":"roles/viewer","members":["user:a","robot:b"]}]}}"#,
                "policy.bindings[0].members[1]",
            ),
            (r#"{"policy":{"auditConfigs":[{}]}}"#, "policy.auditConfigs"),
            (r#"{"policy":{"bindingz":[]}}"#, "policy.bindingz"),
        ];
        for (text, path) in table {
            assert_eq!(read(text).unwrap_err().path, path, "{text}");
        }
    }
}
