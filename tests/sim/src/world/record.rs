//! The record of a run: every packet that is sent, as lines of JSON.

use serde_json::{Value, json};

use super::World;

impl World {
    /// Writes a line about a packet of a node, if a record is kept.
    pub(super) fn write_record(&mut self, what: &str, node: usize, content: impl FnOnce() -> Value) {
        let micros = self.elapsed().as_micros();
        let Some(record) = &mut self.record else { return };
        let line = json!({"us": micros, "node": self.nodes[node].name.as_str(), what: content()});
        // A record that cannot be written does not change the run.
        let _ = writeln!(record, "{line}");
    }
}
