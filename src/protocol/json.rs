//! Reading one flat JSON object with errors that name the member.
//!
//! Memory is bounded by the size limit of the input: known members are kept, lists only up to one
//! item over [`MAX_UNIT_LEAVES`], unknown members are skipped.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::limits::{MAX_NUMBER, MAX_UNIT_LEAVES};
use super::malformed::{Malformed, excerpt};
use super::time::UnixMillis;

/// The known members of one JSON object.
pub(crate) struct Members {
    slots: Vec<(&'static str, Option<Field>)>,
}

impl Members {
    /// Reads `text`, one JSON object of at most `limit_bytes` bytes, keeping the members in
    /// `names`.
    ///
    /// # Errors
    /// [`Malformed`] for too much input, for text that is not a JSON object, and for a repeated
    /// member.
    pub(crate) fn read(text: &[u8], limit_bytes: usize, names: &[&'static str]) -> Result<Self, Malformed> {
        if text.len() > limit_bytes {
            return Err(Malformed::new(
                DOCUMENT,
                format!("at most {limit_bytes} bytes"),
                format!("{} bytes", text.len()),
            ));
        }
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            let found = match first {
                None => "nothing",
                Some(b'[') => "a list",
                Some(_) => "something else",
            };
            return Err(Malformed::new(DOCUMENT, "a JSON object", found));
        }
        let mut members = Self { slots: names.iter().map(|name| (*name, None)).collect() };
        let mut repeated = None;
        let mut reader = serde_json::Deserializer::from_slice(text);
        let outcome = ObjectSeed { slots: &mut members.slots, repeated: &mut repeated }
            .deserialize(&mut reader)
            .and_then(|()| reader.end());
        if let Some(name) = repeated {
            return Err(Malformed::new(name, "one such member", "two"));
        }
        outcome.map_err(|error| Malformed::new(DOCUMENT, "JSON text (RFC 8259)", error.to_string()))?;
        Ok(members)
    }

    /// Text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Malformed> {
        match self.required(name, "text")? {
            Field::Text(text) => Ok(text),
            other => Err(other.refused(name, "text")),
        }
    }

    /// Text that `T` can read.
    pub(crate) fn parsed<T: FromStr<Err = Malformed>>(&mut self, name: &'static str) -> Result<T, Malformed> {
        self.text(name)?.parse().map_err(|error: Malformed| error.under(name))
    }

