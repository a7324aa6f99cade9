//! `cluster status`: what is there, how it differs from what is shipped, and whether it works.

use binauthz_kubernetes::last_known_good::{LastKnownGood, policy_differences};
use binauthz_kubernetes::{
    Api, CANARY_NAMESPACE, Canary, Condition, Configuration, Guard, Installed, known_bad_pod,
};
use clap::Args;
use serde_json::{Value, json};

use super::{CustomFlag, Place};
use crate::{
    commands::clusters,
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// Which cluster.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    custom: CustomFlag,
}

impl Flags {
    pub(super) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let api = self.place.api()?;
        let name = self.place.name(settings)?;
        let found = Installed::read(&api).await?;
        // What Kubernetes has is worth knowing while the server is away, too.
        let (registration, mode) = match clusters::find(&settings.client()?, &name).await {
            Ok(None) => ("no; everything it asks is denied".to_owned(), None),
            Ok(Some(cluster)) => {
                let mode = cluster["binaryAuthorization"]["evaluationMode"].as_str();
                let mode = mode.unwrap_or("DISABLED").to_owned();
                (mode.clone(), Some(mode))
            }
            Err(failure) => (format!("not known: {}", failure.sentence()), None),
        };
        let mut guard = found.guard(&name);
        if let (Some(guard), Some(custom)) = (&mut guard, self.custom.rules()?) {
            guard.custom = custom;
        }
        let conditions = Configuration::ALL.map(|which| (which, found.condition(guard.as_ref(), which)));
        let canary = known_bad_pod(&api, CANARY_NAMESPACE).await?;
        let kept = kept(&api, guard.as_ref()).await?;
        let is_whole = conditions
            .iter()
            .all(|(_, condition)| matches!(condition, Condition::AsShipped))
            && mode.as_deref().is_some_and(|mode| mode != "DISABLED")
            && matches!(canary, Canary::Denied(_))
            && kept["differences"].as_array().is_none_or(Vec::is_empty);
        let exempt = guard.as_ref().map_or_else(Vec::new, |guard| guard.exempt.clone());
        let custom = guard.iter().flat_map(|guard| &guard.custom);
        let custom: Vec<String> = custom.map(ToString::to_string).collect();
        let status = json!({
            "cluster": name.to_string(),
            "kubernetes": api.server(),
            "webhook": guard.as_ref().map(|guard| guard.endpoint.to_string()),
            "registration": registration,
            "evaluationMode": mode,
            "exemptNamespaces": exempt,
            "customResources": custom,
            "lastKnownGood": kept,
            "configurations": conditions.iter().map(|(which, condition)| described(*which, condition)).collect::<Vec<_>>(),
            "canary": shown(&canary),
            "guarded": is_whole,
        });
        match settings.format.as_ref() {
            Some(format) => output::show_one(Some(format), &status)?,
            None => output::print(&text(&status))?,
        }
        Ok(if is_whole { Exit::Done } else { Exit::Refused })
    }
}

/// What judges while no server answers; null where nothing does.
async fn kept(api: &Api, guard: Option<&Guard>) -> Result<Value, Failure> {
    let Some((guard, namespace)) = guard.and_then(|guard| Some((guard, guard.last_known_good.as_ref()?)))
    else {
        return Ok(Value::Null);
    };
    let shipped = LastKnownGood {
        namespace,
        exempt: &guard.exempt,
    };
    let differences = policy_differences(api, &shipped).await?;
    Ok(json!({"namespace": namespace, "differences": differences}))
}

fn described(which: Configuration, condition: &Condition) -> Value {
    let (condition, differences) = match condition {
        Condition::Missing => ("missing", Vec::new()),
        Condition::AsShipped => ("as shipped", Vec::new()),
        Condition::Differs(differences) => ("differs from what is shipped", differences.clone()),
    };
    json!({"kind": which.kind(), "condition": condition, "differences": differences})
}

fn shown(canary: &Canary) -> Value {
    match canary {
        Canary::Denied(message) => json!({"outcome": "denied", "message": message}),
        Canary::Admitted => json!({"outcome": "admitted"}),
        Canary::Unanswered(message) => json!({"outcome": "webhook not reached", "message": message}),
        Canary::Obstructed(message) => json!({"outcome": "not tried", "message": message}),
    }
}

/// The same for a person.
fn text(status: &Value) -> String {
    let word = |pointer: &str| {
        status
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("none")
            .to_owned()
    };
    let list = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let mut lines = vec![
        format!("cluster:      {} at {}", word("/cluster"), word("/kubernetes")),
        format!("webhook:      {}", word("/webhook")),
        format!("registered:   {}", word("/registration")),
    ];
    for configuration in status["configurations"].as_array().into_iter().flatten() {
        let kind = configuration["kind"].as_str().unwrap_or_default();
        let name = kind
            .strip_suffix("WebhookConfiguration")
            .unwrap_or(kind)
            .to_lowercase();
        let condition = configuration["condition"].as_str().unwrap_or_default();
        lines.push(format!("{:<13} {condition}", format!("{name}:")));
        lines.extend(
            list(&configuration["differences"])
                .iter()
                .map(|line| format!("  {line}")),
        );
    }
    let exempt = list(&status["exemptNamespaces"]);
    if !exempt.is_empty() {
        lines.push(format!("not guarded:  namespace {}", exempt.join(", ")));
    }
    let custom = list(&status["customResources"]);
    if !custom.is_empty() {
        lines.push(format!("custom:       {}", custom.join(", ")));
    }
    if let Some(namespace) = status["lastKnownGood"]["namespace"].as_str() {
        let differences = list(&status["lastKnownGood"]["differences"]);
        let condition = match differences.is_empty() {
            true => "as shipped",
            false => "differs from what is shipped",
        };
        lines.push(format!("last known:   namespace {namespace}, {condition}"));
        lines.extend(differences.iter().map(|line| format!("  {line}")));
    }
    let message = match status["canary"]["message"].as_str() {
        Some(message) => format!(": {message}"),
        None => String::new(),
    };
    lines.push(format!("known-bad Pod: {}{message}", word("/canary/outcome")));
    let guarded = status["guarded"] == true;
    lines.push(
        (if guarded {
            "guarded"
        } else {
            "NOT GUARDED as it should be"
        })
        .to_owned(),
    );
    lines.iter().map(|line| output::plain(line) + "\n").collect()
}
