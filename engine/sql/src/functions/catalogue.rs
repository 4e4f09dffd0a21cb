//! The functions SQL texts may call, and how far the result of each can grow. What is not listed
//! does not exist: a function of a later DataFusion is let in here, with its bound, or not at all.

/// How large a result can be, in bytes, from the bytes of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Growth {
    /// A few bytes, or not much more than an argument: nothing to check.
    Bounded,
    /// All arguments one after the other, so many times.
    Sum(u64),
    /// One argument as often as another says.
    Times { value: usize, count: usize },
    /// A text of so many characters.
    Characters { count: usize },
    /// A list of so many elements, its own or a filler.
    Elements { count: usize },
    /// Texts with a separator (argument 0) between them.
    Separated,
    /// The elements of a list (argument 0) with a separator and a word for NULL between them.
    Joined,
    /// Each occurrence of a text, or each place of a pattern, becomes another text.
    Replacement { from: Option<usize>, to: usize },
    /// Not the result but the work: the bytes of argument 0 times those of argument 1.
    Work,
    /// The work: the bytes of list 0 times the elements of list 1.
    WorkOfLists,
}

use Growth::{
    Bounded, Characters, Elements, Joined, Replacement, Separated, Sum, Times, Work, WorkOfLists,
};

/// A function of DataFusion that SQL texts may call.
pub(crate) struct Allowed {
    pub(crate) name: &'static str,
    pub(crate) growth: Growth,
}

const fn allow(name: &'static str, growth: Growth) -> Allowed {
    Allowed { name, growth }
}

