//! JSON that can be read in one way only: objects without duplicate members, at any depth.
//!
//! Signed statements are read with this: two readers that pick different ones of two equal names
//! would see two different statements under one signature.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
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

/// Deserialises from any JSON value without duplicate member names and keeps only whether it was an object.
#[derive(Debug)]
pub(crate) struct StrictValue {
    pub(crate) is_object: bool,
}

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

const SCALAR: StrictValue = StrictValue { is_object: false };

impl<'de> Visitor<'de> for StrictVisitor {
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
        while items.next_element::<StrictValue>()?.is_some() {}
        Ok(SCALAR)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictValue, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
            members.next_value::<StrictValue>()?;
        }
        Ok(StrictValue { is_object: true })
    }
}
