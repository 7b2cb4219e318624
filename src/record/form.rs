//! `application/x-www-form-urlencoded` bodies with nested names in brackets (`metadata[order_id]=1042`), as Stripe and
//! PHP read them. Pure; `shape` calls it.

use super::json::Node;
use crate::http::percent;

/// The form of an object. Null and empty objects and arrays are empty values: that is how such APIs unset something.
pub(super) fn encode(body: &Node) -> String {
    let mut out = String::new();
    if let Node::Object(members) = body {
        for (name, member) in members {
            let mut path = String::new();
            percent::encode(name, &mut path);
            put(&path, member, &mut out);
        }
    }
    out
}

fn put(path: &str, node: &Node, out: &mut String) {
    let mut nested = |step: &str, node: &Node| {
        let mut path = format!("{path}[");
        percent::encode(step, &mut path);
        path.push(']');
        put(&path, node, out);
    };
    match node {
        Node::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                nested(name, member);
            }
        }
        Node::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                nested(&place.to_string(), item);
            }
        }
        leaf => {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(path);
            out.push('=');
            percent::encode(leaf.plain().unwrap_or_default(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_names_stand_in_brackets_and_values_stay_values() {
        for (json, form) in [
            (
                r#"{"amount":1210,"currency":"nok"}"#,
                "amount=1210&currency=nok",
            ),
            (
                r#"{"metadata":{"order_id":"10&42","a]b":null},"paid":true}"#,
                "metadata[order_id]=10%2642&metadata[a%5Db]=&paid=true",
            ),
            (
                r#"{"items":[{"price":"p 1","n":2},{"price":"p=2"}],"tags":["a","b"]}"#,
                "items[0][price]=p%201&items[0][n]=2&items[1][price]=p%3D2&tags[0]=a&tags[1]=b",
            ),
            (
                r#"{"none":[],"empty":{},"é":"ø"}"#,
                "none=&empty=&%C3%A9=%C3%B8",
            ),
            ("{}", ""),
            ("[1]", ""),
        ] {
            let node = Node::parse(json.as_bytes()).expect(json);
            assert_eq!(encode(&node), form);
        }
    }
}
