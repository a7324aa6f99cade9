//! The files that the master key is in: by itself, or encrypted by a key of a PKCS #11 token.
//!
//! `master.key` holds either the 32 bytes of the key, or JSON that says which key of which token opens what it holds. A
//! start opens both, whatever the settings say of the next one: what they say counts when a key is made.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_keyring::{MasterKey, Token, TokenError};
use binauthz_wire::cloudkms::ProtectionLevel;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use crate::settings::Pkcs11;

const MASTER_KEY: &str = "master.key";
/// The master key before that, while something may be sealed under it; see [`crate::master`].
const PREVIOUS_MASTER_KEY: &str = "master.previous";

type Bytes = Zeroizing<[u8; MasterKey::BYTES]>;

/// A token, and the label of the key in it that master keys are encrypted by, if they are to be.
#[derive(Debug, Clone)]
pub(crate) struct Wrapping {
    pub(crate) token: Arc<Token>,
    pub(crate) label: Option<String>,
}

/// Where the master key of a data directory is.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    folder: PathBuf,
    wrapping: Option<Wrapping>,
}

/// Why the master key is not had or not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The token. It names the token and the key, and no PIN.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is to be in the token, and the settings do not say under which key.
    #[error("`pkcs11.masterKeyLabel` is missing in the server's configuration file")]
    NoLabel,
}

/// What is in the file if a token is needed to open it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wrapped {
    token_label: String,
    key_label: String,
    wrapped: String,
}

impl Wrapping {
    /// Logs in to the token of the settings.
    pub(crate) fn open(settings: &Pkcs11) -> Result<Wrapping, KeptError> {
        let pin = files::secret_text(&settings.pin_file)?;
        let token = Token::open(&settings.module, &settings.token_label, &pin)?;
        Ok(Wrapping {
            token: Arc::new(token),
            label: settings.master_key_label.clone(),
        })
    }
}

impl Kept {
    /// In the files of a data directory.
    pub(crate) fn new(folder: &Path, wrapping: Option<Wrapping>) -> Self {
        Self {
            folder: folder.to_owned(),
            wrapping,
        }
    }

    /// What a new key is protected by if nobody says otherwise.
    pub(crate) fn level_of_new(&self) -> ProtectionLevel {
        match self.label() {
            Some(_) => ProtectionLevel::Hsm,
            None => ProtectionLevel::Software,
        }
    }

    /// What the key in the file is protected by.
    pub(crate) fn level(&self) -> Result<ProtectionLevel, KeptError> {
        let is_wrapped = self
            .read(MASTER_KEY)?
            .is_some_and(|bytes| bytes.len() != MasterKey::BYTES);
        Ok(match is_wrapped {
            true => ProtectionLevel::Hsm,
            false => ProtectionLevel::Software,
        })
    }

    /// The key that seals private keys: the one in `master.key`, or a new one written there. It also opens what the one in
    /// `master.previous` sealed, if there is such a file.
    pub(crate) fn open(&self) -> Result<MasterKey, KeptError> {
        let path = self.path(MASTER_KEY);
        let previous = self.bytes(PREVIOUS_MASTER_KEY)?;
        let bytes = match self.bytes(MASTER_KEY)? {
            Some(bytes) => bytes,
            // Whatever it sealed could not be opened: a new one would hide that.
            None if previous.is_some() => {
                let problem = "is missing, but `master.previous` is there";
                return Err(FileError::new(&path, problem).into());
            }
            None => {
                let (bytes, file) = self.make(self.level_of_new())?;
                files::write_whole(&path, &file, 0o600)?;
                bytes
            }
        };
        let key = MasterKey::new(&bytes).map_err(|error| FileError::new(&path, error))?;
        match previous {
            Some(previous) if *previous != *bytes => {
                let previous = MasterKey::new(&previous)
                    .map_err(|error| FileError::new(&self.path(PREVIOUS_MASTER_KEY), error))?;
                Ok(key.after(&previous))
            }
            _ => Ok(key),
        }
    }

