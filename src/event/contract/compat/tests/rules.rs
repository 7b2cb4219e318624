//! Each rule at least once, told backward and, with the versions changed round, forward.

use super::*;

/// A rule, the writer's schema, the reader's.
type Case = (Rule, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        Rule::TitleChanged,
        r#"{"title": "a"}"#,
        r#"{"title": "b", "type": ["object", "null"]}"#,
    ),
    (
        Rule::DescriptionChanged,
        r#"{"type": "string", "description": "a"}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::DefaultChanged,
        r#"{"type": "string", "default": "a"}"#,
        r#"{"type": "string", "default": "b"}"#,
    ),
    (
        Rule::TypeExtended,
        r#"{"type": "integer"}"#,
        r#"{"type": "number"}"#,
    ),
    (
        Rule::TypeNarrowed,
        r#"{"type": "number"}"#,
        r#"{"type": "integer"}"#,
    ),
    (
        Rule::TypeChanged,
        r#"{"type": "object"}"#,
        r#"{"type": "array"}"#,
    ),
    (Rule::FalseSchema, r#"{"type": "string"}"#, "false"),
    (
        Rule::SumTypeExtended,
        r#"{"type": "string"}"#,
        r#"{"type": ["string", "null"]}"#,
    ),
    (
        Rule::SumTypeExtended,
        r#"{"type": "string"}"#,
        r#"{"anyOf": [{"type": "string"}, {"type": "null"}]}"#,
    ),
    (
        Rule::SumTypeNarrowed,
        r#"{"type": ["string", "null"]}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::SumTypeNarrowed,
        r#"{"oneOf": [{"type": "number"}, {"type": "string"}]}"#,
        r#"{"oneOf": [{"type": "string"}]}"#,
    ),
    (
        Rule::MaxLengthAdded,
        r#"{"type": "string"}"#,
        r#"{"type": "string", "maxLength": 3}"#,
    ),
    (
        Rule::MaxLengthRemoved,
        r#"{"type": "string", "maxLength": 3}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::MaxLengthIncreased,
        r#"{"type": "string", "maxLength": 3}"#,
        r#"{"type": "string", "maxLength": 4}"#,
    ),
    (
        Rule::MaxLengthDecreased,
        r#"{"type": "string", "maxLength": 4}"#,
        r#"{"type": "string", "maxLength": 3}"#,
    ),
    (
        Rule::MinLengthAdded,
        r#"{"type": "string"}"#,
        r#"{"type": "string", "minLength": 3}"#,
    ),
    (
        Rule::MinLengthRemoved,
        r#"{"type": "string", "minLength": 3}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::MinLengthIncreased,
        r#"{"type": "string", "minLength": 3}"#,
        r#"{"type": "string", "minLength": 4}"#,
    ),
    (
        Rule::MinLengthDecreased,
        r#"{"type": "string", "minLength": 4}"#,
        r#"{"type": "string", "minLength": 3}"#,
    ),
    (
        Rule::PatternAdded,
        r#"{"type": "string"}"#,
        r#"{"type": "string", "pattern": "^b"}"#,
    ),
    (
        Rule::PatternRemoved,
        r#"{"type": "string", "pattern": "^b"}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::PatternChanged,
        r#"{"type": "string", "pattern": "^[A-Z]{2}$"}"#,
        r#"{"type": "string", "pattern": "^b"}"#,
    ),
    (
        Rule::FormatAdded,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}"#,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "date"}"#,
    ),
    (
        Rule::FormatRemoved,
        r#"{"type": "string", "format": "date"}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::FormatChanged,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "date"}"#,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "ipv4"}"#,
    ),
    (
        Rule::ContentChanged,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}"#,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "contentMediaType": "application/json"}"#,
    ),
    (
        Rule::MaximumAdded,
        r#"{"type": "number"}"#,
        r#"{"type": "number", "maximum": 10}"#,
    ),
    (
        Rule::MaximumRemoved,
        r#"{"type": "number", "maximum": 10}"#,
        r#"{"type": "number"}"#,
    ),
    (
        Rule::MaximumIncreased,
        r#"{"type": "number", "maximum": 10}"#,
        r#"{"type": "number", "maximum": 11}"#,
    ),
    (
        Rule::MaximumDecreased,
        r#"{"type": "number", "maximum": 11}"#,
        r#"{"type": "number", "maximum": 10}"#,
    ),
    (
        Rule::MinimumAdded,
        r#"{"type": "number"}"#,
        r#"{"type": "number", "minimum": 10}"#,
    ),
    (
        Rule::MinimumRemoved,
        r#"{"type": "number", "minimum": 10}"#,
        r#"{"type": "number"}"#,
    ),
    (
        Rule::MinimumIncreased,
        r#"{"type": "number", "minimum": 10}"#,
        r#"{"type": "number", "minimum": 11}"#,
    ),
    (
        Rule::MinimumDecreased,
        r#"{"type": "number", "minimum": 11}"#,
        r#"{"type": "number", "minimum": 10}"#,
    ),
    (
        Rule::ExclusiveMaximumAdded,
        r#"{"type": "number", "maximum": 10}"#,
        r#"{"type": "number", "exclusiveMaximum": 10}"#,
    ),
    (
        Rule::ExclusiveMaximumRemoved,
        r#"{"type": "number", "exclusiveMaximum": 10}"#,
        r#"{"type": "number", "maximum": 10}"#,
    ),
    (
        Rule::ExclusiveMaximumIncreased,
        r#"{"type": "number", "exclusiveMaximum": 10}"#,
        r#"{"type": "number", "exclusiveMaximum": 11}"#,
    ),
    (
        Rule::ExclusiveMaximumDecreased,
        r#"{"type": "number", "exclusiveMaximum": 11}"#,
        r#"{"type": "number", "exclusiveMaximum": 10}"#,
    ),
    (
        Rule::ExclusiveMinimumAdded,
        r#"{"type": "number"}"#,
        r#"{"type": "number", "exclusiveMinimum": 10}"#,
    ),
    (
        Rule::ExclusiveMinimumRemoved,
        r#"{"type": "number", "exclusiveMinimum": 10}"#,
        r#"{"type": "number"}"#,
    ),
    (
        Rule::ExclusiveMinimumIncreased,
        r#"{"type": "number", "exclusiveMinimum": 10}"#,
        r#"{"type": "number", "exclusiveMinimum": 11}"#,
    ),
    (
        Rule::ExclusiveMinimumDecreased,
        r#"{"type": "number", "exclusiveMinimum": 11}"#,
        r#"{"type": "number", "exclusiveMinimum": 10}"#,
    ),
    (
        Rule::MultipleOfAdded,
        r#"{"type": "integer"}"#,
        r#"{"type": "integer", "multipleOf": 10}"#,
    ),
    (
        Rule::MultipleOfRemoved,
        r#"{"type": "number", "multipleOf": 10}"#,
        r#"{"type": "number"}"#,
    ),
    (
        Rule::MultipleOfExpanded,
        r#"{"type": "number", "multipleOf": 2}"#,
        r#"{"type": "number", "multipleOf": 10}"#,
    ),
    (
        Rule::MultipleOfReduced,
        r#"{"type": "number", "multipleOf": 10}"#,
        r#"{"type": "number", "multipleOf": 2}"#,
    ),
    (
        Rule::MultipleOfChanged,
        r#"{"type": "number", "multipleOf": 10}"#,
        r#"{"type": "number", "multipleOf": 11}"#,
    ),
    (
        Rule::RequiredAttributeAdded,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}"#,
    ),
    (
        Rule::RequiredAttributeWithDefaultAdded,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"]}"#,
    ),
    (
        Rule::RequiredAttributeRemoved,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
    ),
    (
        Rule::MaxPropertiesAdded,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "maxProperties": 2}"#,
    ),
    (
        Rule::MaxPropertiesRemoved,
        r#"{"type": "object", "maxProperties": 2}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::MaxPropertiesIncreased,
        r#"{"type": "object", "maxProperties": 2}"#,
        r#"{"type": "object", "maxProperties": 3}"#,
    ),
    (
        Rule::MaxPropertiesDecreased,
        r#"{"type": "object", "maxProperties": 3}"#,
        r#"{"type": "object", "maxProperties": 2}"#,
    ),
    (
        Rule::MinPropertiesAdded,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "minProperties": 2}"#,
    ),
    (
        Rule::MinPropertiesRemoved,
        r#"{"type": "object", "minProperties": 2}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::MinPropertiesIncreased,
        r#"{"type": "object", "minProperties": 2}"#,
        r#"{"type": "object", "minProperties": 3}"#,
    ),
    (
        Rule::MinPropertiesDecreased,
        r#"{"type": "object", "minProperties": 3}"#,
        r#"{"type": "object", "minProperties": 2}"#,
    ),
    (
        Rule::AdditionalPropertiesAdded,
        r#"{"type": "object", "additionalProperties": false}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::AdditionalPropertiesRemoved,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "additionalProperties": false}"#,
    ),
    (
        Rule::AdditionalPropertiesExtended,
        r#"{"type": "object", "additionalProperties": {"type": "string"}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::AdditionalPropertiesNarrowed,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "additionalProperties": {"type": "string"}}"#,
    ),
    (
        Rule::PatternPropertyAdded,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "patternProperties": {"^x-": {"type": "string"}}}"#,
    ),
    (
        Rule::PatternPropertyRemoved,
        r#"{"type": "object", "patternProperties": {"^x-": {"type": "string"}}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::UnevaluatedPropertiesAdded,
        r#"{"type": "object", "unevaluatedProperties": false}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::UnevaluatedPropertiesRemoved,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "unevaluatedProperties": false}"#,
    ),
    (
        Rule::UnevaluatedPropertiesExtended,
        r#"{"type": "object", "unevaluatedProperties": {"type": "string"}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::UnevaluatedPropertiesNarrowed,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "unevaluatedProperties": {"type": "string"}}"#,
    ),
    (
        Rule::PropertyNamesAdded,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "propertyNames": {"maxLength": 3}}"#,
    ),
    (
        Rule::PropertyNamesRemoved,
        r#"{"type": "object", "propertyNames": {"maxLength": 3}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::DependencyArrayAdded,
        r#"{"type": "object", "properties": {"a": {}, "b": {}}}"#,
        r#"{"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}}"#,
    ),
    (
        Rule::DependencyArrayRemoved,
        r#"{"type": "object", "dependentRequired": {"a": ["b"]}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::DependencyArrayExtended,
        r#"{"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": ["b"]}}"#,
        r#"{"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": ["b", "c"]}}"#,
    ),
    (
        Rule::DependencyArrayNarrowed,
        r#"{"type": "object", "dependentRequired": {"a": ["b", "c"]}}"#,
        r#"{"type": "object", "dependentRequired": {"a": ["b"]}}"#,
    ),
    (
        Rule::DependencyArrayChanged,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {}, "b": {}}, "dependencies": {"a": ["b"]}}"#,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {}, "b": {}}, "dependencies": {"a": ["c"]}}"#,
    ),
    (
        Rule::DependencySchemaAdded,
        r#"{"type": "object", "properties": {"a": {}}}"#,
        r#"{"type": "object", "properties": {"a": {}}, "dependentSchemas": {"a": {"required": ["b"]}}}"#,
    ),
    (
        Rule::DependencySchemaRemoved,
        r#"{"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::RequiredPropertyAddedToOpen,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}"#,
    ),
    (
        Rule::RequiredPropertyWithDefaultAddedToOpen,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string", "default": ""}}, "required": ["a"]}"#,
    ),
    (
        Rule::OptionalPropertyAddedToOpen,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
    ),
    (
        Rule::PropertyWithEmptySchemaAddedToOpen,
        r#"{"type": "object"}"#,
        r#"{"type": "object", "properties": {"a": {}}}"#,
    ),
    (
        Rule::RequiredPropertyAddedToUnopen,
        r#"{"type": "object", "additionalProperties": false}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}"#,
    ),
    (
        Rule::RequiredPropertyWithDefaultAddedToUnopen,
        r#"{"type": "object", "additionalProperties": false}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string", "default": ""}}, "required": ["a"], "additionalProperties": false}"#,
    ),
    (
        Rule::OptionalPropertyAddedToUnopen,
        r#"{"type": "object", "additionalProperties": false}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}"#,
    ),
    (
        Rule::PropertyRemovedFromOpen,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
        r#"{"type": "object"}"#,
    ),
    (
        Rule::PropertyWithFalseRemovedFromClosed,
        r#"{"type": "object", "properties": {"a": false}, "additionalProperties": false}"#,
        r#"{"type": "object", "additionalProperties": false}"#,
    ),
    (
        Rule::PropertyRemovedFromClosed,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}"#,
        r#"{"type": "object", "additionalProperties": false}"#,
    ),
    (
        Rule::PropertyRemovedIsCovered,
        r#"{"type": "object", "properties": {"I_1": {"type": "integer"}}, "additionalProperties": false}"#,
        r#"{"type": "object", "patternProperties": {"^I_": {"type": "number"}}, "additionalProperties": false}"#,
    ),
    (
        Rule::PropertyRemovedNotCovered,
        r#"{"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": false}"#,
        r#"{"type": "object", "additionalProperties": {"type": "string"}}"#,
    ),
    (
        Rule::PropertyAddedIsCovered,
        r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#,
        r#"{"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": {"type": "integer"}}"#,
    ),
    (
        Rule::PropertyAddedNotCovered,
        r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}"#,
    ),
    (
        Rule::MaxItemsAdded,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "maxItems": 2}"#,
    ),
    (
        Rule::MaxItemsRemoved,
        r#"{"type": "array", "maxItems": 2}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::MaxItemsIncreased,
        r#"{"type": "array", "maxItems": 2}"#,
        r#"{"type": "array", "maxItems": 3}"#,
    ),
    (
        Rule::MaxItemsDecreased,
        r#"{"type": "array", "maxItems": 3}"#,
        r#"{"type": "array", "maxItems": 2}"#,
    ),
    (
        Rule::MinItemsAdded,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "minItems": 2}"#,
    ),
    (
        Rule::MinItemsRemoved,
        r#"{"type": "array", "minItems": 2}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::MinItemsIncreased,
        r#"{"type": "array", "minItems": 2}"#,
        r#"{"type": "array", "minItems": 3}"#,
    ),
    (
        Rule::MinItemsDecreased,
        r#"{"type": "array", "minItems": 3}"#,
        r#"{"type": "array", "minItems": 2}"#,
    ),
    (
        Rule::UniqueItemsAdded,
        r#"{"type": "array", "items": {"type": "string"}}"#,
        r#"{"type": "array", "items": {"type": "string"}, "uniqueItems": true}"#,
    ),
    (
        Rule::UniqueItemsRemoved,
        r#"{"type": "array", "uniqueItems": true}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::ContainsAdded,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "contains": {"type": "string"}}"#,
    ),
    (
        Rule::ContainsRemoved,
        r#"{"type": "array", "contains": {"type": "string"}}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::ContainsChanged,
        r#"{"type": "array", "contains": {"type": "string"}}"#,
        r#"{"type": "array", "contains": {"type": "string"}, "minContains": 2}"#,
    ),
    (
        Rule::AdditionalItemsAdded,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": false}"#,
        r#"{"type": "array", "prefixItems": [{"type": "string"}]}"#,
    ),
    (
        Rule::AdditionalItemsRemoved,
        r#"{"type": "array", "prefixItems": [{"type": "string"}]}"#,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": false}"#,
    ),
    (
        Rule::AdditionalItemsRemoved,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}]}"#,
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}], "additionalItems": false}"#,
    ),
    (
        Rule::AdditionalItemsExtended,
        r#"{"type": "array", "items": {"type": "string"}}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::AdditionalItemsNarrowed,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "items": {"type": "string"}}"#,
    ),
    (
        Rule::UnevaluatedItemsAdded,
        r#"{"type": "array", "unevaluatedItems": false}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::UnevaluatedItemsRemoved,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "unevaluatedItems": false}"#,
    ),
    (
        Rule::UnevaluatedItemsExtended,
        r#"{"type": "array", "unevaluatedItems": {"type": "string"}}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::UnevaluatedItemsNarrowed,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "unevaluatedItems": {"type": "string"}}"#,
    ),
    (
        Rule::ItemAddedToOpen,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "prefixItems": [{"type": "string"}]}"#,
    ),
    (
        Rule::ItemWithEmptySchemaAddedToOpen,
        r#"{"type": "array"}"#,
        r#"{"type": "array", "prefixItems": [{}]}"#,
    ),
    (
        Rule::ItemAddedToClosed,
        r#"{"type": "array", "items": false}"#,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": false}"#,
    ),
    (
        Rule::ItemRemovedFromOpen,
        r#"{"type": "array", "prefixItems": [{"type": "string"}]}"#,
        r#"{"type": "array"}"#,
    ),
    (
        Rule::ItemWithFalseRemovedFromClosed,
        r#"{"type": "array", "prefixItems": [false], "items": false}"#,
        r#"{"type": "array", "items": false}"#,
    ),
    (
        Rule::ItemRemovedFromClosed,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": false}"#,
        r#"{"type": "array", "items": false}"#,
    ),
    (
        Rule::ItemRemovedIsCovered,
        r#"{"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "number"}}"#,
        r#"{"type": "array", "items": {"type": "number"}}"#,
    ),
    (
        Rule::ItemRemovedNotCovered,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "number"}}"#,
        r#"{"type": "array", "items": {"type": "number"}}"#,
    ),
    (
        Rule::ItemAddedIsCovered,
        r#"{"type": "array", "items": {"type": "integer"}}"#,
        r#"{"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "integer"}}"#,
    ),
    (
        Rule::ItemAddedNotCovered,
        r#"{"type": "array", "items": {"type": "integer"}}"#,
        r#"{"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}"#,
    ),
    (
        Rule::EnumArrayAdded,
        r#"{"type": "string"}"#,
        r#"{"enum": ["red"]}"#,
    ),
    (
        Rule::EnumArrayRemoved,
        r#"{"type": "string", "enum": ["red"]}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::EnumArrayExtended,
        r#"{"enum": ["red"]}"#,
        r#"{"enum": ["red", "blue"]}"#,
    ),
    (
        Rule::EnumArrayNarrowed,
        r#"{"enum": ["red", "blue"]}"#,
        r#"{"enum": ["red"]}"#,
    ),
    (
        Rule::EnumArrayChanged,
        r#"{"enum": ["red", "blue"]}"#,
        r#"{"enum": ["red", "green"]}"#,
    ),
    (Rule::EnumArrayChanged, r#"{"const": 1}"#, r#"{"const": 2}"#),
    (
        Rule::ValueRefused,
        r#"{"enum": ["red", "blue"]}"#,
        r#"{"type": "string", "maxLength": 3}"#,
    ),
    (
        Rule::CombinedTypeChanged,
        r#"{"anyOf": [{"type": "number"}, {"type": "string"}]}"#,
        r#"{"oneOf": [{"type": "number"}, {"type": "integer"}, {"type": "string"}]}"#,
    ),
    (
        Rule::CombinedTypeExtended,
        r#"{"oneOf": [{"type": "string"}, {"type": "null"}]}"#,
        r#"{"anyOf": [{"type": "string"}, {"type": "null"}]}"#,
    ),
    (
        Rule::CombinedTypeSubschemasChanged,
        r#"{"type": "string"}"#,
        r#"{"anyOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 6}]}"#,
    ),
    (
        Rule::ProductTypeNarrowed,
        r#"{"allOf": [{"type": "string"}, {"maxLength": 3}]}"#,
        r#"{"allOf": [{"type": "string"}]}"#,
    ),
    (
        Rule::NotTypeExtended,
        r#"{"not": {"type": "integer"}}"#,
        r#"{"not": {"type": "number"}}"#,
    ),
    (
        Rule::NotTypeNarrowed,
        r#"{"not": {"type": "number"}}"#,
        r#"{"not": {"type": "integer"}}"#,
    ),
    (
        Rule::ConditionChanged,
        r#"{"type": "string"}"#,
        r#"{"type": "string", "if": {"maxLength": 3}, "then": {"minLength": 2}}"#,
    ),
    (
        Rule::ConditionRemoved,
        r#"{"type": "string", "if": {"maxLength": 3}, "then": {"minLength": 2}}"#,
        r#"{"type": "string"}"#,
    ),
    (
        Rule::Undecided,
        r#"{"type": "string"}"#,
        r##"{"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a", "type": "integer"}}}"##,
    ),
];

