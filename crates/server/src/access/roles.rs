//! The roles that are there by themselves, under Google's names, and what each may do.
//!
//! `roles.golden` beside this file has every permission of every role, so that a change of either is seen.

use super::permissions::{self, matches};

/// A role that nobody made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Predefined {
    /// `roles/binaryauthorization.policyEditor`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Patterns of its permissions; what begins with `!` is taken out again.
    patterns: &'static [&'static str],
}

impl Predefined {
    pub(crate) fn named(name: &str) -> Option<&'static Predefined> {
        PREDEFINED.iter().find(|role| role.name == name)
    }

    pub(crate) fn includes(&self, permission: &str) -> bool {
        let any = |out: bool| {
            self.patterns
                .iter()
                .any(|pattern| match pattern.strip_prefix('!') {
                    Some(pattern) => out && matches(pattern, permission),
                    None => !out && matches(pattern, permission),
                })
        };
        any(false) && !any(true) && permissions::known(permission).is_some()
    }

    /// Its permissions, in their order.
    pub(crate) fn permissions(&self) -> impl Iterator<Item = &'static str> + '_ {
        permissions::all().filter(|permission| self.includes(permission))
    }
}

const fn role(name: &'static str, title: &'static str, patterns: &'static [&'static str]) -> Predefined {
    Predefined {
        name,
        title,
        patterns,
    }
}

/// All but who may do what, and but what signs: an editor changes what is checked and does not attest.
const EDITOR: &[&str] = &[
    "*",
    "!binauthz.iam.*",
    "!*.*.setIamPolicy",
    "!iam.roles.create",
    "!iam.roles.update",
    "!iam.roles.delete",
    "!cloudkms.cryptoKeyVersions.useToSign",
    "!cloudkms.cryptoKeyVersions.destroy",
];

/// What changes nothing.
const VIEWER: &[&str] = &[
    "*.*.get",
    "*.*.list",
    "*.*.getIamPolicy",
    "binaryauthorization.attestors.verifyImageAttested",
    "binauthz.decisions.preview",
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "containeranalysis.notes.listOccurrences",
];

const LOG_READING: &[&str] = &[
    "binauthz.decisions.list",
    "logging.logEntries.list",
    "logging.logMetrics.get",
    "logging.logMetrics.list",
    "logging.logs.list",
];
const MONITORING_READING: &[&str] = &["monitoring.*.get", "monitoring.*.list", "binauthz.incidents.*"];
const MONITORING_ALL: &[&str] = &[
    "monitoring.*",
    "binauthz.incidents.*",
    "binauthz.deadLetters.*",
    "binauthz.notificationChannels.*",
];

