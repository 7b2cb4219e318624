//! What a comparison finds: rules by Confluent's names, where in both versions, in words, and with a counterexample.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Which way events travel between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The new version reads what the old one wrote.
    Backward,
    /// The old version reads what the new one writes.
    Forward,
}

/// What two or more versions have against each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Whether nothing was found that breaks.
    pub compatible: bool,
    /// What was found, what breaks first.
    pub findings: Vec<Finding>,
}

/// One difference between two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule, by Confluent's name where it has one. In the forward direction it is told from the new version to the
    /// old one, as Confluent does.
    pub rule: Rule,
    /// Who would write and who would read.
    pub direction: Direction,
    /// Index of the older version among those that were compared.
    pub against: usize,
    /// JSON Pointer into the new version.
    pub pointer: String,
    /// JSON Pointer into the old version.
    pub old_pointer: String,
    /// What the old version says there, shortened; none where it says nothing.
    pub old: Option<Value>,
    /// What the new version says there, shortened; none where it says nothing.
    pub new: Option<Value>,
    /// In words. Parts of it come from outside: make it `Visible` before it is shown.
    pub words: String,
    /// Whether it does no harm.
    pub compatible: bool,
    /// An instance that the writing version accepts and the reading version refuses, both asked.
    pub counterexample: Option<Value>,
}

macro_rules! rules {
    ($($variant:ident $name:literal $fits:literal)*) => {
        /// A kind of difference. Names are those of Confluent's Schema Registry where it has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether such a difference does no harm, unless the finding says otherwise.
            pub fn fits(self) -> bool {
                match self {
                    $(Self::$variant => $fits,)*
                }
            }
        }
    };
}

