//! A persistent Merkle-Patricia trie (Yellow Paper, appendix D) over 32-byte hashed keys.
//!
//! A trie is a value: `clone` copies one pointer, and the copy never sees later changes. An update
//! copies only the nodes on its path, and only those that an older copy still shares. Each node
//! caches the hash by which its parent names it, so a root costs one hash for every node that changed
//! since the last root, no more.
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
    /// The hash by which the parent names this node, which depends on how deep it stands. A node of
    /// less than 32 bytes is named by its bytes, which are few, so they are made anew each time.
    hash: OnceLock<B256>,
}

#[derive(Clone, Debug)]
enum Kind<V> {
    /// Its path is what is left of the key at its depth. Keeping the key whole is smaller, and
    /// nothing has to be joined when a leaf moves up or down.
    Leaf {
        key: B256,
        value: V,
    },
    Extension {
        path: Nibbles,
        child: Arc<Node<V>>,
    },
    Branch(Children<V>),
}

/// The two to sixteen children of a branch, in the order of their nibbles. Only those that are there
/// take room: most branches stand right above the leaves and have three or four.
#[derive(Clone, Debug)]
struct Children<V> {
    mask: u16,
    there: Vec<Arc<Node<V>>>,
}

impl<V> Children<V> {
    fn of(two: [(usize, Arc<Node<V>>); 2]) -> Self {
        let mut children = Self { mask: 0, there: Vec::with_capacity(2) };
        for (nibble, child) in two {
            children.add(nibble, child);
        }
        children
    }

    /// Where the child of this nibble is among those that are there, if it is.
    fn place(&self, nibble: usize) -> Option<usize> {
        (self.mask & (1 << nibble) != 0).then(|| self.before(nibble))
    }

    /// How many children come before this nibble's place.
    fn before(&self, nibble: usize) -> usize {
        (self.mask & ((1 << nibble) - 1)).count_ones() as usize
    }

    fn get(&self, nibble: usize) -> Option<&Arc<Node<V>>> {
        self.place(nibble).map(|place| &self.there[place])
    }

    fn get_mut(&mut self, nibble: usize) -> Option<&mut Arc<Node<V>>> {
        self.place(nibble).map(|place| &mut self.there[place])
    }

    /// Adds the child of a nibble that has none.
    fn add(&mut self, nibble: usize, child: Arc<Node<V>>) {
        let place = self.before(nibble);
        self.mask |= 1 << nibble;
        self.there.reserve_exact(1);
        self.there.insert(place, child);
    }

    /// Takes the child of a nibble out.
    fn take(&mut self, nibble: usize) -> Option<Arc<Node<V>>> {
        let place = self.place(nibble)?;
        self.mask &= !(1 << nibble);
        Some(self.there.remove(place))
    }

    /// The only child that is left, with its nibble.
    fn only(&self) -> Option<(usize, &Arc<Node<V>>)> {
        match &self.there[..] {
            [only] => Some((self.mask.trailing_zeros() as usize, only)),
            _ => None,
        }
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = (u8, &Arc<Node<V>>)> {
        let nibbles = (0u8..16).filter(|nibble| self.mask & (1 << nibble) != 0);
        nibbles.zip(&self.there)
    }
}

impl<V> Node<V> {
    fn new(kind: Kind<V>) -> Arc<Self> {
        Arc::new(Self { kind, hash: OnceLock::new() })
    }

    fn leaf(key: B256, value: V) -> Arc<Self> {
        Self::new(Kind::Leaf { key, value })
    }
}

impl<V: Leaf> Trie<V> {
    /// The value under `key`.
    pub(crate) fn get(&self, key: B256) -> Option<&V> {
        let path = Nibbles::unpack(key);
        let mut depth = 0;
        let mut node = self.root.as_deref()?;
        loop {
            match &node.kind {
                Kind::Leaf { key: own, value } => return (*own == key).then_some(value),
                Kind::Extension { path: own, child } => {
                    if !path.slice(depth..).starts_with(own) {
                        return None;
                    }
                    depth += own.len();
                    node = child;
                }
                Kind::Branch(children) => {
                    node = children.get(nibble(&path, depth))?;
                    depth += 1;
                }
            }
        }
    }

    /// Puts `value` under `key`, replacing what was there.
    pub(crate) fn insert(&mut self, key: B256, value: V) {
        match &mut self.root {
            Some(root) => insert(root, key, &Nibbles::unpack(key), 0, value),
            None => self.root = Some(Node::leaf(key, value)),
        }
    }

    /// Takes `key` out; a key that is not there changes nothing.
    pub(crate) fn remove(&mut self, key: B256) {
        if self.get(key).is_none() {
            return;
        }
        if let Some(root) = &mut self.root
            && !remove(root, &Nibbles::unpack(key), 0)
        {
            self.root = None;
        }
    }

