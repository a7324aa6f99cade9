//! Incidents, and what is said about them.

use binauthz_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::series::Key;

/// Whether an incident goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Open,
    /// It has ended.
    Closed,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Closed => "closed",
        }
    }
}

/// One time that a policy's conditions held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// The name of its policy.
    pub policy: String,
    /// The name of the condition that held.
    pub condition: String,
    /// When it began.
    #[serde(with = "micros")]
    pub started: UnixTime,
    /// When it began, or when the last entry joined it.
    #[serde(with = "micros")]
    pub renewed: UnixTime,
    /// When something was last told about it.
    #[serde(with = "micros")]
    pub notified: UnixTime,
    /// When it ended.
    #[serde(with = "maybe_micros", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<UnixTime>,
    /// The type of the metric; empty for a condition on logs.
    pub metric_type: String,
    /// What it is about: the first series, or the entry.
    pub about: Key,
    /// A sentence.
    pub summary: String,
}

/// What an incident has come to, to be written down, and to be told to the channels of its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The incident as it is now.
    pub incident: Incident,
    /// The policy's project.
    pub project: String,
    /// The policy's name for people.
    pub policy_name: String,
    /// The condition's name for people.
    pub condition_name: String,
    /// What the policy's owner wrote for whoever is told.
    pub documentation: String,
    /// The policy's labels.
    pub user_labels: Vec<(String, String)>,
    /// The names of the channels to tell; none where the policy does not want this told.
    pub channels: Vec<String>,
    /// Whether the policy wants this told.
    pub is_wanted: bool,
}

/// Times as they are kept: microseconds.
mod micros {
    use binauthz_core::time::UnixTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        time.as_micros().serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<UnixTime, D::Error> {
        i64::deserialize(deserializer).map(UnixTime::from_micros)
    }
}

mod maybe_micros {
    use binauthz_core::time::UnixTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<UnixTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(UnixTime::as_micros).serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Option<UnixTime>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(UnixTime::from_micros))
    }
}

impl Incident {
    /// Whether it goes on.
    pub fn state(&self) -> State {
        if self.ended.is_some() {
            State::Closed
        } else {
            State::Open
        }
    }
}

impl Notice {
    /// The body of a webhook, in the form that Cloud Monitoring calls version 1.2.
    pub fn to_json(&self) -> serde_json::Value {
        let incident = &self.incident;
        let labels = |labels: &[(String, String)]| -> Map<String, serde_json::Value> {
            labels
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect()
        };
        let mut documentation = Map::new();
        if !self.documentation.is_empty() {
            documentation.insert("content".to_owned(), json!(self.documentation));
            documentation.insert("mime_type".to_owned(), json!("text/markdown"));
        }
        json!({
            "version": "1.2",
            "incident": {
                "incident_id": incident.id,
                "scoping_project_id": self.project,
                "policy_name": self.policy_name,
                "condition_name": self.condition_name,
                "state": incident.state().as_str(),
                "started_at": incident.started.as_seconds(),
                "ended_at": incident.ended.map(UnixTime::as_seconds),
                "summary": incident.summary,
                "resource": {
                    "type": incident.about.resource_type,
                    "labels": labels(&incident.about.resource_labels),
                },
                "metric": { "type": incident.metric_type, "labels": labels(&incident.about.metric_labels) },
                "documentation": documentation,
                "policy_user_labels": labels(&self.user_labels),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_the_body_of_a_webhook() {
        let mut notice = Notice {
            incident: Incident {
                id: "i".into(),
                policy: "projects/p/alertPolicies/1".into(),
                condition: "projects/p/alertPolicies/1/conditions/1".into(),
                started: UnixTime::from_seconds(7),
                renewed: UnixTime::from_seconds(7),
                notified: UnixTime::from_seconds(7),
                ended: None,
                metric_type: "m".into(),
                about: Key {
                    resource_type: "k8s_cluster".into(),
                    resource_labels: vec![("location".into(), "x".into())],
                    metric_labels: Vec::new(),
                },
                summary: "s".into(),
            },
            project: "p".into(),
            policy_name: "P".into(),
            condition_name: "C".into(),
            documentation: "look".into(),
            user_labels: vec![("a".into(), "b".into())],
            channels: Vec::new(),
            is_wanted: true,
        };
        let incident = &notice.to_json()["incident"];
        assert_eq!(incident["state"], "open");
        assert_eq!(incident["started_at"], 7);
        assert_eq!(incident["ended_at"], serde_json::Value::Null);
        assert_eq!(
            incident["resource"],
            json!({ "type": "k8s_cluster", "labels": {"location": "x"} })
        );
        assert_eq!(incident["documentation"]["content"], "look");
        assert_eq!(incident["policy_user_labels"]["a"], "b");
        notice.incident.ended = Some(UnixTime::from_seconds(9));
        notice.documentation.clear();
        let incident = &notice.to_json()["incident"];
        assert_eq!(
            (&incident["state"], &incident["ended_at"]),
            (&json!("closed"), &json!(9))
        );
        assert_eq!(incident["documentation"], json!({}));
        // What is kept comes back as it was.
        let kept = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&kept).unwrap(), notice);
    }
}