rules! {
    TitleChanged "TITLE_CHANGED" true
    DescriptionChanged "DESCRIPTION_CHANGED" true
    DefaultChanged "DEFAULT_CHANGED" true
    TypeExtended "TYPE_EXTENDED" true
    TypeNarrowed "TYPE_NARROWED" false
    TypeChanged "TYPE_CHANGED" false
    FalseSchema "FALSE_SCHEMA" false
    MaxLengthAdded "MAX_LENGTH_ADDED" false
    MaxLengthRemoved "MAX_LENGTH_REMOVED" true
    MaxLengthIncreased "MAX_LENGTH_INCREASED" true
    MaxLengthDecreased "MAX_LENGTH_DECREASED" false
    MinLengthAdded "MIN_LENGTH_ADDED" false
    MinLengthRemoved "MIN_LENGTH_REMOVED" true
    MinLengthIncreased "MIN_LENGTH_INCREASED" false
    MinLengthDecreased "MIN_LENGTH_DECREASED" true
    PatternAdded "PATTERN_ADDED" false
    PatternRemoved "PATTERN_REMOVED" true
    PatternChanged "PATTERN_CHANGED" false
    FormatAdded "FORMAT_ADDED" false
    FormatRemoved "FORMAT_REMOVED" true
    FormatChanged "FORMAT_CHANGED" false
    ContentChanged "CONTENT_CHANGED" false
    MaximumAdded "MAXIMUM_ADDED" false
    MaximumRemoved "MAXIMUM_REMOVED" true
    MaximumIncreased "MAXIMUM_INCREASED" true
    MaximumDecreased "MAXIMUM_DECREASED" false
    MinimumAdded "MINIMUM_ADDED" false
    MinimumRemoved "MINIMUM_REMOVED" true
    MinimumIncreased "MINIMUM_INCREASED" false
    MinimumDecreased "MINIMUM_DECREASED" true
    ExclusiveMaximumAdded "EXCLUSIVE_MAXIMUM_ADDED" false
    ExclusiveMaximumRemoved "EXCLUSIVE_MAXIMUM_REMOVED" true
    ExclusiveMaximumIncreased "EXCLUSIVE_MAXIMUM_INCREASED" true
    ExclusiveMaximumDecreased "EXCLUSIVE_MAXIMUM_DECREASED" false
    ExclusiveMinimumAdded "EXCLUSIVE_MINIMUM_ADDED" false
    ExclusiveMinimumRemoved "EXCLUSIVE_MINIMUM_REMOVED" true
    ExclusiveMinimumIncreased "EXCLUSIVE_MINIMUM_INCREASED" false
    ExclusiveMinimumDecreased "EXCLUSIVE_MINIMUM_DECREASED" true
    MultipleOfAdded "MULTIPLE_OF_ADDED" false
    MultipleOfRemoved "MULTIPLE_OF_REMOVED" true
    MultipleOfExpanded "MULTIPLE_OF_EXPANDED" false
    MultipleOfReduced "MULTIPLE_OF_REDUCED" true
    MultipleOfChanged "MULTIPLE_OF_CHANGED" false
    RequiredAttributeAdded "REQUIRED_ATTRIBUTE_ADDED" false
    RequiredAttributeWithDefaultAdded "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED" false
    RequiredAttributeRemoved "REQUIRED_ATTRIBUTE_REMOVED" true
    MaxPropertiesAdded "MAX_PROPERTIES_ADDED" false
    MaxPropertiesRemoved "MAX_PROPERTIES_REMOVED" true
    MaxPropertiesIncreased "MAX_PROPERTIES_INCREASED" true
    MaxPropertiesDecreased "MAX_PROPERTIES_DECREASED" false
    MinPropertiesAdded "MIN_PROPERTIES_ADDED" false
    MinPropertiesRemoved "MIN_PROPERTIES_REMOVED" true
    MinPropertiesIncreased "MIN_PROPERTIES_INCREASED" false
    MinPropertiesDecreased "MIN_PROPERTIES_DECREASED" true
    AdditionalPropertiesAdded "ADDITIONAL_PROPERTIES_ADDED" true
    AdditionalPropertiesRemoved "ADDITIONAL_PROPERTIES_REMOVED" false
    AdditionalPropertiesExtended "ADDITIONAL_PROPERTIES_EXTENDED" true
    AdditionalPropertiesNarrowed "ADDITIONAL_PROPERTIES_NARROWED" false
    PatternPropertyAdded "PATTERN_PROPERTY_ADDED" false
    PatternPropertyRemoved "PATTERN_PROPERTY_REMOVED" true
    UnevaluatedPropertiesAdded "UNEVALUATED_PROPERTIES_ADDED" true
    UnevaluatedPropertiesRemoved "UNEVALUATED_PROPERTIES_REMOVED" false
    UnevaluatedPropertiesExtended "UNEVALUATED_PROPERTIES_EXTENDED" true
    UnevaluatedPropertiesNarrowed "UNEVALUATED_PROPERTIES_NARROWED" false
    PropertyNamesAdded "PROPERTY_NAMES_ADDED" false
    PropertyNamesRemoved "PROPERTY_NAMES_REMOVED" true
    DependencyArrayAdded "DEPENDENCY_ARRAY_ADDED" false
    DependencyArrayRemoved "DEPENDENCY_ARRAY_REMOVED" true
    DependencyArrayExtended "DEPENDENCY_ARRAY_EXTENDED" false
    DependencyArrayNarrowed "DEPENDENCY_ARRAY_NARROWED" true
    DependencyArrayChanged "DEPENDENCY_ARRAY_CHANGED" false
    DependencySchemaAdded "DEPENDENCY_SCHEMA_ADDED" false
    DependencySchemaRemoved "DEPENDENCY_SCHEMA_REMOVED" true
    RequiredPropertyAddedToOpen "REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" false
    RequiredPropertyWithDefaultAddedToOpen "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL" false
    OptionalPropertyAddedToOpen "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" false
    PropertyWithEmptySchemaAddedToOpen "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL" true
    RequiredPropertyAddedToUnopen "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" false
    RequiredPropertyWithDefaultAddedToUnopen "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL" false
    OptionalPropertyAddedToUnopen "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" true
    PropertyRemovedFromOpen "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL" true
    PropertyWithFalseRemovedFromClosed "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL" true
    PropertyRemovedFromClosed "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" false
    PropertyRemovedIsCovered "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" true
    PropertyRemovedNotCovered "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" false
    PropertyAddedIsCovered "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" true
    PropertyAddedNotCovered "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" false
    MaxItemsAdded "MAX_ITEMS_ADDED" false
    MaxItemsRemoved "MAX_ITEMS_REMOVED" true
    MaxItemsIncreased "MAX_ITEMS_INCREASED" true
    MaxItemsDecreased "MAX_ITEMS_DECREASED" false
    MinItemsAdded "MIN_ITEMS_ADDED" false
    MinItemsRemoved "MIN_ITEMS_REMOVED" true
    MinItemsIncreased "MIN_ITEMS_INCREASED" false
    MinItemsDecreased "MIN_ITEMS_DECREASED" true
    UniqueItemsAdded "UNIQUE_ITEMS_ADDED" false
    UniqueItemsRemoved "UNIQUE_ITEMS_REMOVED" true
    ContainsAdded "CONTAINS_ADDED" false
    ContainsRemoved "CONTAINS_REMOVED" true
    ContainsChanged "CONTAINS_CHANGED" false
    AdditionalItemsAdded "ADDITIONAL_ITEMS_ADDED" true
    AdditionalItemsRemoved "ADDITIONAL_ITEMS_REMOVED" false
    AdditionalItemsExtended "ADDITIONAL_ITEMS_EXTENDED" true
    AdditionalItemsNarrowed "ADDITIONAL_ITEMS_NARROWED" false
    UnevaluatedItemsAdded "UNEVALUATED_ITEMS_ADDED" true
    UnevaluatedItemsRemoved "UNEVALUATED_ITEMS_REMOVED" false
    UnevaluatedItemsExtended "UNEVALUATED_ITEMS_EXTENDED" true
    UnevaluatedItemsNarrowed "UNEVALUATED_ITEMS_NARROWED" false
    ItemAddedToOpen "ITEM_ADDED_TO_OPEN_CONTENT_MODEL" false
    ItemWithEmptySchemaAddedToOpen "ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL" true
    ItemAddedToClosed "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL" true
    ItemRemovedFromOpen "ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL" true
    ItemWithFalseRemovedFromClosed "ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL" true
    ItemRemovedFromClosed "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL" false
    ItemRemovedIsCovered "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" true
    ItemRemovedNotCovered "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" false
    ItemAddedIsCovered "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" true
    ItemAddedNotCovered "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" false
    EnumArrayAdded "ENUM_ARRAY_ADDED" false
    EnumArrayRemoved "ENUM_ARRAY_REMOVED" true
    EnumArrayExtended "ENUM_ARRAY_EXTENDED" true
    EnumArrayNarrowed "ENUM_ARRAY_NARROWED" false
    EnumArrayChanged "ENUM_ARRAY_CHANGED" false
    ValueRefused "VALUE_REFUSED" false
    CombinedTypeChanged "COMBINED_TYPE_CHANGED" false
    CombinedTypeExtended "COMBINED_TYPE_EXTENDED" true
    CombinedTypeSubschemasChanged "COMBINED_TYPE_SUBSCHEMAS_CHANGED" false
    ProductTypeNarrowed "PRODUCT_TYPE_NARROWED" true
    SumTypeExtended "SUM_TYPE_EXTENDED" true
    SumTypeNarrowed "SUM_TYPE_NARROWED" false
    NotTypeExtended "NOT_TYPE_EXTENDED" false
    NotTypeNarrowed "NOT_TYPE_NARROWED" true
    ConditionChanged "CONDITION_CHANGED" false
    ConditionRemoved "CONDITION_REMOVED" true
    Undecided "UNDECIDED" false
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The longest value that is shown as it is, in bytes of JSON.
const LONGEST: usize = 400;

/// A value as it is shown: itself, or its beginning as a text.
pub(super) fn shown(value: &Value) -> Value {
    /// Counts without keeping, and stops early: values may be huge.
    struct Short(Vec<u8>);
    impl std::io::Write for Short {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0.len() > LONGEST {
                return Err(std::io::Error::other("long enough"));
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut short = Short(Vec::new());
    if serde_json::to_writer(&mut short, value).is_ok() {
        return value.clone();
    }
    let text = String::from_utf8_lossy(&short.0);
    let head: String = text.chars().take(120).collect();
    Value::String(format!("{head}…"))
}
