//! `credentials`: files that Google's client libraries, and gcloud, take for those of a service account.
//!
//! The private key is made here and goes into the file alone; the server gets the public half.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use binauthz_keyring::{KeyAlgorithm, SoftwareKey};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::tokens::segment;
use crate::{
    duration,
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What the libraries sign with: service accounts have RSA keys, and RS256 is all that their files lead to.
const ALGORITHM: KeyAlgorithm = KeyAlgorithm::RsaSignPkcs12048Sha256;

/// What to do with credentials.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a credential; its file holds a private key that is kept nowhere else
    #[command(
        after_help = "Examples:\n  binauthz --project demo credentials create ci --role=viewer --ttl=90d --output=ci.json"
    )]
    Create(CreateFlags),
    /// List the credentials
    #[command(after_help = "Examples:\n  binauthz credentials list")]
    List(ListFlags),
    /// Delete a credential; it, and every access token it was used for, stop working at once
    #[command(after_help = "Examples:\n  binauthz credentials delete ci")]
    Delete(CredentialFlag),
}

/// A credential.
#[derive(Debug, Args)]
pub struct CredentialFlag {
    /// Id: lower-case letters, digits, `-`
    id: String,
}

/// A new credential.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    credential: CredentialFlag,
    /// What it may do
    #[arg(long, value_parser = ["admin", "viewer", "member"])]
    role: String,
    /// How long it works, e.g. 24h, 90d; for ever by default
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Who uses it
    #[arg(long)]
    description: Option<String>,
    /// File that is made, for its owner only; it must not be there yet
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let made = flags.create(settings).await?;
                let id = &flags.credential.id;
                output::note(&format!(
                    "Created credential [{id}] with the role {}. Its private key is in `{}` and nowhere else.",
                    flags.role,
                    flags.output.display()
                ));
                if format.is_some() {
                    output::show_one(format, &made)?;
                }
            }
            Command::List(flags) => {
                let list = List {
                    path: "/binauthz/v1/credentials",
                    query: &[],
                    field: "credentials",
                    columns: "name.basename(),role,description,clientEmail,createTime,expireTime",
                };
                return flags.show(&list, settings).await;
            }
            Command::Delete(flag) => {
                let client = settings.client()?;
                let path = format!(
                    "/binauthz/v1/credentials/{}",
                    segment("a credential id", &flag.id)?
                );
                let answer = client.delete(&path).await?;
                output::show_done(format, &answer, &format!("Deleted credential [{}].", flag.id))?;
            }
        }
        Ok(Exit::Done)
    }
}

impl CreateFlags {
    /// The file is made first: a credential whose key could not be kept is not registered. One that the server refuses
    /// leaves no file.
    async fn create(&self, settings: &Settings) -> Result<Value, Failure> {
        let project = settings.project()?.to_owned();
        let client = settings.client()?;
        let failed = |error| Failure::usage(format_args!("the key cannot be made: {error}"));
        let key = SoftwareKey::generate(ALGORITHM)
            .map_err(|error| Failure::usage(format_args!("the key cannot be made: {error}")))?;
        let private = key.to_pem().map_err(failed)?;
        let mut body = json!({ "role": self.role, "publicKey": key.public_key_pem().map_err(failed)? });
        if let Some(ttl) = self.ttl {
            body["ttl"] = json!(duration::seconds(ttl));
        }
        if let Some(description) = &self.description {
            body["description"] = json!(description);
        }
        let file = NewFile::make(&self.output)?;
        let made = client
            .post(
                "/binauthz/v1/credentials",
                &[("credentialId", &self.credential.id)],
                &body,
            )
            .await?;
        let text = Zeroizing::new(format!("{:#}\n", contents(&made, &private, &project)));
        file.keep(text.as_bytes())?;
        Ok(made)
    }
}

/// The file as Google's libraries read one of a service account.
fn contents(made: &Value, private_key: &str, project: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": project,
        "private_key_id": made["keyId"],
        "private_key": private_key,
        "client_email": made["clientEmail"],
        "client_id": made["clientEmail"],
        "token_uri": made["tokenUri"],
        "universe_domain": "googleapis.com",
    })
}

/// A file that is removed again unless it was written whole.
struct NewFile<'a> {
    path: &'a Path,
    file: fs::File,
    is_kept: bool,
}

impl NewFile<'_> {
    fn make(path: &Path) -> Result<NewFile<'_>, Failure> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| Failure::file("make", path, &error))?;
        Ok(NewFile {
            path,
            file,
            is_kept: false,
        })
    }

    fn keep(mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut write = || -> io::Result<()> {
            self.file.write_all(bytes)?;
            self.file.sync_all()
        };
        write().map_err(|error| Failure::file("write", self.path, &error))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // What is left is empty or useless: nothing is lost if it stays.
            let _gone = fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ci.json");
        drop(NewFile::make(&path).expect("made"));
        assert!(!path.exists());
        NewFile::make(&path).expect("made").keep(b"key").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"key");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(NewFile::make(&path).is_err());
        assert_eq!(fs::read(&path).expect("there"), b"key");
    }
}
