//! `get-iam-policy` and its family, the same for every resource that has one.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::files;
use crate::{
    client::Client,
    failure::{Exit, Failure},
    output,
    settings::Settings,
    yaml,
};

/// The policy version that carries conditions, as gcloud asks for.
const POLICY_VERSION: &str = "3";

/// A member and the role it gets or loses.
#[derive(Debug, Args)]
pub struct BindingFlags {
    /// Who: `user:a@example.com`, `serviceAccount:…`, `group:…`, `allAuthenticatedUsers`
    #[arg(long, value_name = "MEMBER")]
    pub member: String,
    /// What for: `roles/binaryauthorization.attestorsVerifier`
    #[arg(long, value_name = "ROLE")]
    pub role: String,
}

/// What to do with the IAM policy of the resource at an API path.
#[derive(Debug)]
pub(crate) enum Action<'a> {
    Read,
    Replace(&'a PathBuf),
    Add(&'a BindingFlags),
    Remove(&'a BindingFlags),
}

impl Action<'_> {
    /// Carries the action out on the resource at `path`, e.g. `/v1/projects/p/policy`.
    pub(crate) async fn run(&self, path: &str, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let policy = match self {
            Action::Read => read(&client, path).await?,
            Action::Replace(file) => {
                let policy = yaml::read(&files::read(file)?, file)?;
                write(&client, path, policy).await?
            }
            Action::Add(binding) => {
                let mut policy = read(&client, path).await?;
                add(&mut policy, binding);
                write(&client, path, policy).await?
            }
            Action::Remove(binding) => {
                let mut policy = read(&client, path).await?;
                if !remove(&mut policy, binding) {
                    return Err(Failure::refused(format_args!(
                        "`{}` does not have `{}` here",
                        binding.member, binding.role
                    )));
                }
                write(&client, path, policy).await?
            }
        };
        output::show_one(settings.format.as_ref(), &policy)?;
        Ok(Exit::Done)
    }
}

async fn read(client: &Client, path: &str) -> Result<Value, Failure> {
    let query = [("options.requestedPolicyVersion", POLICY_VERSION)];
    Ok(client.get(&format!("{path}:getIamPolicy"), &query).await?)
}

async fn write(client: &Client, path: &str, mut policy: Value) -> Result<Value, Failure> {
    if let Value::Object(fields) = &mut policy {
        fields.insert("version".to_owned(), json!(3));
    }
    Ok(client
        .post(&format!("{path}:setIamPolicy"), &[], &json!({ "policy": policy }))
        .await?)
}

/// Adds the member to the unconditional binding of the role.
fn add(policy: &mut Value, flags: &BindingFlags) {
    let Value::Object(fields) = policy else { return };
    let bindings = fields.entry("bindings").or_insert_with(|| json!([]));
    let Value::Array(bindings) = bindings else { return };
    let same = bindings
        .iter_mut()
        .find(|binding| is_unconditional(binding, &flags.role));
    match same.and_then(|binding| binding.get_mut("members")?.as_array_mut()) {
        Some(members) if members.iter().any(|member| member == &flags.member) => {}
        Some(members) => members.push(json!(flags.member)),
        None => bindings.push(json!({"role": flags.role, "members": [flags.member]})),
    }
}

/// Takes the member out; says whether it was there.
fn remove(policy: &mut Value, flags: &BindingFlags) -> bool {
    let Some(bindings) = policy.get_mut("bindings").and_then(Value::as_array_mut) else {
        return false;
    };
    let mut found = false;
    for binding in bindings
        .iter_mut()
        .filter(|binding| is_unconditional(binding, &flags.role))
    {
        if let Some(members) = binding.get_mut("members").and_then(Value::as_array_mut) {
            let before = members.len();
            members.retain(|member| member != &flags.member);
            found |= members.len() < before;
        }
    }
    bindings.retain(|binding| {
        binding
            .get("members")
            .and_then(Value::as_array)
            .is_none_or(|m| !m.is_empty())
    });
    found
}

fn is_unconditional(binding: &Value, role: &str) -> bool {
    binding.get("role").and_then(Value::as_str) == Some(role) && binding.get("condition").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(member: &str, role: &str) -> BindingFlags {
        BindingFlags {
            member: member.to_owned(),
            role: role.to_owned(),
        }
    }

    #[test]
    fn adding_and_removing_leave_the_rest_alone() {
        let mut policy = json!({"etag": "e"});
        add(&mut policy, &flags("user:a", "r1"));
        add(&mut policy, &flags("user:b", "r1"));
        add(&mut policy, &flags("user:a", "r1"));
        add(&mut policy, &flags("user:a", "r2"));
        let both = json!({"etag": "e", "bindings": [
            {"role": "r1", "members": ["user:a", "user:b"]}, {"role": "r2", "members": ["user:a"]}]});
        assert_eq!(policy, both);
        assert!(remove(&mut policy, &flags("user:a", "r2")));
        assert!(!remove(&mut policy, &flags("user:a", "r2")), "it is gone");
        assert_eq!(policy["bindings"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_conditional_binding_is_never_widened() {
        let conditional = json!({"role": "r", "members": ["user:a"], "condition": {"expression": "x"}});
        let mut policy = json!({ "bindings": [conditional] });
        add(&mut policy, &flags("user:b", "r"));
        assert_eq!(policy["bindings"][0], conditional);
        assert!(!remove(&mut policy, &flags("user:a", "r")));
    }
}
