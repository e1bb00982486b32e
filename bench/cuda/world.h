// Used by the cases of all ops: a batch with its rows, and a function that makes a case from a call.
#pragma once

#include "cases.h"

namespace lxmert::bench {

constexpr float kDropout = 0.1f, kEpsilon = 1e-12f;

template <class Args>
using Make = std::function<Args(Tensors&)>;

template <class Args>
Case caseOf(std::string name, double flops, void (*OpColumn::*op)(Device&, const Args&), Make<Args> make) {
  return {std::move(name), flops, [op, make](Tensors& t, Device& device, const OpColumn& column) {
            const Args args = make(t);
            return [=, &device] { (column.*op)(device, args); };
          }};
}

// A batch: the lengths of its samples and the layout of its rows.
struct World {
  explicit World(const Shape& shape);

  int64_t languageRows() const { return language.back(); }
  int64_t visionRows() const { return vision.back(); }
  int64_t maskedRows() const;
  // The number of (query, key) pairs.
  double pairs(bool cross) const;

  Rows rows(Tensors& t, RowSet set) const;
  Dropout dropout(Tensors& t, const Rows& rows) const;
  // Random numbers in [0, limit).
  std::vector<int32_t> random(int64_t n, int64_t limit) const;

  Shape s;
  std::vector<int32_t> language, vision;  // offsets of the samples
  int64_t spare;
};

// Each function adds the cases of a group of ops.
void addProducts(std::vector<Case>& cases, const World& w, const char* name, int64_t in, int64_t out);
void addAttention(std::vector<Case>& cases, const World& w, bool cross);
void addRowOps(std::vector<Case>& cases, const World& w);
void addEmbeddings(std::vector<Case>& cases, const World& w);
void addLosses(std::vector<Case>& cases, const World& w);
void addOptimizer(std::vector<Case>& cases, const World& w);

}  // namespace lxmert::bench
