//! `explain`: a verdict that was given, as a tree, with what was tried.

use clap::Args;
use serde_json::Value;

use crate::{
    explain,
    failure::{Exit, Failure},
    output::{self, Format},
    settings::Settings,
};

/// Which verdict.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz explain 019b0a5e-3c11-7d62-8f0e-5d1c2b7a9e10\n  \
    binauthz explain 019b0a5e-3c11-7d62-8f0e-5d1c2b7a9e10 --format=json\n\n\
    The id stands at the end of every refusal that kubectl prints, in the Events of a refusal, and as `id` in\n\
    binauthz logs list. Below the verdict as it was recorded stands the one the same request would get today."
)]
pub struct Flags {
    /// The id of the verdict
    #[arg(value_name = "DECISION_ID")]
    id: String,
}

impl Flags {
    /// Shows it.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let is_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if self.id.is_empty() || !self.id.bytes().all(is_id) {
            return Err(Failure::usage(format_args!(
                "`{}` is not the id of a decision",
                output::plain(&self.id)
            ))
            .advise("it is what stands behind `binauthz explain` in a refusal"));
        }
        let path = format!(
            "/binauthz/v1/projects/{}/decisions/{}",
            settings.project()?,
            self.id
        );
        let found = settings.client()?.get(&path, &[]).await?;
        match &settings.format {
            Some(Format::Json | Format::Yaml) => output::show_one(settings.format.as_ref(), &found)?,
            _ => output::print(&drawn(&found))?,
        }
        Ok(Exit::Done)
    }
}

/// The verdict as it was and, where it can be told, as it would be.
fn drawn(found: &Value) -> String {
    let decision = &found["decision"];
    let word = |value: &Value, field: &str| value[field].as_str().unwrap_or("").to_owned();
    let title = format!(
        "{} {} {} in namespace {} of {}, asked by {} at {}",
        word(decision, "verdict"),
        word(decision, "kind"),
        word(decision, "name"),
        word(decision, "namespace"),
        word(decision, "cluster"),
        word(decision, "user"),
        word(decision, "time"),
    );
    let Some(today) = found.get("today") else {
        let note = "what it would be today cannot be told: the record does not hold all of the request\n";
        return explain::tree(&title, decision).draw() + note;
    };
    // Nothing that matters has changed, so what is tried today is what was tried.
    let is_same = |field: &str| decision[field] == today[field];
    if is_same("verdict") && is_same("reason") && is_same("policy") {
        let mut whole = decision.clone();
        whole["explanation"] = today["explanation"].clone();
        return explain::tree(&title, &whole).draw();
    }
    let now = format!("today: {} ({})", word(today, "verdict"), word(today, "reason"));
    explain::tree(&title, decision).draw() + &explain::tree(&now, today).draw()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decision() -> Value {
        json!({
            "verdict": "DENY", "reason": "NO_ATTESTATIONS", "effect": "ENFORCED", "kind": "Pod", "name": "web",
            "namespace": "default", "cluster": "projects/p/locations/l/clusters/c", "user": "alice", "time": "T",
            "policy": {"name": "projects/p/policy", "etag": "e"}, "rule": "default admission rule",
            "images": [{"field": "spec.containers[0]", "image": "i\u{1b}", "verdict": "DENY",
                "reasons": [{"code": "NO_ATTESTATIONS", "message": "Image i denied"}]}],
        })
    }

    #[test]
    fn what_is_as_it_was_is_one_tree() {
        let mut today = decision();
        today["explanation"] = json!({"scope": "why this rule", "images": [{"patterns": {"count": 2}}]});
        let text = drawn(&json!({"decision": decision(), "today": today}));
        assert!(
            text.starts_with("DENY Pod web in namespace default of projects/p/locations/l/clusters/c"),
            "{text}"
        );
        for words in [
            "why this rule",
            "not exempt: 2 patterns tried",
            "no attestation of this digest",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("today") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_changed_is_told_beside_what_was() {
        let mut today = decision();
        today["verdict"] = json!("ALLOW");
        today["reason"] = json!("ATTESTED");
        let text = drawn(&json!({"decision": decision(), "today": today}));
        assert!(text.contains("\ntoday: ALLOW (ATTESTED)\n"), "{text}");
        let text = drawn(&json!({"decision": decision()}));
        assert!(text.ends_with("does not hold all of the request\n"), "{text}");
    }
}
