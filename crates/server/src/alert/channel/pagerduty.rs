//! PagerDuty's Events API, version 2.

use serde_json::json;
use zeroize::Zeroizing;

use super::{Channel, Message, Poster, Sending};
use crate::alert::State;

const API: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest summary that is taken.
const MAX_SUMMARY: usize = 1_024;

/// A service of PagerDuty.
pub struct PagerDuty {
    poster: Poster,
    api: String,
    key: Zeroizing<String>,
}

impl PagerDuty {
    /// The service that this integration key is of.
    pub fn new(poster: Poster, key: String) -> PagerDuty {
        PagerDuty {
            poster,
            api: API.to_owned(),
            key: key.into(),
        }
    }

    /// The same at another address than PagerDuty's own.
    #[must_use]
    pub fn at(mut self, api: String) -> PagerDuty {
        self.api = api;
        self
    }
}

impl Channel for PagerDuty {
    /// The id of the incident is the key that makes its end, and a second delivery, the same event.
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a> {
        let notice = message.notice;
        let action = match notice.incident.state() {
            State::Open => "trigger",
            State::Closed => "resolve",
        };
        let summary = format!("{}: {}", notice.policy_name, notice.incident.summary);
        let body = json!({
            "routing_key": self.key.as_str(),
            "event_action": action,
            "dedup_key": notice.incident.id,
            "payload": {
                "summary": summary.chars().take(MAX_SUMMARY).collect::<String>(),
                "source": format!("projects/{}", notice.project),
                "severity": "error",
                "custom_details": notice.to_json()["incident"],
            },
        });
        let request = self.poster.json(&self.api, body.to_string());
        Box::pin(async move { self.poster.send(request).await.map(|_| ()) })
    }
}
