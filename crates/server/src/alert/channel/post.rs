//! One POST with limits.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::reach::{OutOfReach, Reach};
use super::{Mailer, SendError};

/// How long one attempt may take, with everything.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How much of an answer is read: those of Slack and PagerDuty have some hundred bytes.
pub const MAX_ANSWER: usize = 64 << 10;

/// Sends requests over HTTP, and mail where there is a mail server. Clones share connections.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    reach: Reach,
    mailer: Option<Mailer>,
}

impl Poster {
    /// A client that follows nothing, keeps no cookies, uses no proxy that it was not told about, and connects to nothing
    /// out of reach.
    ///
    /// # Errors
    /// When the TLS stack cannot be set up.
    pub fn new(reach: Reach) -> Result<Poster, reqwest::Error> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(reach.clone())
            .user_agent(concat!("binauthz/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Poster {
            client,
            reach,
            mailer: None,
        })
    }

    /// The same, with a mail server.
    #[must_use]
    pub fn with_mailer(mut self, mailer: Option<Mailer>) -> Poster {
        self.mailer = mailer;
        self
    }

    /// What mail is sent by.
    pub(crate) fn mailer(&self) -> Option<&Mailer> {
        self.mailer.as_ref()
    }

    /// Posts JSON as it is; what was answered, cut to [`MAX_ANSWER`], if it was a success.
    pub(crate) async fn post_json(&self, url: &str, body: String) -> Result<Vec<u8>, SendError> {
        self.send(self.json(url, body)).await
    }

    /// A POST of JSON to be dressed up.
    pub(super) fn json(&self, url: &str, body: String) -> RequestBuilder {
        self.client
            .post(url)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Sends a request; what was answered, cut to [`MAX_ANSWER`], if it was a success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, SendError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| broken(&error))?;
        // The resolver is not asked about these.
        self.reach
            .check(request.url())
            .map_err(|error| SendError::Never(error.to_string()))?;
        let exchange = async {
            let response = client.execute(request).await.map_err(|error| broken(&error))?;
            check(response.status())?;
            Ok(read(response).await)
        };
        match tokio::time::timeout(LONGEST_WAIT, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let seconds = LONGEST_WAIT.as_secs();
                Err(SendError::Later(format!(
                    "there was no answer within {seconds} s"
                )))
            }
        }
    }
}

fn broken(error: &reqwest::Error) -> SendError {
    if error.is_builder() {
        return SendError::Never("the URL cannot be used".to_owned());
    }
    if let Some(out_of_reach) = cause(error) {
        return SendError::Never(out_of_reach.to_string());
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    SendError::Later(what.to_owned())
}

/// What the resolver said, if it was that.
fn cause(error: &reqwest::Error) -> Option<OutOfReach> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
        .find_map(|error| error.downcast_ref::<OutOfReach>())
        .copied()
}

fn check(status: StatusCode) -> Result<(), SendError> {
    let why = format!("the answer was {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        300..=399 => Err(SendError::Never(format!("{why}: redirects are not followed"))),
        408 | 429 | 500..=599 => Err(SendError::Later(why)),
        _ => Err(SendError::Never(why)),
    }
}

/// The beginning of an answer. That it breaks off does not undo what its status says.
async fn read(mut response: Response) -> Vec<u8> {
    let mut answer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER - answer.len();
        answer.extend(chunk.iter().take(room));
        if chunk.len() > room {
            break;
        }
    }
    answer
}
