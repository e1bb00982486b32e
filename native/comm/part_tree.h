// The fixed binary tree along which the parts of a global batch are summed. Leaf i is part i. Node (level, index) is the
// sum of nodes (level - 1, 2 index) and (level - 1, 2 index + 1). Where the right one does not exist the left one stands
// alone. A rank holds a run of parts, and sums them to as few nodes as the tree allows.
#pragma once

#include <cstdint>
#include <vector>

namespace lxmert::comm {

struct Node {
  int level;
  int64_t index;
};

// Whether `right` completes the parent of `left`.
inline bool areSiblings(const Node& left, const Node& right) {
  return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

// The first part of a rank; that of the rank after the last one is the number of parts.
inline int64_t firstPart(int64_t parts, int ranks, int rank) { return parts * rank / ranks; }

// The nodes that a rank sums its own parts to, in their order.
inline std::vector<Node> nodesOf(int64_t parts, int ranks, int rank) {
  std::vector<Node> nodes;
  const int64_t end = firstPart(parts, ranks, rank + 1);
  for (int64_t part = firstPart(parts, ranks, rank); part < end; ++part) {
    nodes.push_back({0, part});
    while (nodes.size() > 1 && areSiblings(nodes[nodes.size() - 2], nodes.back())) {
      nodes.pop_back();
      nodes.back() = {nodes.back().level + 1, nodes.back().index / 2};
    }
  }
  return nodes;
}

}  // namespace lxmert::comm
