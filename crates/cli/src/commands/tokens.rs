//! `tokens`: who may call the API.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    duration,
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is printed once and kept nowhere
    #[command(
        after_help = "Examples:\n  binauthz tokens create ci --role=admin --ttl=90d --description='build pipeline' > ci.token\n  \
            binauthz tokens create jane --role=member --principal=user:jane@example.com > jane.token\n  \
            binauthz tokens create signer --role=admin --projects=demo --permissions=cloudkms.cryptoKeyVersions.useToSign > signer.token"
    )]
    Create(CreateFlags),
    /// List the tokens (not their secrets)
    #[command(after_help = "Examples:\n  binauthz tokens list")]
    List(ListFlags),
    /// Revoke a token; it stops working at once
    #[command(after_help = "Examples:\n  binauthz tokens revoke ci")]
    Revoke(TokenFlag),
}

/// A token.
#[derive(Debug, Args)]
pub struct TokenFlag {
    /// Id: lower-case letters, digits, `-`
    id: String,
}

/// A new token.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    token: TokenFlag,
    /// What it may do by itself; `member` may what IAM policies give it
    #[arg(long, value_parser = ["admin", "viewer", "member"])]
    role: String,
    /// How long it works, e.g. 24h, 90d; for ever by default
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Who uses it
    #[arg(long)]
    description: Option<String>,
    /// Whom it stands for, `user:NAME@HOST` or `serviceAccount:NAME@HOST`; `token:ID` by default
    #[arg(long, value_name = "MEMBER")]
    principal: Option<String>,
    /// The only projects it is good for
    #[arg(long, value_name = "PROJECT", value_delimiter = ',')]
    projects: Vec<String>,
    /// The only permissions it is good for, e.g. `cloudkms.cryptoKeyVersions.useToSign`, `binaryauthorization.*`
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',')]
    permissions: Vec<String>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let mut body = json!({"role": flags.role});
                if let Some(ttl) = flags.ttl {
                    body["ttl"] = json!(duration::seconds(ttl));
                }
                if let Some(description) = &flags.description {
                    body["description"] = json!(description);
                }
                if let Some(principal) = &flags.principal {
                    body["principal"] = json!(principal);
                }
                for (name, list) in [("projects", &flags.projects), ("permissions", &flags.permissions)] {
                    if !list.is_empty() {
                        body[name] = json!(list);
                    }
                }
                let id = &flags.token.id;
                let created = client
                    .post("/binauthz/v1/tokens", &[("tokenId", id)], &body)
                    .await?;
                let secret = created
                    .get("token")
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned();
                output::note(&format!(
                    "Created token [{id}] with the role {}. It is not shown again.",
                    flags.role
                ));
                match format {
                    Some(_) => output::show_one(format, &created)?,
                    // Alone on standard output, so that `> ci.token` makes a token file.
                    None => output::print(&format!("{}\n", output::plain(&secret)))?,
                }
            }
            Command::List(flags) => {
                let list = List {
                    path: "/binauthz/v1/tokens",
                    query: &[],
                    field: "tokens",
                    columns: "name.basename(),principal,role,description,createTime,expireTime,revokeTime",
                };
                return flags.show(&list, settings).await;
            }
            Command::Revoke(flag) => {
                let answer = client
                    .delete(&format!(
                        "/binauthz/v1/tokens/{}",
                        segment("a token id", &flag.id)?
                    ))
                    .await?;
                output::show_done(format, &answer, &format!("Revoked token [{}].", flag.id))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// An id that is one segment of a path, whatever was typed.
pub(super) fn segment<'a>(what: &str, text: &'a str) -> Result<&'a str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('.') {
        return Ok(text);
    }
    Err(Failure::usage(format_args!(
        "`{text}` is not {what}: expected lower-case letters, digits or `-`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        assert!(segment("an id", "ci-1").is_ok());
        for wrong in ["", "..", "a/b", "a?b", "a b", "a%2fb"] {
            assert!(segment("an id", wrong).is_err(), "{wrong}");
        }
    }
}
