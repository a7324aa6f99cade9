//! How a notice leaves this server.

mod email;
mod lines;
mod pagerduty;
mod post;
mod reach;
mod slack;
mod smtp;
mod webhook;

use std::fmt;
use std::pin::Pin;

use binauthz_core::time::UnixTime;
use binauthz_wire::monitoring::channel::NotificationChannel;

pub use email::Email;
pub use pagerduty::PagerDuty;
pub use post::{LONGEST_WAIT, MAX_ANSWER, Poster};
pub use reach::{OutOfReach, Place, Reach};
pub use slack::Slack;
pub use smtp::{Mailer, MailerError};
pub use webhook::{Webhook, signature};

use super::incident::Notice;

/// One notice on its way.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The id of the delivery: the same for every attempt.
    pub delivery: &'a str,
    /// When this attempt is made.
    pub now: UnixTime,
    /// What is told.
    pub notice: &'a Notice,
}

/// Why a notice was not delivered. The reasons hold no secret: neither URLs nor what the other side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// It may go better later.
    Later(String),
    /// It never will, unless the channel is changed.
    Never(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Later(why) | SendError::Never(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for SendError {}

/// An attempt that is being made.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// A way for notices. Every one ends within [`LONGEST_WAIT`], follows nothing it is redirected to, and reads at most
/// [`MAX_ANSWER`] bytes of an answer.
pub trait Channel: Send + Sync {
    /// Sends one notice, once.
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a>;
}

/// The way of a channel whose secrets are revealed; none if this server has no way of that kind.
pub fn of(channel: &NotificationChannel, poster: &Poster) -> Option<Box<dyn Channel>> {
    let label = |key: &str| channel.label(key).unwrap_or_default().to_owned();
    let poster = poster.clone();
    Some(match channel.kind.kind {
        "webhook_tokenauth" => Box::new(Webhook::signed(poster, label("url"), label("secret"))),
        "webhook_basicauth" => {
            let credentials = (label("username"), label("password"));
            Box::new(Webhook::with_password(poster, label("url"), credentials))
        }
        "slack" => Box::new(Slack::new(poster, label("channel_name"), label("auth_token"))),
        "email" => Box::new(Email::new(poster.mailer()?.clone(), label("email_address"))),
        "pagerduty" => Box::new(PagerDuty::new(poster, label("service_key"))),
        _ => return None,
    })
}
