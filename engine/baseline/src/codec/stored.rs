//! Single entries read for who asks, without the rest. Not a baseline that goes on.

use super::{
    StateError,
    bytes::Reader,
    edited::Edit,
    entity::{read_entity, read_open_unit},
    entry::Key,
    population::read_population,
    read_header,
};
use crate::{Spec, entity::Entity, population::Population, shard::DAY, unit::ClosedUnit};

/// Days before and after the watermark in which a day unit may be open: rows may be ahead of it by the
/// lateness, and clocks by a day.
const OPEN_DAYS: std::ops::RangeInclusive<i64> = -1..=8;

/// An entity and its open units as they are now.
pub(crate) struct StoredEntity {
    pub(crate) entity: Entity,
    pub(crate) open: Vec<ClosedUnit>,
}

impl StoredEntity {
    pub(crate) fn read(
        spec: &Spec,
        name: &str,
        get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<StoredEntity>, StateError> {
        let Some(header) = get(&Key::Header.bytes()) else { return Ok(None) };
        let header = read_header(&header, spec)?;
        let Some(bytes) = get(&Key::Entity(name).bytes()) else { return Ok(None) };
        let mut entity = read_entity(&mut Reader { bytes: &bytes, at: 0 })?;
        if let Some(edit) = &header.edit {
            edit.entity(&mut entity);
        }
        let mut open = Vec::new();
        // Before the first and after the last row there is no day to look at.
        let today = header.watermark.div_euclid(DAY);
        let bounded = header.watermark > i64::MIN && header.watermark < i64::MAX;
        for day in OPEN_DAYS.filter(|_| bounded).map(|ahead| today + ahead) {
            let Some(bytes) = get(&Key::Open(day, name).bytes()) else { continue };
            let mut unit = read_open_unit(&mut Reader { bytes: &bytes, at: 0 })?;
            if let Some(edit) = &header.edit {
                edit.open_unit(&mut unit);
            }
            open.push(unit.close(&spec.features, day.saturating_mul(DAY)));
        }
        if let Some((id, unit)) = &entity.block {
            open.push(unit.close(&spec.features, *id));
        }
        Ok(Some(StoredEntity { entity, open }))
    }
}

/// The population as of the day it was published for.
pub(crate) fn stored_population(
    spec: &Spec,
    get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<Population>, StateError> {
    let Some(header) = get(&Key::Header.bytes()) else { return Ok(None) };
    let header = read_header(&header, spec)?;
    let Some(bytes) = get(&Key::Population.bytes()) else { return Ok(None) };
    let mut population = read_population(&mut Reader { bytes: &bytes, at: 0 })?;
    if let Some(edit) = &header.edit {
        edit.population(&mut population);
    }
    Ok(Some(population))
}

/// The text of a value.
pub(crate) fn stored_name(
    hash: u64,
    get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    read_text(&get(&text_key(hash))?)
}

/// The key of the entry that has the text of a value.
pub(crate) fn text_key(hash: u64) -> Vec<u8> {
    Key::Name(hash).bytes()
}

/// The text of such an entry.
pub(crate) fn read_text(bytes: &[u8]) -> Option<String> {
    Reader { bytes, at: 0 }.text().ok()
}

/// What was edited since an export, and the population of it; `None` if there is no export.
pub(crate) fn read_known(
    spec: &Spec,
    get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<(Option<Edit>, Population)>, StateError> {
    let Some(header) = get(&Key::Header.bytes()) else { return Ok(None) };
    let edit = read_header(&header, spec)?.edit;
    let mut population = match get(&Key::Population.bytes()) {
        Some(bytes) => read_population(&mut Reader { bytes: &bytes, at: 0 })?,
        None => Population::new(&spec.features),
    };
    if let Some(edit) = &edit {
        edit.population(&mut population);
    }
    let version = population.version;
    population.publish(version, &spec.features);
    Ok(Some((edit, population)))
}

/// The entity of an entry.
pub(crate) fn read_entity_entry(bytes: &[u8], edit: Option<&Edit>) -> Result<Entity, StateError> {
    let mut entity = read_entity(&mut Reader { bytes, at: 0 })?;
    if let Some(edit) = edit {
        edit.entity(&mut entity);
    }
    Ok(entity)
}

/// The key of an entity's entry.
pub(crate) fn entity_key(name: &str) -> Vec<u8> {
    Key::Entity(name).bytes()
}

/// The entity that the entry of a key is of.
pub(crate) fn entity_name(key: &[u8]) -> Option<&str> {
    match Key::read(key) {
        Ok(Key::Entity(name)) => Some(name),
        Ok(
            Key::Header
            | Key::Population
            | Key::Groups
            | Key::Changes(_)
            | Key::Name(_)
            | Key::Open(..)
            | Key::Seen(..)
            | Key::Waiting(..),
        )
        | Err(_) => None,
    }
}
