//! `iam who-can` and `sod check`: what IAM policies come to.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// Questions about permissions.
#[derive(Debug, Subcommand)]
pub enum IamCommand {
    /// List who has a permission on a resource of the project, by which role and where it was given
    #[command(
        after_help = "Examples:\n  binauthz iam who-can binaryauthorization.policy.update projects/demo/policy\n  \
            binauthz iam who-can cloudkms.cryptoKeyVersions.useToSign"
    )]
    WhoCan(WhoCanFlags),
}

/// A permission, and where.
#[derive(Debug, Args)]
pub struct WhoCanFlags {
    /// For example `binaryauthorization.policy.update`
    permission: String,
    /// `projects/PROJECT/…`; the project by default
    resource: Option<String>,
    #[command(flatten)]
    list: ListFlags,
}

/// Separation of duties.
#[derive(Debug, Subcommand)]
pub enum SodCommand {
    /// Exit 1 if anybody both signs and edits the policy of the project
    #[command(
        after_help = "Examples:\n  binauthz sod check\n  binauthz sod check --accept=user:owner@example.com"
    )]
    Check(CheckFlags),
}

/// What is known and taken.
#[derive(Debug, Args)]
pub struct CheckFlags {
    /// A member who may do both
    #[arg(long, value_name = "MEMBER")]
    accept: Vec<String>,
}

impl IamCommand {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let IamCommand::WhoCan(flags) = self;
        let path = format!("/binauthz/v1/projects/{}/iam:whoCan", settings.project()?);
        let mut query = vec![("permission", flags.permission.as_str())];
        query.extend(flags.resource.as_deref().map(|resource| ("resource", resource)));
        let list = List {
            path: &path,
            query: &query,
            field: "bindings",
            columns: "member,role,resource,condition,holds",
        };
        flags.list.show(&list, settings).await
    }
}

impl SodCommand {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let SodCommand::Check(flags) = self;
        let project = settings.project()?;
        let path = format!("/binauthz/v1/projects/{project}/iam:reportSeparation");
        let report = settings.client()?.get(&path, &[]).await?;
        let found = conflicts(&report, &flags.accept);
        for place in strings(report.get("unseen")) {
            output::note(&format!("Not looked at, for want of the right: `{place}`"));
        }
        match settings.format.as_ref() {
            Some(format) => output::show_list(Some(format), &found, "member,signsBy,setsPolicyBy")?,
            None => output::print(&found.iter().map(sentence).collect::<String>())?,
        }
        if found.is_empty() {
            output::note(&format!("Nobody both signs and edits the policy of [{project}]."));
            return Ok(Exit::Done);
        }
        Ok(Exit::Refused)
    }
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice);
    list.unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// The conflicts whose members nobody accepted.
fn conflicts(report: &Value, accepted: &[String]) -> Vec<Value> {
    let all = report.get("conflicts").and_then(Value::as_array);
    let is_new = |conflict: &&Value| {
        let member = conflict.get("member").and_then(Value::as_str).unwrap_or_default();
        !accepted.iter().any(|accepted| accepted == member)
    };
    all.map(|all| all.iter().filter(is_new).cloned().collect())
        .unwrap_or_default()
}

fn sentence(conflict: &Value) -> String {
    let member = conflict.get("member").and_then(Value::as_str).unwrap_or_default();
    let mut lines = format!("{} both signs and edits the policy\n", output::plain(member));
    for (field, what) in [("signsBy", "signs by"), ("setsPolicyBy", "edits by")] {
        for by in strings(conflict.get(field)) {
            lines.push_str(&format!("  {what} {}\n", output::plain(by)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_accepted_is_no_conflict_and_nobody_else_is_left_out() {
        let report = json!({ "conflicts": [
            { "member": "user:a", "signsBy": ["roles/owner on projects/p"], "setsPolicyBy": ["roles/owner on projects/p"] },
            { "member": "user:ab", "signsBy": [], "setsPolicyBy": [] },
        ] });
        assert_eq!(conflicts(&report, &[]).len(), 2);
        let left = conflicts(&report, &["user:a".to_owned()]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["member"], "user:ab");
        assert!(conflicts(&json!({}), &[]).is_empty());
        let said = sentence(&report["conflicts"][0]);
        assert_eq!(
            said,
            "user:a both signs and edits the policy\n  signs by roles/owner on projects/p\n  edits by roles/owner on projects/p\n"
        );
    }
}
