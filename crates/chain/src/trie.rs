//! A persistent Merkle-Patricia trie (Yellow Paper, appendix D) over 32-byte hashed keys.
//!
//! A trie is a value: `clone` copies one pointer, and the copy never sees later changes. An update
//! copies only the nodes on its path, and only those that an older copy still shares. Each node
//! caches the RLP reference by which its parent names it, so a root costs one hash for every node
//! that changed since the last root, no more.
//!
//! Keys all have 32 bytes, so no key is a prefix of another and branch nodes carry no value.
//! Reads and writes walk at most 64 nodes; so does the recursion.

use alloy_primitives::{B256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use std::sync::{Arc, OnceLock};

/// What a leaf holds, and how it is written into the trie.
pub(crate) trait Leaf: Clone {
    /// Appends the RLP encoding of the value to `out`.
    fn encode(&self, out: &mut Vec<u8>);
}

/// A map from hashed keys to values, with a root that commits to all of them.
#[derive(Clone, Debug)]
pub(crate) struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

#[derive(Clone, Debug)]
struct Node<V> {
    kind: Kind<V>,
    /// How the parent refers to this node: its RLP if shorter than 32 bytes, else its hash.
    reference: OnceLock<RlpNode>,
}

#[derive(Clone, Debug)]
enum Kind<V> {
    Leaf { path: Nibbles, value: V },
    Extension { path: Nibbles, child: Arc<Node<V>> },
    Branch { children: Box<[Option<Arc<Node<V>>>; 16]> },
}

impl<V> Node<V> {
    fn new(kind: Kind<V>) -> Arc<Self> {
        Arc::new(Self { kind, reference: OnceLock::new() })
    }

    fn leaf(path: Nibbles, value: V) -> Arc<Self> {
        Self::new(Kind::Leaf { path, value })
    }
}

impl<V: Leaf> Trie<V> {
    /// The value under `key`.
    pub(crate) fn get(&self, key: B256) -> Option<&V> {
        let key = Nibbles::unpack(key);
        let mut depth = 0;
        let mut node = self.root.as_deref()?;
        loop {
            match &node.kind {
                Kind::Leaf { path, value } => {
                    return (key.slice(depth..) == *path).then_some(value);
                }
                Kind::Extension { path, child } => {
                    if !key.slice(depth..).starts_with(path) {
                        return None;
                    }
                    depth += path.len();
                    node = child;
                }
                Kind::Branch { children } => {
                    node = children[nibble(&key, depth)].as_deref()?;
                    depth += 1;
                }
            }
        }
    }

    /// Puts `value` under `key`, replacing what was there.
    pub(crate) fn insert(&mut self, key: B256, value: V) {
        let path = Nibbles::unpack(key);
        match &mut self.root {
            Some(root) => insert(root, path, value),
            None => self.root = Some(Node::leaf(path, value)),
        }
    }

    /// Takes `key` out; a key that is not there changes nothing.
    pub(crate) fn remove(&mut self, key: B256) {
        if self.get(key).is_some() {
            remove(&mut self.root, Nibbles::unpack(key));
        }
    }

    /// The Merkle root: one Keccak for every node changed since it was last asked.
    pub(crate) fn root(&self) -> B256 {
        let Some(root) = &self.root else { return EMPTY_ROOT_HASH };
        let reference = reference(root);
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// Calls `visit` with each key and value, in key order.
    #[cfg(test)]
    pub(crate) fn for_each(&self, visit: &mut impl FnMut(B256, &V)) {
        fn walk<V>(node: &Node<V>, prefix: Nibbles, visit: &mut impl FnMut(B256, &V)) {
            match &node.kind {
                Kind::Leaf { path, value } => {
                    visit(B256::from_slice(&prefix.join(path).pack()), value)
                }
                Kind::Extension { path, child } => walk(child, prefix.join(path), visit),
                Kind::Branch { children } => {
                    for (index, child) in (0u8..).zip(children.iter()) {
                        if let Some(child) = child {
                            let mut prefix = prefix;
                            prefix.push(index);
                            walk(child, prefix, visit);
                        }
                    }
                }
            }
        }
        if let Some(root) = &self.root {
            walk(root, Nibbles::new(), visit);
        }
    }
}

fn nibble(path: &Nibbles, index: usize) -> usize {
    usize::from(path.get(index).expect("all keys have 64 nibbles"))
}

fn single(index: usize) -> Nibbles {
    Nibbles::from_nibbles([index as u8])
}

/// A branch with `children` at their places, under an extension if the paths share a `stem`.
fn fork<V>(stem: Nibbles, children: [(usize, Arc<Node<V>>); 2]) -> Kind<V> {
    let mut slots: Box<[Option<Arc<Node<V>>>; 16]> = Box::default();
    for (index, child) in children {
        slots[index] = Some(child);
    }
    let branch = Kind::Branch { children: slots };
    if stem.is_empty() { branch } else { Kind::Extension { path: stem, child: Node::new(branch) } }
}

fn insert<V: Leaf>(node: &mut Arc<Node<V>>, path: Nibbles, value: V) {
    let node = Arc::make_mut(node);
    node.reference = OnceLock::new();
    match &mut node.kind {
        Kind::Branch { children } => {
            let rest = path.slice(1..);
            match &mut children[nibble(&path, 0)] {
                Some(child) => insert(child, rest, value),
                empty => *empty = Some(Node::leaf(rest, value)),
            }
        }
        Kind::Extension { path: own, child } => {
            let common = own.common_prefix_length(&path);
            if common == own.len() {
                return insert(child, path.slice(common..), value);
            }
            let below = own.slice(common + 1..);
            let old = if below.is_empty() {
                child.clone()
            } else {
                Node::new(Kind::Extension { path: below, child: child.clone() })
            };
            let new = Node::leaf(path.slice(common + 1..), value);
            node.kind = fork(
                path.slice(..common),
                [(nibble(own, common), old), (nibble(&path, common), new)],
            );
        }
        Kind::Leaf { path: own, value: held } => {
            let common = own.common_prefix_length(&path);
            if common == own.len() {
                *held = value;
                return;
            }
            let old = Node::leaf(own.slice(common + 1..), held.clone());
            let new = Node::leaf(path.slice(common + 1..), value);
            node.kind = fork(
                path.slice(..common),
                [(nibble(own, common), old), (nibble(&path, common), new)],
            );
        }
    }
}

/// Removes `path`, which is known to be there, and keeps the trie in its one canonical shape.
fn remove<V: Leaf>(slot: &mut Option<Arc<Node<V>>>, path: Nibbles) {
    let Some(node) = slot else { return };
    let node = Arc::make_mut(node);
    node.reference = OnceLock::new();
    match &mut node.kind {
        Kind::Leaf { .. } => *slot = None,
        Kind::Extension { path: own, child } => {
            let mut below = Some(child.clone());
            remove(&mut below, path.slice(own.len()..));
            // The child is a branch with two entries at least, so something always remains.
            let below = below.expect("a branch outlives the loss of one entry");
            node.kind = prefixed(*own, below);
        }
        Kind::Branch { children } => {
            remove(&mut children[nibble(&path, 0)], path.slice(1..));
            let mut left = children.iter().enumerate().filter(|(_, child)| child.is_some());
            if let (Some((index, Some(only))), None) = (left.next(), left.next()) {
                node.kind = prefixed(single(index), only.clone());
            }
        }
    }
}

/// `child` seen from above `prefix`: paths join, and only a branch needs an extension.
fn prefixed<V: Clone>(prefix: Nibbles, child: Arc<Node<V>>) -> Kind<V> {
    match &child.kind {
        Kind::Leaf { path, value } => Kind::Leaf { path: prefix.join(path), value: value.clone() },
        Kind::Extension { path, child } => {
            Kind::Extension { path: prefix.join(path), child: child.clone() }
        }
        Kind::Branch { .. } => Kind::Extension { path: prefix, child },
    }
}

fn reference<V: Leaf>(node: &Node<V>) -> &RlpNode {
    node.reference.get_or_init(|| {
        let mut rlp = Vec::new();
        match &node.kind {
            Kind::Leaf { path, value } => {
                let mut encoded = Vec::new();
                value.encode(&mut encoded);
                LeafNodeRef::new(path, &encoded).rlp(&mut rlp)
            }
            Kind::Extension { path, child } => {
                ExtensionNodeRef::new(path, reference(child)).rlp(&mut rlp)
            }
            Kind::Branch { children } => {
                let mut mask = 0u16;
                let mut stack = Vec::with_capacity(16);
                for (index, child) in children.iter().enumerate() {
                    if let Some(child) = child {
                        mask |= 1 << index;
                        stack.push(reference(child).clone());
                    }
                }
                BranchNodeRef::new(&stack, TrieMask::new(mask)).rlp(&mut rlp)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;
    use alloy_trie::HashBuilder;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The root of the same map by an independent construction: alloy's streaming hash builder.
    fn rebuilt(map: &BTreeMap<B256, U256>) -> B256 {
        let mut builder = HashBuilder::default();
        for (key, value) in map {
            builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(value));
        }
        builder.root()
    }

    /// Keys that share long prefixes, so that extensions split and merge.
    fn keys() -> impl Strategy<Value = B256> {
        prop_oneof![
            (0u8..4, 0u8..4).prop_map(|(first, last)| {
                let mut key = B256::repeat_byte(0x11);
                key.0[if first < 2 { 0 } else { 15 }] ^= first;
                key.0[31] ^= last << 4;
                key
            }),
            any::<[u8; 32]>().prop_map(B256::from),
        ]
    }

    proptest! {
        #[test]
        fn root_equals_that_of_an_independent_rebuild_after_every_change(
            changes in prop::collection::vec((keys(), 0u64..5), 1..120)
        ) {
            let mut trie = Trie::default();
            let mut model = BTreeMap::new();
            for (key, value) in changes {
                if value == 0 {
                    trie.remove(key);
                    model.remove(&key);
                } else {
                    trie.insert(key, U256::from(value));
                    model.insert(key, U256::from(value));
                }
                prop_assert_eq!(trie.root(), rebuilt(&model));
                prop_assert_eq!(trie.get(key).copied(), model.get(&key).copied());
            }
            let mut seen = BTreeMap::new();
            trie.for_each(&mut |key, value| { seen.insert(key, *value); });
            prop_assert_eq!(seen, model);
        }

        #[test]
        fn a_copy_never_sees_later_changes(
            before in prop::collection::btree_map(keys(), 1u64..9, 0..40),
            after in prop::collection::vec((keys(), 0u64..9), 0..40),
        ) {
            let mut trie = Trie::default();
            for (key, value) in &before {
                trie.insert(*key, U256::from(*value));
            }
            let copy = trie.clone();
            let root = copy.root();
            for (key, value) in after {
                if value == 0 { trie.remove(key) } else { trie.insert(key, U256::from(value)) }
                trie.root();
            }
            let model = before.into_iter().map(|(key, value)| (key, U256::from(value))).collect();
            prop_assert_eq!(copy.root(), root);
            prop_assert_eq!(copy.root(), rebuilt(&model));
        }
    }

    #[test]
    fn empty_trie_has_the_empty_root() {
        let mut trie = Trie::<U256>::default();
        assert_eq!(trie.root(), EMPTY_ROOT_HASH);
        trie.insert(B256::ZERO, U256::from(1));
        trie.remove(B256::ZERO);
        assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    }
}
