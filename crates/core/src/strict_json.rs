//! JSON that can be read in one way only: objects without duplicate members, at any depth.
//!
//! Signed statements are read with this: two readers that pick different ones of two equal names
//! would see two different statements under one signature.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

/// A structure written as a JSON object. Alone, a derived reader also takes an array of the members'
/// values in their order, which is a second way to write every statement.
#[derive(Debug)]
pub(crate) struct Members<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Members<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Members)
    }
}

/// Deepest nesting of a statement, its own braces included. Our statements have three levels.
pub(crate) const MAX_DEPTH: usize = 32;

/// A member of a statement that is read for its faults only: any JSON value in which no object has a
/// member twice and nothing is nested too deeply.
#[derive(Debug)]
pub(crate) struct StrictValue {
    pub(crate) is_object: bool,
}

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The braces of the statement are open around it.
        let inside = Strict { left: MAX_DEPTH - 1 };
        inside.deserialize(deserializer)
    }
}

const SCALAR: StrictValue = StrictValue { is_object: false };

/// How many levels a value may still open.
#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom(format_args!(
                "lists and objects are nested more than {MAX_DEPTH} levels deep"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = StrictValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StrictValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = StrictValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_i64<E>(self, _: i64) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_u64<E>(self, _: u64) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_f64<E>(self, _: f64) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_str<E>(self, _: &str) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_unit<E>(self) -> Result<StrictValue, E> {
        Ok(SCALAR)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictValue, A::Error> {
        let inside = self.deeper()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(SCALAR)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictValue, A::Error> {
        let inside = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
            members.next_value_seed(inside)?;
        }
        Ok(StrictValue { is_object: true })
    }
}
