//! A refusal as people read it in a terminal: what was wrong, by which rule, and the command that shows the rest.

use std::fmt;

use binauthz_core::decision::Decision;

/// Where a verdict is on record.
#[derive(Clone, Copy)]
pub struct OnRecord<'a> {
    /// The record's name; written out only for what is refused.
    pub id: &'a (dyn fmt::Display + Sync),
    /// The cluster that asked, whose project has the record.
    pub cluster: &'a str,
}

/// The sentence of a refusal: the verdict's own and, if it is on record, by which rule and how to see the rest.
pub fn refusal(decision: &Decision, on_record: Option<OnRecord<'_>>) -> String {
    let mut text = decision.denial();
    let Some(OnRecord { id, cluster }) = on_record else {
        return text;
    };
    // Writing to a string never fails.
    if let (Some(rule), Some(policy)) = (decision.rule(), decision.policy()) {
        let _ = fmt::write(&mut text, format_args!(". By the {rule} of {}", policy.name));
    }
    let _ = fmt::write(&mut text, format_args!(". To see why: binauthz explain {id}"));
    if let Some(project) = cluster.split('/').nth(1) {
        let _ = fmt::write(&mut text, format_args!(" --project={project}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use binauthz_core::decide::{decide, plan, refuse};
    use binauthz_core::decision::Reason;
    use binauthz_core::evidence::Answers;
    use binauthz_core::policy::{Evaluation, Policy, PolicyLabel, Rule, Snapshot, Standing, SystemPolicy};
    use binauthz_core::time::UnixTime;
    use binauthz_core::workload::{Request, RequestedImage, Subject};

    use super::*;

    fn denied() -> Decision {
        let mut policy = Policy::google_default();
        policy.default_rule.rule = Rule::AlwaysDeny;
        let standing = Standing::Registered(Arc::new(Snapshot {
            label: Arc::new(PolicyLabel {
                name: "projects/demo/policy".to_owned(),
                etag: "e".to_owned(),
            }),
            policy,
            system: SystemPolicy::shipped(),
            attestors: Default::default(),
            evaluation: Evaluation::Enforced,
        }));
        let cluster = "projects/demo/locations/l/clusters/c".parse().unwrap();
        let subject = Subject::new(cluster, "default".parse().unwrap(), None, "").unwrap();
        let images = vec![RequestedImage::new("spec.containers[0]", "nginx")];
        let request = Request {
            subject,
            images,
            break_glass: None,
        };
        decide(
            plan(&standing, request),
            &Answers::default(),
            UnixTime::from_seconds(0),
        )
    }

    #[test]
    fn it_names_the_rule_and_the_record() {
        let on_record = OnRecord {
            id: &"0199-7",
            cluster: "projects/demo/locations/l/clusters/c",
        };
        assert_eq!(
            refusal(&denied(), Some(on_record)),
            "Image nginx denied by Binary Authorization default admission rule. Denied by always_deny admission rule. \
             By the default admission rule of projects/demo/policy. To see why: binauthz explain 0199-7 --project=demo"
        );
        assert_eq!(
            refusal(&denied(), None),
            "Image nginx denied by Binary Authorization default admission rule. Denied by always_deny admission rule"
        );
    }

    #[test]
    fn what_no_rule_was_reached_for_names_none() {
        let refused = refuse(Reason::Overloaded, None);
        assert_eq!(
            refusal(&refused, None),
            "Denied by Binary Authorization: too many requests at once"
        );
        let on_record = OnRecord { id: &7, cluster: "" };
        assert_eq!(
            refusal(&refused, Some(on_record)),
            "Denied by Binary Authorization: too many requests at once. To see why: binauthz explain 7"
        );
    }
}
