//! A column of a file becomes what the table has for it: found, filled, widened, at every level of nesting.
//!
//! | inside a struct the file has | reads as |
//! |---|---|
//! | the id under another name or place | that field |
//! | the id with a narrower type | the field, widened |
//! | no such id | the field's default for older rows, else null |
//! | an id that the table no longer has | nothing |
//!
//! What a fit takes is found out once for a file ([`Fit::of`]). A batch then costs the casts, and new labels around
//! what is nested: values that are not cast are shared, not copied.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use sluice_catalog::field_id;

use super::fields::Misfit;

/// Gives the value of a field in rows that are older than it.
pub(super) type Fill<'a> = &'a dyn Fn(&Field) -> Result<ScalarValue, Misfit>;

/// How the values of a file become those of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fit {
    /// They are the same.
    Same,
    /// A wider type, or another layout of the same type.
    Cast,
    Struct(Vec<Part>),
    List(Box<Fit>),
    Map(Box<[Fit; 2]>),
}

/// Where a field of a struct comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The field at this place in the file.
    At(usize, Fit),
    /// No field of the file.
    Value(ScalarValue),
}

impl Fit {
    /// How `theirs` of a file becomes `ours` of the table, both with field ids. With `whole` every field of the file
    /// has one.
    pub(super) fn of(theirs: &Field, ours: &Field, whole: bool, fill: Fill<'_>) -> Result<Self, Misfit> {
        let (from, to) = (theirs.data_type(), ours.data_type());
        if from == to && !to.is_nested() {
            return Ok(Self::Same);
        }
        let inside = |theirs: &Field, ours: &Field| {
            Self::of(theirs, ours, whole, fill).map_err(|misfit| misfit.inside(ours.name()))
        };
        match (from, to) {
            (DataType::Struct(theirs), DataType::Struct(ours)) => {
                let parts = ours.iter().map(|our| match place(theirs, our, whole)? {
                    Some(at) => Ok(Part::At(at, inside(&theirs[at], our)?)),
                    None => fill(our).map(Part::Value).map_err(|misfit| misfit.inside(our.name())),
                });
                Ok(Self::Struct(parts.collect::<Result<_, _>>()?))
            }
            (
                DataType::List(theirs)
                | DataType::LargeList(theirs)
                | DataType::FixedSizeList(theirs, _)
                | DataType::ListView(theirs)
                | DataType::LargeListView(theirs),
                DataType::List(ours),
            ) => Ok(Self::List(Box::new(inside(theirs, ours)?))),
            (DataType::Map(theirs, _), DataType::Map(ours, _)) => {
                let (DataType::Struct(theirs), DataType::Struct(ours)) =
                    (theirs.data_type(), ours.data_type())
                else {
                    return Err(other_type(from, to));
                };
                match (theirs.as_ref(), ours.as_ref()) {
                    ([their_key, their_value], [key, value]) => {
                        Ok(Self::Map(Box::new([inside(their_key, key)?, inside(their_value, value)?])))
                    }
                    _ => Err(other_type(from, to)),
                }
            }
            _ if !from.is_nested() && !to.is_nested() && can_cast_types(from, to) => Ok(Self::Cast),
            _ => Err(other_type(from, to)),
        }
    }

    /// The values under the type `to`.
    fn apply(&self, values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        Ok(match (self, to) {
            (Self::Struct(parts), DataType::Struct(fields)) => {
                Arc::new(structure(values.as_struct(), parts, fields)?)
            }
            (Self::List(fit), DataType::List(element)) => {
                let list = as_list(values)?;
                let elements = fit.apply(list.values(), element.data_type())?;
                let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
                Arc::new(ListArray::try_new(Arc::clone(element), offsets, elements, nulls)?)
            }
            (Self::Map(fits), DataType::Map(entries, sorted)) => {
                let map = values.as_map();
                let [key, value] = fits.as_ref();
                let parts = [Part::At(0, key.clone()), Part::At(1, value.clone())];
                let fields = match entries.data_type() {
                    DataType::Struct(fields) => fields,
                    _ => &Fields::empty(),
                };
                let pairs = structure(map.entries(), &parts, fields)?;
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
            }
            (Self::Same, _) => Arc::clone(values),
            _ => cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })?,
        })
    }
}

/// Where the file has the field, if it has it. With `whole` every field of the file has an id.
pub(super) fn place(theirs: &Fields, our: &Field, whole: bool) -> Result<Option<usize>, Misfit> {
    let wanted = field_id(our);
    match theirs.iter().position(|their| wanted.is_some() && field_id(their) == wanted) {
        // It may be one of those without an id, so it must not be read as missing.
        None if whole && theirs.iter().any(|their| field_id(their).is_none()) => {
            let fact = format!("`{}` is not among the field ids, which some fields lack", our.name());
            Err(Misfit::new(fact))
        }
        found => Ok(found),
    }
}

fn structure(values: &StructArray, parts: &[Part], fields: &Fields) -> Result<StructArray> {
    let rows = values.len();
    let columns = parts.iter().zip(fields).map(|(part, field)| match part {
        Part::At(at, fit) => fit.apply(values.column(*at), field.data_type()),
        Part::Value(value) if value.is_null() => Ok(new_null_array(field.data_type(), rows)),
        Part::Value(value) => value.to_array_of_size(rows),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new_with_length(fields.clone(), columns, values.nulls().cloned(), rows)?)
}

/// Any layout of lists as the plain one.
fn as_list(values: &ArrayRef) -> Result<ListArray> {
    let element = match values.data_type() {
        DataType::List(_) => return Ok(values.as_list::<i32>().clone()),
        DataType::LargeList(element)
        | DataType::FixedSizeList(element, _)
        | DataType::ListView(element)
        | DataType::LargeListView(element) => Arc::clone(element),
        other => return Err(other_type(other, &DataType::Null).into()),
    };
    let plain = cast_with_options(
        values,
        &DataType::List(element),
        &CastOptions { safe: false, ..Default::default() },
    )?;
    Ok(plain.as_list::<i32>().clone())
}

fn other_type(from: &DataType, to: &DataType) -> Misfit {
    Misfit::new(format!("it is of type {from} there, which does not become {to}"))
}

/// A nested column of a file as the table has it.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    column: Arc<dyn PhysicalExpr>,
    fit: Arc<Fit>,
    field: FieldRef,
}

impl Fitted {
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, fit: Fit, field: FieldRef) -> Self {
        Self { column, fit: Arc::new(fit), field }
    }
}

impl PartialEq for Fitted {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.fit == other.fit && self.field == other.field
    }
}

impl Eq for Fitted {}

impl Hash for Fitted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.fit.hash(state);
        self.field.hash(state);
    }
}

impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.column, self.field.name())
    }
}

impl PhysicalExpr for Fitted {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let values = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let fitted = self.fit.apply(&values, self.field.data_type());
        let misfit = |error| Misfit::new(format!("its values do not fit: {error}")).inside(self.field.name());
        Ok(ColumnarValue::Array(fitted.map_err(misfit)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.column));
        Ok(Arc::new(Self { column, ..Self::clone(&self) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
