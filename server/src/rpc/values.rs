//! Readable JSON objects for hands: `google.protobuf.Struct` on one side, JSON for the worker on the other.

use crate::worker::words::Value;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Number};
use sidewinder_edge::outcome::{Invalid, Outcome};
use sidewinder_proto::v1::Payload;

const JSON: &str = "application/json";
/// Numbers of a Struct are doubles. Whole ones within this bound mean integers.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Arguments for a worker.
pub(super) fn to_payload(arguments: Option<Struct>) -> Payload {
    let object = serde_json::Value::Object(object(arguments.unwrap_or_default()));
    Payload { data: object.to_string().into(), content_type: JSON.to_owned() }
}

/// A worker's value, if it can be shown.
pub(super) fn from_value(value: &Value) -> Result<prost_types::Value, Outcome> {
    let not_json = |problem: String| Outcome::Invalid(Invalid::NotJson { problem });
    if value.content_type != JSON {
        return Err(not_json(format!("the tool returned {}", value.content_type)));
    }
    let json = serde_json::from_slice(&value.body).map_err(|error| not_json(error.to_string()))?;
    Ok(from_json(json))
}

fn object(fields: Struct) -> Map<String, serde_json::Value> {
    fields.fields.into_iter().map(|(name, value)| (name, to_json(value))).collect()
}

fn to_json(value: prost_types::Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(truth)) => truth.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(number)) => to_number(number),
        Some(Kind::StructValue(fields)) => serde_json::Value::Object(object(fields)),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(to_json).collect(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within the bound")]
fn to_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        return (number as i64).into();
    }
    Number::from_f64(number).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

fn from_json(json: serde_json::Value) -> prost_types::Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(truth),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(from_json).collect() })
        }
        serde_json::Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, from_json(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hand_wrote_comes_back_as_it_was() {
        let text = r#"{"a":[1,2.5,-3],"b":{"c":null,"d":true},"e":"ü"}"#;
        let value = Value { content_type: JSON.into(), body: text.into() };
        let shown = from_value(&value).expect("JSON");
        let Some(Kind::StructValue(fields)) = shown.kind else { panic!("an object") };
        assert_eq!(to_payload(Some(fields)).data, text);
    }

    #[test]
    fn bytes_are_no_json() {
        let value = Value { content_type: "application/msgpack".into(), body: vec![0xc0].into() };
        assert!(from_value(&value).is_err());
    }
}
