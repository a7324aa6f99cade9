//! Slack: `chat.postMessage` with a token, or an incoming webhook when the token is its URL.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Channel, Message, Poster, SendError, Sending};

const API: &str = "https://slack.com/api/chat.postMessage";

/// A Slack channel.
pub struct Slack {
    poster: Poster,
    api: String,
    channel: String,
    token: Zeroizing<String>,
}

impl Slack {
    /// A channel, and the token to post with.
    pub fn new(poster: Poster, channel: String, token: String) -> Slack {
        Slack {
            poster,
            api: API.to_owned(),
            channel,
            token: token.into(),
        }
    }

    /// The same at another address than Slack's own.
    #[must_use]
    pub fn at(mut self, api: String) -> Slack {
        self.api = api;
        self
    }
}

/// The text of a message: whatever of it comes from people and logs names nobody and links to nothing.
fn text(message: &Message<'_>) -> String {
    let notice = message.notice;
    let plain = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    format!(
        "[{}] {}: {}",
        notice.incident.state().as_str(),
        plain(&notice.policy_name),
        plain(&notice.incident.summary)
    )
}

impl Channel for Slack {
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a> {
        let text = text(message);
        if self.token.starts_with("https://") {
            let request = self.poster.json(&self.token, json!({ "text": text }).to_string());
            return Box::pin(async move { self.poster.send(request).await.map(|_| ()) });
        }
        let body = json!({ "channel": self.channel, "text": text, "mrkdwn": false }).to_string();
        let request = self.poster.json(&self.api, body).bearer_auth(self.token.as_str());
        Box::pin(async move { self.poster.send(request).await.and_then(|answer| said(&answer)) })
    }
}

/// Slack answers 200 to what it refuses, too.
fn said(answer: &[u8]) -> Result<(), SendError> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return Err(SendError::Later("the answer is not one of Slack's".to_owned()));
    };
    if answer["ok"] == json!(true) {
        return Ok(());
    }
    match answer["error"].as_str() {
        Some("ratelimited" | "rate_limited" | "service_unavailable" | "internal_error" | "fatal_error") => {
            Err(SendError::Later("Slack asks to come back later".to_owned()))
        }
        Some("invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive") => {
            Err(SendError::Never("Slack does not take the token".to_owned()))
        }
        Some("channel_not_found" | "not_in_channel" | "is_archived") => Err(SendError::Never(
            "Slack does not let the token post to the channel".to_owned(),
        )),
        _ => Err(SendError::Never("Slack refused the message".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_says_is_understood() {
        assert_eq!(said(b"{\"ok\": true}"), Ok(()));
        for answer in ["", "ok", "{\"ok\": false, \"error\": \"ratelimited\"}"] {
            assert!(
                matches!(said(answer.as_bytes()), Err(SendError::Later(_))),
                "{answer}"
            );
        }
        for answer in [
            "{}",
            "{\"ok\": false}",
            "{\"ok\": false, \"error\": \"invalid_auth\"}",
            "{\"ok\": \"true\"}",
        ] {
            assert!(
                matches!(said(answer.as_bytes()), Err(SendError::Never(_))),
                "{answer}"
            );
        }
    }
}