    /// Says what a change of the key is still to do.
    pub(crate) fn warn_of(&self, key: &MasterKey) -> Result<(), KeptError> {
        if key.has_previous() {
            tracing::warn!(
                "a change of the master key was not finished: `binauthz keys rewrap` goes on with it"
            );
        } else if self.level()? != self.level_of_new() {
            tracing::warn!(
                "the master key is not protected as the settings have it: `binauthz keys rewrap` makes one that is"
            );
        }
        Ok(())
    }

    /// Puts a new key in the place of the present one, which stays beside it as it is and still opens.
    pub(crate) fn replace(&self, level: ProtectionLevel) -> Result<MasterKey, KeptError> {
        let path = self.path(MASTER_KEY);
        let present = self.read(MASTER_KEY)?;
        let present = present.ok_or_else(|| FileError::new(&path, "is missing"))?;
        // First: a token that does not do it leaves everything as it was.
        let (_, file) = self.make(level)?;
        // Before the new one: once that is in place, nothing else opens what is sealed.
        files::write_whole(&self.path(PREVIOUS_MASTER_KEY), &present, 0o600)?;
        files::write_whole(&path, &file, 0o600)?;
        self.open()
    }

    /// Removes the key before the present one.
    pub(crate) fn forget_previous(&self) -> Result<(), KeptError> {
        let path = self.path(PREVIOUS_MASTER_KEY);
        let remove = || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        };
        Ok(remove().map_err(|error| FileError::new(&path, error))?)
    }

    /// Something went wrong that has nothing to do with what is in the file.
    pub(super) fn failed(&self, error: impl ToString) -> FileError {
        FileError::new(&self.path(MASTER_KEY), error)
    }

    fn label(&self) -> Option<(&Arc<Token>, &str)> {
        let wrapping = self.wrapping.as_ref()?;
        Some((&wrapping.token, wrapping.label.as_deref()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        Ok(files::existing(&self.path(name))?.map(Zeroizing::new))
    }

    /// A new key, and what is to be in its file.
    fn make(&self, level: ProtectionLevel) -> Result<(Bytes, Zeroizing<Vec<u8>>), KeptError> {
        let path = self.path(MASTER_KEY);
        let bytes = MasterKey::random_bytes().map_err(|error| FileError::new(&path, error))?;
        if level == ProtectionLevel::Software {
            let file = Zeroizing::new(bytes.to_vec());
            return Ok((bytes, file));
        }
        let (token, label) = self.label().ok_or(KeptError::NoLabel)?;
        let wrapped = Wrapped {
            token_label: token.label().to_owned(),
            key_label: label.to_owned(),
            wrapped: STANDARD.encode(token.wrap(label, &bytes)?),
        };
        let file = serde_json::to_vec(&wrapped).map_err(|error| FileError::new(&path, error))?;
        Ok((bytes, Zeroizing::new(file)))
    }

    /// The key in a file, if there is one.
    fn bytes(&self, name: &str) -> Result<Option<Bytes>, KeptError> {
        let Some(file) = self.read(name)? else {
            return Ok(None);
        };
        if let Ok(bytes) = <[u8; MasterKey::BYTES]>::try_from(file.as_slice()) {
            return Ok(Some(Zeroizing::new(bytes)));
        }
        let unusable = |problem: String| FileError::new(&self.path(name), problem);
        let expected = || {
            let bytes = MasterKey::BYTES;
            unusable(format!(
                "expected {bytes} bytes, or the JSON of a key that a token opens"
            ))
        };
        let kept: Wrapped = serde_json::from_slice(&file).map_err(|_| expected())?;
        let wrapped = STANDARD.decode(&kept.wrapped).map_err(|_| expected())?;
        let (token, key) = (&kept.token_label, &kept.key_label);
        let Some(wrapping) = &self.wrapping else {
            let problem = format!(
                "the key `{key}` of the PKCS #11 token `{token}` opens it: `pkcs11` is missing in the configuration file"
            );
            return Err(unusable(problem).into());
        };
        if wrapping.token.label() != token {
            let other = wrapping.token.label();
            let problem = format!(
                "the key `{key}` of the PKCS #11 token `{token}` opens it, and `pkcs11.tokenLabel` is `{other}`"
            );
            return Err(unusable(problem).into());
        }
        Ok(Some(wrapping.token.open_wrapped(key, &wrapped)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// The states that a crash can leave behind while the master key is changed.
    #[test]
    fn a_change_of_the_master_key_opens_everything_whenever_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, at) = (folder.path(), |name: &str| folder.path().join(name));
        let kept = Kept::new(folder, None);
        let old = kept.open().unwrap();
        let sealed = old.seal_secret("n", b"hush").unwrap();
        // Begun, and the new key not written.
        fs::copy(at(MASTER_KEY), at(PREVIOUS_MASTER_KEY)).unwrap();
        let same = kept.open().unwrap();
        assert!(!same.has_previous() && same.open_secret("n", &sealed).is_ok());
        // The new key is written.
        let both = kept.replace(ProtectionLevel::Software).unwrap();
        for key in [&both, &kept.open().unwrap()] {
            assert!(key.has_previous());
            assert_eq!(*key.open_secret("n", &sealed).unwrap(), b"hush");
        }
        let again = both.reseal_secret("n", &sealed).unwrap().unwrap();
        // Done.
        kept.forget_previous().unwrap();
        kept.forget_previous().unwrap();
        let new = kept.open().unwrap();
        assert!(new.open_secret("n", &again).is_ok() && new.open_secret("n", &sealed).is_err());
        assert!(!at(PREVIOUS_MASTER_KEY).exists());
        for name in [MASTER_KEY, PREVIOUS_MASTER_KEY] {
            kept.replace(ProtectionLevel::Software).unwrap();
            let mode = fs::metadata(at(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // Without its key a data directory is not given a new one.
        fs::remove_file(at(MASTER_KEY)).unwrap();
        assert!(kept.open().is_err() && !at(MASTER_KEY).exists());
    }

    #[test]
    fn what_a_crash_left_of_a_secret_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("master.partial"), b"half").unwrap();
        Kept::new(folder.path(), None).open().unwrap();
        assert_eq!(
            fs::read(folder.path().join("master.key")).unwrap().len(),
            MasterKey::BYTES
        );
        assert!(!folder.path().join("master.partial").exists());
    }

    #[test]
    fn what_a_token_opens_is_not_opened_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), None);
        let good = r#"{"tokenLabel":"keys","keyLabel":"wrapping","wrapped":"AAAA"}"#;
        let one_more = good.replace("{", r#"{"more":1,"#);
        let no_base64 = good.replace("AAAA", "=");
        for (file, expected) in [
            (
                good,
                "the key `wrapping` of the PKCS #11 token `keys` opens it: `pkcs11` is missing",
            ),
            (one_more.as_str(), "expected 32 bytes, or the JSON"),
            (no_base64.as_str(), "expected 32 bytes, or the JSON"),
            ("", "expected 32 bytes, or the JSON"),
        ] {
            fs::write(folder.path().join(MASTER_KEY), file).unwrap();
            let error = kept.open().unwrap_err().to_string();
            assert!(
                error.contains("master.key") && error.contains(expected),
                "{error}"
            );
            assert_eq!(fs::read(folder.path().join(MASTER_KEY)).unwrap(), file.as_bytes());
        }
        // Nor is a key put in the place of one that nobody says how to protect.
        fs::write(folder.path().join(MASTER_KEY), [7; 32]).unwrap();
        assert!(matches!(
            kept.replace(ProtectionLevel::Hsm),
            Err(KeptError::NoLabel)
        ));
        assert_eq!(fs::read(folder.path().join(MASTER_KEY)).unwrap(), [7; 32]);
        assert!(!folder.path().join(PREVIOUS_MASTER_KEY).exists());
    }
}
