//! What rows hold that are older than a column: its `initial-default`, else null.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use iceberg::spec::{Literal, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Type};
use sluice_catalog::{TableSnapshot, field_id};

use super::bounds::scalar;
use super::fields::Misfit;

/// Defaults for older rows by field id. A column that was widened has one for each of its types.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    known: HashMap<i32, Vec<(PrimitiveType, PrimitiveLiteral)>>,
}

impl Defaults {
    /// The defaults of all columns that the table has or had: a key of deleted rows may be a column of old.
    pub(super) fn of(table: &TableSnapshot) -> Self {
        let mut defaults = Self::default();
        for schema in table.metadata().schemas_iter() {
            defaults.collect(schema.as_struct().fields());
        }
        defaults
    }

    fn collect(&mut self, fields: &[NestedFieldRef]) {
        for field in fields {
            if let (Some(Literal::Primitive(value)), Type::Primitive(of)) =
                (&field.initial_default, field.field_type.as_ref())
            {
                self.known.entry(field.id).or_default().push((of.clone(), value.clone()));
            }
            match field.field_type.as_ref() {
                Type::Primitive(_) => {}
                Type::Struct(inner) => self.collect(inner.fields()),
                Type::List(list) => self.collect(std::slice::from_ref(&list.element_field)),
                Type::Map(map) => self.collect(&[map.key_field.clone(), map.value_field.clone()]),
            }
        }
    }

    /// The value of a field in rows that are older than it.
    pub(super) fn fill(&self, field: &Field) -> Result<ScalarValue, Misfit> {
        let Some(known) = field_id(field).and_then(|id| self.known.get(&id)) else {
            if !field.is_nullable() {
                let fact = "it is required, the file lacks it, and it has no default for older rows";
                return Err(Misfit::new(fact.to_owned()));
            }
            let null = ScalarValue::try_new_null(field.data_type());
            return null.map_err(|error| Misfit::new(error.to_string()));
        };
        let value = known.iter().find_map(|(of, value)| fitted(value, of, field.data_type()));
        value.ok_or_else(|| {
            Misfit::new(format!("its default for older rows is no value of type {}", field.data_type()))
        })
    }
}

fn fitted(value: &PrimitiveLiteral, of: &PrimitiveType, to: &DataType) -> Option<ScalarValue> {
    match (value, to) {
        (PrimitiveLiteral::UInt128(uuid), DataType::FixedSizeBinary(16)) => {
            Some(ScalarValue::FixedSizeBinary(16, Some(uuid.to_be_bytes().to_vec())))
        }
        (PrimitiveLiteral::Binary(bytes), DataType::FixedSizeBinary(width)) => {
            let fits = usize::try_from(*width).is_ok_and(|width| width == bytes.len());
            fits.then(|| ScalarValue::FixedSizeBinary(*width, Some(bytes.clone())))
        }
        _ => scalar(value, Some(of), to),
    }
}