/// By name, in order.
pub(crate) const ALLOWED: &[Allowed] = &[
    allow("abs", Bounded),
    allow("acos", Bounded),
    allow("acosh", Bounded),
    allow("array_any_value", Bounded),
    allow("array_append", Sum(1)),
    allow("array_avg", Bounded),
    allow("array_compact", Bounded),
    allow("array_concat", Sum(1)),
    allow("array_dims", Bounded),
    allow("array_distinct", Bounded),
    allow("array_element", Bounded),
    allow("array_except", Bounded),
    allow("array_has", Bounded),
    allow("array_has_all", WorkOfLists),
    allow("array_has_any", WorkOfLists),
    allow("array_intersect", Bounded),
    allow("array_length", Bounded),
    allow("array_max", Bounded),
    allow("array_min", Bounded),
    allow("array_ndims", Bounded),
    allow("array_pop_back", Bounded),
    allow("array_pop_front", Bounded),
    allow("array_position", Bounded),
    allow("array_positions", Sum(8)),
    allow("array_prepend", Sum(1)),
    allow("array_product", Bounded),
    allow("array_remove", Bounded),
    allow("array_remove_all", Bounded),
    allow("array_remove_n", Bounded),
    allow("array_repeat", Times { value: 0, count: 1 }),
    allow("array_replace", Sum(1)),
    allow("array_replace_all", Replacement { from: None, to: 2 }),
    allow("array_replace_n", Replacement { from: None, to: 2 }),
    allow("array_resize", Elements { count: 1 }),
    allow("array_reverse", Bounded),
    allow("array_slice", Bounded),
    allow("array_sort", Bounded),
    allow("array_sum", Bounded),
    allow("array_to_string", Joined),
    allow("array_union", Sum(1)),
    allow("arrays_zip", Sum(2)),
    allow("ascii", Bounded),
    allow("asin", Bounded),
    allow("asinh", Bounded),
    allow("atan", Bounded),
    allow("atan2", Bounded),
    allow("atanh", Bounded),
    allow("bit_length", Bounded),
    allow("btrim", Bounded),
    allow("cardinality", Bounded),
    allow("cbrt", Bounded),
    allow("ceil", Bounded),
    allow("character_length", Bounded),
    allow("chr", Bounded),
    allow("coalesce", Bounded),
    allow("concat", Sum(1)),
    allow("concat_ws", Separated),
    allow("contains", Bounded),
    allow("cos", Bounded),
    allow("cosh", Bounded),
    allow("cot", Bounded),
    allow("date_bin", Bounded),
    allow("date_part", Bounded),
    allow("date_trunc", Bounded),
    allow("decode", Bounded),
    allow("degrees", Bounded),
    allow("digest", Bounded),
    allow("empty", Bounded),
    allow("encode", Sum(2)),
    allow("ends_with", Bounded),
    allow("exp", Bounded),
    allow("factorial", Bounded),
    allow("find_in_set", Bounded),
    allow("flatten", Bounded),
    allow("floor", Bounded),
    allow("from_unixtime", Bounded),
    allow("gcd", Bounded),
    allow("get_field", Bounded),
    allow("greatest", Bounded),
    allow("initcap", Bounded),
    allow("isnan", Bounded),
    allow("iszero", Bounded),
    allow("lcm", Bounded),
    allow("least", Bounded),
    allow("left", Bounded),
    allow("levenshtein", Work),
    allow("ln", Bounded),
    allow("log", Bounded),
    allow("log10", Bounded),
    allow("log2", Bounded),
    allow("lower", Bounded),
    allow("lpad", Characters { count: 1 }),
    allow("ltrim", Bounded),
    allow("make_array", Sum(1)),
    allow("make_date", Bounded),
    allow("make_time", Bounded),
    allow("map", Sum(1)),
    allow("map_entries", Sum(1)),
    allow("map_extract", Bounded),
    allow("map_keys", Bounded),
    allow("map_values", Bounded),
    allow("md5", Bounded),
    allow("named_struct", Sum(1)),
    allow("nanvl", Bounded),
    allow("nullif", Bounded),
    allow("nvl", Bounded),
    allow("nvl2", Bounded),
    allow("octet_length", Bounded),
    allow("overlay", Sum(1)),
    allow("pi", Bounded),
    allow("power", Bounded),
    allow("radians", Bounded),
    allow("regexp_count", Bounded),
    allow("regexp_instr", Bounded),
    allow("regexp_like", Bounded),
    allow("regexp_match", Sum(1)),
    allow("regexp_replace", Replacement { from: None, to: 2 }),
    allow("repeat", Times { value: 0, count: 1 }),
    allow("replace", Replacement { from: Some(1), to: 2 }),
    allow("reverse", Bounded),
    allow("right", Bounded),
    allow("round", Bounded),
    allow("rpad", Characters { count: 1 }),
    allow("rtrim", Bounded),
    allow("sha224", Bounded),
    allow("sha256", Bounded),
    allow("sha384", Bounded),
    allow("sha512", Bounded),
    allow("signum", Bounded),
    allow("sin", Bounded),
    allow("sinh", Bounded),
    allow("split_part", Bounded),
    allow("sqrt", Bounded),
    allow("starts_with", Bounded),
    allow("string_to_array", Sum(8)),
    allow("strpos", Work),
    allow("struct", Sum(1)),
    allow("substr", Bounded),
    allow("substr_index", Bounded),
    allow("tan", Bounded),
    allow("tanh", Bounded),
    allow("to_char", Sum(16)),
    allow("to_date", Bounded),
    allow("to_hex", Bounded),
    allow("to_local_time", Bounded),
    allow("to_time", Bounded),
    allow("to_timestamp", Bounded),
    allow("to_timestamp_micros", Bounded),
    allow("to_timestamp_millis", Bounded),
    allow("to_timestamp_nanos", Bounded),
    allow("to_timestamp_seconds", Bounded),
    allow("to_unixtime", Bounded),
    allow("translate", Bounded),
    allow("trunc", Bounded),
    allow("upper", Bounded),
];

/// How the result of a function grows; `None` if SQL texts may not call it.
pub(crate) fn growth(name: &str) -> Option<Growth> {
    let found = ALLOWED.binary_search_by(|allowed| allowed.name.cmp(name)).ok()?;
    ALLOWED.get(found).map(|allowed| allowed.growth)
}

#[cfg(test)]
mod tests {
    use datafusion::{execution::SessionStateDefaults, logical_expr::Volatility};

    use super::*;

    #[test]
    fn the_list_is_in_order_and_names_functions_that_exist() {
        assert!(ALLOWED.windows(2).all(|pair| pair[0].name < pair[1].name));
        let existing = SessionStateDefaults::default_scalar_functions();
        let known = |name: &str| {
            existing
                .iter()
                .any(|f| f.name() == name && f.signature().volatility == Volatility::Immutable)
        };
        let gone: Vec<_> = ALLOWED.iter().map(|a| a.name).filter(|name| !known(name)).collect();
        assert!(gone.is_empty(), "not functions: {gone:?}");
    }
}