    /// The Merkle root: one Keccak for every node changed since it was last asked.
    pub(crate) fn root(&self) -> B256 {
        let Some(root) = &self.root else { return EMPTY_ROOT_HASH };
        let reference = reference(root, 0);
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// Calls `visit` with each key and value, in key order.
    #[cfg(test)]
    pub(crate) fn for_each(&self, visit: &mut impl FnMut(B256, &V)) {
        fn walk<V>(node: &Node<V>, prefix: Nibbles, visit: &mut impl FnMut(B256, &V)) {
            match &node.kind {
                Kind::Leaf { key, value } => {
                    assert!(Nibbles::unpack(key).starts_with(&prefix), "it stands at its place");
                    visit(*key, value);
                }
                Kind::Extension { path, child } => walk(child, prefix.join(path), visit),
                Kind::Branch(children) => {
                    for (index, child) in children.iter() {
                        let mut prefix = prefix;
                        prefix.push(index);
                        walk(child, prefix, visit);
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
    let branch = Kind::Branch(Children::of(children));
    if stem.is_empty() { branch } else { Kind::Extension { path: stem, child: Node::new(branch) } }
}

/// Puts a value under a key into a node at this depth; `path` is the key's own.
fn insert<V: Leaf>(node: &mut Arc<Node<V>>, key: B256, path: &Nibbles, depth: usize, value: V) {
    let node = Arc::make_mut(node);
    node.hash = OnceLock::new();
    match &mut node.kind {
        Kind::Branch(children) => {
            let at = nibble(path, depth);
            match children.get_mut(at) {
                Some(child) => insert(child, key, path, depth + 1, value),
                None => children.add(at, Node::leaf(key, value)),
            }
        }
        Kind::Extension { path: own, child } => {
            let rest = path.slice(depth..);
            let common = own.common_prefix_length(&rest);
            if common == own.len() {
                return insert(child, key, path, depth + common, value);
            }
            let below = own.slice(common + 1..);
            let old = if below.is_empty() {
                child.clone()
            } else {
                Node::new(Kind::Extension { path: below, child: child.clone() })
            };
            node.kind = fork(
                rest.slice(..common),
                [(nibble(own, common), old), (nibble(&rest, common), Node::leaf(key, value))],
            );
        }
        Kind::Leaf { key: own, value: held } => {
            if *own == key {
                *held = value;
                return;
            }
            let (rest, other) = (path.slice(depth..), Nibbles::unpack(*own).slice(depth..));
            let common = other.common_prefix_length(&rest);
            let old = Node::leaf(*own, held.clone());
            node.kind = fork(
                rest.slice(..common),
                [(nibble(&other, common), old), (nibble(&rest, common), Node::leaf(key, value))],
            );
        }
    }
}

/// Removes the key of `path`, which is known to be there, from a node at this depth, and keeps the
/// trie in its one canonical shape. Tells whether anything of the node is left.
fn remove<V: Leaf>(node: &mut Arc<Node<V>>, path: &Nibbles, depth: usize) -> bool {
    let node = Arc::make_mut(node);
    node.hash = OnceLock::new();
    match &mut node.kind {
        Kind::Leaf { .. } => return false,
        Kind::Extension { path: own, child } => {
            // The child is a branch with two entries at least, so something always remains.
            assert!(remove(child, path, depth + own.len()), "a branch outlives the loss of one");
            node.kind = prefixed(*own, child.clone());
        }
        Kind::Branch(children) => {
            let at = nibble(path, depth);
            let child = children.get_mut(at).expect("the key is there");
            if !remove(child, path, depth + 1) {
                children.take(at);
            }
            if let Some((index, only)) = children.only() {
                node.kind = prefixed(single(index), only.clone());
            }
        }
    }
    true
}

/// `child` seen from above `prefix`: paths join, a leaf knows its own, and only a branch needs an
/// extension.
fn prefixed<V: Clone>(prefix: Nibbles, child: Arc<Node<V>>) -> Kind<V> {
    match &child.kind {
        Kind::Leaf { .. } => child.kind.clone(),
        Kind::Extension { path, child } => {
            Kind::Extension { path: prefix.join(path), child: child.clone() }
        }
        Kind::Branch(_) => Kind::Extension { path: prefix, child },
    }
}

/// How the parent of a node at this depth refers to it: its RLP if shorter than 32 bytes, else its
/// hash.
fn reference<V: Leaf>(node: &Node<V>, depth: usize) -> RlpNode {
    if let Some(hash) = node.hash.get() {
        return RlpNode::word_rlp(hash);
    }
    let mut rlp = Vec::new();
    let reference = match &node.kind {
        Kind::Leaf { key, value } => {
            let mut encoded = Vec::new();
            value.encode(&mut encoded);
            LeafNodeRef::new(&Nibbles::unpack(key).slice(depth..), &encoded).rlp(&mut rlp)
        }
        Kind::Extension { path, child } => {
            ExtensionNodeRef::new(path, &reference(child, depth + path.len())).rlp(&mut rlp)
        }
        Kind::Branch(children) => {
            let stack: Vec<RlpNode> =
                children.there.iter().map(|child| reference(child, depth + 1)).collect();
            BranchNodeRef::new(&stack, TrieMask::new(children.mask)).rlp(&mut rlp)
        }
    };
    if let Some(hash) = reference.as_hash() {
        // Another reader may have been faster, with the same.
        let _ = node.hash.set(hash);
    }
    reference
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
