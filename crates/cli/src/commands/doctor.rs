//! `doctor`: what is weak in an installation, and what to do about it.
//!
//! Everything is read by the calls that anybody with the right may make; what was read is judged by functions of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binauthz_core::image::PatternWarning;
use binauthz_kubernetes::{Api, Configuration, Installed};
use binauthz_wire::binaryauthorization::read_policy;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    client::Client,
    failure::{Exit, Failure},
    lint, output,
    settings::Settings,
};

/// When a certificate is old: there is a month to find out why nobody renews it.
const OLD_DAYS: i64 = 30;
/// Projects and attestors that are looked at.
const MOST: usize = 10_000;

/// What else to look at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  binauthz doctor\n  binauthz doctor --context=my-cluster --format=json")]
pub struct Flags {
    /// Context of the kubeconfig: a cluster whose webhooks are looked at, too
    #[arg(long)]
    context: Option<String>,
    /// Kubeconfig file (else KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
}

/// Something weak.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Weakness {
    code: &'static str,
    about: String,
    what: String,
    fix: &'static str,
}

/// What was read of a project.
struct Project {
    name: String,
    policy: Value,
    attestors: Vec<Value>,
}

impl Flags {
    /// Looks, and says what it found.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let mut found = of_the_way(client.server());
        let server = client.get("/binauthz/v1/settings", &[]).await?;
        found.extend(of_the_server(&server, jiff::Timestamp::now()));
        let projects = read_projects(&client, settings).await?;
        for project in &projects {
            found.extend(of_a_policy(project));
        }
        found.extend(of_shared_keys(&projects));
        if let Some(context) = &self.context {
            let api = Api::of_context(self.kubeconfig.as_deref(), context)?;
            let installed = Installed::read(&api).await?;
            let configurations: Vec<(Configuration, &Value)> = installed.all().collect();
            found.extend(of_a_cluster(context, &configurations));
        }
        show(&found, settings)
    }
}

fn show(found: &[Weakness], settings: &Settings) -> Result<Exit, Failure> {
    let entry =
        |one: &Weakness| json!({ "code": one.code, "about": one.about, "what": one.what, "fix": one.fix });
    match settings.format.as_ref() {
        Some(format) => {
            let entries: Vec<Value> = found.iter().map(entry).collect();
            output::show_list(Some(format), &entries, "code,about,what,fix")?;
        }
        None => output::print(&found.iter().map(sentence).collect::<String>())?,
    }
    if found.is_empty() {
        output::note("Nothing weak was found.");
        return Ok(Exit::Done);
    }
    Ok(Exit::Refused)
}

fn sentence(one: &Weakness) -> String {
    let (about, what) = (output::plain(&one.about), output::plain(&one.what));
    format!("{} {about}: {what}\n  fix: {}\n", one.code, one.fix)
}

