//! One entity out of exported entries, without the rest. Not a baseline that goes on.

use super::{
    StateError,
    bytes::Reader,
    entity::{read_entity, read_open_unit},
    entry::Key,
    read_header,
};
use crate::{Spec, entity::Entity, shard::DAY, unit::ClosedUnit};

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

/// The text of a value.
pub(crate) fn stored_name(
    hash: u64,
    get: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let bytes = get(&Key::Name(hash).bytes())?;
    Reader { bytes: &bytes, at: 0 }.text().ok()
}