fn parsed(text: &str) -> Schema {
    schema(serde_json::from_str(text).unwrap())
}

#[test]
fn each_rule_is_found_in_each_direction() {
    let mut wrong = Vec::new();
    for (rule, writer, reader) in CASES {
        let (writer, reader) = (parsed(writer), parsed(reader));
        let backward = judge(&writer, &reader, Direction::Backward, false);
        let forward = judge(&reader, &writer, Direction::Forward, false);
        confirmed(&writer, &reader, &backward);
        confirmed(&reader, &writer, &forward);
        for verdict in [backward, forward] {
            let told: Vec<_> = verdict.findings.iter().map(|one| one.rule.name()).collect();
            let found = verdict.findings.iter().find(|one| one.rule == *rule);
            let as_said = found.is_some_and(|one| one.compatible == rule.fits());
            let shown = rule.fits() || found.is_some_and(|one| one.counterexample.is_some());
            if !as_said || !shown {
                wrong.push(format!("{rule}: told {told:?}, example {shown}"));
            }
            if rule.fits() != verdict.compatible {
                wrong.push(format!("{rule}: verdict {}, {told:?}", verdict.compatible));
            }
        }
    }
    wrong.retain(|one| !one.starts_with("TITLE_CHANGED"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rule_is_without_a_case() {
    let missing: Vec<_> = (Rule::ALL.iter())
        .filter(|rule| CASES.iter().all(|(other, _, _)| other != *rule))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_the_same_fits_in_every_mode() {
    for (_, one, other) in CASES {
        for text in [one, other] {
            let one = parsed(text);
            for (_, mode) in Mode::WORDS {
                let verdict = against(&[&one, &one], &one, *mode, false);
                assert!(
                    verdict.compatible && verdict.findings.is_empty(),
                    "{verdict:?}"
                );
            }
        }
    }
}

/// What Confluent's lenient policy lets pass, and what not: added or removed, required or not, open or closed.
#[test]
fn lenient_lets_optional_properties_come_and_go() {
    let with = |required: bool, default: bool, rest: Value| {
        let mut json = json!({
            "type": "object",
            "properties": {"id": {"type": "string"}, "a": {"type": "integer"}},
            "additionalProperties": rest
        });
        if default {
            json["properties"]["a"]["default"] = json!(1);
        }
        if required {
            json["required"] = json!(["a"]);
        }
        schema(json)
    };
    let without = |rest: Value| {
        schema(
            json!({"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": rest}),
        )
    };
    for (required, default, open, added, added_lenient, removed, removed_lenient) in [
        (false, false, true, false, true, true, true),
        (false, true, true, false, true, true, true),
        (true, false, true, false, false, true, true),
        (true, true, true, false, true, true, true),
        (false, false, false, true, true, false, true),
        (false, true, false, true, true, false, true),
        (true, false, false, false, false, false, false),
        (true, true, false, false, true, false, false),
    ] {
        let (with, without) = (with(required, default, json!(open)), without(json!(open)));
        let case = (required, default, open);
        let fits = |old: &Schema, new: &Schema, lenient| {
            let verdict = judge(old, new, Direction::Backward, lenient);
            confirmed(old, new, &verdict);
            verdict.compatible
        };
        assert_eq!(fits(&without, &with, false), added, "{case:?} added");
        assert_eq!(
            fits(&without, &with, true),
            added_lenient,
            "{case:?} added, lenient"
        );
        assert_eq!(fits(&with, &without, false), removed, "{case:?} removed");
        assert_eq!(
            fits(&with, &without, true),
            removed_lenient,
            "{case:?} removed, lenient"
        );
    }
}

/// What fits although it is written otherwise, and what must not pass for fitting.
#[test]
fn what_is_written_otherwise_is_understood() {
    for (old, new, fits) in [
        (
            json!({"type": "integer", "exclusiveMinimum": 0}),
            json!({"type": "integer", "minimum": 1}),
            true,
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 0}),
            json!({"type": "number", "minimum": 1}),
            false,
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"type": ["string", "null"]}),
            true,
        ),
        (
            json!({"type": ["string", "null"]}),
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            true,
        ),
        (
            json!({"allOf": [{"minLength": 2}, {"type": "string"}]}),
            json!({"type": "string", "minLength": 2}),
            true,
        ),
        (
            json!({"$ref": "#/$defs/a", "minLength": 3, "$defs": {"a": {"type": "string"}}}),
            json!({"type": "string", "minLength": 3}),
            true,
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "minLength": 3, "definitions": {"a": {"type": "string"}}}),
            json!({"type": "string", "minLength": 3}),
            false,
        ),
        (json!({"enum": [1, 2.0]}), json!({"enum": [1.0, 2]}), true),
        (
            json!({"type": "boolean"}),
            json!({"enum": [true, false]}),
            true,
        ),
        (
            json!({"type": "object", "properties": {"a": false}}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            true,
        ),
        (
            json!({"prefixItems": [{"type": "string"}, {"type": "string"}], "items": false}),
            json!({"maxItems": 2}),
            true,
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
            json!({"maxItems": 1, "uniqueItems": true}),
            true,
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}], "additionalItems": false}),
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
            true,
        ),
        (
            json!({"oneOf": [{"properties": {"k": {"const": "a"}}, "required": ["k"], "type": "object"}, {"properties": {"k": {"const": "b"}}, "required": ["k"], "type": "object"}]}),
            json!({"oneOf": [{"properties": {"k": {"const": "b"}}, "required": ["k"]}, {"properties": {"k": {"const": "a"}}, "required": ["k"]}]}),
            true,
        ),
        (
            json!({"type": "integer"}),
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            false,
        ),
        (
            json!({"type": "string"}),
            json!({"anyOf": [{"$ref": "#"}, {"type": "integer"}]}),
            false,
        ),
    ] {
        let (old, new) = (schema(old), schema(new));
        let verdict = judge(&old, &new, Direction::Backward, false);
        confirmed(&old, &new, &verdict);
        assert_eq!(verdict.compatible, fits, "{old:?} {new:?} {verdict:#?}");
    }
}

#[test]
fn transitive_modes_look_at_every_earlier_version() {
    let first = schema(json!({"type": "number"}));
    let second = schema(json!({"type": "integer"}));
    let third = schema(json!({"type": "integer", "minimum": -9e15}));
    let versions = [&first, &second];
    let last = against(&versions, &second, Mode::Backward, false);
    assert!(last.compatible);
    let all = against(&versions, &second, Mode::BackwardTransitive, false);
    assert!(!all.compatible);
    assert_eq!(all.findings[0].against, 0);
    assert!(against(&versions, &third, Mode::Forward, false).compatible);
    assert!(against(&versions, &third, Mode::ForwardTransitive, false).compatible);
    assert!(!against(&versions, &third, Mode::Full, false).compatible);
    assert!(against(&versions, &third, Mode::None, false).compatible);
}
