//! Notification channels: whom to tell, and how.

use std::fmt;

use serde_json::{Map, json};

use super::{MAX_NAME, Mutation, labels_out, take_labels, take_text};
use crate::field_mask::FieldMask;
use crate::json::{InvalidField, Object, Value};

const MAX_DESCRIPTION: usize = 1024;
const MAX_VALUE: usize = 2048;
/// What a secret label is shown as.
pub const HIDDEN: &str = "****";
/// The other place for secrets: the member of `sensitiveLabels` and the label it stands for.
const SENSITIVE: &[(&str, &str)] = &[
    ("authToken", "auth_token"),
    ("password", "password"),
    ("serviceKey", "service_key"),
];

/// The fields of a channel that an update may name.
pub const FIELDS: &[&str] = &[
    "type",
    "displayName",
    "description",
    "labels",
    "userLabels",
    "enabled",
];

/// A kind of channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The `type` of its channels.
    pub kind: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// The labels its channels have.
    pub labels: &'static [Label],
}

/// A label of a kind of channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Whether it is kept from those who read the channel.
    pub is_secret: bool,
    /// Whether a channel must have it.
    pub is_required: bool,
}

const fn label(key: &'static str, description: &'static str, is_secret: bool) -> Label {
    Label {
        key,
        description,
        is_secret,
        is_required: true,
    }
}

const SIGNING_SECRET: Label = Label {
    key: "secret",
    description: "the secret that what is posted is signed with; made by the server when it is absent",
    is_secret: true,
    is_required: false,
};

/// The kinds there are, named as at Google.
pub const DESCRIPTORS: &[Descriptor] = &[
    Descriptor {
        kind: "email",
        display_name: "Email",
        labels: &[label(
            "email_address",
            "the address mail goes to, by the mail server that `smtp` names in the configuration file",
            false,
        )],
    },
    Descriptor {
        kind: "webhook_tokenauth",
        display_name: "Webhook with a token in its URL",
        labels: &[
            label("url", "where incidents are posted, with its token", false),
            SIGNING_SECRET,
        ],
    },
    Descriptor {
        kind: "webhook_basicauth",
        display_name: "Webhook with a password",
        labels: &[
            label("url", "where incidents are posted", false),
            label("username", "the name to log in with", false),
            label("password", "the password to log in with", true),
        ],
    },
    Descriptor {
        kind: "pagerduty",
        display_name: "PagerDuty",
        labels: &[label("service_key", "the integration key of the service", true)],
    },
    Descriptor {
        kind: "slack",
        display_name: "Slack",
        labels: &[
            label("channel_name", "the channel messages go to", false),
            label("auth_token", "the token to post with", true),
        ],
    },
];

/// A notification channel as a client writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct NotificationChannel {
    /// One of [`DESCRIPTORS`].
    pub kind: &'static Descriptor,
    /// Its name for people.
    pub display_name: String,
    /// More about it.
    pub description: String,
    /// Where it leads: the descriptor's labels.
    pub labels: Vec<(String, String)>,
    /// Its owner's notes.
    pub user_labels: Vec<(String, String)>,
    /// Whether anything is sent to it.
    pub enabled: bool,
}

/// Labels hold secrets and are left out.
impl fmt::Debug for NotificationChannel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotificationChannel")
            .field("kind", &self.kind.kind)
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

impl NotificationChannel {
    /// The label of that key.
    pub fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Its secret labels, which are hidden from now on.
    pub fn hide_secrets(&mut self) -> Vec<(String, String)> {
        let kind = self.kind;
        let mut secrets = Vec::new();
        for (key, value) in &mut self.labels {
            if kind
                .labels
                .iter()
                .any(|label| label.is_secret && label.key == key)
            {
                secrets.push((key.clone(), std::mem::replace(value, HIDDEN.to_owned())));
            }
        }
        secrets
    }

    /// Puts secrets back in the place of those that are hidden; a hidden one that is not among them is refused.
    pub fn reveal_secrets(&mut self, secrets: &[(String, String)]) -> Result<(), InvalidField> {
        let kind = self.kind;
        for (key, value) in &mut self.labels {
            let is_secret = |label: &Label| label.is_secret && label.key == key;
            if value != HIDDEN || !kind.labels.iter().any(is_secret) {
                continue;
            }
            let Some((_, secret)) = secrets.iter().find(|(known, _)| known == key) else {
                let why = format_args!(
                    "expected the secret itself: `{HIDDEN}` stands for one that is kept already"
                );
                return Err(InvalidField::refused(format!("labels[\"{key}\"]"), why));
            };
            secret.clone_into(value);
        }
        Ok(())
    }

