//! Distance on the globe.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, Float64Array},
    datatypes::{DataType, Float64Type},
};
use datafusion::{
    common::{Result, plan_err},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let signature = Signature::user_defined(Volatility::Immutable);
    vec![Arc::new(ScalarUDF::new_from_impl(GeoDistance { signature }))]
}

/// The mean radius of the earth in km (IUGG).
const RADIUS: f64 = 6_371.008_8;

/// `geo_distance_km(latitude, longitude, latitude, longitude)` in degrees: the great-circle distance.
/// NULL if an argument is NULL or no coordinate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GeoDistance {
    signature: Signature,
}

impl ScalarUDFImpl for GeoDistance {
    fn name(&self) -> &str {
        "geo_distance_km"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let number = |t: &DataType| t.is_numeric() || t.is_null();
        if types.len() != 4 || !types.iter().all(number) {
            return plan_err!(
                "geo_distance_km takes four numbers: latitude and longitude of two places"
            );
        }
        Ok(vec![DataType::Float64; 4])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays =
            args.args.iter().map(|a| a.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<&Float64Array> =
            arrays.iter().map(|a| a.as_primitive::<Float64Type>()).collect();
        let distances = (0..args.number_rows).map(|row| {
            let value = |i: usize| columns[i].is_valid(row).then(|| columns[i].value(row));
            distance((value(0)?, value(1)?), (value(2)?, value(3)?))
        });
        Ok(ColumnarValue::Array(Arc::new(distances.collect::<Float64Array>())))
    }
}

/// By the haversine formula.
fn distance(from: (f64, f64), to: (f64, f64)) -> Option<f64> {
    let valid =
        |(latitude, longitude): (f64, f64)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    if !valid(from) || !valid(to) {
        return None;
    }
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let across = from.0.to_radians().cos() * to.0.to_radians().cos();
    let h = half(from.0, to.0) + across * half(from.1, to.1);
    Some(2.0 * RADIUS * h.sqrt().min(1.0).asin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_far_apart_as_maps_say() {
        let (berlin, sydney) = ((52.52, 13.405), (-33.868, 151.209));
        let km = distance(berlin, sydney).unwrap();
        assert!((16_050.0..16_150.0).contains(&km), "{km}");
        assert_eq!(distance(berlin, berlin), Some(0.0));
        let opposite = distance((0.0, 0.0), (0.0, 180.0)).unwrap();
        assert!((opposite - std::f64::consts::PI * RADIUS).abs() < 1e-6);
        assert_eq!(distance((91.0, 0.0), berlin), None);
        assert_eq!(distance((f64::NAN, 0.0), berlin), None);
    }
}
