//! The token that holds private keys, where there is one.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// The longest label that a token can have.
const MAX_LABEL: usize = 32;
/// The longest label of a key: no token is known that takes less.
const MAX_KEY_LABEL: usize = 128;

/// The block `pkcs11` of the configuration file: a token, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pkcs11 {
    /// The module that speaks to it, a shared library.
    pub module: PathBuf,
    /// Its label.
    pub token_label: String,
    /// The file that holds the user's PIN, and nothing else.
    pub pin_file: PathBuf,
    /// The key in it that the master key is encrypted by, if it is to be.
    #[serde(default)]
    pub master_key_label: Option<String>,
}

impl Pkcs11 {
    /// Checks the block; the sentence says what is wrong with which member.
    pub(super) fn checked(self) -> Result<Pkcs11, String> {
        let is_label =
            (1..=MAX_LABEL).contains(&self.token_label.len()) && !self.token_label.contains(char::is_control);
        if !is_label {
            return Err(format!(
                "`pkcs11.tokenLabel` must be a text of 1 to {MAX_LABEL} bytes"
            ));
        }
        let is_key_label =
            |label: &String| (1..=MAX_KEY_LABEL).contains(&label.len()) && !label.contains(char::is_control);
        if !self.master_key_label.as_ref().is_none_or(is_key_label) {
            return Err(format!(
                "`pkcs11.masterKeyLabel` must be a text of 1 to {MAX_KEY_LABEL} bytes"
            ));
        }
        // One by its name alone would be looked for wherever the linker looks.
        if !self.module.is_absolute() {
            return Err("`pkcs11.module` must be the absolute path of a shared library".to_owned());
        }
        Ok(self)
    }
}

/// As it is written in the file; the PIN is not in it.
impl fmt::Display for Pkcs11 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (module, pin_file) = (
            self.module.display().to_string(),
            self.pin_file.display().to_string(),
        );
        let mut members =
            serde_json::json!({ "module": module, "tokenLabel": self.token_label, "pinFile": pin_file });
        if let (Some(label), Some(members)) = (&self.master_key_label, members.as_object_mut()) {
            members.insert("masterKeyLabel".to_owned(), label.as_str().into());
        }
        write!(formatter, "{members}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_where_the_token_is() {
        let block = |module: &str, label: &str| Pkcs11 {
            module: module.into(),
            token_label: label.to_owned(),
            pin_file: "pin".into(),
            master_key_label: None,
        };
        let wrapping = |label: &str| Pkcs11 {
            master_key_label: Some(label.to_owned()),
            ..block("/m.so", "binauthz")
        };
        let shown = wrapping("the key").to_string();
        assert_eq!(
            serde_json::from_str::<Pkcs11>(&shown).unwrap(),
            wrapping("the key")
        );
        assert!(wrapping("the key").checked().is_ok());
        for label in ["", "a\0b", &"a".repeat(MAX_KEY_LABEL + 1)] {
            assert!(
                wrapping(label)
                    .checked()
                    .unwrap_err()
                    .contains("pkcs11.masterKeyLabel")
            );
        }
        let good = block("/usr/lib/softhsm/libsofthsm2.so", "binauthz");
        assert_eq!(good.clone().checked(), Ok(good.clone()));
        let shown = good.to_string();
        assert_eq!(serde_json::from_str::<Pkcs11>(&shown).unwrap(), good);
        for (module, label, part) in [
            ("libsofthsm2.so", "binauthz", "pkcs11.module"),
            ("", "binauthz", "pkcs11.module"),
            ("/m.so", "", "pkcs11.tokenLabel"),
            ("/m.so", "a\nb", "pkcs11.tokenLabel"),
            ("/m.so", "012345678901234567890123456789012", "pkcs11.tokenLabel"),
        ] {
            let error = block(module, label).checked().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