    /// The channel after an update, which may leave out what `mask` does not name. A secret that comes back hidden, as
    /// it was shown, is not changed.
    pub fn updated(&self, value: Value, mask: &FieldMask) -> Result<NotificationChannel, InvalidField> {
        let mut update = Parts::take(Object::new(value, "")?)?;
        for (key, value) in &mut update.labels {
            if value == HIDDEN
                && let Some(current) = self.label(key)
            {
                current.clone_into(value);
            }
        }
        // A label that need not be given and is not is kept, too.
        for label in self.kind.labels.iter().filter(|label| !label.is_required) {
            if let Some(value) = self.label(label.key)
                && update.kind == self.kind.kind
                && !update.labels.iter().any(|(key, _)| key == label.key)
            {
                update.labels.push((label.key.to_owned(), value.to_owned()));
            }
        }
        let current = self.clone();
        let parts = Parts {
            kind: if mask.covers("type") {
                update.kind
            } else {
                current.kind.kind.to_owned()
            },
            display_name: choose(mask, "displayName", update.display_name, current.display_name),
            description: choose(mask, "description", update.description, current.description),
            labels: choose(mask, "labels", update.labels, current.labels),
            user_labels: choose(mask, "userLabels", update.user_labels, current.user_labels),
            enabled: choose(mask, "enabled", update.enabled, current.enabled),
        };
        parts.whole()
    }
}

fn choose<T>(mask: &FieldMask, field: &str, new: T, current: T) -> T {
    if mask.covers(field) { new } else { current }
}

/// A channel's members, each of the right type.
struct Parts {
    kind: String,
    display_name: String,
    description: String,
    labels: Vec<(String, String)>,
    user_labels: Vec<(String, String)>,
    enabled: bool,
}

impl Parts {
    fn take(mut object: Object) -> Result<Parts, InvalidField> {
        for field in ["name", "verificationStatus", "creationRecord", "mutationRecords"] {
            object.ignore(field);
        }
        let sensitive = object.take_optional_object("sensitiveLabels")?;
        let mut parts = Parts {
            kind: take_text(&mut object, "type", MAX_NAME)?,
            display_name: take_text(&mut object, "displayName", MAX_NAME)?,
            description: take_text(&mut object, "description", MAX_DESCRIPTION)?,
            labels: take_labels(&mut object, "labels")?,
            user_labels: take_labels(&mut object, "userLabels")?,
            enabled: object.take_optional_bool("enabled")?.unwrap_or(true),
        };
        object.finish()?;
        if let Some(mut sensitive) = sensitive {
            for (field, key) in SENSITIVE {
                let Some(value) = sensitive.take_optional_string(field)? else {
                    continue;
                };
                if parts.labels.iter().any(|(known, _)| known == key) {
                    let why = format_args!("is given beside `labels[\"{key}\"]`: expected one of them");
                    return Err(sensitive.refused(field, why));
                }
                parts.labels.push(((*key).to_owned(), value));
            }
            sensitive.finish()?;
        }
        Ok(parts)
    }

    fn whole(self) -> Result<NotificationChannel, InvalidField> {
        let kinds = || {
            let kinds: Vec<String> = DESCRIPTORS
                .iter()
                .map(|known| format!("`{}`", known.kind))
                .collect();
            kinds.join(", ")
        };
        let Some(kind) = DESCRIPTORS.iter().find(|known| known.kind == self.kind) else {
            let why = format_args!("expected a kind of channel that this server knows: {}", kinds());
            return Err(InvalidField::refused("type", why));
        };
        for label in kind.labels {
            let path = format!("labels[\"{}\"]", label.key);
            match self.labels.iter().find(|(key, _)| key == label.key) {
                Some((_, value)) if value.len() > MAX_VALUE => {
                    let why = format_args!("is longer than {MAX_VALUE} bytes");
                    return Err(InvalidField::refused(path, why));
                }
                Some((_, value)) if !value.is_empty() => check(label.key, path, value)?,
                None if !label.is_required => {}
                _ => return Err(InvalidField::missing(path)),
            }
        }
        let unknown = |(key, _): &&(String, String)| !kind.labels.iter().any(|label| label.key == key);
        if let Some((key, _)) = self.labels.iter().find(unknown) {
            let why = format_args!("is not a label of a channel of type `{}`", kind.kind);
            let path = format!("labels[\"{}\"]", key.escape_debug());
            return Err(InvalidField::refused(path, why));
        }
        Ok(NotificationChannel {
            kind,
            display_name: self.display_name,
            description: self.description,
            labels: self.labels,
            user_labels: self.user_labels,
            enabled: self.enabled,
        })
    }
}

