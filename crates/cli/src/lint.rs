//! What a policy does, said in sentences, and what its author may not have meant.

use std::fmt;

use binauthz_core::{
    image::{ImagePattern, PatternWarning},
    policy::{AdmissionRule, Enforcement, GlobalEvaluation, Policy, Rule, Scoped},
};

use serde_json::{Value, json};

use crate::output::plain;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A pattern that exempts less or more than it looks like.
    Pattern(String, PatternWarning),
    /// A pattern that stands there twice.
    RepeatedPattern(String),
    /// No rule can refuse anything.
    NothingEnforced,
}

impl Finding {
    /// For `--format`.
    pub(crate) fn entry(&self) -> Value {
        let (code, pattern) = match self {
            Finding::Pattern(pattern, _) => ("PATTERN", Some(pattern)),
            Finding::RepeatedPattern(pattern) => ("REPEATED_PATTERN", Some(pattern)),
            Finding::NothingEnforced => ("NOTHING_ENFORCED", None),
        };
        json!({"code": code, "pattern": pattern, "message": self.to_string()})
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Pattern(pattern, warning) => write!(f, "pattern `{pattern}` {}", warning.explanation()),
            Finding::RepeatedPattern(pattern) => write!(f, "pattern `{pattern}` stands there twice"),
            Finding::NothingEnforced => {
                f.write_str("no rule refuses anything: every image is admitted (a dry run only records)")
            }
        }
    }
}

/// Everything to look at, in the order of the file.
pub(crate) fn findings(policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, pattern) in policy.allowlist.iter().enumerate() {
        let text = pattern.as_str().to_owned();
        if policy
            .allowlist
            .iter()
            .take(index)
            .any(|earlier| earlier.as_str() == text)
        {
            findings.push(Finding::RepeatedPattern(text.clone()));
        }
        let worth_saying = |warning: &PatternWarning| !is_usual(pattern, *warning);
        findings.extend(
            pattern
                .warnings()
                .into_iter()
                .filter(worth_saying)
                .map(|warning| Finding::Pattern(text.clone(), warning)),
        );
    }
    if !policy.enforces_anything() {
        findings.push(Finding::NothingEnforced);
    }
    findings
}

/// `HOST/PATH/*` is the ordinary way to exempt a folder; that it stops at a slash is said in the report, not as a finding.
fn is_usual(pattern: &ImagePattern, warning: PatternWarning) -> bool {
    warning == PatternWarning::StopsAtSlash && pattern.as_str().ends_with("/*")
}

/// The whole policy in sentences.
pub(crate) fn report(policy: &Policy) -> String {
    let mut lines = vec!["Exempt, before any rule:".to_owned()];
    match policy.global_evaluation {
        GlobalEvaluation::Enable => {
            lines.push("  the images of the system policy (policy export-system-policy shows it)".to_owned())
        }
        GlobalEvaluation::Disable => lines.push(
            "  not the images of the system policy: globalPolicyEvaluationMode is not ENABLE".to_owned(),
        ),
    }
    if policy.allowlist.is_empty() {
        lines.push("  no pattern".to_owned());
    }
    for pattern in &policy.allowlist {
        lines.push(format!("  {}", pattern.as_str()));
        lines.push(format!("      {}", meaning(pattern)));
        lines.extend(
            pattern
                .warnings()
                .iter()
                .map(|warning| format!("      {}", mark(pattern, *warning))),
        );
    }
    lines.push("Rules:".to_owned());
    lines.extend(
        scoped(&policy.scoped)
            .into_iter()
            .map(|(subject, rule)| format!("  {subject}: {}", sentence(rule))),
    );
    lines.push(format!("  everything else: {}", sentence(&policy.default_rule)));
    let findings = findings(policy);
    lines.push(match findings.len() {
        0 => "Nothing to look at.".to_owned(),
        count => format!("To look at: {count}"),
    });
    lines.extend(findings.iter().map(|finding| format!("  - {finding}")));
    lines.iter().map(|line| plain(line) + "\n").collect()
}

fn mark(pattern: &ImagePattern, warning: PatternWarning) -> String {
    let sign = if is_usual(pattern, warning) {
        "note:"
    } else {
        "look:"
    };
    format!("{sign} {}", warning.explanation())
}

