//! Which parts of an event are wanted: the paths of all wanted fields as one tree, so that a line is walked once.

use hashbrown::HashMap;

use crate::event::{FieldPath, Segment};

/// The deepest path that is taken from an event: walking it is a recursion. Patterns may not name a longer one.
const DEPTH_MAX: usize = 200;

/// The number of a node in its tree.
pub(super) type NodeId = u32;

/// The wanted parts of an event.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// A wanted value, or one that has wanted parts, or both.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// The slot that it fills.
    pub(super) slot: Option<u32>,
    /// Whether it is the event time.
    pub(super) is_time: bool,
    /// Whether it is the type.
    pub(super) is_type: bool,
    /// Whether it tells events apart.
    pub(super) is_id: bool,
    /// Its wanted members.
    pub(super) members: Names,
    /// Its wanted elements by index, in order.
    pub(super) elements: Vec<(u64, NodeId)>,
    /// Its wanted elements counted from the end (the last is 1).
    pub(super) from_end: Vec<(u64, NodeId)>,
    /// The nodes below it: what is forgotten where a member comes again.
    pub(super) below: Vec<NodeId>,
}

impl Tree {
    /// The whole event.
    pub(super) const ROOT: NodeId = 0;

    /// The tree of the two fields that every event is read for.
    pub(super) fn new(type_field: &FieldPath, time_field: &FieldPath) -> Tree {
        let mut tree = Tree { nodes: vec![Node::default()] };
        tree.grow(type_field).is_type = true;
        tree.grow(time_field).is_time = true;
        tree
    }

    /// Adds the field that tells events apart.
    pub(super) fn want_id(&mut self, path: &FieldPath) {
        self.grow(path).is_id = true;
    }

    /// Adds a field that fills a slot.
    pub(super) fn want(&mut self, path: &FieldPath, slot: u32) {
        self.grow(path).slot = Some(slot);
    }

    /// The number of its nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline(always)]
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The node of a path. One that is too deep to be walked to is there, but nothing leads to it.
    fn grow(&mut self, path: &FieldPath) -> &mut Node {
        if path.0.len() > DEPTH_MAX {
            let last = self.nodes.len();
            self.nodes.push(Node::default());
            return &mut self.nodes[last];
        }
        let mut way = vec![0];
        let mut at = 0;
        for segment in &path.0 {
            let next = self.nodes.len() as NodeId;
            let node = &mut self.nodes[at as usize];
            at = match segment {
                Segment::Name(name) => node.members.get_or_insert(name, next),
                Segment::Index(index) => {
                    let (list, number) = match index {
                        0.. => (&mut node.elements, index.unsigned_abs()),
                        _ => (&mut node.from_end, index.unsigned_abs()),
                    };
                    match list.binary_search_by_key(&number, |(n, _)| *n) {
                        Ok(known) => list[known].1,
                        Err(place) => {
                            list.insert(place, (number, next));
                            next
                        }
                    }
                }
            };
            if at == next {
                self.nodes.push(Node::default());
                way.iter().for_each(|&above| self.nodes[above as usize].below.push(next));
            }
            way.push(at);
        }
        &mut self.nodes[at as usize]
    }
}

/// Numbers by name: a short list is compared one by one, a long one is hashed.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Each with some of its bytes as one number, which tells most names apart.
    list: Vec<(u64, Box<[u8]>, u32)>,
    map: HashMap<Box<[u8]>, u32, ahash::RandomState>,
}

impl Names {
    const SHORT: usize = 8;

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    #[inline(always)]
    pub(super) fn get(&self, name: &[u8]) -> Option<u32> {
        if self.list.len() > Self::SHORT {
            return self.map.get(name).copied();
        }
        let ends = ends(name);
        let same = |known: &[u8]| known.len() == name.len() && (name.len() <= 8 || known == name);
        self.list.iter().find(|(e, known, _)| *e == ends && same(known)).map(|(_, _, number)| *number)
    }

    /// The number that a name has, or else gets.
    pub(super) fn get_or_insert(&mut self, name: &str, number: u32) -> u32 {
        const FIRST_LONG: usize = Names::SHORT + 1;
        let name = name.as_bytes();
        if let Some(known) = self.get(name) {
            return known;
        }
        self.list.push((ends(name), name.into(), number));
        match self.list.len() {
            ..=Self::SHORT => {}
            FIRST_LONG => {
                self.map = self.list.iter().map(|(_, name, number)| (name.clone(), *number)).collect()
            }
            _ => _ = self.map.insert(name.into(), number),
        }
        number
    }
}

/// The first and last bytes of a name: all of them where there are at most eight.
#[inline(always)]
fn ends(name: &[u8]) -> u64 {
    match (name.first_chunk(), name.last_chunk(), name) {
        (Some(&first), Some(&last), _) => {
            u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last))
        }
        (_, _, [first, .., last]) => u64::from_le_bytes([*first, name[1], *last, 0, 0, 0, 0, 0]),
        (_, _, [only]) => u64::from(*only),
        _ => 0,
    }
}
