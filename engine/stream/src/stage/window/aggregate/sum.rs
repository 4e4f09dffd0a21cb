//! Sums that do not depend on the order of rows, and that rows can leave.

use sluice_event::Value;

use crate::state::{Reader, StateError, Writer};

/// A sum that rows can leave without a trace: integers in 128 bits, floats as the exact expansion
/// of Shewchuk (Adaptive Precision Floating-Point Arithmetic, 1997), rounded once when read.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    count: i64,
    floats: i64,
    integer: i128,
    /// Non-overlapping, increasing magnitude; their exact sum is the sum of the finite floats.
    parts: Vec<f64>,
    nans: i64,
    infinite: i64,
    negative_infinite: i64,
}

impl Sum {
    pub(super) fn add(&mut self, value: &Value, sign: i64) {
        match value {
            Value::Int(v) => self.integer += i128::from(*v) * i128::from(sign),
            Value::Float(v) => {
                self.floats += sign;
                match *v {
                    v if v.is_nan() => self.nans += sign,
                    f64::INFINITY => self.infinite += sign,
                    f64::NEG_INFINITY => self.negative_infinite += sign,
                    v => self.grow(if sign < 0 { -v } else { v }),
                }
            }
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Time(_) | Value::List(_) => {
                return;
            }
        }
        self.count += sign;
    }

    pub(super) fn merge(&mut self, other: &Sum, sign: i64) {
        self.count += sign * other.count;
        self.floats += sign * other.floats;
        self.nans += sign * other.nans;
        self.infinite += sign * other.infinite;
        self.negative_infinite += sign * other.negative_infinite;
        self.integer += i128::from(sign) * other.integer;
        other.parts.iter().for_each(|p| self.grow(if sign < 0 { -p } else { *p }));
    }

    fn grow(&mut self, mut x: f64) {
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let mut y = self.parts[i];
            if x.abs() < y.abs() {
                (x, y) = (y, x);
            }
            let high = x + y;
            let low = if high.is_finite() { y - (high - x) } else { 0.0 };
            if low != 0.0 {
                self.parts[kept] = low;
                kept += 1;
            }
            x = high;
        }
        self.parts.truncate(kept);
        if x != 0.0 {
            self.parts.push(x);
        }
    }

    fn float(&self) -> f64 {
        if self.nans > 0 || (self.infinite > 0 && self.negative_infinite > 0) {
            return f64::NAN;
        } else if self.infinite > 0 {
            return f64::INFINITY;
        } else if self.negative_infinite > 0 {
            return f64::NEG_INFINITY;
        }
        let mut parts = self.parts.iter().rev().copied();
        let mut high = parts.next().unwrap_or(0.0);
        while let Some(part) = parts.next() {
            let sum = high + part;
            let low = part - (sum - high);
            high = sum;
            if low != 0.0 {
                // Half-way cases round by what is below.
                let below = parts.next().unwrap_or(0.0);
                let twice = low * 2.0;
                if below != 0.0 && (low < 0.0) == (below < 0.0) && high + twice - high == twice {
                    high += twice;
                }
                break;
            }
        }
        high
    }

    /// Integers wrap at 64 bits, as SQL's engine sums them.
    pub(super) fn total(&self) -> Value {
        match (self.count, self.floats) {
            (0, _) => Value::Null,
            (_, 0) => Value::Int(self.integer as i64),
            _ => Value::Float(self.float() + self.integer as f64),
        }
    }

    pub(super) fn mean(&self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        Value::Float((self.float() + self.integer as f64) / self.count as f64)
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        for n in [self.count, self.floats, self.nans, self.infinite, self.negative_infinite] {
            w.signed(n);
        }
        w.wide(self.integer as u128);
        w.length(self.parts.len());
        self.parts.iter().for_each(|p| w.float(*p));
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let (count, floats, nans) = (r.signed()?, r.signed()?, r.signed()?);
        let (infinite, negative_infinite) = (r.signed()?, r.signed()?);
        let integer = r.wide()? as i128;
        let parts = r.list(Reader::float)?;
        Ok(Sum { count, floats, integer, parts, nans, infinite, negative_infinite })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut s = Sum::default();
        values.iter().for_each(|v| s.add(&Value::Float(*v), 1));
        s
    }

    #[test]
    fn float_sum_does_not_depend_on_order() {
        let values = [1e100, 0.1, -1e100, 0.2, 1e-30, 3e16, 1.0, -3e16];
        let mut reversed = values;
        reversed.reverse();
        assert_eq!(sum(&values).total(), sum(&reversed).total());
        assert_eq!(sum(&[0.1; 10]).total(), Value::Float(1.0));
    }

    #[test]
    fn what_left_leaves_no_trace() {
        let mut s = sum(&[1.5, 1e300, f64::INFINITY]);
        s.add(&Value::Float(1e300), -1);
        s.add(&Value::Float(f64::INFINITY), -1);
        assert_eq!(s.total(), Value::Float(1.5));
        s.add(&Value::Float(1.5), -1);
        assert_eq!(s.total(), Value::Null);
    }

    #[test]
    fn integers_wrap_as_in_batch() {
        let mut s = Sum::default();
        s.add(&Value::Int(i64::MAX), 1);
        s.add(&Value::Int(1), 1);
        assert_eq!(s.total(), Value::Int(i64::MIN));
    }
}
