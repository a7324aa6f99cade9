//! The one HTTP client of the command line: JSON in, JSON out, Google's error form understood.

use binauthz_kubernetes::{
    Secret, Token,
    transport::{Answer, Credentials, Transport, TransportError},
};
use reqwest::{Method, Url};
use serde_json::Value;

/// Pages followed by one list: 1,000 pages of 1,000 entries, a million in all.
const PAGES_MAX: usize = 1_000;

/// Why a call brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no, in Google's error form.
    #[error("{}: {}", .0.status, .0.message)]
    Refused(Refusal),
    /// There was no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Something answered that does not speak this API.
    #[error("`{server}` answered HTTP {code} with something that is not JSON; is it a binauthz server?")]
    NotJson {
        /// The base address that was asked.
        server: String,
        /// The HTTP status.
        code: u16,
    },
    /// A list that never ends.
    #[error(
        "the list at `{path}` has more than {PAGES_MAX} pages: ask for fewer entries with --limit, or for more at a time \
         with --page-size"
    )]
    TooManyPages {
        /// The path of the list.
        path: String,
    },
}

/// A refusal as the server worded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub http: u16,
    /// The name of the google.rpc code, e.g. `NOT_FOUND`.
    pub status: String,
    /// The server's sentence.
    pub message: String,
    /// Field violations and the like, one line each.
    pub details: Vec<String>,
}

/// Which entries of a list are wanted.
pub(crate) struct Wanted<'a> {
    /// At most so many.
    pub(crate) limit: usize,
    /// How many are asked for at a time, where it matters to somebody.
    pub(crate) page_size: Option<usize>,
    /// Whether an entry is one of them.
    pub(crate) keep: &'a (dyn Fn(&Value) -> bool + Sync),
}

/// A connection to one API server.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client for `server` that trusts `authority` (PEM certificates) instead of the system's roots when given.
    pub fn new(
        server: Url,
        token: Option<Secret>,
        authority: Option<&[u8]>,
    ) -> Result<Client, reqwest::Error> {
        let credentials = Credentials {
            authority,
            token: token.map(Token::Fixed),
            identity: None,
        };
        Ok(Client {
            transport: Transport::new(server, credentials)?,
        })
    }

    /// The base address, without a trailing slash.
    pub fn server(&self) -> &str {
        self.transport.server()
    }

    /// `//host:port/v1/NAME`: the id gcloud derives for a key of this server.
    pub fn key_id(&self, version: &str) -> String {
        let base = self.server();
        let base = base.split_once("://").map_or(base, |(_, rest)| rest);
        format!("//{base}/v1/{version}")
    }

    /// GET.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, CallError> {
        self.call(Method::GET, path, query, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, query: &[(&str, &str)], body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, query, Some(body)).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    /// PATCH of the fields named by `mask`.
    pub async fn patch(&self, path: &str, mask: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PATCH, path, &[("updateMask", mask)], Some(body))
            .await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// All entries of a paged list, at most `limit` of them.
    pub async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        field: &str,
        limit: usize,
    ) -> Result<Vec<Value>, CallError> {
        let wanted = Wanted {
            limit,
            page_size: None,
            keep: &|_| true,
        };
        self.list_wanted(path, query, field, &wanted).await
    }

    /// The entries of a paged list that are wanted. Reading stops when there are as many as asked for.
    pub(crate) async fn list_wanted(
        &self,
        path: &str,
        query: &[(&str, &str)],
        field: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Value>, CallError> {
        let limit = wanted.limit;
        let page_size = wanted.page_size.unwrap_or(limit.clamp(1, 1_000)).to_string();
        let mut entries = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let mut page_query = query.to_vec();
            page_query.push(("pageSize", &page_size));
            if !token.is_empty() {
                page_query.push(("pageToken", &token));
            }
            let mut page = self.get(path, &page_query).await?;
            if let Some(Value::Array(more)) = page.get_mut(field).map(Value::take) {
                entries.extend(more.into_iter().filter(wanted.keep));
            }
            match page.get("nextPageToken").and_then(Value::as_str) {
                Some(next) if !next.is_empty() && entries.len() < limit => token = next.to_owned(),
                _ => {
                    entries.truncate(limit);
                    return Ok(entries);
                }
            }
        }
        Err(CallError::TooManyPages {
            path: path.to_owned(),
        })
    }

    /// One call: the answer's JSON, `{}` for an empty one.
    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let mut request = self.transport.request(method, path)?;
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let Answer { code, bytes, .. } = self.transport.send(request).await?;
        if (200..300).contains(&code) {
            if bytes.is_empty() {
                return Ok(Value::Object(serde_json::Map::new()));
            }
            return serde_json::from_slice(&bytes).map_err(|_| CallError::NotJson {
                server: self.server().to_owned(),
                code,
            });
        }
        let refusal = serde_json::from_slice(&bytes)
            .ok()
            .and_then(|answer| read_refusal(&answer, code));
        Err(match refusal {
            Some(refusal) => CallError::Refused(refusal),
            None => CallError::NotJson {
                server: self.server().to_owned(),
                code,
            },
        })
    }
}

/// Reads `{"error":{code,message,status,details}}`.
fn read_refusal(answer: &Value, http: u16) -> Option<Refusal> {
    let error = answer.get("error")?;
    let message = error.get("message")?.as_str()?.to_owned();
    let status = error
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("UNKNOWN")
        .to_owned();
    let details = error
        .get("details")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |details| {
            details
                .iter()
                .flat_map(detail_lines)
                .filter(|line| !message.contains(line.as_str()))
                .collect()
        });
    Some(Refusal {
        http,
        status,
        message,
        details,
    })
}

/// One line for each violation of a BadRequest or PreconditionFailure detail.
fn detail_lines(detail: &Value) -> Vec<String> {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let violations = ["fieldViolations", "violations"];
    let found = violations
        .iter()
        .filter_map(|field| detail.get(field)?.as_array())
        .flatten();
    found
        .map(|violation| {
            let subject = [text(violation, "field"), text(violation, "subject")].concat();
            match text(violation, "description") {
                description if subject.is_empty() => description,
                description => format!("{subject}: {description}"),
            }
        })
        .filter(|line| !line.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(server: &str) -> Client {
        crate::install_crypto_provider();
        Client::new(Url::parse(server).expect("a test URL"), None, None).expect("a client")
    }

    #[test]
    fn key_ids_are_the_server_address_without_the_scheme() {
        let version = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        assert_eq!(
            client("http://127.0.0.1:8787/").key_id(version),
            format!("//127.0.0.1:8787/v1/{version}")
        );
    }

    #[test]
    fn refusals_are_read_with_their_violations() {
        let answer = json!({"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT", "details": [
            {"@type": "type.googleapis.com/google.rpc.BadRequest",
             "fieldViolations": [{"field": "policy.x", "description": "unknown field"}]}]}});
        let refusal = read_refusal(&answer, 400).expect("a refusal");
        assert_eq!(refusal.details, ["policy.x: unknown field"]);
        assert_eq!(read_refusal(&json!({"oops": 1}), 500), None);
    }
}
