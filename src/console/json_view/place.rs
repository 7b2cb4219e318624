//! Marks places of a JSON document by their pointers (RFC 6901), so that a view can show where something is wrong.

use super::token::{Node, Shape};
use super::{Format, Tree};

impl Tree {
    /// Marks the values that the pointers name; of a place that is not there, the nearest that is. Marks made before go.
    pub fn mark<'p>(&mut self, pointers: impl IntoIterator<Item = &'p str>) {
        self.marked.clear();
        if self.format == Format::Json && !self.nodes.is_empty() {
            let places = pointers.into_iter().map(|pointer| self.place(pointer));
            self.marked = places.map(|place| place as u32).collect();
        }
    }

    /// The row of the first marked value that is shown.
    pub fn first_marked(&self) -> Option<usize> {
        let rows = self.rows(0..self.len());
        rows.iter().position(|row| row.marked)
    }

    /// The node that a pointer leads to, as far as it leads.
    fn place(&self, pointer: &str) -> usize {
        let mut place = 0;
        for step in pointer.split('/').skip(1) {
            let name = step.replace("~1", "/").replace("~0", "~");
            match self.child(place, &name) {
                Some(child) => place = child,
                None => break,
            }
        }
        place
    }

    fn child(&self, parent: usize, name: &str) -> Option<usize> {
        let open = &self.nodes[parent];
        if !open.is_open() {
            return None;
        }
        let wanted: Option<usize> = match open.shape {
            Shape::Array => Some(name.parse().ok()?),
            _ => None,
        };
        let end = open.end as usize;
        let mut at = parent + 1;
        let mut index = 0;
        while at < end {
            let node = &self.nodes[at];
            let hit = match wanted {
                Some(wanted) => wanted == index,
                None => self.is_called(node, name),
            };
            if hit {
                return Some(at);
            }
            at = if node.is_open() {
                node.end as usize
            } else {
                at
            } + 1;
            index += 1;
        }
        None
    }

    fn is_called(&self, node: &Node, name: &str) -> bool {
        node.key.is_some_and(|key| {
            let key = serde_json::from_slice::<String>(self.slice(&key.range()));
            key.is_ok_and(|key| key == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_marked_where_it_is() {
        let mut tree = Tree::parse(
            &br#"{"id": 1, "a/b": {"c~": [1, {"d": "x"}]}, "total": "982,00", "lines": []}"#[..],
        );
        for (pointer, marked) in [
            ("/id", "\"id\": 1,"),
            ("/a~1b/c~0/1/d", "\"d\": \"x\""),
            ("/a~1b/c~0/0", "1,"),
            ("/total", "\"total\": \"982,00\","),
            // What is missing is missing in its parent.
            ("/a~1b/c~0/7", "\"c~\": ["),
            ("/a~1b/nothing/here", "\"a/b\": {"),
            ("/lines/0", "\"lines\": []"),
            ("", "{"),
            ("/nothing", "{"),
        ] {
            tree.mark([pointer]);
            let row = &tree.rows(0..tree.len())[tree.first_marked().unwrap()];
            let text: String = (row.parts.iter()).map(|(_, text)| text.as_str()).collect();
            assert_eq!(text.trim().trim_start_matches("- "), marked, "{pointer}");
        }
        tree.mark(["/id", "/total"]);
        let marks = tree.rows(0..tree.len());
        assert_eq!(marks.iter().filter(|row| row.marked).count(), 2);
        // No JSON: nothing is marked, nothing panics.
        let mut text = Tree::parse(&b"a,b\n1,2"[..]);
        text.mark(["/id"]);
        assert_eq!(text.first_marked(), None);
    }
}
