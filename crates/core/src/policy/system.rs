//! The system policy: images a cluster cannot start without, exempt before any project's policy.

use super::Allowlist;
use crate::image::{ImagePattern, ImageRef};

/// The version of the list below; part of the system policy's etag.
pub const SYSTEM_POLICY_VERSION: u32 = 1;

/// Registries that Kubernetes itself ships from. No third party's host, no wildcard in a host.
pub const SYSTEM_PATTERNS: [&str; 3] = ["registry.k8s.io/**", "k8s.gcr.io/**", "gke.gcr.io/**"];

/// The parsed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemPolicy {
    patterns: Allowlist,
}

impl SystemPolicy {
    /// The list this build ships.
    pub fn shipped() -> Self {
        Self {
            patterns: SYSTEM_PATTERNS
                .iter()
                .filter_map(|pattern| pattern.parse().ok())
                .collect(),
        }
    }

    /// Its patterns.
    pub fn patterns(&self) -> &Allowlist {
        &self.patterns
    }

    /// The pattern that exempts `image`, if one does.
    pub(crate) fn exempting(&self, image: &ImageRef) -> Option<&ImagePattern> {
        self.patterns.exempting(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_pattern_parses() {
        assert_eq!(SystemPolicy::shipped().patterns().len(), SYSTEM_PATTERNS.len());
    }

    #[test]
    fn look_alikes_are_not_exempt() {
        let system = SystemPolicy::shipped();
        for image in [
            "registry.k8s.io.evil.test/pause:3",
            "evil.test/registry.k8s.io/pause:3",
            "registry.k8s.io:443/pause",
        ] {
            assert_eq!(system.exempting(&image.parse().unwrap()), None, "{image}");
        }
        assert!(
            system
                .exempting(&"registry.k8s.io/coredns/coredns:v1".parse().unwrap())
                .is_some()
        );
    }
}
