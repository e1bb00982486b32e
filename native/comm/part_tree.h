// The fixed binary tree along which the parts of a global batch are summed. A leaf (0, i) is part i. A node (level, index)
// is the sum of its left child (level - 1, 2 index) and its right child (level - 1, 2 index + 1). If there is no right
// child, the node is equal to its left child. Each rank has several parts in a row. It sums them to as few nodes as the
// tree allows, and these nodes are added to those of the other ranks.
#pragma once

#include <cstdint>
#include <vector>

namespace lxmert::comm {

struct Node {
  int level;
  int64_t index;
};

// Whether the two nodes are the left and the right child of the same node.
inline bool areSiblings(const Node& left, const Node& right) {
  return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

// The first part of a rank. For `rank` equal to `ranks`, the result is the number of parts.
inline int64_t firstPart(int64_t parts, int ranks, int rank) { return parts * rank / ranks; }

// The nodes to which a rank sums its own parts, from the first part to the last.
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