/// Whether a text is one address that mail can be sent to: `USER@HOST` in ASCII, with nothing in it that means something in
/// a header or a command. That is RFC 5321 without quoted names and without addresses in brackets.
pub fn is_mail_address(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let of_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(of_name);
    let is_label = |part: &str| {
        let is_bounded =
            !part.is_empty() && part.len() <= 63 && !part.starts_with('-') && !part.ends_with('-');
        is_bounded && part.bytes().all(of_label)
    };
    let is_whole = text.split_once('@').is_some_and(|(user, host)| {
        user.len() <= 64 && user.split('.').all(is_name) && host.split('.').all(is_label)
    });
    // RFC 5321 ends at 256 with the angle brackets.
    is_whole && text.len() <= 254
}

/// What a label's value must look like, as far as it can be told without using it.
fn check(key: &str, path: String, value: &str) -> Result<(), InvalidField> {
    let is_plain = !value.chars().any(char::is_control);
    let (holds, expected) = match key {
        "url" => (
            is_plain
                && !value.contains(' ')
                && ["https://", "http://"]
                    .iter()
                    .any(|scheme| value.starts_with(scheme)),
            "expected a URL that begins with `https://` or `http://`",
        ),
        "email_address" => (
            is_mail_address(value),
            "expected one address such as `oncall@example.com`",
        ),
        "username" => (is_plain && !value.contains(':'), "expected a name without `:`"),
        _ => (is_plain, "expected text without control characters"),
    };
    if holds {
        Ok(())
    } else {
        Err(InvalidField::refused(path, expected))
    }
}

/// Reads a channel.
pub fn read_channel(value: Value) -> Result<NotificationChannel, InvalidField> {
    Parts::take(Object::new(value, "")?)?.whole()
}

/// Writes a channel as it is kept: with its secrets, without its name.
pub fn write_stored_channel(channel: &NotificationChannel) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put("type", json!(channel.kind.kind));
    for (key, text) in [
        ("displayName", &channel.display_name),
        ("description", &channel.description),
    ] {
        if !text.is_empty() {
            put(key, json!(text));
        }
    }
    for (key, labels) in [("labels", &channel.labels), ("userLabels", &channel.user_labels)] {
        if !labels.is_empty() {
            put(key, labels_out(labels));
        }
    }
    put("enabled", json!(channel.enabled));
    members.into()
}

/// Writes a channel as clients see it: what is secret is hidden.
pub fn write_channel(
    name: &str,
    channel: &NotificationChannel,
    created: &Mutation,
    updates: &[Mutation],
) -> serde_json::Value {
    let mut shown = channel.clone();
    drop(shown.hide_secrets());
    let mut written = write_stored_channel(&shown);
    if let Some(members) = written.as_object_mut() {
        members.insert("name".to_owned(), json!(name));
        members.insert("creationRecord".to_owned(), created.to_json());
        if !updates.is_empty() {
            let updates = updates.iter().map(Mutation::to_json).collect();
            members.insert("mutationRecords".to_owned(), updates);
        }
    }
    written
}

/// Writes a kind of channel under its project.
pub fn write_descriptor(project: &str, descriptor: &Descriptor) -> serde_json::Value {
    let labels: Vec<serde_json::Value> = descriptor
        .labels
        .iter()
        .map(|label| json!({ "key": label.key, "description": label.description }))
        .collect();
    json!({
        "name": format!("projects/{project}/notificationChannelDescriptors/{}", descriptor.kind),
        "type": descriptor.kind,
        "displayName": descriptor.display_name,
        "description": format!("Notifies by {}.", descriptor.display_name),
        "labels": labels,
    })
}
