//! The part of JSON Schema 2020-12 that extensions describe themselves in.
//!
//! A facilitator must check a listing against the schema that comes with it, and both come from a
//! stranger. So this knows the keywords that shape such a document, walks no deeper than
//! [`MAX_DEPTH`], takes [`MAX_STEPS`] steps at most, and follows no reference: a schema with one is
//! refused, as is one whose known keywords have no sense. Other keywords say nothing here.

use serde_json::Value;

/// How deep a document and its schema may be nested.
pub(crate) const MAX_DEPTH: usize = 24;
/// How many comparisons one check may take.
const MAX_STEPS: usize = 20_000;

/// Whether a value has the form that a schema asks for.
///
/// # Errors
/// Where it does not, or what the schema has that is not followed.
pub(crate) fn conforms(value: &Value, schema: &Value) -> Result<(), String> {
    let mut check = Check { steps: MAX_STEPS };
    check.value(value, schema, "info", 0)
}

struct Check {
    steps: usize,
}

impl Check {
    fn step(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH}"));
        }
        self.steps = self.steps.checked_sub(1).ok_or("it is too much to check")?;
        Ok(())
    }

    fn value(
        &mut self,
        value: &Value,
        schema: &Value,
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        self.step(depth)?;
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Object(schema) => schema,
            _ => return Err(format!("the schema of {at} is none")),
        };
        for reference in ["$ref", "$dynamicRef", "$id"] {
            if schema.contains_key(reference) {
                return Err(format!("the schema of {at} has `{reference}`, which is not followed"));
            }
        }
        if let Some(kinds) = schema.get("type") {
            let one = std::slice::from_ref(kinds);
            let kinds = kinds.as_array().map_or(one, Vec::as_slice);
            if !kinds.iter().any(|kind| is(value, kind.as_str().unwrap_or_default())) {
                return Err(format!("{at} is not of its type"));
            }
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return Err(format!("{at} is not the one value that it may be"));
        }
        if let Some(values) = schema.get("enum") {
            let values = values.as_array().ok_or_else(|| format!("the enum of {at} is no list"))?;
            if !values.contains(value) {
                return Err(format!("{at} is none of the values that it may be"));
            }
        }
        match value {
            Value::Object(members) => {
                let asked = schema.get("required").and_then(Value::as_array);
                for name in asked.into_iter().flatten().filter_map(Value::as_str) {
                    self.step(depth)?;
                    if !members.contains_key(name) {
                        return Err(format!("{at} has no `{}`", short(name)));
                    }
                }
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, member) in members {
                    let at = format!("{at}.{}", short(name));
                    match known.and_then(|known| known.get(name)) {
                        Some(schema) => self.value(member, schema, &at, depth + 1)?,
                        None => match schema.get("additionalProperties") {
                            None => self.step(depth)?,
                            Some(Value::Bool(false)) => {
                                return Err(format!("{at} is not expected"));
                            }
                            Some(schema) => self.value(member, schema, &at, depth + 1)?,
                        },
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for item in items {
                        self.value(item, schema, at, depth + 1)?;
                    }
                }
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                let bound = |name| schema.get(name).and_then(Value::as_u64);
                if bound("minLength").is_some_and(|least| length < least)
                    || bound("maxLength").is_some_and(|most| length > most)
                {
                    return Err(format!("{at} is not of its length"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "input": {
                    "type": "object",
                    "properties": {
                        "type": { "const": "http" },
                        "method": { "enum": ["POST"] },
                        "tags": { "type": "array", "items": { "type": "string", "maxLength": 3 } },
                    },
                    "required": ["type"],
                    "additionalProperties": false,
                },
            },
            "required": ["input"],
        });
        let good =
            json!({ "input": { "type": "http", "method": "POST", "tags": ["a"] }, "more": 1 });
        assert_eq!(conforms(&good, &schema), Ok(()));
        for (bad, why) in [
            (json!([]), "info is not of its type"),
            (json!({}), "info has no `input`"),
            (json!({ "input": {} }), "info.input has no `type`"),
            (
                json!({ "input": { "type": "mcp" } }),
                "info.input.type is not the one value that it may be",
            ),
            (
                json!({ "input": { "type": "http", "method": "GET" } }),
                "info.input.method is none of the values that it may be",
            ),
            (json!({ "input": { "type": "http", "x": 1 } }), "info.input.x is not expected"),
            (
                json!({ "input": { "type": "http", "tags": ["long"] } }),
                "info.input.tags is not of its length",
            ),
        ] {
            assert_eq!(conforms(&bad, &schema), Err(why.to_string()));
        }
    }

    #[test]
    fn a_hostile_schema_ends() {
        let mut deep = json!({});
        let mut value = json!(1);
        for _ in 0..100 {
            deep = json!({ "properties": { "a": deep } });
            value = json!({ "a": value });
        }
        assert!(conforms(&value, &deep).unwrap_err().contains("deeper"));
        let many: Vec<u8> = vec![0; 30_000];
        let wide = json!({ "items": {} });
        assert!(conforms(&json!(many), &wide).unwrap_err().contains("too much"));
        for bad in [json!({ "$ref": "#" }), json!("x"), json!({ "enum": 1 })] {
            assert!(conforms(&json!({}), &bad).is_err());
        }
    }
}