/// What a pattern exempts, and what next to it it does not.
fn meaning(pattern: &ImagePattern) -> String {
    let text = pattern.as_str();
    if let Some(prefix) = text.strip_suffix("**") {
        return format!("exempts every image whose text begins with `{prefix}`");
    }
    match text.strip_suffix('*') {
        Some(prefix) => format!("exempts images whose text is `{prefix}` and anything without a `/`"),
        None => format!("exempts `{text}`, written exactly so"),
    }
}

fn scoped(scoped: &Scoped) -> Vec<(String, &AdmissionRule)> {
    match scoped {
        Scoped::None => Vec::new(),
        Scoped::ByCluster(rules) => rules
            .iter()
            .map(|(key, rule)| (format!("cluster {key}"), rule))
            .collect(),
        Scoped::ByNamespace(rules) => rules
            .iter()
            .map(|(key, rule)| (format!("namespace {key}"), rule))
            .collect(),
        Scoped::ByServiceAccount(rules) => rules
            .iter()
            .map(|(key, rule)| (format!("service account {key}"), rule))
            .collect(),
        Scoped::ByMeshIdentity(rules) => rules
            .iter()
            .map(|(key, rule)| (format!("service identity {key}"), rule))
            .collect(),
    }
}

fn sentence(rule: &AdmissionRule) -> String {
    let what = match &rule.rule {
        Rule::AlwaysAllow => return "every image is admitted".to_owned(),
        Rule::AlwaysDeny => "no image may run".to_owned(),
        Rule::RequireAttestations(attestors) => {
            let names: Vec<String> = attestors.iter().map(ToString::to_string).collect();
            format!("an image must be attested by {}", names.join(" and by "))
        }
    };
    match rule.enforcement {
        Enforcement::Block => format!("{what}; others are refused"),
        Enforcement::DryRun => format!("{what}; others are admitted and recorded (dry run)"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn policy(text: &str) -> Policy {
        let value = crate::yaml::read(text.as_bytes(), Path::new("p.yaml")).expect("YAML");
        binauthz_wire::binaryauthorization::read_policy(value.into())
            .expect("a policy")
            .policy
    }

    const RULE: &str = "defaultAdmissionRule:\n  evaluationMode: ALWAYS_DENY\n  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG\n";

    #[test]
    fn patterns_that_mislead_are_found_and_others_are_not() {
        let table = [
            ("gcr.io/p/*", None),
            ("gcr.io/p/app@sha256:*", None),
            ("gcr.io/p/app", Some("exempts only this exact text")),
            ("gcr.io/my-project**", Some("longer names")),
            ("gcr.io/**", Some("everything in this registry")),
            ("gcr.io/p/app:latest", Some("can be moved")),
        ];
        for (pattern, expected) in table {
            let policy = policy(&format!(
                "admissionWhitelistPatterns:\n- namePattern: \"{pattern}\"\n{RULE}"
            ));
            let found: Vec<String> = findings(&policy).iter().map(ToString::to_string).collect();
            match expected {
                None => assert_eq!(found, Vec::<String>::new(), "{pattern}"),
                Some(words) => assert!(
                    found.iter().any(|finding| finding.contains(words)),
                    "{pattern}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn the_tutorials_policy_reads_as_sentences() {
        let text = include_str!("demo/policy.yaml").replace("YOUR_PROJECT", "demo");
        let report = report(&policy(&text));
        for expected in [
            "gke.gcr.io/*",
            "everything else: an image must be attested by projects/demo/attestors/image-signing-attestor; others are refused",
            "Nothing to look at.",
        ] {
            assert!(report.contains(expected), "{expected}\n{report}");
        }
    }

    #[test]
    fn a_policy_that_refuses_nothing_says_so() {
        let dry = RULE.replace("ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY");
        assert_eq!(findings(&policy(&dry)), [Finding::NothingEnforced]);
        assert_eq!(findings(&policy(RULE)), []);
    }

    #[test]
    fn a_repeated_pattern_is_found() {
        let text = format!(
            "admissionWhitelistPatterns:\n- namePattern: gcr.io/p/*\n- namePattern: gcr.io/p/*\n{RULE}"
        );
        assert_eq!(
            findings(&policy(&text)),
            [Finding::RepeatedPattern("gcr.io/p/*".to_owned())]
        );
    }
}