/// The projects that the caller may see, and the one of the flags, of which a server with `--dev` knows no list.
async fn read_projects(client: &Client, settings: &Settings) -> Result<Vec<Project>, Failure> {
    let listed = client
        .list("/binauthz/v1/projects", &[], "projects", MOST)
        .await?;
    let ids = listed.iter().map(|project| text(project, "projectId").to_owned());
    let mut names: BTreeSet<String> = ids.filter(|id| !id.is_empty()).collect();
    names.extend(settings.project().ok().map(str::to_owned));
    let mut projects = Vec::new();
    for name in names {
        let policy = client.get(&format!("/v1/projects/{name}/policy"), &[]).await?;
        let attestors = format!("/v1/projects/{name}/attestors");
        projects.push(Project {
            policy,
            attestors: client.list(&attestors, &[], "attestors", MOST).await?,
            name,
        });
    }
    Ok(projects)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// How the server is spoken to.
fn of_the_way(server: &str) -> Vec<Weakness> {
    let is_plain = server.starts_with("http://");
    is_plain
        .then(|| Weakness {
            code: "PLAIN_HTTP",
            about: server.to_owned(),
            what: "tokens and answers cross the network in the clear".to_owned(),
            fix: "start the server without --dev, and reach it at its https:// address",
        })
        .into_iter()
        .collect()
}

/// What the server's own settings say.
fn of_the_server(server: &Value, now: jiff::Timestamp) -> Vec<Weakness> {
    let mut found = Vec::new();
    let mut weak = |code, what: String, fix| {
        found.push(Weakness {
            code,
            about: "the server".to_owned(),
            what,
            fix,
        });
    };
    let effective = server.get("effective").cloned().unwrap_or_default();
    if text(&effective, "dev") != "true" && text(&effective, "bootstrapToken") == "permanent" {
        weak(
            "LASTING_FIRST_TOKEN",
            "the token in the data directory is an administrator's for good".to_owned(),
            "make tokens with an end (binauthz tokens create … --ttl=90d), then set bootstrapToken: once",
        );
    }
    if text(&effective, "dev") != "true" && effective.get("webhookClientAuthorities").is_none() {
        weak(
            "WEBHOOK_ASKED_BY_ANYBODY",
            "the webhook answers whoever reaches it, in the name of any cluster".to_owned(),
            "set webhookClientAuthorities, and give the API server a certificate (docs: Enforce)",
        );
    }
    if let Ok(ends) = text(server, "certificateEndTime").parse::<jiff::Timestamp>() {
        let days = (ends.as_second() - now.as_second()).div_euclid(24 * 3_600);
        if days < OLD_DAYS {
            weak(
                "OLD_CERTIFICATE",
                match days {
                    ..0 => format!("the certificate that is served with ended on {ends}"),
                    _ => format!("the certificate that is served with ends in {days} days, on {ends}"),
                },
                "see why it is not renewed: the server's log says so; where it is handed in, hand in another",
            );
        }
    }
    found
}

/// What a policy lets through.
fn of_a_policy(project: &Project) -> Vec<Weakness> {
    let about = format!("projects/{}/policy", project.name);
    let Ok(read) = read_policy(project.policy.clone().into()) else {
        return vec![Weakness {
            code: "POLICY_NOT_READ",
            about,
            what: "this release does not understand the policy".to_owned(),
            fix: "use the binauthz that belongs to the server",
        }];
    };
    let of = |finding: lint::Finding| {
        let (code, fix) = match &finding {
            lint::Finding::NothingEnforced => (
                "NOTHING_ENFORCED",
                "binauthz policy import FILE with a defaultAdmissionRule of REQUIRE_ATTESTATION or ALWAYS_DENY",
            ),
            lint::Finding::Pattern(
                _,
                PatternWarning::WholeRegistry
                | PatternWarning::WildcardAfterPartialComponent
                | PatternWarning::ExemptsMutableTag,
            ) => (
                "WIDE_PATTERN",
                "exempt a folder of your own (HOST/FOLDER/*) or an image by its digest",
            ),
            // What exempts less than it looks like is no weakness.
            _ => return None,
        };
        Some(Weakness {
            code,
            about: about.clone(),
            what: finding.to_string(),
            fix,
        })
    };
    lint::findings(&read.policy).into_iter().filter_map(of).collect()
}

/// Keys that stand for more than one attestor: who signs for one signs for the other.
fn of_shared_keys(projects: &[Project]) -> Vec<Weakness> {
    let mut holders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for attestor in projects.iter().flat_map(|project| &project.attestors) {
        let note = ["userOwnedGrafeasNote", "userOwnedDrydockNote"]
            .iter()
            .find_map(|member| attestor.get(member));
        let keys = note
            .and_then(|note| note.get("publicKeys"))
            .and_then(Value::as_array);
        for key in keys.into_iter().flatten() {
            let pem = key.pointer("/pkixPublicKey/publicKeyPem").and_then(Value::as_str);
            let pgp = key.get("asciiArmoredPgpPublicKey").and_then(Value::as_str);
            if let Some(material) = pem.or(pgp) {
                holders
                    .entry(material.trim())
                    .or_default()
                    .insert(text(attestor, "name"));
            }
        }
    }
    let shared = holders.into_values().filter(|attestors| attestors.len() > 1);
    // Two keys may be shared by the same attestors.
    let shared: BTreeSet<BTreeSet<&str>> = shared.collect();
    shared
        .into_iter()
        .map(|attestors| Weakness {
            code: "SHARED_KEY",
            about: attestors.into_iter().collect::<Vec<_>>().join(", "),
            what: "they trust the same public key: an attestation for one can be copied to the other"
                .to_owned(),
            fix: "give each attestor a key of its own, and set uniqueAttestorKeys: true",
        })
        .collect()
}

/// What the webhooks of a cluster let through.
fn of_a_cluster(context: &str, configurations: &[(Configuration, &Value)]) -> Vec<Weakness> {
    let mut found = Vec::new();
    let mut weak = |code, kind: &str, what: String, fix| {
        found.push(Weakness {
            code,
            about: format!("{kind} of `{context}`"),
            what,
            fix,
        });
    };
    let validating = Configuration::Validating;
    if !configurations.iter().any(|(which, _)| *which == validating) {
        weak(
            "NO_WEBHOOK",
            validating.kind(),
            "the API server asks nobody whether an image may run".to_owned(),
            "binauthz cluster install CLUSTER --context=CONTEXT --webhook-url=URL",
        );
    }
    for (which, configuration) in configurations {
        let webhooks = configuration.get("webhooks").and_then(Value::as_array);
        for webhook in webhooks.into_iter().flatten() {
            if text(webhook, "failurePolicy") == "Ignore" {
                weak(
                    "FAILURE_POLICY_IGNORE",
                    which.kind(),
                    format!(
                        "while `{}` does not answer, everything is admitted",
                        text(webhook, "name")
                    ),
                    "binauthz cluster install again, which writes failurePolicy: Fail",
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(found: &[Weakness]) -> Vec<&str> {
        found.iter().map(|one| one.code).collect()
    }

    #[test]
    fn plain_http_is_weak_and_tls_is_not() {
        assert_eq!(codes(&of_the_way("http://127.0.0.1:8787")), ["PLAIN_HTTP"]);
        assert!(of_the_way("https://binauthz.example:8787").is_empty());
    }

    #[test]
    fn settings_are_weak_in_earnest_only() {
        let now: jiff::Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let of = |effective: Value, ends: &str| {
            codes(&of_the_server(
                &json!({ "effective": effective, "certificateEndTime": ends }),
                now,
            ))
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
        };
        let good = json!({ "dev": "false", "bootstrapToken": "once", "webhookClientAuthorities": "a.pem" });
        assert!(of(good.clone(), "2027-03-01T00:00:00Z").is_empty());
        for ends in [
            "2027-01-30T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "2026-12-31T23:59:59Z",
        ] {
            assert_eq!(of(good.clone(), ends), ["OLD_CERTIFICATE"], "{ends}");
        }
        assert!(of(good, "2027-01-31T00:00:01Z").is_empty());
        let weak = json!({ "dev": "false", "bootstrapToken": "permanent" });
        assert_eq!(
            of(weak, "2028-01-01T00:00:00Z"),
            ["LASTING_FIRST_TOKEN", "WEBHOOK_ASKED_BY_ANYBODY"]
        );
        let dev = json!({ "dev": "true", "bootstrapToken": "permanent" });
        assert!(of(dev, "2028-01-01T00:00:00Z").is_empty());
    }

    fn project(policy: Value) -> Project {
        Project {
            name: "p".to_owned(),
            policy,
            attestors: Vec::new(),
        }
    }

    #[test]
    fn a_policy_is_weak_where_it_lets_through_what_nobody_attested() {
        let deny =
            json!({ "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" });
        let allow =
            json!({ "evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" });
        let with = |rule: &Value, pattern: &str| {
            project(json!({
                "defaultAdmissionRule": rule, "admissionWhitelistPatterns": [{ "namePattern": pattern }],
            }))
        };
        assert!(of_a_policy(&with(&deny, "r.example/own/*")).is_empty());
        let nothing = of_a_policy(&with(&allow, "r.example/own/*"));
        assert_eq!(codes(&nothing), ["NOTHING_ENFORCED"]);
        for pattern in ["r.example/**", "r.example/own*", "r.example/own/app:v1"] {
            assert_eq!(
                codes(&of_a_policy(&with(&deny, pattern))),
                ["WIDE_PATTERN"],
                "{pattern}"
            );
        }
        assert_eq!(
            codes(&of_a_policy(&project(json!({ "x": 1 })))),
            ["POLICY_NOT_READ"]
        );
    }

    #[test]
    fn a_key_of_two_attestors_is_shared_across_projects() {
        let attestor = |name: &str, pem: &str| {
            json!({ "name": name, "userOwnedGrafeasNote": { "noteReference": "projects/p/notes/n",
                "publicKeys": [{ "id": name, "pkixPublicKey": { "publicKeyPem": pem } }] } })
        };
        let of = |attestors: Vec<Value>| Project {
            attestors,
            ..project(json!({}))
        };
        let projects = |other: &str| {
            [
                of(vec![attestor("projects/p/attestors/a", "PEM\n")]),
                of(vec![attestor("projects/q/attestors/b", other)]),
            ]
        };
        let found = of_shared_keys(&projects("PEM"));
        assert_eq!(codes(&found), ["SHARED_KEY"]);
        assert_eq!(found[0].about, "projects/p/attestors/a, projects/q/attestors/b");
        assert!(of_shared_keys(&projects("OTHER")).is_empty());
    }

    #[test]
    fn a_cluster_is_weak_without_a_webhook_and_with_one_that_may_be_passed_by() {
        let with = |policy: &str| json!({ "webhooks": [{ "name": "w", "failurePolicy": policy }] });
        let (fail, ignore) = (with("Fail"), with("Ignore"));
        let of = |validating: &Value, mutating: &Value| {
            of_a_cluster(
                "c",
                &[
                    (Configuration::Validating, validating),
                    (Configuration::Mutating, mutating),
                ],
            )
        };
        assert!(of(&fail, &fail).is_empty());
        assert_eq!(codes(&of(&ignore, &fail)), ["FAILURE_POLICY_IGNORE"]);
        assert_eq!(codes(&of(&fail, &ignore)), ["FAILURE_POLICY_IGNORE"]);
        assert_eq!(
            codes(&of_a_cluster("c", &[(Configuration::Mutating, &fail)])),
            ["NO_WEBHOOK"]
        );
    }

    #[test]
    fn a_weakness_is_said_with_its_fix() {
        let one = &of_the_way("http://h\u{1b}[2J")[0];
        let said = sentence(one);
        assert!(
            said.contains("PLAIN_HTTP") && said.contains("fix: start") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
}
