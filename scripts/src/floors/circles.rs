//! Who names each other, over however many others.

use std::collections::{BTreeMap, BTreeSet};

/// Who names whom.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    named: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Graph<'a> {
    /// The graph of these pairs.
    pub fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self::default();
        for (from, to) in pairs {
            graph.named.entry(from).or_default().insert(to);
        }
        graph
    }

    /// Everybody whom one reaches.
    fn reached(&self, from: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(one) = next.pop() {
            let named = self.named.get(one).into_iter().flatten();
            // Each of them once: where there are circles there would be no end.
            next.extend(named.filter(|name| reached.insert(**name)));
        }
        reached
    }

    /// The pairs that are part of a circle.
    pub fn in_circles(&self) -> Vec<(&'a str, &'a str)> {
        let reached: BTreeMap<_, _> = self.named.keys().map(|from| (*from, self.reached(from))).collect();
        let pairs = self.named.iter().flat_map(|(from, named)| named.iter().map(|to| (*from, *to)));
        // Whom one names, and who leads back.
        pairs.filter(|(from, to)| reached.get(to).is_some_and(|back| back.contains(from))).collect()
    }
}