/// A table: a role an entry.
#[rustfmt::skip]
pub(crate) const PREDEFINED: &[Predefined] = &[
    role("roles/owner", "Owner", &["*"]),
    role("roles/editor", "Editor", EDITOR),
    role("roles/viewer", "Viewer", VIEWER),
    role("roles/browser", "Browser", &["resourcemanager.projects.get"]),

    role("roles/binaryauthorization.policyViewer", "Binary Authorization Policy Viewer",
        &["binaryauthorization.policy.get", "binaryauthorization.continuousValidationConfig.get"]),
    role("roles/binaryauthorization.policyEditor", "Binary Authorization Policy Editor",
        &["binaryauthorization.policy.get", "binaryauthorization.policy.update",
          "binaryauthorization.continuousValidationConfig.get", "binaryauthorization.continuousValidationConfig.update"]),
    role("roles/binaryauthorization.policyAdmin", "Binary Authorization Policy Administrator",
        &["binaryauthorization.policy.*", "binaryauthorization.continuousValidationConfig.*", "!*.*.evaluatePolicy"]),
    role("roles/binaryauthorization.policyEvaluator", "Binary Authorization Policy Evaluator",
        &["binaryauthorization.policy.get", "binaryauthorization.policy.evaluatePolicy", "binaryauthorization.attestors.get",
          "binaryauthorization.attestors.list", "binaryauthorization.attestors.verifyImageAttested", "binauthz.decisions.preview"]),
    role("roles/binaryauthorization.attestorsViewer", "Binary Authorization Attestor Viewer",
        &["binaryauthorization.attestors.get", "binaryauthorization.attestors.list"]),
    role("roles/binaryauthorization.attestorsVerifier", "Binary Authorization Attestor Image Verifier",
        &["binaryauthorization.attestors.get", "binaryauthorization.attestors.list",
          "binaryauthorization.attestors.verifyImageAttested"]),
    role("roles/binaryauthorization.attestorsEditor", "Binary Authorization Attestor Editor",
        &["binaryauthorization.attestors.*", "!*.*.getIamPolicy", "!*.*.setIamPolicy"]),
    role("roles/binaryauthorization.attestorsAdmin", "Binary Authorization Attestor Admin",
        &["binaryauthorization.attestors.*"]),
    role("roles/binaryauthorization.serviceAgent", "Binary Authorization Service Agent",
        &["binaryauthorization.policy.get", "binaryauthorization.policy.evaluatePolicy", "binaryauthorization.attestors.get",
          "binaryauthorization.attestors.list", "binaryauthorization.attestors.verifyImageAttested",
          "containeranalysis.notes.get", "containeranalysis.notes.list", "containeranalysis.notes.listOccurrences",
          "containeranalysis.occurrences.get", "containeranalysis.occurrences.list"]),

    role("roles/containeranalysis.admin", "Container Analysis Admin", &["containeranalysis.*"]),
    role("roles/containeranalysis.notes.attacher", "Container Analysis Notes Attacher",
        &["containeranalysis.notes.attachOccurrence", "containeranalysis.notes.get"]),
    role("roles/containeranalysis.notes.editor", "Container Analysis Notes Editor",
        &["containeranalysis.notes.*", "!*.*.getIamPolicy", "!*.*.setIamPolicy", "!*.*.listOccurrences"]),
    role("roles/containeranalysis.notes.viewer", "Container Analysis Notes Viewer",
        &["containeranalysis.notes.get", "containeranalysis.notes.list"]),
    role("roles/containeranalysis.notes.occurrences.viewer", "Container Analysis Occurrences for Notes Viewer",
        &["containeranalysis.notes.get", "containeranalysis.notes.listOccurrences"]),
    role("roles/containeranalysis.occurrences.editor", "Container Analysis Occurrences Editor",
        &["containeranalysis.occurrences.*", "!*.*.getIamPolicy", "!*.*.setIamPolicy"]),
    role("roles/containeranalysis.occurrences.viewer", "Container Analysis Occurrences Viewer",
        &["containeranalysis.occurrences.get", "containeranalysis.occurrences.list"]),

    role("roles/cloudkms.admin", "Cloud KMS Admin", &["cloudkms.*", "!*.*.useTo*", "!*.*.viewPublicKey"]),
    role("roles/cloudkms.viewer", "Cloud KMS Viewer", &["cloudkms.*.get", "cloudkms.*.list"]),
    role("roles/cloudkms.publicKeyViewer", "Cloud KMS CryptoKey Public Key Viewer", &["cloudkms.*.viewPublicKey"]),
    role("roles/cloudkms.signer", "Cloud KMS CryptoKey Signer", &["cloudkms.cryptoKeyVersions.useToSign"]),
    role("roles/cloudkms.signerVerifier", "Cloud KMS CryptoKey Signer/Verifier",
        &["cloudkms.cryptoKeyVersions.useToSign", "cloudkms.cryptoKeyVersions.useToVerify", "cloudkms.*.viewPublicKey"]),
    role("roles/cloudkms.verifier", "Cloud KMS CryptoKey Verifier",
        &["cloudkms.cryptoKeyVersions.useToVerify", "cloudkms.*.viewPublicKey"]),

    role("roles/logging.viewer", "Logs Viewer", LOG_READING),
    role("roles/logging.privateLogViewer", "Private Logs Viewer", LOG_READING),
    role("roles/logging.logWriter", "Logs Writer", &["logging.logEntries.create"]),
    role("roles/logging.configWriter", "Logs Configuration Writer", &["logging.logMetrics.*", "logging.logs.list"]),
    role("roles/logging.admin", "Logging Admin", &["logging.*", "binauthz.decisions.list"]),

    role("roles/monitoring.viewer", "Monitoring Viewer", MONITORING_READING),
    role("roles/monitoring.editor", "Monitoring Editor", MONITORING_ALL),
    role("roles/monitoring.admin", "Monitoring Admin", MONITORING_ALL),
    role("roles/monitoring.alertPolicyViewer", "Monitoring AlertPolicy Viewer",
        &["monitoring.alertPolicies.get", "monitoring.alertPolicies.list", "binauthz.incidents.*"]),
    role("roles/monitoring.alertPolicyEditor", "Monitoring AlertPolicy Editor",
        &["monitoring.alertPolicies.*", "binauthz.incidents.*"]),
    role("roles/monitoring.notificationChannelViewer", "Monitoring NotificationChannel Viewer",
        &["monitoring.notificationChannel*.get", "monitoring.notificationChannel*.list"]),
    role("roles/monitoring.notificationChannelEditor", "Monitoring NotificationChannel Editor",
        &["monitoring.notificationChannels.*", "monitoring.notificationChannelDescriptors.*",
          "binauthz.notificationChannels.*"]),

    role("roles/container.viewer", "Kubernetes Engine Viewer", &["container.*.get", "container.*.list"]),
    role("roles/container.clusterViewer", "Kubernetes Engine Cluster Viewer",
        &["container.clusters.get", "container.clusters.list"]),
    role("roles/container.clusterAdmin", "Kubernetes Engine Cluster Admin",
        &["container.clusters.*", "container.operations.*"]),
    role("roles/container.developer", "Kubernetes Engine Developer", &["container.*.get", "container.*.list"]),
    role("roles/container.admin", "Kubernetes Engine Admin", &["container.*"]),

    role("roles/artifactregistry.reader", "Artifact Registry Reader", &["artifactregistry.*.get", "artifactregistry.*.list"]),
    role("roles/artifactregistry.writer", "Artifact Registry Writer",
        &["artifactregistry.*", "!artifactregistry.*.delete"]),
    role("roles/artifactregistry.admin", "Artifact Registry Administrator", &["artifactregistry.*"]),

    role("roles/serviceusage.serviceUsageViewer", "Service Usage Viewer",
        &["serviceusage.services.get", "serviceusage.services.list"]),
    role("roles/serviceusage.serviceUsageAdmin", "Service Usage Admin", &["serviceusage.*"]),

    role("roles/resourcemanager.projectIamAdmin", "Project IAM Admin",
        &["resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"]),
    role("roles/iam.roleViewer", "Role Viewer", &["iam.roles.get", "iam.roles.list"]),
    role("roles/iam.roleAdmin", "Role Administrator", &["iam.roles.*", "resourcemanager.projects.get"]),
    role("roles/iam.securityReviewer", "Security Reviewer",
        &["*.*.list", "*.*.getIamPolicy", "binauthz.iam.*"]),
    role("roles/iam.securityAdmin", "Security Admin",
        &["*.*.list", "*.*.getIamPolicy", "*.*.setIamPolicy", "iam.roles.*", "binauthz.iam.*"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The roles with all they may, as written down. `BINAUTHZ_BLESS=1` writes it down anew.
    #[test]
    fn golden_roles_are_those_that_are_written_down() {
        let served: String = PREDEFINED
            .iter()
            .map(|role| {
                let permissions: String = role
                    .permissions()
                    .map(|permission| format!("  {permission}\n"))
                    .collect();
                format!("{}\n{permissions}", role.name)
            })
            .collect();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/access/roles.golden");
        if std::env::var_os("BINAUTHZ_BLESS").is_some() {
            std::fs::write(file, &served).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap();
        assert_eq!(served, written, "see `BINAUTHZ_BLESS` above");
    }

    #[test]
    fn every_pattern_means_something_and_every_name_is_there_once() {
        let mut names = std::collections::BTreeSet::new();
        for role in PREDEFINED {
            assert!(names.insert(role.name), "{} is there twice", role.name);
            for pattern in role.patterns {
                let pattern = pattern.trim_start_matches('!');
                let is_any = permissions::all().any(|permission| matches(pattern, permission));
                assert!(is_any, "{}: `{pattern}` matches nothing", role.name);
            }
            assert!(role.permissions().count() > 0, "{}", role.name);
        }
    }

    #[test]
    fn no_narrow_role_both_signs_and_sets_what_is_required() {
        let both = |role: &&Predefined| {
            role.includes("cloudkms.cryptoKeyVersions.useToSign")
                && role.includes("binaryauthorization.policy.update")
        };
        let names: Vec<&str> = PREDEFINED.iter().filter(both).map(|role| role.name).collect();
        assert_eq!(names, ["roles/owner"]);
    }

    #[test]
    fn roles_contain_each_other_as_documented() {
        for (smaller, larger) in [
            ("policyViewer", "policyEditor"),
            ("policyEditor", "policyAdmin"),
            ("attestorsViewer", "attestorsVerifier"),
            ("attestorsVerifier", "attestorsEditor"),
            ("attestorsEditor", "attestorsAdmin"),
        ] {
            let named = |name: &str| Predefined::named(&format!("roles/binaryauthorization.{name}")).unwrap();
            for permission in named(smaller).permissions() {
                assert!(named(larger).includes(permission), "{larger} lacks {permission}");
            }
            assert!(named(larger).permissions().count() > named(smaller).permissions().count());
        }
        assert_eq!(Predefined::named("roles/nothing"), None);
    }
}
