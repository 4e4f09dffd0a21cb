//! Names that one JSON object has twice: readers differ in which of the two values they take, so that
//! two of them may see two records. Not the decoding, in which the last value wins.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The first name that an object of a JSON text has twice, if any. A text that is no JSON has none.
pub fn name_given_twice(text: &[u8]) -> Option<String> {
    let mut twice = None;
    let mut json = serde_json::Deserializer::from_slice(text);
    // An error ends the walk, ours as well.
    match (Walk { twice: &mut twice }).deserialize(&mut json) {
        Ok(()) | Err(_) => twice,
    }
}

/// One value, whatever it is.
struct Walk<'t> {
    twice: &'t mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk { twice: self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if names.contains(&name) {
                *self.twice = Some(name);
                return Err(A::Error::custom("a name is given twice"));
            }
            names.insert(name);
            fields.next_value_seed(Walk { twice: self.twice })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::name_given_twice;

    #[test]
    fn at_any_depth_and_in_any_spelling() {
        for (text, expected) in [
            (r#"{"a":1,"b":{"a":1}}"#, None),
            (r#"{"a":1,"a":1}"#, Some("a")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"{"x":[{"b":1},{"c":{"d":1,"d":2}}]}"#, Some("d")),
            ("no JSON", None),
        ] {
            assert_eq!(name_given_twice(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