    /// RFC 3339 text.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<UnixMillis, Malformed> {
        UnixMillis::from_rfc3339(&self.text(name)?).map_err(|error| error.under(name))
    }

    /// A whole number from 0 to `max`.
    pub(crate) fn whole(&mut self, name: &'static str, max: u64) -> Result<u64, Malformed> {
        self.required(name, "a whole number")?.whole(max, || name.to_string())
    }

    /// A number from 0 to [`MAX_NUMBER`], its fraction cut off.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<u64, Malformed> {
        let expected = "a number from 0 to 2^53 - 1";
        match self.required(name, expected)? {
            Field::Unsigned(number) if number <= MAX_NUMBER => Ok(number),
            Field::Float(number) if (0.0..=MAX_NUMBER as f64).contains(&number) => Ok(number as u64),
            other => Err(other.refused(name, expected)),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Malformed> {
        match self.required(name, "true or false")? {
            Field::Bool(flag) => Ok(flag),
            other => Err(other.refused(name, "true or false")),
        }
    }

    /// A list of whole numbers from 0 to `max`, at most [`MAX_UNIT_LEAVES`].
    pub(crate) fn wholes(&mut self, name: &'static str, max: u64) -> Result<Vec<u64>, Malformed> {
        self.list(name, "a list of whole numbers")?
            .into_iter()
            .enumerate()
            .map(|(at, item)| item.whole(max, || format!("{name}[{at}]")))
            .collect()
    }

    /// A list of texts, each read by `read`, at most [`MAX_UNIT_LEAVES`].
    pub(crate) fn texts<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.list(name, "a list of texts")?
            .into_iter()
            .enumerate()
            .map(|(at, item)| {
                match item {
                    Field::Text(text) => read(&text),
                    other => Err(Malformed::new("", "text", other.describe())),
                }
                .map_err(|error| error.under(format!("{name}[{at}]")))
            })
            .collect()
    }

    /// Acts as if an absent `name` held the text made by `text`.
    pub(crate) fn supply_text(&mut self, name: &'static str, text: impl FnOnce() -> String) {
        self.supply(name, || Field::Text(text()));
    }

    /// Acts as if an absent `name` held `number`.
    pub(crate) fn supply_whole(&mut self, name: &'static str, number: u64) {
        self.supply(name, || Field::Unsigned(number));
    }

    /// Acts as if an absent `name` held the empty list.
    pub(crate) fn supply_list(&mut self, name: &'static str) {
        self.supply(name, || Field::List { items: Vec::new(), count: 0 });
    }

    fn supply(&mut self, name: &'static str, field: impl FnOnce() -> Field) {
        if let Some((_, slot)) = self.slots.iter_mut().find(|(slot, _)| *slot == name) {
            slot.get_or_insert_with(field);
        }
    }

    fn list(&mut self, name: &'static str, expected: &'static str) -> Result<Vec<Field>, Malformed> {
        match self.required(name, expected)? {
            Field::List { items, count } if count <= MAX_UNIT_LEAVES => Ok(items),
            Field::List { count, .. } => {
                Err(Malformed::new(name, format!("a list of at most {MAX_UNIT_LEAVES}"), format!("a list of {count}")))
            }
            other => Err(other.refused(name, expected)),
        }
    }

    fn required(&mut self, name: &'static str, expected: &'static str) -> Result<Field, Malformed> {
        self.slots
            .iter_mut()
            .find(|(slot, _)| *slot == name)
            .and_then(|(_, field)| field.take())
            .ok_or_else(|| Malformed::new(name, expected, "no such member"))
    }
}

/// The value of a known member, no deeper than a list of scalars.
enum Field {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    /// `count` items, of which at most one over [`MAX_UNIT_LEAVES`] are kept.
    List {
        items: Vec<Field>,
        count: usize,
    },
    Object,
}

impl Field {
    fn whole(self, max: u64, name: impl FnOnce() -> String) -> Result<u64, Malformed> {
        match self {
            Self::Unsigned(number) if number <= max => Ok(number),
            other => Err(Malformed::new(name(), format!("a whole number from 0 to {max}"), other.describe())),
        }
    }

    fn refused(&self, name: &'static str, expected: &'static str) -> Malformed {
        Malformed::new(name, expected, self.describe())
    }

    fn describe(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(flag) => flag.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Negative(number) => number.to_string(),
            Self::Float(number) => format!("{number:e}"),
            Self::Text(text) => format!("text {}", excerpt(text)),
            Self::List { count, .. } => format!("a list of {count}"),
            Self::Object => "an object".into(),
        }
    }
}

struct ObjectSeed<'a> {
    slots: &'a mut [(&'static str, Option<Field>)],
    repeated: &'a mut Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.slots.iter_mut().find(|(name, _)| *name == key) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some((_, slot @ None)) => *slot = Some(map.next_value_seed(FieldSeed { keep_items: true })?),
                Some((name, Some(_))) => {
                    map.next_value::<IgnoredAny>()?;
                    self.repeated.get_or_insert(name);
                }
            }
        }
        Ok(())
    }
}

/// Reads any JSON value. A list or object below the list of a member is skipped, so depth never
/// costs stack or memory.
#[derive(Clone, Copy)]
struct FieldSeed {
    keep_items: bool,
}

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Field, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Field, E> {
        Ok(Field::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(u64::try_from(number).map_or(Field::Negative(number), Field::Unsigned))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field, E> {
        Ok(Field::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        let mut items = Vec::new();
        let mut count = 0;
        while self.keep_items && count <= MAX_UNIT_LEAVES {
            match seq.next_element_seed(Self { keep_items: false })? {
                Some(item) => items.push(item),
                None => return Ok(Field::List { items, count }),
            }
            count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Field::List { items, count })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Object)
    }
}

/// Names the whole message, if the fault is not in a single member.
pub(crate) const DOCUMENT: &str = "(document)";
