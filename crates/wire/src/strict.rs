//! Kubernetes objects read in one pass without copying: only the fields we need are kept, but a key that occurs twice
//! is an error wherever it stands, also inside fields that are skipped.
//!
//! Names are case-exact, as in the API server. Nesting is bounded by serde_json's own limit of 128.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// Text that points into the body where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The keys of one object so far. Most objects have few keys without escapes, and those cost no allocation.
#[derive(Default)]
pub(crate) struct Keys<'a> {
    few: [&'a str; 12],
    count: usize,
    more: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Keys<'a> {
    /// Notes a key; an error if it was there before.
    pub(crate) fn insert<E: de::Error>(&mut self, key: Cow<'a, str>) -> Result<(), E> {
        let known = self.few.iter().take(self.count).any(|known| *known == key)
            || self.more.as_ref().is_some_and(|more| more.contains(&key));
        if known {
            return Err(E::custom(format_args!(
                "the key `{}` appears twice",
                key.escape_debug()
            )));
        }
        if let (Cow::Borrowed(text), Some(free)) = (&key, self.few.get_mut(self.count)) {
            *free = text;
            self.count += 1;
        } else {
            self.more.get_or_insert_default().insert(key);
        }
        Ok(())
    }
}

/// Any value that is not kept: walked through to its last key all the same.
pub(crate) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Skipped, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Skipped;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_unit<E>(self) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Skipped, A::Error> {
                while sequence.next_element::<Skipped>()?.is_some() {}
                Ok(Skipped)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
                let mut keys = Keys::default();
                while let Some(Text(key)) = map.next_key()? {
                    keys.insert(key)?;
                    map.next_value::<Skipped>()?;
                }
                Ok(Skipped)
            }
        }
        deserializer.deserialize_any(Walk)
    }
}

/// A list that is given up while it is read once it is longer than anything real: a body full of `{}` must not become
/// a hundred times as much memory.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// Containers or volumes of one Pod, groups of one user: an object may have 1.5 MiB, real ones stay far below this.
const LONGEST_LIST: usize = 4_096;

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Collect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Collect<T> {
            type Value = List<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<List<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    if items.len() >= LONGEST_LIST {
                        return Err(de::Error::custom(format_args!(
                            "a list has more than {LONGEST_LIST} items"
                        )));
                    }
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(Collect(PhantomData))
    }
}

/// Labels or annotations of one object; Kubernetes allows 256 KiB of annotations in all.
const MOST_PAIRS: usize = 10_000;

/// A map from text to text: labels, annotations. `null` as a value is the empty text, as in Go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs<'a>(pub(crate) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Pairs<'_> {
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_ref())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut keys = Keys::default();
                let mut pairs = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    keys.insert(key.clone())?;
                    let value: Option<Text<'de>> = map.next_value()?;
                    if pairs.len() >= MOST_PAIRS {
                        return Err(de::Error::custom(format_args!(
                            "an object has more than {MOST_PAIRS} members"
                        )));
                    }
                    pairs.push((key, value.unwrap_or_default().0));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Declares a struct of optional fields and how it is read: by exact name, each name once, the rest skipped.
/// `null` is "absent", as in Go.
macro_rules! strict_struct {
    (
        $(#[$doc:meta])*
        struct $name:ident<'a> { $( $(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal, )+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<'a> {
            $( $(#[$field_doc])* pub(crate) $field: Option<$type>, )+
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name<'a>, D::Error> {
                struct Fields<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Fields<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_map<A>(self, mut map: A) -> Result<$name<'a>, A::Error>
                    where
                        A: serde::de::MapAccess<'de>,
                    {
                        let mut fields = $name::default();
                        let mut keys = $crate::strict::Keys::default();
                        while let Some($crate::strict::Text(key)) = map.next_key()? {
                            keys.insert(key.clone())?;
                            match key.as_ref() {
                                $( $key => fields.$field = map.next_value()?, )+
                                _ => {
                                    map.next_value::<$crate::strict::Skipped>()?;
                                }
                            }
                        }
                        Ok(fields)
                    }
                }
                deserializer.deserialize_map(Fields(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use strict_struct;

/// Reads one document of type `T` from a body; nothing may follow it.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not valid UTF-8 (byte {})", error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}
