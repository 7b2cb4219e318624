//! What the module's tests share.

use proptest::prelude::*;

use super::json::Node;

/// Any JSON value, a few levels deep.
pub fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?(e[+-]?[0-9]{1,3})?".prop_map(Node::Number),
        "\\PC{0,8}".prop_map(Node::Text),
        "[a-z0-9.: -]{0,8}".prop_map(Node::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Node::Array),
            proptest::collection::btree_map("[a-z/~]{0,3}", inner, 0..5)
                .prop_map(|members| Node::Object(members.into_iter().collect())),
        ]
    })
}
