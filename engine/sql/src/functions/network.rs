//! Tests of IP addresses as text: `cidr_match`, `is_private`. Text that is no address gives NULL.

use std::{net::IpAddr, sync::Arc};

use arrow::{
    array::BooleanArray,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, internal_err, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};

use super::{literals, literals_only, over_text, text_then_literals};
use crate::{
    error::SqlProblem,
    networks::{Network, PRIVATE, address},
};

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [AddressTest::Cidr, AddressTest::Private]
        .into_iter()
        .map(|test| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(AddressFunction { test, signature }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AddressTest {
    Cidr,
    Private,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AddressFunction {
    test: AddressTest,
    signature: Signature,
}

impl ScalarUDFImpl for AddressFunction {
    fn name(&self) -> &str {
        match self.test {
            AddressTest::Cidr => "cidr_match",
            AddressTest::Private => "is_private",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match self.test {
            AddressTest::Cidr => text_then_literals(self.name(), 2, types),
            AddressTest::Private if types.len() != 1 => plan_err!("is_private takes one argument"),
            AddressTest::Private => text_then_literals(self.name(), 1, types),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        literals_only(self.name(), &args)?;
        for value in args.scalar_arguments.iter().skip(1).flatten() {
            if let Some(Some(text)) = value.try_as_str() {
                Network::parse(text).map_err(|_| no_network(text))?;
            }
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let networks = match self.test {
            AddressTest::Cidr => literals(self.name(), &args.args)?
                .iter()
                .map(|n| Network::parse(n))
                .collect::<Result<Vec<_>>>()?,
            AddressTest::Private => {
                PRIVATE.iter().map(|n| Network::parse(n)).collect::<Result<Vec<_>>>()?
            }
        };
        let array = args.args[0].to_array(args.number_rows)?;
        let result = over_text(&array, |values| {
            let test = |text: &str| {
                let address = address(text)?;
                Some(networks.iter().any(|n| n.contains(address)))
            };
            Ok(Arc::new(values.iter().map(|v| v.and_then(test)).collect::<BooleanArray>()))
        })?;
        Ok(ColumnarValue::Array(result))
    }
}

/// What is wrong with a literal, for the author.
fn no_network(text: &str) -> SqlProblem {
    let problem = SqlProblem::new("R034", format!("'{text}' is no network"));
    let bits = text.split_once('/').and_then(|(ip, bits)| {
        let ip: IpAddr = ip.parse().ok()?;
        Some((ip, bits.parse::<u32>().ok()?))
    });
    match bits {
        Some((ip, _)) => {
            let width = if ip.is_ipv4() { 32 } else { 128 };
            problem
                .detail(format!("this address has {width} bits"))
                .hint(format!("cidr_match(src_ip, '{ip}/{width}')"))
        }
        None => problem
            .detail("it is an address and the number of its bits that count")
            .hint("cidr_match(src_ip, '10.0.0.0/8', 'fc00::/7')"),
    }
}
